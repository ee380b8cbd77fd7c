#include "cli/backup_words.h"

#include <algorithm>

namespace lifeboat::cli {

namespace {

std::string rate(std::uint64_t bytes, base::Duration took) {
    const double seconds = std::max(1e-3, std::chrono::duration<double>(took).count());
    return base::human_size(static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds)) +
           "/s";
}

std::string range_of(const repo::Manifest& m) {
    const base::Json* start = m.details.find("start");
    const base::Json* stop = m.details.find("stop");
    return start == nullptr || stop == nullptr
               ? ""
               : "WAL " + start->as_text() + " to " + stop->as_text() + "; ";
}

void show_damage(const repo::Manifest& m, Console& console) {
    for (const repo::DamagedPage& page : m.damage) {
        console.line(console.tint(Tone::Bad, "      damaged") + " page " +
                     std::to_string(page.page) + " of '" + page.path + "' (" + page.why +
                     "): stored as it is on the server");
    }
    if (!m.damage.empty()) {
        console.note(
            "hint: The server's own data is damaged. Restore an older backup beside it and "
            "compare, before the damage ages out of the window.");
    }
}

void show_manifest(const service::BackupOutcome& outcome, Console& console) {
    const repo::Manifest& m = *outcome.manifest;
    const bool full = m.kind == repo::BackupKind::Full;
    console.line(console.tint(Tone::Good, "done") + "  " +
                 console.tint(Tone::Bold, outcome.system) + "  " + (full ? "full" : "incremental") +
                 " backup " + m.backup);
    console.line(
        "      " + base::human_size(m.counts.bytes) + " in " + std::to_string(m.counts.files) +
        " files; " + base::human_size(m.counts.changed_bytes) + " changed, " +
        base::human_size(m.counts.stored_bytes) + " stored; " + base::human_duration(outcome.took) +
        ", " + rate(outcome.bytes_read, outcome.took));
    console.line("      " + range_of(m) + "expires after " + m.expires.text());
    show_damage(m, console);
}

void show(const service::BackupOutcome& outcome, Console& console) {
    for (const std::string& note : outcome.notes) {
        console.note("note: " + outcome.system + ": " + note);
    }
    if (outcome.manifest) {
        show_manifest(outcome, console);
        return;
    }
    console.line(console.tint(Tone::Bad, "FAILED") + "  " +
                 console.tint(Tone::Bold, outcome.system));
    console.complain(*outcome.error);
}

}  // namespace

service::BackupWatch BackupBar::watch() {
    return [this](const std::string& system, const repo::CaptureProgress* progress) {
        bar_.reset();
        if (progress != nullptr) {
            bar_ = console_.progress([system, progress] {
                return Console::Tick{"backing up '" + system + "'", progress->bytes_read.load(),
                                     progress->bytes_expected.load()};
            });
        }
    };
}

void show_backup(const service::BackupReport& report, Console& console) {
    for (const service::BackupOutcome& outcome : report.outcomes) {
        show(outcome, console);
    }
}

}  // namespace lifeboat::cli

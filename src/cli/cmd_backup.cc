#include "cli/commands.h"
#include "service/backup.h"

namespace lifeboat::cli {

namespace {

std::string rate(std::uint64_t bytes, base::Duration took) {
    const double seconds = std::max(1e-3, std::chrono::duration<double>(took).count());
    return base::human_size(static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds)) +
           "/s";
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
    console.line("      WAL " + m.details.find("start")->as_text() + " to " +
                 m.details.find("stop")->as_text() + "; expires after " + m.expires.text());
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
    console.note("lifeboat: " + outcome.error->message());
    if (!outcome.error->hint().empty()) {
        console.note("hint: " + outcome.error->hint());
    }
}

}  // namespace

int run_backup(const service::World& world, const Common& common, const BackupArguments& arguments,
               Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    std::shared_ptr<void> bar;
    const auto watch = [&](const std::string& system, const repo::CaptureProgress* progress) {
        bar.reset();
        if (progress != nullptr) {
            bar = console.progress([system, progress] {
                return Console::Tick{"backing up '" + system + "'", progress->bytes_read.load(),
                                     progress->bytes_expected.load()};
            });
        }
    };
    const auto report = service::backup(
        *installation, {arguments.systems, arguments.repository, arguments.full}, watch);
    if (!report) {
        return console.fail(report.error());
    }
    if (report->outcomes.size() == 1 && report->outcomes.front().error) {
        for (const std::string& note : report->outcomes.front().notes) {
            console.note("note: " + note);
        }
        return console.fail(*report->outcomes.front().error);
    }
    for (const service::BackupOutcome& outcome : report->outcomes) {
        show(outcome, console);
    }
    return console.finish(report->to_json(), report->exit_code());
}

}  // namespace lifeboat::cli

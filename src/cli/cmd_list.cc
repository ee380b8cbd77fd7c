#include "cli/commands.h"
#include "service/list.h"

namespace lifeboat::cli {

namespace {

std::vector<std::string> backup_row(const service::ListedBackup& b, const Console& console) {
    if (!b.manifest) {
        return {b.id, "?", "", "", "", b.expires.text(), console.tint(Tone::Bad, b.trouble)};
    }
    const repo::Manifest& m = *b.manifest;
    const std::string damage =
        m.counts.damaged_pages > 0
            ? console.tint(Tone::Bad, std::to_string(m.counts.damaged_pages) + " damaged pages")
            : "";
    return {b.id,
            m.kind == repo::BackupKind::Full ? "full" : "incremental",
            base::human_duration(std::chrono::duration_cast<base::Duration>(m.stop - m.start)),
            base::human_size(m.counts.bytes),
            base::human_size(m.counts.stored_bytes),
            b.expires.text(),
            damage.empty() ? "taken" : damage};
}

std::string moment(const std::optional<base::Timestamp>& time, const std::string& position) {
    return time ? base::human_time(*time, 6) + " (" + position + ")" : position;
}

void show_system(const service::ListedSystem& system, Console& console) {
    console.line(console.tint(Tone::Bold, system.name));
    if (system.backups.empty()) {
        console.line("  no backup yet; take one with 'lifeboat backup " + system.name + "'");
        return;
    }
    std::vector<std::vector<std::string>> rows = {
        {"  backup", "kind", "took", "size", "stored", "expires", "state"}};
    for (const service::ListedBackup& backup : system.backups) {
        rows.push_back(backup_row(backup, console));
        rows.back().front() = "  " + rows.back().front();
    }
    console.table(rows);
    for (const engine::Window& window : system.windows) {
        console.line("  recoverable  " + moment(window.from_time, window.from));
        console.line("          to   " + moment(window.to_time, window.to) +
                     (window.note.empty() ? "" : "  " + window.note));
    }
    if (!system.trouble.empty()) {
        console.line("  windows unknown: " + system.trouble);
    }
}

}  // namespace

int run_list(const service::World& world, const Common& common, const ListArguments& arguments,
             Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    const auto report = service::list(*installation, {arguments.system, arguments.repository});
    if (!report) {
        return console.fail(report.error());
    }
    for (const service::ListedSystem& system : report->systems) {
        show_system(system, console);
    }
    return console.finish(report->to_json());
}

}  // namespace lifeboat::cli

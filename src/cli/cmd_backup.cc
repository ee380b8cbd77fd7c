#include "cli/backup_words.h"
#include "cli/commands.h"

namespace lifeboat::cli {

int run_backup(const service::World& world, const Common& common, const BackupArguments& arguments,
               Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    BackupBar bar(console);
    const auto report = service::backup(
        *installation, {arguments.systems, arguments.repository, arguments.full}, bar.watch());
    if (!report) {
        return console.fail(report.error());
    }
    // One system that fails is a plain failure; of several, each has its place in the report.
    if (report->outcomes.size() == 1 && report->outcomes.front().error) {
        for (const std::string& note : report->outcomes.front().notes) {
            console.note("note: " + note);
        }
        return console.fail(*report->outcomes.front().error);
    }
    show_backup(*report, console);
    return console.finish(report->to_json(), report->exit_code());
}

}  // namespace lifeboat::cli

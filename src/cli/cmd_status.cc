#include "cli/commands.h"
#include "cli/standing_words.h"
#include "service/status.h"

namespace lifeboat::cli {

namespace {

void show_system(const service::SystemStatus& system, Console& console) {
    const bool known = system.trouble.empty();
    const auto verdict = known ? system.standing.verdict() : policy::Verdict::Unknown;
    console.line(console.tint(Tone::Bold, system.name) + "  " + verdict_word(verdict, console) +
                 (system.tier.empty() ? "" : "  (tier " + system.tier + ")"));
    if (!known) {
        console.line("  " + system.trouble);
        return;
    }
    show_standing(system.standing, "  ", console);
    console.line("  stored       " + base::human_size(system.bytes) + " in " +
                 std::to_string(system.objects) + " objects");
    if (!system.running.empty()) {
        console.line("  running      a backup, " + system.running);
    }
}

}  // namespace

int run_status(const service::World& world, const Common& common, const StatusArguments& arguments,
               Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    const auto report = service::status(*installation, arguments.repository);
    if (!report) {
        return console.fail(report.error());
    }
    console.line("repository '" + report->repository + "' at " + report->url);
    for (const service::SystemStatus& system : report->systems) {
        show_system(system, console);
    }
    return console.finish(report->to_json());
}

}  // namespace lifeboat::cli

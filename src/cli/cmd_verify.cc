#include "cli/check_progress.h"
#include "cli/commands.h"
#include "cli/standing_words.h"
#include "service/verify.h"

namespace lifeboat::cli {

namespace {

std::string state_word(const service::VerifiedSystem& system, const Console& console) {
    if (system.degraded > 0) {
        return console.tint(Tone::Bad, "DAMAGED");
    }
    if (system.unknown > 0 || !system.standing) {
        return console.tint(Tone::Warn, "unknown");
    }
    if (!system.size_trouble.empty()) {
        return console.tint(Tone::Bad, "ODD SIZE");
    }
    return verdict_word(system.standing->verdict(), console);
}

std::string counts(const service::VerifiedSystem& system) {
    std::string text = std::to_string(system.whole) + " whole";
    text += system.degraded > 0 ? ", " + std::to_string(system.degraded) + " damaged" : "";
    text += system.unknown > 0 ? ", " + std::to_string(system.unknown) + " unknown" : "";
    return text;
}

void show_system(const service::VerifiedSystem& system, Console& console) {
    console.line(console.tint(Tone::Bold, system.name) + "  " + state_word(system, console));
    console.line("  backups      " + counts(system));
    if (!system.size_trouble.empty()) {
        console.line("  size         " + system.size_trouble);
    }
    if (system.standing) {
        show_standing(*system.standing, "  ", console);
    } else {
        console.line("  " + system.trouble);
    }
}

void show(const service::VerifyReport& report, Console& console) {
    for (const service::VerifiedSystem& system : report.systems) {
        show_system(system, console);
    }
    if (!report.check.report.is_healthy()) {
        for (const std::string& sentence : repo::describe(report.check.report)) {
            console.line("  " + sentence);
        }
    }
    console.line(check_sums(report.check.report, report.check.took));
}

}  // namespace

int run_verify(const service::World& world, const Common& common, const VerifyArguments& arguments,
               Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    CheckProgressBar progress("verifying", console);
    const auto report = service::verify(
        *installation, {arguments.system, arguments.repository, arguments.identity, arguments.data},
        progress.watch);
    progress.bar.reset();
    if (!report) {
        return console.fail(report.error());
    }
    show(*report, console);
    return console.finish(report->to_json(), report->exit_code());
}

}  // namespace lifeboat::cli

#include <algorithm>

#include "cli/check_progress.h"
#include "cli/commands.h"
#include "cli/standing_words.h"
#include "service/verify.h"

namespace lifeboat::cli {

namespace {

std::string state_word(service::SystemState state, const Console& console) {
    using service::SystemState;
    switch (state) {
        case SystemState::Damaged:
            return console.tint(Tone::Bad, "DAMAGED");
        case SystemState::OddSize:
            return console.tint(Tone::Bad, "ODD SIZE");
        case SystemState::Late:
            return verdict_word(policy::Verdict::Missed, console);
        case SystemState::Unknown:
            return verdict_word(policy::Verdict::Unknown, console);
        case SystemState::Unjudged:
            return console.tint(Tone::Good, "whole");
        case SystemState::Ok:
            break;
    }
    return verdict_word(policy::Verdict::Met, console);
}

std::string counts(const service::VerifiedSystem& system) {
    std::string text = std::to_string(system.whole) + " whole";
    text += system.degraded > 0 ? ", " + std::to_string(system.degraded) + " damaged" : "";
    text += system.unknown > 0 ? ", " + std::to_string(system.unknown) + " unknown" : "";
    return text;
}

void show_system(const service::VerifiedSystem& system, Console& console) {
    console.line(console.tint(Tone::Bold, system.name) + "  " +
                 state_word(system.state(), console));
    console.line("  backups      " + counts(system));
    if (system.stream_losses > 0) {
        console.line("  stream       has lost WAL in " + std::to_string(system.stream_losses) +
                     (system.stream_losses == 1 ? " place" : " places"));
    }
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
    // What belongs to no system that was asked for decides too, and is named too.
    const auto tells = [&](const service::VerifiedSystem& system) {
        return system.state() != service::SystemState::Ok &&
               system.state() != service::SystemState::Unjudged;
    };
    if (report.exit_code() != 0 &&
        std::none_of(report.systems.begin(), report.systems.end(), tells)) {
        const bool lost = service::has_loss(report.check.report);
        console.line(
            console.tint(Tone::Bold, "repository '" + report.check.repository + "'") + "  " +
            state_word(lost ? service::SystemState::Damaged : service::SystemState::Unknown,
                       console));
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

#include "cli/check_progress.h"
#include "cli/commands.h"
#include "service/check.h"

namespace lifeboat::cli {

namespace {

service::CheckRequest request_of(const CheckArguments& a) {
    service::CheckRequest request;
    request.repository = a.repository;
    request.identity = a.identity;
    request.level = a.data      ? repo::CheckLevel::Data
                    : a.objects ? repo::CheckLevel::Objects
                                : repo::CheckLevel::Names;
    return request;
}

void show(const service::CheckOutcome& outcome, Console& console) {
    const bool healthy = outcome.report.is_healthy();
    const bool lost = service::has_loss(outcome.report);
    const std::string word = healthy ? console.tint(Tone::Good, "healthy")
                             : lost  ? console.tint(Tone::Bad, "DAMAGED")
                                     : console.tint(Tone::Warn, "unknown");
    console.line(word + "  repository '" + outcome.repository + "'");
    for (const std::string& sentence : repo::describe(outcome.report)) {
        console.line("  " + sentence);
    }
    console.line("  " + check_pace(outcome.report, outcome.took));
    if (outcome.report.level != repo::CheckLevel::Data && healthy) {
        console.note("hint: 'lifeboat repo check --data' decrypts every byte.");
    }
    if (lost && !outcome.keyed) {
        console.note("hint: With --identity the files and pages that are lost are named.");
    }
}

}  // namespace

int run_check(const service::World& world, const Common& common, const CheckArguments& arguments,
              Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    CheckProgressBar progress("checking", console);
    const auto outcome = service::check(*installation, request_of(arguments), progress.watch);
    progress.bar.reset();
    if (!outcome) {
        return console.fail(outcome.error());
    }
    show(*outcome, console);
    return console.finish(outcome->to_json(), outcome->exit_code());
}

}  // namespace lifeboat::cli

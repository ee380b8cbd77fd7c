#include <unistd.h>

#include <climits>

#include "cli/commands.h"
#include "policy/time_expression.h"
#include "service/restore.h"

namespace lifeboat::cli {

using base::Code;
using base::Error;
using base::Result;

namespace {

std::string absolute_path(const std::string& path) {
    std::array<char, PATH_MAX> here{};
    std::string whole = path;
    if (!path.empty() && path.front() != '/' && ::getcwd(here.data(), here.size()) != nullptr) {
        whole = base::join(here.data(), path);
    }
    while (whole.size() > 1 && whole.back() == '/') {
        whole.pop_back();
    }
    return whole;
}

Result<engine::Target> target_of(const RestoreArguments& a,
                                 const service::Installation& installation, Console& console) {
    if (a.at == "latest") {
        return engine::Target(engine::Latest{});
    }
    if (!a.at.empty()) {
        const auto time = TRY(policy::resolve_time(a.at, installation.world().clock.now(),
                                                   installation.config().site.zone));
        console.note("recovering to " + time.text);
        return engine::Target(engine::AtTime{time.at});
    }
    if (!a.lsn.empty()) {
        return engine::Target(engine::AtPosition{a.lsn});
    }
    if (!a.name.empty()) {
        return engine::Target(engine::AtName{a.name});
    }
    if (a.xid) {
        return engine::Target(engine::AtTransaction{*a.xid});
    }
    if (a.before_xid) {
        return engine::Target(engine::BeforeTransaction{*a.before_xid});
    }
    return a.immediate ? engine::Target(engine::Immediate{}) : engine::Target(engine::Latest{});
}

Result<std::vector<std::pair<std::string, std::string>>> tablespaces_of(const RestoreArguments& a) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const std::string& text : a.tablespaces) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
            return Error(Code::InvalidInput,
                         "'--tablespace " + text + "' is not of the form OLD=NEW")
                .hint("Write --tablespace /old/dir=/new/dir.");
        }
        pairs.emplace_back(text.substr(0, equals), absolute_path(text.substr(equals + 1)));
    }
    return pairs;
}

Result<service::RestoreRequest> request_of(const RestoreArguments& a,
                                           const service::Installation& installation,
                                           Console& console) {
    service::RestoreRequest request;
    request.system = a.system;
    request.repository = a.repository;
    request.target = absolute_path(a.target);
    request.point.target = TRY(target_of(a, installation, console));
    request.point.backup = a.backup == "latest" ? "" : a.backup;
    request.point.timeline = a.timeline;
    request.identity = absolute_path(a.identity);  // the restored server asks from elsewhere
    request.dry_run = a.dry_run;
    request.delta = a.delta;
    request.start = a.start;
    request.port = a.port;
    request.owner = a.owner;
    request.workers = a.workers;
    request.tablespaces = TRY(tablespaces_of(a));
    request.validate = a.validate;
    request.check_pages = a.check_pages;
    request.check_structure = a.check_structure;
    return request;
}

void show_plan(const engine::RecoveryPlan& plan, Console& console) {
    console.note("from backup " + plan.backup.manifest.backup + " to " + plan.point);
    for (const std::string& sentence : plan.sentences) {
        console.note("  " + sentence);
    }
}

void show_started(const engine::StartReport& s, Console& console) {
    console.line(console.tint(Tone::Good, "open") + "      " + s.point);
    console.line("          consistent after " + base::human_duration(s.to_consistent) +
                 ", open after " + base::human_duration(s.to_open));
    for (const auto& [query, answer] : s.answers) {
        console.line("          " + query + " -> " + answer);
    }
    for (const std::string& finding : s.findings) {
        console.line(console.tint(Tone::Bad, "finding") + "   " + finding);
    }
    console.line("          psql \"" + s.connection + "\"   (pid " + std::to_string(s.pid) + ")");
}

void show_report(const service::RestoreReport& report, const service::RestoreRequest& request,
                 Console& console) {
    if (report.dry_run) {
        console.line(console.tint(Tone::Good, "possible") + "  " + report.plan.point +
                     "; nothing was written");
        return;
    }
    const restore::ApplyReport& a = *report.applied;
    console.line(
        console.tint(Tone::Good, "restored") + "  " + base::human_size(a.bytes) + " in " +
        std::to_string(a.files) + " files to '" + request.target + "' in " +
        base::human_duration(report.applying) +
        (a.bytes_kept > 0 ? "; " + base::human_size(a.bytes_kept) + " was there already" : ""));
    if (report.started) {
        show_started(*report.started, console);
    } else {
        console.line("          " + report.plan.point);
        console.line("next: start the server on '" + request.target +
                     "'; it fetches its WAL through lifeboat and opens at that point");
    }
    console.note(
        "it counts as a copy: if it takes the original's place, remove 'lifeboat.restored' "
        "from it, or 'wal-push' refuses what it archives");
}

}  // namespace

int run_restore(const service::World& world, const Common& common,
                const RestoreArguments& arguments, Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    const auto request = request_of(arguments, *installation, console);
    if (!request) {
        return console.fail(request.error());
    }
    std::shared_ptr<void> bar;
    service::RestoreWatch watch;
    watch.planned = [&](const engine::RecoveryPlan& plan) {
        show_plan(plan, console);
        return Result<>();
    };
    watch.applying = [&](const restore::ApplyProgress* progress) {
        bar.reset();
        if (progress != nullptr) {
            bar = console.progress([progress] {
                return Console::Tick{"restoring", progress->bytes_done.load(),
                                     progress->bytes_expected.load()};
            });
        }
    };
    watch.starting = [&] { console.note("starting the server and replaying WAL"); };
    const auto report = service::restore(*installation, *request, watch);
    bar.reset();
    if (!report) {
        return console.fail(report.error());
    }
    show_report(*report, *request, console);
    return console.finish(report->to_json(), report->exit_code());
}

}  // namespace lifeboat::cli

#include "service/restore.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>

#include "restore/target.h"
#include "service/shell_words.h"

namespace lifeboat::service {

using base::Code;
using base::Error;
using base::Json;

namespace {

struct Owner {
    std::optional<std::uint32_t> uid;
    std::optional<std::uint32_t> gid;
    std::string name;
};

// Only root can give files away. A target that is there already says whose it is.
Result<Owner> choose_owner(base::Files& files, const RestoreRequest& request,
                           const config::System& system) {
    const auto there = files.stat(request.target);
    if (request.owner.empty() && there && there->uid != 0) {
        const passwd* user = ::getpwuid(there->uid);
        const std::string name = user != nullptr ? user->pw_name : "";
        return ::geteuid() == 0 ? Owner{there->uid, there->gid, name} : Owner{{}, {}, name};
    }
    const std::string name = !request.owner.empty() ? request.owner : system.restore.owner;
    if (::geteuid() != 0 && request.owner.empty()) {
        return Owner{};
    }
    const passwd* user = ::getpwnam(name.c_str());
    if (user == nullptr) {
        return Error(Code::InvalidInput, "there is no user '" + name + "' on this machine")
            .hint("Name the user that shall own and run the server: --owner USER.");
    }
    if (::geteuid() != 0 && user->pw_uid != ::geteuid()) {
        return Error(Code::Denied, "only root can restore for another user ('" + name + "')")
            .hint("Run the restore as root or as that user.");
    }
    return Owner{user->pw_uid, user->pw_gid, name};
}

// That the target can be made, or written, is better known before all else (P5).
Result<> check_writable(base::Files& files, const std::string& target) {
    const std::string place = TRY(restore::nearest_directory(files, target));
    if (::faccessat(AT_FDCWD, place.c_str(), W_OK | X_OK, AT_EACCESS) == 0) {
        return {};
    }
    return base::os_failure("writing into '" + place + "' for the target '" + target + "'", errno)
        .hint(
            "Make the directory and give it to the user that runs the restore, or name a target "
            "where that user may write.");
}

// A later start by hand must find the same repository, configuration and key: the command names
// them absolutely.
std::string fetch_command(const World& world, const Installation& installation,
                          const RestoreRequest& request) {
    const std::string identity = !request.identity.empty()
                                     ? request.identity
                                     : installation.config().keys.identity.value_or("");
    std::string command = quote_for_shell(world.program) + " wal-fetch --config " +
                          quote_for_shell(installation.config().file);
    if (!identity.empty()) {
        command += " --identity " + quote_for_shell(identity);
    }
    if (!request.repository.empty()) {
        command += " --repository " + quote_for_shell(request.repository);
    }
    return command + " " + quote_for_shell(request.system) + " " + quote_for_shell(request.target);
}

engine::StartRequest start_request(const RestoreRequest& request, const config::System& system,
                                   const Owner& owner) {
    engine::StartRequest start;
    start.target = request.target;
    start.owner = owner.name;
    start.bin_directory = system.restore.bin_directory.value_or("");
    start.port = request.port;
    start.validate = system.restore.validate;
    start.validate.insert(start.validate.end(), request.validate.begin(), request.validate.end());
    start.check_pages = request.check_pages;
    start.check_structure = request.check_structure;
    return start;
}

// From here on the same command would be refused: the target is not empty, and nothing is missing
// in it. A Bug says itself what its target is worth.
Error with_complete_target(const Error& error, const std::string& target) {
    if (error.code() == Code::Bug) {
        return error.clone();
    }
    Error whole(error.code(), error.what());
    for (const std::string& step : error.trail()) {
        whole = std::move(whole).during(step);
    }
    return std::move(whole)
        .with_os_error(error.os_error())
        .hint(error.hint() + (error.hint().empty() ? "" : " ") + "What was restored to '" + target +
              "' is complete: start the server on it, or repeat the restore with --delta, which "
              "fetches nothing that is right already.");
}

// A server that is up stays up: whoever stopped the checks may still want it.
Result<engine::StartReport> finished(engine::StartReport started, const std::string& target) {
    if (!started.stopped) {
        return started;
    }
    return Error(Code::Cancelled, "the checks of the server (pid " + std::to_string(started.pid) +
                                      ") on '" + target + "' were stopped on request")
        .hint("The server is open at " + started.point + " and stays up: psql " +
              shell_word(started.connection) + ". To do without it: kill -INT " +
              std::to_string(started.pid));
}

base::Duration since(base::Clock& clock, std::chrono::steady_clock::time_point began) {
    return std::chrono::duration_cast<base::Duration>(clock.steady() - began);
}

}  // namespace

Result<RestoreReport> restore(Installation& installation, const RestoreRequest& request,
                              const RestoreWatch& watch) {
    const World& world = installation.world();
    const engine::Context context = world.context();
    auto began = world.clock.steady();
    const config::System* system = TRY(config::find_system(installation.config(), request.system));
    const Owner owner = TRY(choose_owner(world.files, request, *system));
    OpenRepository* repository = TRY(installation.repository(request.repository));
    const auto keys = TRY(installation.reader_keys(*repository, {request.identity, true}));
    const auto engine = TRY(installation.engine(*system));

    RestoreReport report;
    report.dry_run = request.dry_run;
    report.plan = TRY(engine->plan_restore(*repository->repository, *keys, request.point, context));
    const engine::LandingRequest landing{request.target, request.tablespaces,
                                         fetch_command(world, installation, request)};
    restore::ApplyRequest apply;
    apply.target = request.target;
    apply.landing = TRY(engine->landing(report.plan, landing));
    apply.existing = request.delta ? restore::Existing::Delta : restore::Existing::Refuse;
    apply.workers = request.workers;
    apply.uid = owner.uid;
    apply.gid = owner.gid;
    TRY(restore::check_target(world.files, apply, report.plan.backup.manifest));
    TRY(check_writable(world.files, request.target));
    report.planning = since(world.clock, began);
    TRY(watch.planned(report.plan));
    if (request.dry_run) {
        return report;
    }

    began = world.clock.steady();
    restore::ApplyProgress progress;
    watch.applying(&progress);
    auto applied = restore::apply(*repository->repository, *keys, report.plan.backup, apply,
                                  progress, context);
    watch.applying(nullptr);
    report.applied = TRY(std::move(applied));
    report.applying = since(world.clock, began);
    if (request.start) {
        began = world.clock.steady();
        watch.starting();
        auto started = engine->start(*repository->repository, *keys, report.plan,
                                     start_request(request, *system, owner), context);
        if (!started) {
            return with_complete_target(started.error(), request.target);
        }
        report.started = TRY(finished(std::move(started).value(), request.target));
        report.starting = since(world.clock, began);
    }
    return report;
}

namespace {

Json applied_json(const restore::ApplyReport& a) {
    Json json = Json::object();
    json.set("files", a.files)
        .set("bytes", a.bytes)
        .set("bytes_fetched", a.bytes_fetched)
        .set("bytes_kept", a.bytes_kept);
    json.set("bytes_zero", a.bytes_zero).set("resumed", a.resumed);
    return json;
}

Json started_json(const engine::StartReport& s) {
    Json answers = Json::array();
    for (const auto& [query, answer] : s.answers) {
        Json json = Json::object();
        json.set("query", query).set("answer", answer);
        answers.push(std::move(json));
    }
    Json findings = Json::array();
    for (const std::string& finding : s.findings) {
        findings.push(finding);
    }
    Json json = Json::object();
    json.set("reached", s.reached)
        .set("point", s.point)
        .set("pid", s.pid)
        .set("connection", s.connection);
    json.set("seconds_to_consistent", std::chrono::duration<double>(s.to_consistent).count());
    json.set("seconds_to_open", std::chrono::duration<double>(s.to_open).count());
    json.set("answers", std::move(answers)).set("findings", std::move(findings));
    return json;
}

}  // namespace

int RestoreReport::exit_code() const {
    const bool sound =
        plan.backup.manifest.damage.empty() && (!started || started->findings.empty());
    return sound ? 0 : base::exit_code(Code::Partial);
}

Json RestoreReport::to_json() const {
    Json json = Json::object();
    json.set("backup", plan.backup.manifest.backup)
        .set("point", plan.point)
        .set("damaged_pages", plan.backup.manifest.damage.size())
        .set("dry_run", dry_run);
    if (plan.point_time) {
        json.set("point_time", base::format_time(*plan.point_time));
    }
    json.set("details", plan.details);
    json.set("seconds_planning", std::chrono::duration<double>(planning).count());
    if (applied) {
        json.set("applied", applied_json(*applied))
            .set("seconds_applying", std::chrono::duration<double>(applying).count());
    }
    if (started) {
        json.set("started", started_json(*started))
            .set("seconds_starting", std::chrono::duration<double>(starting).count());
    }
    return json;
}

}  // namespace lifeboat::service

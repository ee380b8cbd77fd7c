#include "service/backup.h"

#include <algorithm>

#include "policy/expiry.h"
#include "service/lock.h"

namespace lifeboat::service {

using base::Code;
using base::Error;
using base::Json;

Result<std::optional<repo::OpenedManifest>> newest_backup(const repo::Repository& repository,
                                                          const std::string& system,
                                                          const repo::ReaderKeys& keys) {
    const auto names = TRY(repository.backups(system));
    std::optional<Error> first;
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
        auto opened = repository.load(*name, keys);
        if (opened) {
            return std::optional<repo::OpenedManifest>(std::move(opened).value());
        }
        const Code code = opened.error().code();
        if (code == Code::Unavailable || code == Code::Cancelled) {
            return std::move(opened).error();
        }
        if (!first) {
            first = std::move(opened).error();
        }
    }
    return first ? Result<std::optional<repo::OpenedManifest>>(*std::move(first))
                 : std::optional<repo::OpenedManifest>{};
}

namespace {

engine::BackupPolicy policy_of(const config::System& system) {
    return {system.backup.retention, system.backup.rolling_full,
            static_cast<std::size_t>(system.backup.workers), system.backup.compression};
}

struct Job {
    Installation& installation;
    OpenRepository& repository;
    const repo::HostKeys& host;
    const repo::ReaderKeys& keys;
    const BackupRequest& request;
    const BackupWatch& watch;
};

// An unreadable predecessor is no reason to have no backup: a full one does not need it.
std::optional<repo::OpenedManifest> choose_parent(const Job& job, const std::string& system,
                                                  std::vector<std::string>& notes) {
    auto newest = newest_backup(*job.repository.repository, system, job.keys);
    if (!newest) {
        notes.push_back("Taking a full backup: the newest one cannot be read (" +
                        newest.error().message() + ").");
        return std::nullopt;
    }
    return std::move(newest).value();
}

constexpr auto kClockTolerance = std::chrono::minutes(5);

// When the newest backup stopped. A clock that went far back would make the new one look older than
// those before it, and expire too soon. A name alone is no backup: whoever can write to the store
// can add one of any year.
Result<std::optional<base::Timestamp>> newest_stop(
    const Job& job, const std::optional<repo::OpenedManifest>& parent) {
    if (!parent) {
        return std::optional<base::Timestamp>();
    }
    const base::Timestamp newest = parent->manifest.stop;
    const base::Timestamp now = job.installation.world().clock.now();
    if (newest > now + kClockTolerance) {
        return Error(Code::Refused, "this host's clock says " + base::human_time(now) +
                                        ", but the newest backup stopped at " +
                                        base::human_time(newest))
            .hint("Set the clock ('timedatectl' shows it); then take the backup again.");
    }
    return std::optional(newest);
}

Result<repo::Manifest> back_up(const Job& job, const config::System& system,
                               BackupOutcome& outcome) {
    const World& world = job.installation.world();
    const SystemLock lock = TRY(SystemLock::take(world.files, job.installation.config().site.state,
                                                 system.name, world.clock));
    const auto engine = TRY(job.installation.engine(system));
    auto parent = choose_parent(job, system.name, outcome.notes);
    const auto newest = TRY(newest_stop(job, parent));
    repo::CaptureProgress progress;
    engine::BackupJob backup{*job.repository.repository, job.host, policy_of(system),
                             std::move(parent),          progress, outcome.notes,
                             job.request.full,           newest};
    job.watch(system.name, &progress);
    auto manifest = engine->backup(backup, world.context());
    job.watch(system.name, nullptr);
    outcome.bytes_read = progress.bytes_read.load();
    return manifest;
}

BackupOutcome attempt(const Job& job, const config::System& system) {
    BackupOutcome outcome;
    outcome.system = system.name;
    base::Clock& clock = job.installation.world().clock;
    const auto began = clock.steady();
    auto manifest = back_up(job, system, outcome).during("backing up '" + system.name + "'");
    outcome.took = std::chrono::duration_cast<base::Duration>(clock.steady() - began);
    if (manifest) {
        outcome.manifest = std::move(manifest).value();
    } else {
        outcome.error = std::move(manifest).error();
    }
    return outcome;
}

}  // namespace

Result<BackupReport> backup(Installation& installation, const BackupRequest& request,
                            const BackupWatch& watch) {
    const auto systems = TRY(installation.systems(request.systems));
    OpenRepository* repository = TRY(installation.repository(request.repository));
    const repo::HostKeys* host = TRY(installation.host_keys());
    const auto keys = TRY(installation.reader_keys(*repository, {}));
    const base::Timestamp store_now = TRY(repository->store->now());
    TRY(policy::check_clocks(installation.world().clock.now(), store_now));  // W2
    TRY(repository->repository->register_writer(*host, installation.config().site.name,
                                                installation.world().clock));

    BackupReport report;
    report.repository = repository->name;
    const Job job{installation, *repository, *host, *keys, request, watch};
    for (const config::System* system : systems) {
        report.outcomes.push_back(attempt(job, *system));
        if (installation.world().stop.requested()) {
            break;
        }
    }
    return report;
}

int BackupReport::exit_code() const {
    const auto failed = [](const BackupOutcome& outcome) { return outcome.error.has_value(); };
    const auto damaged = [](const BackupOutcome& outcome) {
        return outcome.manifest && !outcome.manifest->damage.empty();
    };
    if (!outcomes.empty() && std::all_of(outcomes.begin(), outcomes.end(), failed)) {
        return base::exit_code(outcomes.front().error->code());
    }
    const bool partial = std::any_of(outcomes.begin(), outcomes.end(), failed) ||
                         std::any_of(outcomes.begin(), outcomes.end(), damaged);
    return partial ? base::exit_code(Code::Partial) : 0;
}

Json BackupOutcome::to_json() const {
    Json json = Json::object();
    json.set("system", system)
        .set("ok", manifest.has_value())
        .set("seconds", std::chrono::duration<double>(took).count());
    if (manifest) {
        const repo::BackupCounts& c = manifest->counts;
        json.set("backup", manifest->backup)
            .set("kind", manifest->kind == repo::BackupKind::Full ? "full" : "incremental");
        json.set("start", base::format_time(manifest->start))
            .set("stop", base::format_time(manifest->stop));
        json.set("expires", manifest->expires.text())
            .set("files", c.files)
            .set("bytes", c.bytes)
            .set("bytes_read", bytes_read);
        json.set("bytes_changed", c.changed_bytes)
            .set("bytes_stored", c.stored_bytes)
            .set("damaged_pages", c.damaged_pages);
        json.set("details", manifest->details);
    }
    if (error) {
        json.set("error", error->message()).set("hint", error->hint());
    }
    Json list = Json::array();
    for (const std::string& note : notes) {
        list.push(note);
    }
    json.set("notes", std::move(list));
    return json;
}

Json BackupReport::to_json() const {
    Json list = Json::array();
    for (const BackupOutcome& outcome : outcomes) {
        list.push(outcome.to_json());
    }
    Json json = Json::object();
    json.set("repository", repository).set("systems", std::move(list));
    return json;
}

}  // namespace lifeboat::service

#include "service/standing.h"

#include <algorithm>
#include <vector>

namespace lifeboat::service {

using base::Duration;
using base::Json;
using base::Timestamp;
using policy::Assessment;
using policy::Verdict;

namespace {

// A stream that runs writes its status every second or so.
constexpr auto kFresh = std::chrono::seconds(15);
constexpr std::string_view kStreaming = "streaming";
constexpr auto kProofLifetime = std::chrono::days(35);

std::optional<policy::Objectives> objectives_of(const config::Config& config,
                                                const config::System& system) {
    const policy::Tier* tier = config::tier_of(config, system);
    return tier != nullptr ? std::optional(tier->objectives) : std::nullopt;
}

Assessment assess_age(std::optional<Duration> limit,
                      const std::optional<repo::ManifestName>& newest, Timestamp now) {
    if (!newest) {
        return {Verdict::Missed, limit, std::nullopt, "there is no backup"};
    }
    const Duration age = now - newest->stop;
    // A clock that is a little ahead is no fault of the backup.
    return policy::assess(limit, age < -policy::kClockTolerance ? age : std::max(age, Duration(0)));
}

bool is_fresh(const StreamStatus& status, Timestamp now) {
    return std::chrono::abs(now - status.state.updated) <= kFresh;
}

std::string stream_trouble(const config::System& system, const std::optional<StreamStatus>& status,
                           Timestamp now) {
    if (!system.stream.enabled) {
        return "";
    }
    if (!status) {
        return "it has never run on this host";
    }
    if (!is_fresh(*status, now)) {
        return "it stopped " + base::human_duration(now - status->state.updated) + " ago";
    }
    if (status->state.phase == kStreaming) {
        return "";  // what it complains of meanwhile is in its state
    }
    return "it is " + status->state.phase +
           (status->state.trouble.empty() ? "" : ": " + status->state.trouble);
}

struct NewestPoint {
    std::optional<Timestamp> at;
    std::string unknown;      // why it is not known
    bool unanchored = false;  // no backup reaches what the stream captures
};

// What the stream says of itself counts as far as a backup reaches it: behind a hole nothing does
// until a new one is taken. Otherwise the repository says what there is.
NewestPoint find_newest_point(const Installation& installation, const OpenRepository& repository,
                              repo::ReaderKeys* keys, const config::System& system,
                              const std::optional<StreamStatus>& status) {
    if (keys == nullptr) {
        return {{}, "no key opens the backups and the stream here"};
    }
    auto engine = installation.engine(system);
    if (!engine) {
        return {{}, engine.error().message()};
    }
    auto windows =
        (*engine)->windows(*repository.repository, *keys, installation.world().context());
    if (!windows) {
        return {{}, windows.error().message()};
    }
    const bool told =
        status && status->state.captured && is_fresh(*status, installation.world().clock.now());
    const auto reached = [&](const engine::Window& window) {
        return (*engine)->reaches(window, status->state.position);
    };
    if (told && std::any_of(windows->begin(), windows->end(), reached)) {
        return {*status->state.captured, ""};
    }
    NewestPoint newest;
    newest.unanchored = told;
    for (const engine::Window& window : *windows) {
        newest.at = std::max(newest.at, window.to_time);
    }
    if (!windows->empty() && !newest.at) {
        newest.unknown = "the newest point has no time";
    }
    return newest;
}

// The newest backup that opens, and that one of the writers we trust has signed; without keys, the
// newest name.
Result<std::optional<repo::ManifestName>> newest_of(const OpenRepository& repository,
                                                    const repo::ReaderKeys* keys,
                                                    const std::vector<repo::ManifestName>& names) {
    if (keys == nullptr) {
        return names.empty() ? std::nullopt : std::optional(names.back());
    }
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
        const auto opened = repository.repository->load(*name, *keys);
        if (opened) {
            return std::optional(*name);
        }
        if (opened.error().code() == base::Code::Unavailable ||
            opened.error().code() == base::Code::Cancelled) {
            return opened.error().clone();
        }
    }
    return std::optional<repo::ManifestName>();
}

}  // namespace

std::optional<Duration> backup_age_limit(const config::Config& config,
                                         const config::System& system) {
    if (system.stream.enabled) {
        return policy::oldest_base(system.stream.retention);
    }
    const auto objectives = objectives_of(config, system);
    return objectives ? std::optional(objectives->rpo) : std::nullopt;
}

Result<Standing> take_standing(const Installation& installation, const OpenRepository& repository,
                               repo::ReaderKeys* keys, const config::System& system) {
    const Timestamp now = installation.world().clock.now();
    const auto objectives = objectives_of(installation.config(), system);
    const auto rpo = objectives ? std::optional(objectives->rpo) : std::nullopt;
    const auto rto = objectives ? std::optional(objectives->rto) : std::nullopt;
    Standing standing;
    const auto names = TRY(repository.repository->backups(system.name));
    standing.backups = names.size();
    standing.newest = TRY(newest_of(repository, keys, names));
    standing.backup_age =
        assess_age(backup_age_limit(installation.config(), system), standing.newest, now);
    standing.stream = TRY(read_stream_status(installation, system.name));
    standing.stream_trouble = stream_trouble(system, standing.stream, now);
    standing.rto = policy::assess_rto(rto, std::nullopt, now, kProofLifetime);
    if (!standing.newest) {
        standing.rpo = policy::assess_rpo(rpo, std::nullopt, now);
        return standing;
    }
    if (keys != nullptr) {
        const auto opened = repository.repository->load(names.back(), *keys);
        standing.damaged_pages = opened ? opened->manifest.damage.size() : 0;
    }
    const NewestPoint point =
        find_newest_point(installation, repository, keys, system, standing.stream);
    standing.newest_point = point.at;
    if (point.unanchored && standing.stream_trouble.empty()) {
        standing.stream_trouble = "no backup reaches what it captures";
    }
    standing.rpo = point.unknown.empty() ? policy::assess_rpo(rpo, point.at, now)
                                         : Assessment{Verdict::Unknown, rpo, {}, point.unknown};
    return standing;
}

Verdict Standing::verdict() const {
    std::vector<Verdict> all;
    if (damaged_pages > 0) {
        all.push_back(Verdict::Missed);
    }
    for (const Assessment* assessment : {&backup_age, &rpo}) {
        if (assessment->objective || assessment->verdict == Verdict::Missed) {
            all.push_back(assessment->verdict);
        }
    }
    return policy::worst(all);
}

Json assessment_json(const Assessment& assessment) {
    const auto seconds = [](const std::optional<Duration>& d) {
        return d ? Json(std::chrono::duration<double>(*d).count()) : Json();
    };
    Json json = Json::object();
    json.set("verdict", policy::name(assessment.verdict));
    json.set("seconds_objective", seconds(assessment.objective));
    json.set("seconds_measured", seconds(assessment.measured));
    json.set("reason", assessment.reason);
    return json;
}

Json Standing::to_json() const {
    Json json = Json::object();
    json.set("verdict", policy::name(verdict())).set("backups", backups);
    json.set("damaged_pages", damaged_pages);
    json.set("newest_backup", newest ? Json(newest->backup) : Json());
    json.set("newest_backup_time", newest ? Json(base::format_time(newest->stop)) : Json());
    json.set("newest_point", newest_point ? Json(base::format_time(*newest_point)) : Json());
    json.set("backup_age", assessment_json(backup_age));
    json.set("rpo", assessment_json(rpo)).set("rto", assessment_json(rto));
    json.set("stream", stream ? stream->to_json() : Json()).set("stream_trouble", stream_trouble);
    return json;
}

}  // namespace lifeboat::service

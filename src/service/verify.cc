#include "service/verify.h"

#include <algorithm>

namespace lifeboat::service {

using base::Code;
using base::Json;
using policy::Verdict;

namespace {

constexpr std::size_t kFewestEarlier = 3;
constexpr std::size_t kMostEarlier = 10;

void count_states(const repo::CheckReport& report, VerifiedSystem& system) {
    for (const repo::BackupCheck& backup : report.backups) {
        if (backup.name.system != system.name) {
            continue;
        }
        system.whole += backup.state == repo::BackupState::Whole ? 1 : 0;
        system.degraded += backup.state == repo::BackupState::Degraded ? 1 : 0;
        system.unknown += backup.state == repo::BackupState::Unknown ? 1 : 0;
    }
}

// Sizes of the newest backups that open, oldest first. One that does not open is the check's
// business.
Result<std::vector<std::uint64_t>> recent_sizes(const repo::Repository& repository,
                                                const repo::ReaderKeys& keys,
                                                const std::string& system) {
    const auto names = TRY(repository.backups(system));
    const std::size_t first = names.size() - std::min(names.size(), kMostEarlier + 1);
    std::vector<std::uint64_t> sizes;
    for (std::size_t i = first; i < names.size(); ++i) {
        const auto opened = repository.load(names[i], keys);
        if (opened) {
            sizes.push_back(opened->manifest.counts.bytes);
        }
    }
    return sizes;
}

std::string size_trouble(const repo::Repository& repository, const repo::ReaderKeys* keys,
                         const std::string& system) {
    if (keys == nullptr) {
        return "";
    }
    const auto sizes = recent_sizes(repository, *keys, system);
    if (!sizes || sizes->empty()) {
        return "";
    }
    return judge_size(std::span(*sizes).first(sizes->size() - 1), sizes->back());
}

void count_losses(const repo::CheckReport& report, VerifiedSystem& system) {
    const std::string prefix = "s/" + system.name + "/";
    const auto of_system = [&](const std::vector<repo::ObjectFinding>& findings) {
        return static_cast<std::size_t>(std::count_if(
            findings.begin(), findings.end(),
            [&](const repo::ObjectFinding& finding) { return finding.name.starts_with(prefix); }));
    };
    system.lost_objects = of_system(report.missing) + of_system(report.damaged);
    system.unread_objects = of_system(report.unread);
    for (const repo::StreamCheck& stream : report.streams) {
        for (const repo::StreamLoss& loss : stream.lost) {
            const bool lost = loss.kind == repo::StreamLossKind::Hole ||
                              loss.kind == repo::StreamLossKind::Damaged;
            system.stream_losses += stream.system == system.name && lost ? 1 : 0;
        }
    }
}

VerifiedSystem look_at(const Installation& installation, const OpenRepository& repository,
                       repo::ReaderKeys* keys, const repo::CheckReport& report,
                       const config::System& configured) {
    VerifiedSystem system;
    system.name = configured.name;
    count_states(report, system);
    count_losses(report, system);
    auto standing = take_standing(installation, repository, keys, configured);
    if (standing) {
        system.standing = std::move(standing).value();
    } else {
        system.trouble = standing.error().message();
    }
    system.size_trouble = size_trouble(*repository.repository, keys, system.name);
    return system;
}

bool is_judged(const Standing& standing) {
    return standing.rpo.objective || standing.backup_age.objective ||
           standing.verdict() == Verdict::Missed;
}

bool any_in(const std::vector<VerifiedSystem>& systems, SystemState state) {
    return std::any_of(systems.begin(), systems.end(),
                       [state](const VerifiedSystem& system) { return system.state() == state; });
}

}  // namespace

std::string judge_size(std::span<const std::uint64_t> earlier, std::uint64_t newest) {
    if (earlier.size() < kFewestEarlier) {
        return "";
    }
    std::vector<std::uint64_t> sorted(earlier.begin(), earlier.end());
    std::sort(sorted.begin(), sorted.end());
    const std::uint64_t median = sorted[sorted.size() / 2];
    const bool small = newest < median / 2;
    const bool large = newest / 2 > median;
    if (!small && !large) {
        return "";
    }
    return "the newest backup is " + base::human_size(newest) +
           ", and the earlier ones are about " + base::human_size(median);
}

Result<VerifyReport> verify(Installation& installation, const VerifyRequest& request,
                            const repo::CheckWatcher& watch) {
    const std::vector<std::string> wanted =
        request.system.empty() ? std::vector<std::string>{} : std::vector{request.system};
    const auto systems = TRY(installation.systems(wanted));
    CheckRequest checking;
    checking.repository = request.repository;
    checking.identity = request.identity;
    checking.level = request.data ? repo::CheckLevel::Data : repo::CheckLevel::Names;
    checking.systems = wanted;
    VerifyReport report;
    report.check = TRY(check(installation, checking, watch));
    OpenRepository* repository = TRY(installation.repository(request.repository));
    auto keys = installation.reader_keys(*repository, {request.identity, false});
    for (const config::System* system : systems) {
        report.systems.push_back(look_at(installation, *repository, keys ? keys->get() : nullptr,
                                         report.check.report, *system));
    }
    return report;
}

std::string_view name(SystemState state) {
    switch (state) {
        case SystemState::Damaged:
            return "damaged";
        case SystemState::OddSize:
            return "odd size";
        case SystemState::Late:
            return "late";
        case SystemState::Unknown:
            return "unknown";
        case SystemState::Unjudged:
            return "unjudged";
        case SystemState::Ok:
            break;
    }
    return "ok";
}

SystemState VerifiedSystem::state() const {
    if (degraded > 0 || lost_objects > 0 || stream_losses > 0) {
        return SystemState::Damaged;
    }
    if (!size_trouble.empty()) {
        return SystemState::OddSize;
    }
    const Verdict verdict = standing ? standing->verdict() : Verdict::Unknown;
    if (verdict == Verdict::Missed) {
        return SystemState::Late;
    }
    if (unknown > 0 || unread_objects > 0 || !standing) {
        return SystemState::Unknown;
    }
    if (!is_judged(*standing)) {
        return SystemState::Unjudged;
    }
    return verdict == Verdict::Met ? SystemState::Ok : SystemState::Unknown;
}

int VerifyReport::exit_code() const {
    const int checked = check.exit_code();
    if (checked == base::exit_code(Code::Corrupt) || any_in(systems, SystemState::Damaged)) {
        return base::exit_code(Code::Corrupt);
    }
    if (any_in(systems, SystemState::OddSize) || any_in(systems, SystemState::Late)) {
        return base::exit_code(Code::ObjectiveMissed);
    }
    return any_in(systems, SystemState::Unknown) ? base::exit_code(Code::Partial) : checked;
}

Json VerifyReport::to_json() const {
    Json list = Json::array();
    for (const VerifiedSystem& system : systems) {
        Json json = Json::object();
        json.set("system", system.name).set("state", name(system.state()));
        json.set("whole", system.whole);
        json.set("degraded", system.degraded).set("unknown", system.unknown);
        json.set("lost_objects", system.lost_objects);
        json.set("unread_objects", system.unread_objects);
        json.set("stream_losses", system.stream_losses);
        json.set("standing", system.standing ? system.standing->to_json() : Json());
        json.set("trouble", system.trouble).set("size_trouble", system.size_trouble);
        list.push(std::move(json));
    }
    Json json = Json::object();
    json.set("systems", std::move(list)).set("check", check.to_json());
    return json;
}

}  // namespace lifeboat::service

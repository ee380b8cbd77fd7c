#include "service/doctor.h"

#include <algorithm>

#include "policy/expiry.h"
#include "policy/quantity.h"
#include "service/standing.h"

namespace lifeboat::service {

using base::Code;
using base::Json;
using engine::Finding;
using engine::Severity;

namespace {

using Findings = std::vector<Finding>;

constexpr std::string_view kFile = "file://";
constexpr std::uint64_t kLeastFree = base::kGiB;

Finding from_error(Severity severity, std::string subject, const base::Error& error) {
    return {severity, std::move(subject), error.message() + ".", error.hint()};
}

// ---- This host ----------------------------------------------------------------------------------

void judge_host_key(Installation& installation, Findings& out) {
    const auto host = installation.host_keys();
    if (!host) {
        out.push_back(from_error(Severity::Error, "host key", host.error()));
    }
}

// Who can both write backups and read them is who a thief wants to meet (P4).
void judge_identities(const Installation& installation, Findings& out) {
    const config::Config& config = installation.config();
    base::Files& files = installation.world().files;
    const std::string beside = base::parent_of(config.file);
    std::vector<std::string> places = {base::join(beside, "recovery-1.key"),
                                       base::join(beside, "recovery-2.key")};
    if (config.keys.identity) {
        places.push_back(*config.keys.identity);
    }
    for (const std::string& place : places) {
        if (config.systems.empty() || !files.stat(place)) {
            continue;
        }
        out.push_back({Severity::Warn, "identity",
                       "'" + place +
                           "' opens every backup, and lies on a host that is protected: "
                           "who takes this host can read them all.",
                       "Move it to another machine, and a copy to a second place."});
        const auto readable = read_key_file(files, place);
        if (!readable && readable.error().code() == Code::Refused) {
            out.push_back(from_error(Severity::Error, "identity", readable.error()));
        }
    }
}

std::string existing_ancestor(base::Files& files, std::string path) {
    while (path.size() > 1 && !files.stat(path)) {
        path = base::parent_of(path);
    }
    return path;
}

void judge_spool(const Installation& installation, const config::System& system, Findings& out) {
    base::Files& files = installation.world().files;
    const auto space = files.space(existing_ancestor(files, system.stream.spool));
    if (!system.stream.enabled || !space) {
        return;
    }
    if (space->free < system.stream.spool_limit) {
        out.push_back({Severity::Warn, "spool of '" + system.name + "'",
                       "Only " + base::human_size(space->free) + " are free at '" +
                           system.stream.spool + "', and it may grow to " +
                           policy::format_size(system.stream.spool_limit) + ".",
                       "Free some space, or set 'stream.spool_limit' lower."});
    }
}

DoctorSection look_at_host(Installation& installation,
                           const std::vector<const config::System*>& systems) {
    DoctorSection section{"this host", {}};
    judge_host_key(installation, section.findings);
    judge_identities(installation, section.findings);
    for (const config::System* system : systems) {
        judge_spool(installation, *system, section.findings);
    }
    return section;
}

// ---- Repositories -------------------------------------------------------------------------------

void judge_clock(const World& world, const OpenRepository& repository, Findings& out) {
    const auto now = repository.store->now();
    if (!now) {
        out.push_back(from_error(Severity::Error, "clock", now.error()));
        return;
    }
    const auto close = policy::check_clocks(world.clock.now(), *now);
    if (!close) {
        out.push_back(from_error(Severity::Error, "clock", close.error()));
    }
}

// What the store says of recipients is a claim; new data is sealed as the configuration says.
void judge_recipients(const config::Config& config, const repo::Repository& repository,
                      Findings& out) {
    std::vector<crypto::Recipient> stray = repository.claimed_recipients();
    for (const std::string& text : config.recipients) {
        const auto wanted = crypto::Recipient::parse(text);
        if (wanted && std::erase(stray, *wanted) == 0) {
            out.push_back({Severity::Warn, "recipients",
                           "The configuration names " + text +
                               ", which came after the repository was made: older backups do not "
                               "open for it.",
                           "Correct 'recipients' in '" + config.file + "', if that is no intent."});
        }
    }
    for (const crypto::Recipient& recipient : stray) {
        out.push_back({Severity::Warn, "recipients",
                       "The repository's 'lifeboat.json' names " + recipient.text() +
                           ", which the configuration does not: new backups are not sealed to it.",
                       "If nobody here took it out of '" + config.file +
                           "', somebody else writes to the repository: look who."});
    }
}

// The space of a repository in a directory. How much another store has left cannot be asked.
void judge_space(const World& world, const OpenRepository& repository, std::uint64_t newest_bytes,
                 Findings& out) {
    if (!repository.url.starts_with(kFile)) {
        return;
    }
    const std::string directory = repository.url.substr(kFile.size());
    const auto space = world.files.space(directory);
    if (!space) {
        out.push_back(from_error(Severity::Error, "space", space.error()));
        return;
    }
    const bool full = space->free < kLeastFree;
    if (full || space->free < newest_bytes) {
        out.push_back(
            {full ? Severity::Error : Severity::Warn, "space",
             "Only " + base::human_size(space->free) + " are free at '" + directory + "'" +
                 (newest_bytes > 0
                      ? ", and the newest backup holds " + base::human_size(newest_bytes) + "."
                      : "."),
             "Free some space, or keep backups for a shorter time ('retention')."});
    }
}

void judge_place(const World& world, const config::Config& config, const OpenRepository& repository,
                 Findings& out) {
    const bool local = repository.url.starts_with(kFile);
    if (!local || config.systems.empty()) {
        return;
    }
    const auto there = world.files.stat(repository.url.substr(kFile.size()));
    const auto root = world.files.stat("/");
    if (there && root && there->device == root->device) {
        out.push_back({Severity::Warn, "place",
                       "It lies on this machine's own disk: what takes the machine takes the "
                       "backups too.",
                       "Name a directory on another machine's disk under 'repositories'."});
    }
}

std::uint64_t largest_newest(Installation& installation, const OpenRepository& repository,
                             const std::vector<const config::System*>& systems) {
    const auto keys = installation.reader_keys(repository, {});
    std::uint64_t bytes = 0;
    for (const config::System* system : systems) {
        const auto names = repository.repository->backups(system->name);
        if (!keys || !names || names->empty()) {
            continue;
        }
        const auto newest = repository.repository->load(names->back(), **keys);
        bytes = std::max(bytes, newest ? newest->manifest.needed_bytes() : 0);
    }
    return bytes;
}

DoctorSection look_at_repository(Installation& installation, const std::string& name,
                                 const std::vector<const config::System*>& systems) {
    DoctorSection section{"repository '" + name + "'", {}};
    auto opened = installation.repository(name);
    if (!opened) {
        section.findings.push_back(from_error(Severity::Error, "repository", opened.error()));
        return section;
    }
    const OpenRepository& repository = **opened;
    judge_clock(installation.world(), repository, section.findings);
    judge_recipients(installation.config(), *repository.repository, section.findings);
    judge_space(installation.world(), repository, largest_newest(installation, repository, systems),
                section.findings);
    judge_place(installation.world(), installation.config(), repository, section.findings);
    return section;
}

// ---- Systems ------------------------------------------------------------------------------------

void judge_standing(Installation& installation, const std::string& repository,
                    const config::System& system, Findings& out) {
    auto opened = installation.repository(repository);
    if (!opened) {
        return;  // its own section says so
    }
    auto keys = installation.reader_keys(**opened, {});
    const auto standing =
        take_standing(installation, **opened, keys ? keys->get() : nullptr, system);
    if (!standing) {
        out.push_back(from_error(Severity::Error, "backups", standing.error()));
        return;
    }
    if (standing->backup_age.verdict == policy::Verdict::Missed) {
        out.push_back({Severity::Error, "backups",
                       standing->newest
                           ? "The newest is too old: " + standing->backup_age.reason + "."
                           : "There is none: a disaster now would lose everything.",
                       "lifeboat backup " + system.name});
    }
    if (!standing->stream_trouble.empty()) {
        out.push_back({Severity::Warn, "stream",
                       "Nothing is captured between backups: " + standing->stream_trouble + ".",
                       "lifeboat stream " + system.name});
    }
    if (system.tier.empty()) {
        out.push_back({Severity::Info, "tier",
                       "It has none: nobody has said how much of it may be lost.",
                       "Set 'tier' of system '" + system.name + "' in the configuration."});
    }
}

void ask_engine(const Installation& installation, const config::System& system, Findings& out) {
    const auto engine = installation.engine(system);
    if (!engine) {
        out.push_back(from_error(Severity::Error, "configuration", engine.error()));
        return;
    }
    auto findings = (*engine)->diagnose(installation.world().context());
    if (!findings) {
        out.push_back(from_error(Severity::Error, "server", findings.error()));
        return;
    }
    out.insert(out.end(), findings->begin(), findings->end());
}

DoctorSection look_at_system(Installation& installation, const std::string& repository,
                             const config::System& system) {
    DoctorSection section{"system '" + system.name + "'", {}};
    judge_standing(installation, repository, system, section.findings);
    ask_engine(installation, system, section.findings);
    return section;
}

}  // namespace

Result<DoctorReport> doctor(Installation& installation, const DoctorRequest& request) {
    const auto systems = TRY(installation.systems(request.systems));
    std::vector<std::string> repositories;
    for (const config::Repository& repository : installation.config().repositories) {
        if (request.repository.empty() || repository.name == request.repository) {
            repositories.push_back(repository.name);
        }
    }
    if (repositories.empty()) {
        TRY(installation.repository(request.repository));
    }
    DoctorReport report;
    report.sections.push_back(look_at_host(installation, systems));
    for (const std::string& repository : repositories) {
        report.sections.push_back(look_at_repository(installation, repository, systems));
    }
    for (const config::System* system : systems) {
        TRY(installation.world().stop.check());
        report.sections.push_back(look_at_system(installation, request.repository, *system));
    }
    for (DoctorSection& section : report.sections) {
        engine::sort_findings(section.findings);
    }
    return report;
}

std::size_t DoctorReport::count(Severity severity) const {
    std::size_t count = 0;
    for (const DoctorSection& section : sections) {
        count += static_cast<std::size_t>(
            std::count_if(section.findings.begin(), section.findings.end(),
                          [&](const Finding& finding) { return finding.severity == severity; }));
    }
    return count;
}

int DoctorReport::exit_code() const {
    return count(Severity::Error) > 0 ? 1 : 0;
}

Json DoctorReport::to_json() const {
    Json list = Json::array();
    for (const DoctorSection& section : sections) {
        Json findings = Json::array();
        for (const Finding& finding : section.findings) {
            Json json = Json::object();
            json.set("severity", engine::name(finding.severity)).set("subject", finding.subject);
            json.set("what", finding.what).set("remedy", finding.remedy);
            findings.push(std::move(json));
        }
        Json json = Json::object();
        json.set("section", section.title).set("findings", std::move(findings));
        list.push(std::move(json));
    }
    Json json = Json::object();
    json.set("errors", count(Severity::Error)).set("warnings", count(Severity::Warn));
    json.set("sections", std::move(list));
    return json;
}

}  // namespace lifeboat::service

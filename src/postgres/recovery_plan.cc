#include "postgres/recovery_plan.h"

#include <algorithm>
#include <charconv>

#include "postgres/recovery_catalog.h"
#include "postgres/recovery_resolve.h"
#include "postgres/recovery_survey.h"
#include "repo/map_index.h"
#include "repo/pack_source.h"

// Tested by tests/e2e/recovery_test.cc.
//
//   names --newest first--> candidate --timeline--> way --labels--> survey --target--> point
//
// A candidate that ends after the target gives way to an older one. The first whose end lies before
// it decides: what it cannot reach for want of WAL, an older one of the same timeline cannot reach
// either.

namespace lifeboat::postgres {

namespace {

using engine::AtPosition;
using engine::AtTime;
using engine::AtTransaction;
using engine::Immediate;

constexpr std::uint64_t kLongestConfiguration = 4 * base::kMiB;

std::int32_t setting(const BackupDetails& details, const std::string& name) {
    const auto found = details.settings.find(name);
    std::int32_t value = 0;
    if (found != details.settings.end()) {
        std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
    }
    return value;
}

Parameters parameters_of(const BackupDetails& details) {
    Parameters p;
    p.max_connections = setting(details, "max_connections");
    p.max_worker_processes = setting(details, "max_worker_processes");
    p.max_wal_senders = setting(details, "max_wal_senders");
    p.max_prepared_transactions = setting(details, "max_prepared_transactions");
    p.max_locks_per_transaction = setting(details, "max_locks_per_transaction");
    return p;
}

Parameters largest(Parameters a, const std::optional<Parameters>& b) {
    if (b) {
        a.max_connections = std::max(a.max_connections, b->max_connections);
        a.max_worker_processes = std::max(a.max_worker_processes, b->max_worker_processes);
        a.max_wal_senders = std::max(a.max_wal_senders, b->max_wal_senders);
        a.max_prepared_transactions =
            std::max(a.max_prepared_transactions, b->max_prepared_transactions);
        a.max_locks_per_transaction =
            std::max(a.max_locks_per_transaction, b->max_locks_per_transaction);
    }
    return a;
}

std::string on_timeline(Lsn at, TimelineId timeline) {
    return format_lsn(at) + " on timeline " + std::to_string(timeline);
}

// The spans up to `end`; the last one ends there.
std::vector<TimelineSpan> cut(const std::vector<TimelineSpan>& way, Lsn end) {
    std::vector<TimelineSpan> out;
    for (TimelineSpan span : way) {
        if (!out.empty() && span.begin >= end) {
            break;
        }
        if (!span.end.is_set() || span.end > end) {
            span.end = end;
        }
        out.push_back(span);
    }
    return out;
}

// The contents of a small captured file.
Result<std::string> read_captured(repo::MapIndex& index, repo::PackSource& source,
                                  const std::string& path) {
    const repo::FileMap map = TRY(index.map(path));
    if (map.size > kLongestConfiguration) {
        return Error(Code::Corrupt,
                     "the captured '" + path + "' is too large to be a configuration file");
    }
    base::Bytes bytes(map.size);
    TRY(repo::PageReader(source)
            .read(map.runs, bytes)
            .during("reading the captured '" + path + "'"));
    return std::string(base::text(bytes));
}

class Planner {
  public:
    Planner(RecoveryCatalog& catalog, repo::Repository& repository, repo::ReaderKeys& keys,
            const engine::RecoveryRequest& request, const engine::Context& context)
        : catalog_(catalog),
          repository_(repository),
          keys_(keys),
          request_(request),
          context_(context) {}

    Result<engine::RecoveryPlan> run();

  private:
    using Outcome = std::optional<engine::RecoveryPlan>;

    Result<std::vector<repo::ManifestName>> candidates() const;
    bool ends_after_target(const repo::ManifestName& name) const;
    bool ends_after_target(const Candidate& candidate) const;
    Result<Outcome> try_candidate(const repo::ManifestName& name);
    Result<TimelineId> choose_timeline(const Candidate& candidate) const;
    Result<> refuse_orphans(const Candidate& candidate, TimelineId chosen) const;
    Result<std::vector<TimelineSpan>> way_from(const Candidate& candidate, TimelineId target) const;
    Result<Outcome> follow(const Candidate& candidate, std::vector<TimelineSpan> way);
    Result<ResolvedTarget> resolve(const Candidate& candidate, const WalSurvey& survey);
    Error beyond(const Candidate& candidate, const WalSurvey& survey, Lsn end) const;
    Error no_candidate(const std::vector<repo::ManifestName>& names) const;
    std::string later_point(Lsn after, base::Timestamp time) const;

    Result<engine::RecoveryPlan> compose(const Candidate& candidate, const WalSurvey& survey,
                                         const ResolvedTarget& found);
    Result<> add_outside_files(const Candidate& candidate, PostgresPlan& plan);
    std::string point_text(const PostgresPlan& plan) const;
    std::vector<std::string> sentences(const Candidate& candidate, const PostgresPlan& plan,
                                       const ResolvedTarget& found) const;
    base::Json details(const PostgresPlan& plan) const;

    RecoveryCatalog& catalog_;
    repo::Repository& repository_;
    repo::ReaderKeys& keys_;
    const engine::RecoveryRequest& request_;
    const engine::Context& context_;
    std::vector<std::string> notes_;  // for the person: what was passed over
    std::optional<Error> obstacle_;   // why the first candidate that was tried does not do
    std::optional<repo::ManifestName> too_late_;  // the oldest that ends after the target
};

// ---- Which backup
// ---------------------------------------------------------------------------------------------------

Result<std::vector<repo::ManifestName>> Planner::candidates() const {
    std::vector<repo::ManifestName> names(catalog_.names().rbegin(), catalog_.names().rend());
    if (request_.backup.empty()) {
        return names;
    }
    std::erase_if(names,
                  [&](const repo::ManifestName& name) { return name.backup != request_.backup; });
    if (names.empty()) {
        return Error(Code::NotFound,
                     "'" + catalog_.system() + "' has no backup '" + request_.backup + "'")
            .hint("Run 'lifeboat list " + catalog_.system() + "' to see which there are.");
    }
    return names;
}

bool Planner::ends_after_target(const repo::ManifestName& name) const {
    const auto* time = std::get_if<AtTime>(&request_.target);
    return time != nullptr && name.stop > time->time;
}

bool Planner::ends_after_target(const Candidate& candidate) const {
    const auto* position = std::get_if<AtPosition>(&request_.target);
    const auto at = position == nullptr ? Result<Lsn>(Lsn{}) : parse_lsn(position->text);
    return position != nullptr && at && *at < candidate.details.stop;
}

Result<engine::RecoveryPlan> Planner::run() {
    const std::vector<repo::ManifestName> names = TRY(candidates());
    for (const repo::ManifestName& name : names) {
        TRY(context_.stop.check());
        if (ends_after_target(name)) {
            too_late_ = name;
            continue;
        }
        Outcome plan = TRY(try_candidate(name));
        if (plan) {
            return *std::move(plan);
        }
    }
    return no_candidate(names);
}

// Nothing when an older backup may do.
Result<Planner::Outcome> Planner::try_candidate(const repo::ManifestName& name) {
    auto opened = catalog_.open(name);
    if (!opened) {
        const Code code = opened.error().code();
        if (!request_.backup.empty() ||
            (code != Code::Corrupt && code != Code::Denied && code != Code::NotFound)) {
            return std::move(opened).error();
        }
        notes_.push_back("Passed over backup '" + name.backup + "': " + opened.error().message() +
                         ".");
        obstacle_ =
            obstacle_ ? std::move(obstacle_) : std::optional<Error>(std::move(opened).error());
        return Outcome{};
    }
    const Candidate& candidate = **opened;
    if (ends_after_target(candidate)) {
        too_late_ = name;
        return Outcome{};
    }
    TRY(catalog_.open_histories());
    const TimelineId target = TRY(choose_timeline(candidate));
    auto way = way_from(candidate, target);
    if (!way) {
        obstacle_ = obstacle_ ? std::move(obstacle_) : std::optional<Error>(std::move(way).error());
        return Outcome{};
    }
    return follow(candidate, std::move(*way));
}

// ---- Which timeline
// -------------------------------------------------------------------------------------------------

Result<TimelineId> Planner::choose_timeline(const Candidate& candidate) const {
    const TimelineId own = candidate.details.timeline;
    if (request_.timeline) {
        const std::vector<TimelineId> orphans = catalog_.orphans();
        if (*request_.timeline != own &&
            std::find(orphans.begin(), orphans.end(), *request_.timeline) != orphans.end()) {
            return Error(Code::Refused,
                         "nobody can tell where timeline " + std::to_string(*request_.timeline) +
                             " comes from: its history file is missing, or there are two")
                .hint(
                    "Store the right history file with 'lifeboat wal-push', or choose another "
                    "timeline.");
        }
        if (!catalog_.tree().knows(*request_.timeline)) {
            return Error(Code::NotFound,
                         "nothing here is of timeline " + std::to_string(*request_.timeline))
                .hint("Run 'lifeboat list " + catalog_.system() +
                      "' to see which timelines there are.");
        }
        return *request_.timeline;
    }
    if (std::holds_alternative<Immediate>(request_.target)) {
        return own;
    }
    const TimelineId newest = catalog_.newest_descendant(own, candidate.details.stop);
    TRY(refuse_orphans(candidate, newest));
    return newest;
}

// A later timeline whose history is missing may well be the one where life went on: to pass it over
// silently would lose it (T14).
Result<> Planner::refuse_orphans(const Candidate& candidate, TimelineId chosen) const {
    for (const TimelineId orphan : catalog_.orphans()) {
        const auto ranges = catalog_.stream().ranges(orphan);
        const bool goes_on = !ranges.empty() && ranges.back().to > candidate.details.stop.value;
        if (orphan > chosen && goes_on) {
            return Error(Code::Refused, "there is WAL of timeline " + std::to_string(orphan) +
                                            ", and no history file that says where it comes from")
                .hint("Store its history file first; or pass --timeline " + std::to_string(chosen) +
                      " to recover without it.");
        }
    }
    return {};
}

Result<std::vector<TimelineSpan>> Planner::way_from(const Candidate& candidate,
                                                    TimelineId target) const {
    const BackupDetails& d = candidate.details;
    std::vector<TimelineSpan> way =
        TRY(catalog_.tree()
                .path(d.timeline, d.stop, target)
                .during("following backup '" + candidate.opened.manifest.backup + "'"));
    if (way.front().timeline == d.timeline) {
        way.front().begin = d.start;
    } else {
        way.insert(way.begin(), {d.timeline, d.start, d.stop});
    }
    return way;
}

// ---- Whether, and where exactly
// -------------------------------------------------------------------------------------

Result<Planner::Outcome> Planner::follow(const Candidate& candidate,
                                         std::vector<TimelineSpan> way) {
    WalSurvey survey;
    survey.begin = survey.end = candidate.details.stop;
    survey.way = std::move(way);
    if (!std::holds_alternative<Immediate>(request_.target)) {
        survey = TRY(survey_way(repository_, catalog_.stream(), keys_, catalog_.map_keys(),
                                candidate.details, std::move(survey.way), context_.stop));
    }
    const ResolvedTarget found = TRY(resolve(candidate, survey));
    if (found.kind == ResolvedTarget::Kind::Unmatched) {
        obstacle_ = obstacle_
                        ? std::move(obstacle_)
                        : std::optional(
                              Error(Code::NotFound,
                                    describe_target(request_.target) + " is not in the WAL up to " +
                                        on_timeline(found.end, survey.timeline_at(found.end)))
                                  .hint("Run 'lifeboat list " + catalog_.system() +
                                        "' to see what can be recovered."));
        return Outcome{};
    }
    if (found.kind == ResolvedTarget::Kind::Beyond) {
        return beyond(candidate, survey, found.end);
    }
    if (found.minimal_from && *found.minimal_from < found.end) {
        return Error(Code::Refused,
                     "the WAL from " + format_lsn(*found.minimal_from) +
                         " on was written at wal_level minimal, which no server can replay")
            .hint("Recover to a point before " + format_lsn(*found.minimal_from) +
                  ", or from a backup taken later.");
    }
    for (const std::string& note : survey.passed_over) {
        notes_.push_back(note);
    }
    engine::RecoveryPlan plan = TRY(compose(candidate, survey, found));
    return Outcome(std::move(plan));
}

Result<ResolvedTarget> Planner::resolve(const Candidate& candidate, const WalSurvey& survey) {
    if (std::holds_alternative<Immediate>(request_.target)) {
        ResolvedTarget found;
        found.end = candidate.details.stop;
        return found;
    }
    WayReader reader(repository_, catalog_.stream(), keys_, candidate.details, survey,
                     context_.stop);
    return resolve_target(request_.target, survey, reader);
}

// "backup 'x' at 2026-01-23 02:07:14 UTC": the first backup that begins a window behind what can be
// reached.
std::string Planner::later_point(Lsn after, base::Timestamp time) const {
    const bool by_time = std::holds_alternative<AtTime>(request_.target);
    for (const repo::ManifestName& name : catalog_.names()) {
        if (by_time && name.stop <= time) {
            continue;
        }
        const auto candidate =
            by_time ? Result<std::shared_ptr<const Candidate>>(nullptr) : catalog_.open(name);
        if (by_time || (candidate && (*candidate)->details.stop > after)) {
            return "backup '" + name.backup + "' at " + base::human_time(name.stop);
        }
    }
    return {};
}

Error Planner::beyond(const Candidate& candidate, const WalSurvey& survey, Lsn end) const {
    const base::Timestamp captured =
        survey.pieces.empty() ? candidate.opened.manifest.stop : survey.pieces.back().captured;
    const auto* time = std::get_if<AtTime>(&request_.target);
    const std::string wanted = describe_target(request_.target);
    const std::string reach =
        on_timeline(end, survey.timeline_at(end)) + ", captured at " + base::human_time(captured);
    const std::string later = later_point(end, time != nullptr ? time->time : captured);
    std::string passed;
    for (const std::string& note : survey.passed_over) {
        passed += " " + note;
    }
    if (!later.empty()) {
        return Error(Code::Refused, wanted + " cannot be reached from backup '" +
                                        candidate.opened.manifest.backup +
                                        "': WAL is missing from " +
                                        on_timeline(end, survey.timeline_at(end)) + " on")
            .hint("The nearest points are " + reach + ", and " + later + "." + passed);
    }
    const bool future = time != nullptr && time->time > context_.clock.now();
    return Error(Code::Refused, wanted + (future ? " lies in the future"
                                                 : " lies after everything that was captured"))
        .hint("The newest point is " + reach + ": --at latest." + passed);
}

Error Planner::no_candidate(const std::vector<repo::ManifestName>& names) const {
    if (obstacle_) {
        return obstacle_->clone();
    }
    const repo::ManifestName& first = too_late_ ? *too_late_ : names.back();
    const std::string which = request_.backup.empty() ? "the oldest backup" : "the chosen backup";
    return Error(Code::Refused, describe_target(request_.target) + " lies before the end of " +
                                    which + ", '" + first.backup + "'")
        .hint("The earliest point that it reaches is its end, at " + base::human_time(first.stop) +
              ": --backup " + first.backup + " --immediate.");
}

// ---- The plan
// -------------------------------------------------------------------------------------------------------

Result<engine::RecoveryPlan> Planner::compose(const Candidate& candidate, const WalSurvey& survey,
                                              const ResolvedTarget& found) {
    auto plan = std::make_shared<PostgresPlan>();
    plan->system = catalog_.system();
    plan->backup = candidate.opened.manifest.backup;
    plan->repository = repository_.store().describe();
    plan->repository_id = repository_.id();
    plan->details = candidate.details;
    plan->end = found.end;
    plan->way = cut(survey.way, found.end);
    // A target that is reached with the backup alone is its first consistent moment: no record
    // behind it may be applied.
    plan->stop.immediate = !found.record;
    plan->stop.record = found.record.value_or(RecordSpan{});
    plan->last_commit = found.last_commit;
    plan->minimums = largest(parameters_of(candidate.details), found.parameters);
    plan->histories = catalog_.histories();
    TRY(add_outside_files(candidate, *plan));

    engine::RecoveryPlan out{candidate.opened,
                             point_text(*plan),
                             candidate.opened.manifest.stop,
                             details(*plan),
                             sentences(candidate, *plan, found),
                             plan};
    if (plan->last_commit) {
        out.point_time = plan->last_commit->time;
    }
    return out;
}

// Debian keeps the configuration in /etc: a restored directory must start without it.
Result<> Planner::add_outside_files(const Candidate& candidate, PostgresPlan& plan) {
    if (candidate.details.outside_files.empty()) {
        return {};
    }
    const auto index =
        TRY(repo::MapIndex::open(repository_.store(), repository_.id(), candidate.opened));
    repo::PackSource source(repository_.store(), repository_.id(), candidate.opened.manifest,
                            keys_);
    plan.needs_configuration = !index->has("postgresql.conf");
    for (const std::string& original : candidate.details.outside_files) {
        const std::string name = base::file_name_of(original);
        const std::string path = base::join(kConfigDirectory, name);
        if (index->has(path)) {
            std::string contents = TRY(read_captured(*index, source, path));
            plan.outside.push_back({name, original, std::move(contents)});
        }
    }
    return {};
}

std::string Planner::point_text(const PostgresPlan& plan) const {
    std::string text = on_timeline(plan.end, plan.timeline());
    if (plan.stop.immediate) {
        return text + ", the end of backup '" + plan.backup + "'";
    }
    if (plan.last_commit) {
        text += plan.last_commit->end == plan.end ? ", after the commit" : ", newest commit";
        text += plan.last_commit->xid == 0 ? "" : " of " + std::to_string(plan.last_commit->xid);
        text += " at " + base::human_time(plan.last_commit->time, 6);
    }
    return text;
}

std::vector<std::string> Planner::sentences(const Candidate& candidate, const PostgresPlan& plan,
                                            const ResolvedTarget& found) const {
    const repo::Manifest& m = candidate.opened.manifest;
    std::vector<std::string> out = notes_;
    out.push_back("Backup '" + m.backup + "' of " + base::human_time(m.stop) +
                  " is restored: " + base::human_size(m.counts.bytes) + " in " +
                  std::to_string(m.counts.files) + " files.");
    std::string replay = "Then " + base::human_size(plan.end - plan.details.start) +
                         " of WAL are replayed, from " + format_lsn(plan.details.start) + " to " +
                         on_timeline(plan.end, plan.timeline());
    for (std::size_t i = 0; i + 1 < plan.way.size(); ++i) {
        replay += std::string(i == 0 ? " (" : ", ") + "leaving timeline " +
                  std::to_string(plan.way[i].timeline) + " at " + format_lsn(plan.way[i].end);
    }
    out.push_back(replay + (plan.way.size() > 1 ? ")." : "."));
    if (plan.last_commit) {
        out.push_back("The newest transaction that will be there is " +
                      std::to_string(plan.last_commit->xid) + ", committed at " +
                      base::human_time(plan.last_commit->time, 6) + ".");
    } else {
        out.push_back("No transaction that committed after the backup will be there.");
    }
    const auto* position = std::get_if<AtPosition>(&request_.target);
    const auto asked = position == nullptr ? Result<Lsn>(Lsn{}) : parse_lsn(position->text);
    if (position != nullptr && asked && found.record && *asked != found.record->start &&
        *asked != found.record->end) {
        out.push_back("No record begins at " + position->text +
                      ": the last one that begins before it, at " +
                      format_lsn(found.record->start) + ", is the last applied.");
    }
    if (found.deciding && found.deciding->aborted &&
        std::holds_alternative<AtTransaction>(request_.target)) {
        out.push_back("Transaction " + std::to_string(found.deciding->xid) +
                      " was rolled back at " + base::human_time(found.deciding->time, 6) + ".");
    }
    return out;
}

base::Json Planner::details(const PostgresPlan& plan) const {
    base::Json json = base::Json::object();
    json.set("backup", plan.backup)
        .set("timeline", plan.timeline())
        .set("start", format_lsn(plan.details.start))
        .set("end", format_lsn(plan.end));
    json.set("immediate", plan.stop.immediate).set("wal_bytes", plan.end - plan.details.start);
    json.set("major", plan.details.major())
        .set("system_identifier", std::to_string(plan.details.system_identifier));
    if (!plan.stop.immediate) {
        json.set("last_record", format_lsn(plan.stop.record.start));
    }
    if (plan.last_commit) {
        json.set("last_commit_xid", plan.last_commit->xid)
            .set("last_commit_time", base::format_time(plan.last_commit->time));
    }
    return json;
}

}  // namespace

bool PostgresPlan::knows_history(TimelineId timeline) const {
    return std::any_of(histories.begin(), histories.end(), [&](const StoredHistoryFile& history) {
        return history.timeline == timeline;
    });
}

Result<std::shared_ptr<const PostgresPlan>> postgres_plan(const engine::RecoveryPlan& plan) {
    auto ours = std::dynamic_pointer_cast<const PostgresPlan>(plan.engine_part);
    if (!ours) {
        return Error(Code::Bug, "the plan is not one of PostgreSQL's");
    }
    return ours;
}

Result<engine::RecoveryPlan> plan_recovery(std::string_view system, repo::Repository& repository,
                                           repo::ReaderKeys& keys,
                                           const engine::RecoveryRequest& request,
                                           const engine::Context& context) {
    const auto planning = "planning the recovery of '" + std::string(system) + "'";
    TRY(check_target(request.target).during(planning));
    if (!keys.has_identity()) {
        return Error(Code::Denied, "no identity is at hand: what was captured cannot be opened")
            .during(planning)
            .hint(
                "Pass --identity with one of the recovery keys; protected hosts hold none, by "
                "design.");
    }
    const auto catalog = TRY(RecoveryCatalog::load(system, repository, keys).during(planning));
    return Planner(*catalog, repository, keys, request, context).run().during(planning);
}

}  // namespace lifeboat::postgres

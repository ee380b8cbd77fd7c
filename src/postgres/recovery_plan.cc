#include "postgres/recovery_plan.h"

#include <algorithm>

#include "postgres/recovery_catalog.h"
#include "postgres/recovery_compose.h"
#include "postgres/recovery_resolve.h"
#include "postgres/recovery_survey.h"

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

    struct Resolved {
        WalSurvey survey;
        ResolvedTarget found;
    };

    Result<Resolved> resolve(const Candidate& candidate, std::vector<TimelineSpan> way);
    Error beyond(const Candidate& candidate, const WalSurvey& survey, Lsn end) const;
    Error no_candidate(const std::vector<repo::ManifestName>& names) const;
    std::string later_point(Lsn after, base::Timestamp time) const;

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
    const Resolved resolved = TRY(resolve(candidate, std::move(way)));
    const auto& [survey, found] = resolved;
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
    engine::RecoveryPlan plan = TRY(compose_plan(
        {request_.target, candidate, survey, found, notes_}, catalog_, repository_, keys_));
    return Outcome(std::move(plan));
}

// An object whose label is whole and whose bytes are not is found when it is read: then the way
// goes around it, or ends there.
Result<Planner::Resolved> Planner::resolve(const Candidate& candidate,
                                           std::vector<TimelineSpan> way) {
    Resolved out;
    if (std::holds_alternative<Immediate>(request_.target)) {
        out.survey.begin = out.survey.end = out.found.end = candidate.details.stop;
        out.survey.way = std::move(way);
        return out;
    }
    std::vector<DamagedObject> damaged;
    while (true) {
        out.survey = TRY(survey_way(repository_, catalog_.stream(), keys_, catalog_.map_keys(),
                                    candidate.details, way, damaged, context_.stop));
        WayReader reader(repository_, catalog_.stream(), keys_, candidate.details, out.survey,
                         context_.stop);
        auto found = resolve_target(request_.target, out.survey, reader);
        if (found) {
            out.found = std::move(found).value();
            return out;
        }
        if (found.error().code() != Code::Corrupt || !reader.damaged()) {
            return std::move(found).error();
        }
        damaged.push_back(*reader.damaged());
    }
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
    const std::string until =
        captured == base::Timestamp{} ? "" : ", complete until " + base::human_time(captured);
    const std::string reach = on_timeline(end, survey.timeline_at(end)) + until;
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

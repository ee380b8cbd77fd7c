#include "postgres/recovery_plan.h"

#include <algorithm>

#include "postgres/recovery_branches.h"
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
    bool ends_at_hole(const WalSurvey& survey, const ResolvedTarget& found) const;
    Error beyond(const Candidate& candidate, const WalSurvey& survey, Lsn end) const;
    Error at_hole(const Candidate& candidate, const Resolved& resolved) const;
    void note_damage(const Candidate& candidate, TimelineId timeline);
    Error no_candidate(const std::vector<repo::ManifestName>& names) const;
    base::Timestamp end_of(const repo::ManifestName& name) const;
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

// What a name tells of the end has whole seconds: enough to pass it over, not to choose it.
bool Planner::ends_after_target(const repo::ManifestName& name) const {
    const auto* time = std::get_if<AtTime>(&request_.target);
    return time != nullptr && name.stop > time->time;
}

bool Planner::ends_after_target(const Candidate& candidate) const {
    if (const auto* time = std::get_if<AtTime>(&request_.target)) {
        return candidate.opened.manifest.stop > time->time;
    }
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
    if (!request_.timeline) {
        TRY(refuse_two_lives({request_, candidate, survey, found}, catalog_, repository_, keys_,
                             context_.stop));
    }
    if (ends_at_hole(survey, found)) {
        return at_hole(candidate, resolved);
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
    note_damage(candidate, survey.timeline_at(found.end));
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

// As exact as the backup tells; of one that does not open no earlier than it was.
base::Timestamp Planner::end_of(const repo::ManifestName& name) const {
    const auto candidate = catalog_.open(name);
    return candidate ? (*candidate)->opened.manifest.stop : name.stop + std::chrono::seconds(1);
}

// "backup 'x' at 2026-01-23 02:07:14.123456 UTC": the first backup that begins a window behind what
// can be reached.
std::string Planner::later_point(Lsn after, base::Timestamp time) const {
    const bool by_time = std::holds_alternative<AtTime>(request_.target);
    for (const repo::ManifestName& name : catalog_.names()) {
        if (by_time && name.stop + std::chrono::seconds(1) <= time) {
            continue;
        }
        const auto candidate = catalog_.open(name);
        const base::Timestamp end = end_of(name);
        if (by_time ? end > time : candidate && (*candidate)->details.stop > after) {
            return "backup '" + name.backup + "' at " + base::human_time(end, 6);
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

// "Everything that was captured" must not mean less without a word: behind the hole is more.
bool Planner::ends_at_hole(const WalSurvey& survey, const ResolvedTarget& found) const {
    return std::holds_alternative<engine::Latest>(request_.target) &&
           (survey.goes_on || found.kind == ResolvedTarget::Kind::Beyond);
}

Error Planner::at_hole(const Candidate& candidate, const Resolved& resolved) const {
    const auto& [survey, found] = resolved;
    const std::string& backup = candidate.opened.manifest.backup;
    const bool zeros = found.kind == ResolvedTarget::Kind::Beyond;
    const Lsn from = zeros ? found.end : survey.end;
    const Lsn on = survey.goes_on && !zeros ? *survey.goes_on : survey.pieces.back().from;
    const auto holder = std::find_if(survey.pieces.begin(), survey.pieces.end(),
                                     [&](const WalPiece& piece) { return from <= piece.to; });
    const base::Timestamp captured =
        holder == survey.pieces.end() ? candidate.opened.manifest.stop : holder->captured;
    const std::string later = later_point(from, captured);
    const std::string nearest =
        found.record ? "--lsn " + format_lsn(found.record->start) : "--immediate";
    std::string passed;
    for (const std::string& note : survey.passed_over) {
        passed += " " + note;
    }
    return Error(Code::Refused,
                 describe_target(request_.target) + " cannot be reached from backup '" + backup +
                     "': WAL is missing from " + on_timeline(from, survey.timeline_at(from)) +
                     " on, and what was captured goes on at " +
                     on_timeline(on, survey.timeline_at(on)))
        .hint("The newest point before the hole, captured at " + base::human_time(captured) +
              ", is reached with --backup " + backup + " " + nearest +
              (later.empty() ? "" : "; the nearest behind it is " + later) + "." + passed);
}

Error Planner::no_candidate(const std::vector<repo::ManifestName>& names) const {
    if (obstacle_) {
        return obstacle_->clone();
    }
    const repo::ManifestName& first = too_late_ ? *too_late_ : names.back();
    const std::string which = request_.backup.empty() ? "the oldest backup" : "the chosen backup";
    return Error(Code::Refused, describe_target(request_.target) + " lies before the end of " +
                                    which + ", '" + first.backup + "'")
        .hint("The earliest point that it reaches is its end, at " +
              base::human_time(end_of(first), 6) + ": --backup " + first.backup + " --immediate.");
}

// The newest backup is the nearest, also where the server's own data was damaged already. Whoever
// restores it must know, and which one has none.
void Planner::note_damage(const Candidate& candidate, TimelineId timeline) {
    const repo::Manifest& m = candidate.opened.manifest;
    if (m.damage.empty()) {
        return;
    }
    std::string sound;
    for (auto name = catalog_.names().rbegin(); name != catalog_.names().rend() && sound.empty();
         ++name) {
        const auto other = name->stop < m.stop ? catalog_.open(*name)
                                               : Result<std::shared_ptr<const Candidate>>(nullptr);
        const bool may_do =
            other && *other && (*other)->opened.manifest.damage.empty() &&
            catalog_.tree().path((*other)->details.timeline, (*other)->details.stop, timeline);
        sound = may_do ? name->backup : "";
    }
    const repo::DamagedPage& first = m.damage.front();
    notes_.push_back("DAMAGED: pages of backup '" + m.backup +
                     "' were damaged on the server itself, " + std::to_string(m.damage.size()) +
                     " in all, the first of them page " + std::to_string(first.page) + " of '" +
                     first.path + "' (" + first.why + "). " +
                     (sound.empty() ? "No older backup leads there without damage."
                                    : "The newest backup before it without damage is '" + sound +
                                          "': --backup " + sound + "."));
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

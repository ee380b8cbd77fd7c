#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// How timelines descend from each other. Pure.

// A timeline that was left, and where.
struct Departure {
    TimelineId timeline = 0;
    Lsn at;
    std::string reason;  // for people
};

// The contents of NNNNNNNN.history: every timeline that came before it, oldest first.
struct TimelineHistory {
    TimelineId timeline = 0;
    std::vector<Departure> ancestors;
};

// Reads a history file. Corrupt when a line is not "timeline, tab, position, tab, reason", when the
// timelines do not rise, or when nothing is said at all, as in a file that was cut short. Positions
// may fall: a server that stops in the past of its own timeline writes that.
Result<TimelineHistory> parse_history(TimelineId timeline, std::string_view text);

// Conflict unless both came the same way: two servers were promoted to one number, and what they
// wrote under it must not be mixed. `where` has `known`: "the repository". What the files say for
// people is not compared.
Result<> check_same_branch(const TimelineHistory& known, const TimelineHistory& now,
                           std::string_view where);

// A stretch of WAL that lies on one timeline.
struct TimelineSpan {
    TimelineId timeline = 0;
    Lsn begin;
    Lsn end;  // not set: open

    friend bool operator==(const TimelineSpan&, const TimelineSpan&) = default;
};

// Every timeline of a cluster. A timeline that is known by its number alone (from segment names) is
// without ancestors until a history says otherwise.
class TimelineTree {
  public:
    // Corrupt, changing nothing, when the history contradicts one that was added before: two
    // answers to where a timeline came from.
    Result<> add(const TimelineHistory& history);

    bool knows(TimelineId timeline) const { return histories_.contains(timeline); }

    // The timeline from which, and the position at which, `timeline` was begun. Nothing for one
    // without ancestors.
    std::optional<Departure> origin(TimelineId timeline) const;
    // True also for a timeline and itself.
    bool is_ancestor(TimelineId ancestor, TimelineId of) const;
    // Where the way to `target` leaves `timeline`; not set for `target` itself. NotFound when it
    // does not pass `timeline`.
    Result<Lsn> departure(TimelineId timeline, TimelineId target) const;

    // Which timeline's WAL holds the byte at `at`, for who follows `target`. NotFound when `target`
    // is unknown.
    Result<TimelineId> timeline_at(Lsn at, TimelineId target) const;

    // The stretches of WAL from `at` on `timeline` to the open end of `target`. NotFound when the
    // target is unknown, Conflict when it does not descend from `timeline`, or left it before `at`:
    // who is there has seen WAL that the target never had.
    Result<std::vector<TimelineSpan>> path(TimelineId timeline, Lsn at, TimelineId target) const;

    // All that are known, rising.
    std::vector<TimelineId> timelines() const;

  private:
    Result<> check(const TimelineHistory& history) const;
    // The stretches of the whole way to `target`, from the first byte of all; none is empty.
    std::vector<TimelineSpan> spans(const TimelineHistory& target) const;
    Result<const TimelineHistory*> find(TimelineId timeline) const;

    std::map<TimelineId, TimelineHistory> histories_;
};

// Of the timelines whose history files exist, those that a server on `from` would not find when it
// looks for the latest: it probes upward and stops at the first file that is missing, so that one
// lost file hides every later timeline (T14). Rising; empty if all is well.
std::vector<TimelineId> hidden_timelines(std::span<const TimelineId> histories, TimelineId from);

}  // namespace lifeboat::postgres

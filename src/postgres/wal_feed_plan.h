#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "postgres/recovery_plan.h"
#include "postgres/timeline.h"

namespace lifeboat::postgres {

// What a server in recovery may be given, and what not: the part of a plan that outlives the
// restore. It lies in the restored directory as "lifeboat.recovery" (docs/format/recovery.md), so
// that recovery can go on when a person starts the server later. No secrets.
struct FeedPlan {
    std::string system;
    std::string backup;
    std::string repository;  // where it was, for people
    repo::Id128 repository_id{};
    std::uint64_t system_identifier = 0;
    int major = 0;
    SegmentSize segment;
    std::vector<TimelineSpan> way;  // from the first byte that recovery reads to `end`
    Lsn end;
    TimelineId local_timeline =
        0;  // the backup's own WAL, in pg_wal: from the segment of way.front().begin to local_end
    Lsn local_end;
    std::vector<StoredHistoryFile> histories;

    static FeedPlan of(const PostgresPlan& plan);
    base::Json to_json() const;
    static Result<FeedPlan> from_json(
        const base::Json& json);  // Corrupt; Unsupported for a newer format
};

inline constexpr std::string_view kFeedPlanFile = "lifeboat.recovery";

// What the server asked for, by name.
struct FeedPart {
    TimelineId timeline = 0;  // whose bytes these are; a span of the way
    Lsn from;
    Lsn to;
};

// What a segment that was asked for consists of. Pure.
struct FeedSegment {
    enum class Kind {
        Needed,  // `parts` cover it from its start, or the way's, to its end, or the way's; the
                 // rest is zeros
        Local,   // the same, and all of it lies in pg_wal already: the server may use its own copy
        Absent,  // no byte of it is part of the plan: proven absent
    };
    Kind kind = Kind::Absent;
    std::vector<FeedPart> parts;
};

FeedSegment plan_segment(const FeedPlan& plan, TimelineId timeline, std::uint64_t number);

// The segments in the order in which a server will ask for them, from the first on.
std::vector<std::pair<TimelineId, std::uint64_t>> segments_in_order(const FeedPlan& plan);

}  // namespace lifeboat::postgres

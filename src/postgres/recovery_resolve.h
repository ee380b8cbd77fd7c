#pragma once

#include <optional>

#include "engine/data_engine.h"
#include "postgres/recovery_survey.h"
#include "postgres/recovery_target.h"

namespace lifeboat::postgres {

// A target as one absolute point of a surveyed way.
struct ResolvedTarget {
    enum class Kind {
        Found,
        Beyond,     // the way ends before it; `end` says where
        Unmatched,  // no record of the way is the one that was asked for; `end` says how far the
                    // way was read
    };
    Kind kind = Kind::Found;
    std::optional<RecordSpan> record;  // the last that is applied; nothing: the backup as it is
    std::optional<CommitPoint> last_commit;  // at or before it, behind the backup's end
    std::optional<CommitPoint> deciding;     // see StopFinder
    std::optional<Parameters> parameters;    // the largest of each along the way (T24)
    std::optional<Lsn> minimal_from;  // WAL from here on was written at wal_level minimal: a server
                                      // refuses to replay it
    std::vector<TablespaceMade> tablespaces;  // that the way creates; some may be there twice
    Lsn end;                                  // end of `record`, or where the WAL ends
};

// The larger of each setting; the level is that of `a`.
Parameters largest(const Parameters& a, const Parameters& b);

// Finds the target, reading as little as the labels allow: for a time the objects from the first
// that was captured after it, for a position the one that holds it, for the newest point the last
// ones. Corrupt where WAL does not read.
Result<ResolvedTarget> resolve_target(const engine::Target& target, const WalSurvey& survey,
                                      WayReader& reader);

}  // namespace lifeboat::postgres

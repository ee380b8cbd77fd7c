#pragma once

#include <optional>
#include <vector>

#include "postgres/recovery_catalog.h"
#include "postgres/recovery_resolve.h"
#include "postgres/recovery_survey.h"

namespace lifeboat::postgres {

// Timelines on which the system went on beside the one that a recovery follows: an old primary that
// came back, a copy that was promoted and captured under the original's name.

struct Branch {
    TimelineId timeline = 0;
    Lsn parted;             // up to here it and the followed timeline are one
    Lsn captured_to;        // by WAL or by a backup
    base::Timestamp alive;  // the newest sign of life: when that was captured
    bool younger = false;   // it left the followed timeline; else that one left it, or both a third
};

// Where the ways to two timelines part; nothing when no timeline of both is known. Pure.
std::optional<Lsn> parting(const TimelineTree& tree, TimelineId a, TimelineId b);

// Every branch beside the way to `followed` of which something was captured behind the point where
// they part. Of orphans nobody can tell. Reads one label each, and the newest few manifests.
Result<std::vector<Branch>> other_branches(RecoveryCatalog& catalog, repo::Repository& repository,
                                           const repo::ReaderKeys& keys,
                                           const BackupDetails& details, TimelineId followed);

// When the server began the timeline that leaves its ancestor at `fork`, by its own first record;
// else when the first bytes behind it were captured. Nothing when the way has none.
Result<std::optional<base::Timestamp>> promoted_at(const WalSurvey& survey, WayReader& reader,
                                                   Lsn fork);

// A point that was found, before it is believed.
struct FoundPoint {
    const engine::RecoveryRequest& request;
    const Candidate& candidate;
    const WalSurvey& survey;
    const ResolvedTarget& found;
};

// Refused when two servers went on from the same past, and the point lies behind where they
// parted: to choose would be to lose what the other one has. The WAL that an old primary still
// wrote around a failover is no life of its own, nor is what ended before the backup was taken.
Result<> refuse_two_lives(const FoundPoint& point, RecoveryCatalog& catalog,
                          repo::Repository& repository, repo::ReaderKeys& keys,
                          const base::StopToken& stop);

}  // namespace lifeboat::postgres

#pragma once

#include <optional>

#include "base/result.h"
#include "postgres/wal_receiver_plan.h"
#include "postgres/wal_spool.h"
#include "repo/stream.h"

namespace lifeboat::postgres {

// What the repository is said to hold, and what it holds. The name of an object is a claim: storage
// rots, and whoever can write to the store can add names. Nothing is acknowledged, removed from the
// spool or passed over because of a claim that was not proven.

// True when the object is whole, was written by this host for this place, and is of `cluster`.
// False, with the reason in the log, when it is not. Conflict when this host wrote it for another
// cluster (T18). Any other failure means that nobody can tell now.
base::Result<bool> prove_claim(repo::Repository& repository, const repo::HostKeys& host,
                               const ClusterIdentity& cluster,
                               const repo::StreamCatalog::Entry& claim);

// Of what is claimed, that what lies before `kept` on the server's way: what was acknowledged once,
// and need not be asked for again. What lies behind, the server still has, and sends. Pure.
WalRanges claims_before(const WalRanges& claimed, const WalStart& kept,
                        const TimelineHistory& history);

// The byte before `start` on the server's way; nothing when it is the way's first.
std::optional<repo::StreamRange> byte_before(const WalStart& start, const TimelineHistory& history);

// Fails with Conflict when the repository holds another history of that number: two servers were
// promoted to it, and their WAL must not be mixed. One that does not open with this host's key says
// nothing.
base::Result<> check_history(repo::Repository& repository, const repo::HostKeys& host,
                             std::string_view system, TimelineId timeline,
                             base::BytesView contents);

}  // namespace lifeboat::postgres

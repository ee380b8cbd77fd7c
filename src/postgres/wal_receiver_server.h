#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/stop.h"
#include "postgres/connection.h"
#include "postgres/postgres_config.h"
#include "postgres/replication.h"
#include "postgres/slots.h"
#include "postgres/timeline.h"
#include "postgres/wal_receiver_share.h"
#include "postgres/wal_spool.h"

namespace lifeboat::postgres {

// The server as the receiver sees it. One thread.

struct ServerVisit {
    Connection replication;
    std::optional<Connection> sql;  // gone when it failed while the stream went on
    SystemIdentity identity;
    ClusterIdentity cluster;
    TimelineHistory history;  // of identity.timeline
    base::Duration status_interval{};
    const base::StopToken* stop = nullptr;
    bool primary = false;  // and was when `identity` was asked for: it is on its last timeline
};

// Connects twice, for the stream and for questions about it, and asks who is there. `stop` must
// outlive the visit. Unsupported for a version outside of 13 to 18; InvalidInput for a conninfo
// that cannot be read; else only what waiting may cure.
Result<ServerVisit> visit_server(const PostgresConfig& config, const base::StopToken& stop);

// A session for questions; gives up after `limit`.
Result<Connection> open_sql(const PostgresConfig& config, const base::StopToken& stop,
                            base::Duration limit);

std::string slot_name(const PostgresConfig& config);

// Files of all timelines in the ancestry of `timeline`, itself included (T14). Those that the
// server has removed are left out.
Result<std::vector<HistoryToStore>> fetch_ancestry(Connection& replication, TimelineId timeline);

// The slot, made if it is missing, made anew if its WAL is lost (T17).
struct SlotFound {
    SlotState state;
    bool made = false;
    std::string lost;  // why the one before was given up; empty: it was not
};
enum class OldSlot { Keep, Replace };
Result<SlotFound> ensure_slot(Connection& sql, const std::string& name, OldSlot old);

// What a person should know about the slot and about who waits for us.
//
// `moment` and `end`: at that moment of the primary's clock nothing behind that end was durable. A
// standby knows it of the last commit only that it replayed. Not set when nobody can tell.
struct ReplicationFacts {
    bool synchronous = false;  // a commit may be waiting for our acknowledgement
    std::string trouble;
    std::optional<base::Timestamp> moment;
    Lsn end;
};

Result<ReplicationFacts> read_replication_facts(Connection& sql, const std::string& slot);

// True for what no waiting cures. What the server itself says (it has a SQLSTATE) may be otherwise
// the next time.
bool is_hopeless(const Error& error);

}  // namespace lifeboat::postgres

#pragma once

#include "base/result.h"
#include "engine/data_engine.h"
#include "postgres/postgres_config.h"

namespace lifeboat::postgres {

// Captures a cluster's WAL as it is written, until context.stop: socket -> fsynced spool -> pieces
// -> repository -> acknowledgement. The states are drawn at the head of wal_receiver.cc.
//
// Durability: what is acknowledged to the server as flushed is durable in the repository
// (job.acknowledge_repository), or fsynced in the spool; so a synchronous commit that returned is
// there, whatever dies next (P1). A hole is never skipped silently: WAL that the server no longer
// has is recorded as a gap, and job.need_base is called (T17).
//
// What an earlier run left in the spool is stored whether the server answers or not: of a server
// that is lost it may be the last that there is. With job.drain that is all.
//
// Capture begins at the first byte behind the newest backup that is missing, not behind the last
// one that is there, and what is there by an object's name alone is looked at before it is believed
// (wal_receiver_start.cc, wal_receiver_claims.h).
//
// Reconnects for ever. Returns nothing once a stop was requested and what had been received is
// durable, as far as the repository answers within seconds. Fails with what waiting cannot cure
// only: Conflict (another cluster, T18; other bytes than were captured; a spool in use),
// Unsupported (server, repository format), InvalidInput (configuration). job.report is called at
// least every second, from one thread at a time; job.need_base from the same thread.
base::Result<> stream_wal(const PostgresConfig& config, engine::StreamJob& job,
                          const engine::Context& context);

}  // namespace lifeboat::postgres

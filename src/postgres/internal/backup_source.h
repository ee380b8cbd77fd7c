#pragma once

#include "engine/data_engine.h"
#include "postgres/backup_details.h"
#include "postgres/connection.h"
#include "postgres/postgres_config.h"
#include "postgres/server_facts.h"

namespace lifeboat::postgres {

// What the two ways of reading a cluster share while a backup runs.
struct BackupRun {
    const PostgresConfig& config;
    engine::BackupJob& job;
    const engine::Context& context;
    Connection& session;  // SQL; stays open from start to stop
    const ServerFacts& facts;
    repo::Capture& capture;
    BackupDetails& details;  // filled on the way
};

// Makes a slot that keeps the backup's WAL on the server until `session` ends, whatever
// max_wal_size says; returns its name. To be called once the backup has begun: a slot that is older
// than the checkpoint with which it begins needs WAL that the backup does not, perhaps more than
// max_slot_wal_keep_size allows, and the server ends the session of such a one.
Result<std::string> hold_wal(Connection& session, base::Random& random);

// Reads the data directory: pg_backup_start, parallel copy, pg_control, pg_backup_stop, the WAL
// between.
Result<> read_directory(BackupRun& run);
// Reads through the server: BASE_BACKUP, which brings everything in one stream.
Result<> read_wire(BackupRun& run);

}  // namespace lifeboat::postgres

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

// Reads the data directory: pg_backup_start, parallel copy, pg_control, pg_backup_stop, the WAL
// between.
Result<> read_directory(BackupRun& run);
// Reads through the server: BASE_BACKUP, which brings everything in one stream.
Result<> read_wire(BackupRun& run);

}  // namespace lifeboat::postgres

#pragma once

#include "engine/data_engine.h"
#include "postgres/postgres_config.h"

namespace lifeboat::postgres {

// Takes a backup of a running cluster, primary or standby: see DataEngine::backup. Reads the data
// directory where it can, with parallel page-aware reads; asks the server for BASE_BACKUP
// elsewhere. Either way the backup holds its own WAL, from its start to its stop, so it restores
// without any stream.
base::Result<repo::Manifest> take_backup(const PostgresConfig& config, engine::BackupJob& job,
                                         const engine::Context& context);

}  // namespace lifeboat::postgres

#pragma once

#include "engine/data_engine.h"
#include "postgres/recovery_plan.h"

namespace lifeboat::postgres {

// See DataEngine::landing. Pure: what the restored directory needs beside what was captured.
// Refused when a tablespace would go where the original server's may be.
Result<engine::Landing> recovery_landing(const engine::RecoveryPlan& plan,
                                         const engine::LandingRequest& request);

// PostgreSQL's own listing of a base backup, for pg_verifybackup, from what landed: version 1, and
// 2 from PostgreSQL 17 on. Corrupt when the WAL that makes the backup consistent did not land.
Result<engine::ExtraFile> backup_manifest(const BackupDetails& details,
                                          const std::vector<engine::LandedFile>& landed);

}  // namespace lifeboat::postgres

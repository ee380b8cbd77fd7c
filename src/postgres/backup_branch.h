#pragma once

#include "engine/data_engine.h"
#include "postgres/backup_details.h"
#include "postgres/connection.h"
#include "postgres/server_facts.h"

namespace lifeboat::postgres {

// Conflict when the system lives on elsewhere: the newest backup is of a later timeline than the
// server's, or the stream has left that one at a place which the server has passed, and follows
// another since. Then the server is an old primary that came back, and its backup would be the
// newest of the system. `newest`: the details of job.parent.
Result<> refuse_left_timeline(Connection& session, const engine::BackupJob& job,
                              const std::string& system, const ServerFacts& facts,
                              const std::optional<BackupDetails>& newest);

}  // namespace lifeboat::postgres

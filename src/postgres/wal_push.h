#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/data_engine.h"
#include "repo/keyring.h"
#include "repo/repository.h"

namespace lifeboat::postgres {

// A restore leaves it in the data directory. A server there is a copy until a person has removed
// it: what it archives must not become the newest state of the system that it was made from.
inline constexpr std::string_view kRestoredFile = "lifeboat.restored";

struct PushJob {
    repo::Repository& repository;
    const repo::HostKeys& host;
    std::string system;
    std::chrono::days retention{7};
    std::string spool;  // where the cluster's identity is remembered between calls; empty: the
                        // repository is asked each time
};

// What `archive_command = 'lifeboat wal-push %p'` does with the file at `path`. Done once it is
// durable in the repository.
//
// A segment becomes a gathered pack (several, if it is huge), a .partial one a piece up to its last
// whole record (T12), a history file a history (T14); a .backup file is left alone. Pushing the
// same bytes again is success; other bytes under the same name are Conflict (T11), as is a file of
// another cluster than the system's (T18). Corrupt when it is not the WAL that its name says. Any
// number of processes may push at once. Refused where the directory that holds pg_wal has
// kRestoredFile: the server keeps the file, and tries again.
base::Result<> push_segment(const PushJob& job, const engine::Context& context,
                            const std::string& path);

}  // namespace lifeboat::postgres

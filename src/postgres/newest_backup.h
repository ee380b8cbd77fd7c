#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "postgres/backup_details.h"
#include "repo/keyring.h"
#include "repo/repository.h"

namespace lifeboat::postgres {

// Whose a system is, and where its stream is anchored, as its newest backup tells (T18).

struct NewestBackup {
    std::string id;
    BackupDetails details;
};

// The newest that `host` itself can open; nothing when there is none. One that cannot be read says
// nothing: `unread`, if given, hears why, and those before it are asked. Unavailable when the
// repository does not answer.
Result<std::optional<NewestBackup>> find_newest_backup(
    repo::Repository& repository, const repo::HostKeys& host, std::string_view system,
    const std::function<void(const Error&)>& unread = {});

// Conflict unless `newest` is of this cluster and major version: what comes from another would
// become the newest state of the system.
Result<> check_backup_cluster(const NewestBackup& newest, std::uint64_t system_identifier,
                              int major);

}  // namespace lifeboat::postgres

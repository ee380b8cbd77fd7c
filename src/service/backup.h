#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "service/installation.h"

namespace lifeboat::service {

struct BackupRequest {
    std::vector<std::string> systems;  // empty: all
    std::string repository;            // empty: the first
    bool full = false;
};

struct BackupOutcome {
    std::string system;
    std::optional<repo::Manifest> manifest;  // nothing: it failed, and there is no new backup
    std::optional<base::Error> error;
    std::vector<std::string> notes;
    base::Duration took{};
    std::uint64_t bytes_read = 0;
    base::Json to_json() const;
};

struct BackupReport {
    std::string repository;
    std::vector<BackupOutcome> outcomes;
    base::Json to_json() const;
    // 0 when every system has a whole new backup; Partial when some failed or pages were damaged;
    // the failure's own when all failed.
    int exit_code() const;
};

// Called before each system's backup with its progress, and with nullptr when it has ended.
using BackupWatch =
    std::function<void(const std::string& system, const repo::CaptureProgress* progress)>;

// Takes a backup of each system, one after another. One that fails does not keep the others from
// theirs. Fails as a whole only before the first begins (configuration, repository, keys, clocks).
Result<BackupReport> backup(Installation& installation, const BackupRequest& request,
                            const BackupWatch& watch);

// The newest backup of a system that can be opened with `keys`; nothing when there is none.
Result<std::optional<repo::OpenedManifest>> newest_backup(const repo::Repository& repository,
                                                          const std::string& system,
                                                          const repo::ReaderKeys& keys);

}  // namespace lifeboat::service

#pragma once

#include <string>

#include "service/installation.h"

namespace lifeboat::service {

// What servers call, not people: archive_command and restore_command.

// Stores the WAL file at `path`; returns once it is durable.
Result<> wal_push(Installation& installation, const std::string& system,
                  const std::string& repository, const std::string& path);

struct FeedRequest {
    std::string system;
    std::string repository;
    std::string target;
    std::string identity;
};

// Serves WAL to the server that recovers in `target`, until it has recovered.
Result<> wal_feed(Installation& installation, const FeedRequest& request);

}  // namespace lifeboat::service

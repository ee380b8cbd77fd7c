#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "service/installation.h"

namespace lifeboat::service {

struct ListRequest {
    std::string system;  // empty: all
    std::string repository;
};

struct ListedBackup {
    std::string id;
    base::Timestamp stop;
    policy::ExpiryDay expires;
    std::optional<repo::Manifest> manifest;  // nothing when it cannot be opened: `trouble` says why
    std::string trouble;
};

struct ListedSystem {
    std::string name;
    std::vector<ListedBackup> backups;    // oldest first
    std::vector<engine::Window> windows;  // oldest first
    std::string trouble;                  // why the windows are not known; empty when they are
};

struct ListReport {
    std::string repository;
    std::vector<ListedSystem> systems;
    base::Json to_json() const;
};

// What can be recovered. Needs no identity on the host that wrote it. A backup that cannot be
// opened is listed with its trouble, never left out (P8).
Result<ListReport> list(Installation& installation, const ListRequest& request);

}  // namespace lifeboat::service

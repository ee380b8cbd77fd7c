#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "repo/check.h"
#include "service/installation.h"

namespace lifeboat::service {

struct CheckRequest {
    std::string repository;  // empty: the first
    std::string identity;    // empty: the configuration's
    repo::CheckLevel level = repo::CheckLevel::Names;
    std::vector<std::string> systems;  // empty: all, and what belongs to none
};

struct CheckOutcome {
    std::string repository;
    repo::CheckReport report;
    base::Duration took{};
    bool keyed = false;  // something opened manifests: paths are known
    base::Json to_json() const;
    // 0 when all is whole; 1 when something is lost; Partial when something could not be looked at.
    int exit_code() const;
};

// What the repository has lost, and what that costs. It only reads. Keys are used where there are
// some, and needed for CheckLevel::Data alone.
Result<CheckOutcome> check(Installation& installation, const CheckRequest& request,
                           const repo::CheckWatcher& watch);

// Something is lost that was not recorded as lost at the time.
bool has_loss(const repo::CheckReport& report);

std::string_view name(repo::BackupState state);  // "whole", "degraded", "unknown"

}  // namespace lifeboat::service

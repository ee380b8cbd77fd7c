#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "restore/apply.h"
#include "service/installation.h"

namespace lifeboat::service {

struct RestoreRequest {
    std::string system;
    std::string repository;  // empty: the first
    std::string target;      // made absolute by the caller
    engine::RecoveryRequest point;
    std::string identity;  // empty: the configuration's; made absolute by the caller
    bool dry_run = false;  // plan and checks only
    bool delta = false;
    bool start = false;
    int port = 0;
    std::string
        owner;  // user name; empty: the target's owner, or the configuration's when we are root
    std::size_t workers = 4;  // more than cores: each waits for the disk half of its time
    std::vector<std::pair<std::string, std::string>> tablespaces;  // old -> new
    std::vector<std::string> validate;                             // added to the configuration's
    bool check_pages = false;
    bool check_structure = false;
};

struct RestoreReport {
    engine::RecoveryPlan plan;
    bool dry_run = false;
    std::optional<restore::ApplyReport> applied;
    std::optional<engine::StartReport> started;
    base::Duration planning{};
    base::Duration applying{};
    base::Duration starting{};
    base::Json to_json() const;
    // 3 when a check of the server found something, or the backup holds damaged pages; else 0.
    int exit_code() const;
};

// Told about the plan before a byte is written (return an error to stop there), then about the
// progress.
struct RestoreWatch {
    std::function<Result<>(const engine::RecoveryPlan& plan)> planned;
    std::function<void(const restore::ApplyProgress* progress)>
        applying;  // nullptr when it has ended
    std::function<void()> starting;
};

// plan -> check the target -> apply -> start, if asked. Everything that can be refused is refused
// before the first byte is written.
Result<RestoreReport> restore(Installation& installation, const RestoreRequest& request,
                              const RestoreWatch& watch);

}  // namespace lifeboat::service

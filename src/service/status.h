#pragma once

#include <string>
#include <vector>

#include "service/standing.h"

namespace lifeboat::service {

struct SystemStatus {
    std::string name;
    std::string tier;
    Standing standing;
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;  // stored for it
    std::string running;      // who takes a backup right now; empty: nobody
    std::string trouble;      // why `standing` is not known; empty: it is
};

struct StatusReport {
    std::string repository;
    std::string url;
    std::vector<SystemStatus> systems;
    base::Json to_json() const;
};

// What a disaster would cost now. Needs no key: without one less is known, and said so.
Result<StatusReport> status(Installation& installation, const std::string& repository);

}  // namespace lifeboat::service

#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "service/installation.h"

namespace lifeboat::service {

struct DoctorRequest {
    std::vector<std::string> systems;  // empty: all
    std::string repository;            // empty: all that are configured
};

// What was looked at, and what was found there; nothing found is good.
struct DoctorSection {
    std::string title;  // "this host", "repository 'local'", "system 'main'"
    std::vector<engine::Finding> findings;
};

struct DoctorReport {
    std::vector<DoctorSection> sections;
    std::size_t count(engine::Severity severity) const;
    base::Json to_json() const;
    int exit_code() const;  // 1 with an error
};

// Finds what would hurt later: keys, disks, clocks, and what each system's engine sees. What does
// not answer is a finding, and keeps nobody else from being looked at.
Result<DoctorReport> doctor(Installation& installation, const DoctorRequest& request);

}  // namespace lifeboat::service

#pragma once

#include <string>
#include <vector>

#include "postgres/recovery_catalog.h"
#include "postgres/recovery_plan.h"
#include "postgres/recovery_resolve.h"
#include "postgres/recovery_survey.h"

namespace lifeboat::postgres {

// The parts of a decision, put together as a plan and put into words. All references outlive the
// call.
struct Decision {
    const engine::Target& target;
    const Candidate& candidate;
    const WalSurvey& survey;
    const ResolvedTarget& found;
    std::vector<std::string> notes;  // sentences that come first
};

// "0/5A3F2C8 on timeline 1"
std::string on_timeline(Lsn at, TimelineId timeline);

// Reads the configuration files of the backup that lay outside of the data directory; nothing else.
Result<engine::RecoveryPlan> compose_plan(Decision decision, const RecoveryCatalog& catalog,
                                          repo::Repository& repository, repo::ReaderKeys& keys);

}  // namespace lifeboat::postgres

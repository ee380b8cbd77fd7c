#pragma once

#include <string>
#include <vector>

#include "postgres/wal_format.h"
#include "tests/support/pg_cluster.h"

namespace lifeboat::postgres {

// One line for each record, in one form for what pg_waldump prints and for what we read.

// The rest of `line` behind `mark`; empty when it is not there.
std::string after(const std::string& line, const std::string& mark);

std::string from_record(const WalRecord& record);

// All that pg_waldump reads of a timeline in the cluster's pg_wal, from its first segment there on.
std::vector<std::string> waldump(const PgCluster& cluster, TimelineId timeline);

}  // namespace lifeboat::postgres

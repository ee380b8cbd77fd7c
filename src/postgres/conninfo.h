#pragma once

#include <string>
#include <utility>
#include <vector>

#include "postgres/connection.h"

namespace lifeboat::postgres {

// libpq keywords and their values. May hold a password: never printed.
using Conninfo = std::vector<std::pair<std::string, std::string>>;

// The connections to try for `wanted`, in order. libpq moves on from a host that never answers only
// in its blocking calls, so each host of a list is an attempt of its own. InvalidInput, without a
// word of what was given, when the string is malformed.
Result<std::vector<Conninfo>> plan_attempts(const ConnectOptions& wanted);

}  // namespace lifeboat::postgres

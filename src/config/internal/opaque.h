#pragma once

#include <vector>

#include "config/config.h"
#include "config/internal/fields.h"

namespace lifeboat::config {

// Reads the sections of the top level that other parts of Lifeboat understand, as they are.
std::vector<OpaqueSection> read_others(Fields& fields, Problems& problems);

}  // namespace lifeboat::config

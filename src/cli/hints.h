#pragma once

#include <string>

#include "base/error.h"

namespace lifeboat::cli {

// What to do next: the error's own hint, or what holds for its code in general. Never empty.
std::string hint_for(const base::Error& error);

}  // namespace lifeboat::cli

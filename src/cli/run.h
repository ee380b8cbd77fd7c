#pragma once

#include "service/world.h"

namespace lifeboat::cli {

// The program, but for what main.cc must do before anything heavy. Returns the exit code.
int run(int argc, const char* const* argv, const service::World& world);

}  // namespace lifeboat::cli

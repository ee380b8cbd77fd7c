#pragma once

#include <string>

#include "cli/console.h"
#include "service/standing.h"

namespace lifeboat::cli {

// A verdict as people read it: "ok", "LATE", "unknown".
std::string verdict_word(policy::Verdict verdict, const Console& console);

// One or more lines of a standing, each after `indent`.
void show_standing(const service::Standing& standing, const std::string& indent, Console& console);

}  // namespace lifeboat::cli

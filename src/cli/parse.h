#pragma once

#include <string>
#include <variant>

#include "cli/arguments.h"

namespace lifeboat::cli {

// Nothing to run: help or the version was asked for (exit 0), or the words are wrong (exit 2).
struct ParseStop {
    int exit_code = 0;
    std::string text;  // for standard output when exit_code is 0, else for standard error
};

std::variant<Arguments, ParseStop> parse(int argc, const char* const* argv);

}  // namespace lifeboat::cli

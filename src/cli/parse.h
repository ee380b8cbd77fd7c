#pragma once

#include <optional>
#include <string>
#include <variant>

#include "base/error.h"
#include "cli/arguments.h"

namespace lifeboat::cli {

// Nothing to run: help or the version was asked for, or the words are wrong.
struct ParseStop {
    std::string text;                  // for standard output, with exit code 0
    std::optional<base::Error> error;  // InvalidInput, which is exit code 2
    Common common;                     // how to say it
    std::string verb;                  // that the words got to; empty: none
};

// `argv` as main() has it. Reads no file and no environment.
std::variant<Arguments, ParseStop> parse(int argc, const char* const* argv);

}  // namespace lifeboat::cli

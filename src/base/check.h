#pragma once

namespace lifeboat::base {

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace lifeboat::base

// For bugs of ours only; stays in release builds. Prints the condition and the place, then aborts:
// the formats survive a crash, they may not survive a lie.
#define LB_CHECK(condition)             \
    ((condition) ? static_cast<void>(0) \
                 : ::lifeboat::base::check_failed(#condition, __FILE__, __LINE__))

#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace lifeboat::base {

void check_failed(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "lifeboat: bug: %s does not hold at %s:%d\n", condition, file, line);
    std::abort();
}

}  // namespace lifeboat::base

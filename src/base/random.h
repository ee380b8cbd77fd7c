#pragma once

#include <memory>

#include "base/bytes.h"

namespace lifeboat::base {

// Unpredictable bytes, passed in so that golden files and simulations can repeat. Thread-safe.
class Random {
  public:
    virtual ~Random() = default;
    virtual void fill(MutableBytes out) = 0;
    std::uint64_t u64();
};

Random& system_random();  // getrandom(2); aborts the process if the kernel refuses
std::unique_ptr<Random> seeded_random(std::uint64_t seed);  // for tests: never for keys

}  // namespace lifeboat::base

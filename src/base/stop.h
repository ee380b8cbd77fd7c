#pragma once

#include <atomic>

#include "base/result.h"

namespace lifeboat::base {

// A request to stop, seen by every loop that may run long. Set from a signal handler or another
// thread; never unset.
class StopToken {
  public:
    void request() { stopped_.store(true, std::memory_order_relaxed); }

    bool requested() const { return stopped_.load(std::memory_order_relaxed); }

    // Fails with Cancelled once a stop was requested.
    Result<> check() const {
        if (requested()) {
            return Error(Code::Cancelled, "stopped on request");
        }
        return {};
    }

  private:
    std::atomic<bool> stopped_ = false;
};

}  // namespace lifeboat::base

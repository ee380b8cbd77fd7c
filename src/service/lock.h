#pragma once

#include <optional>
#include <string>

#include "base/files.h"
#include "base/result.h"

namespace lifeboat::service {

// One backup of a system at a time on this host: an flock'ed file that names who holds it. The
// kernel releases it when the process dies, however it dies.
class SystemLock {
  public:
    // Conflict when another process holds it, with its pid and since when.
    static base::Result<SystemLock> take(base::Files& files, const std::string& state,
                                         const std::string& system, base::Clock& clock);
    // Who holds it ("pid 4711 since ..."), or nothing. A look, never a promise.
    static std::optional<std::string> holder(const std::string& state, const std::string& system);
    SystemLock(SystemLock&& other) noexcept;
    SystemLock& operator=(SystemLock&& other) noexcept;
    ~SystemLock();

  private:
    explicit SystemLock(int fd) : fd_(fd) {}

    int fd_ = -1;
};

}  // namespace lifeboat::service

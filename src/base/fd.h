#pragma once

#include <unistd.h>

#include <utility>

namespace lifeboat::base {

// Owns a file descriptor. For the .cc files of this room.
class Fd {
  public:
    Fd() = default;

    explicit Fd(int fd) : fd_(fd) {}

    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

    Fd& operator=(Fd&& other) noexcept {
        reset();
        fd_ = std::exchange(other.fd_, -1);
        return *this;
    }

    ~Fd() { reset(); }

    int get() const { return fd_; }

    bool is_open() const { return fd_ >= 0; }

    // Closes, and returns what close(2) said. On Linux the descriptor is gone even after EINTR:
    // never close twice.
    int reset() { return fd_ < 0 ? 0 : ::close(std::exchange(fd_, -1)); }

  private:
    int fd_ = -1;
};

}  // namespace lifeboat::base

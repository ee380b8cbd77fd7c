#include "service/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace lifeboat::service {

using base::Code;
using base::Error;
using base::Result;

SystemLock::SystemLock(SystemLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

SystemLock& SystemLock::operator=(SystemLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

SystemLock::~SystemLock() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

namespace {

std::string lock_file(const std::string& state, const std::string& system) {
    return base::join(base::join(state, "locks"), system + ".backup");
}

std::string written_in(int fd) {
    std::array<char, 128> text{};
    const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
    return std::string(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
}

// Tried a few times: holder() has the file for an instant when it looks.
bool lock_alone(int fd, base::Clock& clock) {
    for (int tries = 0; tries < 5; ++tries) {
        if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        clock.sleep_for(std::chrono::milliseconds(20));
    }
    return false;
}

}  // namespace

std::optional<std::string> SystemLock::holder(const std::string& state, const std::string& system) {
    const int fd = ::open(lock_file(state, system).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return std::nullopt;
    }
    const SystemLock closer(fd);
    const bool held = ::flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    return held ? std::optional(written_in(fd)) : std::nullopt;
}

Result<SystemLock> SystemLock::take(base::Files& files, const std::string& state,
                                    const std::string& system, base::Clock& clock) {
    TRY(base::create_directories(files, base::join(state, "locks"))
            .during("making room for the lock of '" + system + "'"));
    const std::string path = lock_file(state, system);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return base::os_failure("opening '" + path + "'", errno);
    }
    SystemLock lock(fd);
    if (!lock_alone(fd, clock)) {
        return Error(Code::Conflict,
                     "a backup of '" + system + "' is running (" + written_in(fd) + ")")
            .hint("Wait for it to end; 'lifeboat status' says when it has.");
    }
    const std::string mine =
        "pid " + std::to_string(::getpid()) + " since " + base::human_time(clock.now());
    const bool written = ::ftruncate(fd, 0) == 0 && ::pwrite(fd, mine.data(), mine.size(), 0) ==
                                                        static_cast<ssize_t>(mine.size());
    if (!written) {
        return base::os_failure("writing '" + path + "'", errno);
    }
    return lock;
}

}  // namespace lifeboat::service

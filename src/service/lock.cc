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

Result<SystemLock> SystemLock::take(base::Files& files, const std::string& state,
                                    const std::string& system, base::Clock& clock) {
    const std::string directory = base::join(state, "locks");
    TRY(base::create_directories(files, directory)
            .during("making room for the lock of '" + system + "'"));
    const std::string path = base::join(directory, system + ".backup");
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return base::os_failure("opening '" + path + "'", errno);
    }
    SystemLock lock(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        std::array<char, 128> holder{};
        const ssize_t got = ::pread(fd, holder.data(), holder.size() - 1, 0);
        return Error(Code::Conflict,
                     "a backup of '" + system + "' is running (" +
                         std::string(holder.data(), got > 0 ? static_cast<std::size_t>(got) : 0) +
                         ")")
            .hint("Wait for it to end; 'lifeboat status' shows how far it is.");
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

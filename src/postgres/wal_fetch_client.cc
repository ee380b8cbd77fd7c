#include "postgres/wal_fetch_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

// Tested by wal_fetch_client_test.cc. Plain system calls: it starts once for every segment of a
// recovery.

namespace lifeboat::postgres {

namespace {

constexpr const char* kHelp =
    "restore_command: fetch one WAL file for a recovering server\n"
    "Usage: lifeboat wal-fetch [--config FILE] [--identity FILE] [--repository NAME] SYSTEM TARGET "
    "FILE PATH\n"
    "\n"
    "A restore writes it into the restored postgresql.auto.conf; the server runs it in its data\n"
    "directory with %f and %p as FILE and PATH. It asks 'lifeboat wal-feed', which it starts.\n"
    "Exit codes: 0 the file was delivered, 1 it is proven absent, above 125 anything else.\n";
// Relative to the data directory, in which servers run it: a socket's address has room for 107
// bytes only.
constexpr const char* kDirectory = "pg_wal/lifeboat.feed";
constexpr const char* kSocket = "pg_wal/lifeboat.feed/socket";
constexpr const char* kFeederLog = "pg_wal/lifeboat.feed.log";
constexpr int kSilenceMillis = 120'000;  // the feeder says that it works every two seconds
constexpr int kStartMillis = 120'000;
constexpr int kPollMillis = 20;

int failed(const char* what, const char* which) {
    std::fprintf(stderr, "lifeboat: wal-fetch: %s '%s': %s\n", what, which, std::strerror(errno));
    return kFetchFailed;
}

int connect_to_feeder() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, kSocket, sizeof address.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        return fd;
    }
    if (fd >= 0) {
        ::close(fd);
    }
    return -1;
}

// In the child: becomes the feeder. Its words go to a file of its own, since the server's log may
// be a pipe that must close.
[[noreturn]] void become_feeder(std::vector<char*> arguments) {
    ::setsid();
    const int in = ::open("/dev/null", O_RDONLY);
    const int out = ::open(kFeederLog, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (in < 0 || out < 0 || ::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(out, 2) < 0) {
        ::_exit(kFetchFailed);
    }
    for (int fd = 3; fd < 256; ++fd) {
        ::close(fd);
    }
    ::execv("/proc/self/exe", arguments.data());
    ::_exit(kFetchFailed);
}

void print_feeder_log() {
    std::array<char, 4096> text{};
    const int fd = ::open(kFeederLog, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const ssize_t got = fd < 0 ? -1 : ::read(fd, text.data(), text.size());
    if (got > 0) {
        std::fwrite(text.data(), 1, static_cast<std::size_t>(got), stderr);
    }
    if (fd >= 0) {
        ::close(fd);
    }
}

// A connection to a feeder that was started just now, by us or by another of our kind; -1 when none
// came to be.
int start_feeder(int argc, char** argv) {
    static char verb[] = "wal-feed";
    std::vector<char*> arguments(argv, argv + argc - 2);  // without FILE and PATH
    arguments[1] = verb;
    arguments.push_back(nullptr);
    const pid_t child = ::fork();
    if (child < 0) {
        return -1;
    }
    if (child == 0) {
        become_feeder(std::move(arguments));
    }
    int grace = 50;  // a feeder that ended may have met another one: one second for that to answer
    for (int waited = 0; waited < kStartMillis && grace > 0; waited += kPollMillis) {
        const int fd = connect_to_feeder();
        if (fd >= 0) {
            return fd;
        }
        int status = 0;
        if (grace < 50 || ::waitpid(child, &status, WNOHANG) == child) {
            --grace;
        }
        ::poll(nullptr, 0, kPollMillis);
    }
    print_feeder_log();
    return -1;
}

bool ask(int fd, const char* file) {
    char line[80];
    const int length = std::snprintf(line, sizeof line, "%s\n", file);
    return length > 0 && static_cast<std::size_t>(length) < sizeof line &&
           ::send(fd, line, static_cast<std::size_t>(length), MSG_NOSIGNAL) == length;
}

// The answer's first letter; 0 when the feeder fell silent or is gone.
char read_answer(int fd) {
    char answer = 'w';
    while (answer == 'w') {
        pollfd wait{fd, POLLIN, 0};
        if (::poll(&wait, 1, kSilenceMillis) != 1 || ::read(fd, &answer, 1) != 1) {
            return 0;
        }
    }
    return answer;
}

void print_rest(int fd) {
    std::fputs("lifeboat: wal-fetch: ", stderr);
    std::array<char, 512> text{};
    pollfd wait{fd, POLLIN, 0};
    ssize_t got = 0;
    while (::poll(&wait, 1, 5000) == 1 && (got = ::read(fd, text.data(), text.size())) > 0) {
        std::fwrite(text.data(), 1, static_cast<std::size_t>(got), stderr);
    }
    std::fputs("\n", stderr);
}

int take(const char* file, const char* path) {
    char ready[128];
    const int length = std::snprintf(ready, sizeof ready, "%s/%s.ready", kDirectory, file);
    if (length <= 0 || static_cast<std::size_t>(length) >= sizeof ready) {
        return failed("no such name", file);
    }
    return ::rename(ready, path) == 0 ? kFetchFound : failed("moving into place", ready);
}

int fetch(int fd, const char* file, const char* path) {
    if (!ask(fd, file)) {
        return failed("asking the feeder for", file);
    }
    switch (read_answer(fd)) {
        case 'f':
            return take(file, path);
        case 'a':
            return kFetchAbsent;
        case 'x':
            print_rest(fd);
            return kFetchFailed;
        default:
            return failed("the feeder did not answer for", file);
    }
}

// A server always passes two words more, so this is a person.
bool asks_for_help(int argc, char** argv) {
    return argc == 3 && (std::strcmp(argv[2], "--help") == 0 || std::strcmp(argv[2], "-h") == 0);
}

}  // namespace

int wal_fetch_main(int argc, char** argv) {
    if (asks_for_help(argc, argv)) {
        std::fputs(kHelp, stdout);
        return std::fflush(stdout) == 0 ? 0 : 1;
    }
    if (argc < 4) {
        std::fputs("lifeboat: wal-fetch: usage: lifeboat wal-fetch [ARGUMENT]... FILE PATH\n",
                   stderr);
        return kFetchFailed;
    }
    const char* const file = argv[argc - 2];
    int fd = connect_to_feeder();
    if (fd < 0) {
        fd = start_feeder(argc, argv);
    }
    if (fd < 0) {
        return failed("no feeder answers for", file);
    }
    const int code = fetch(fd, file, argv[argc - 1]);
    ::close(fd);
    return code;
}

}  // namespace lifeboat::postgres

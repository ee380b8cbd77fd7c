#include "base/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "base/bytes.h"
#include "base/fd.h"

// Child processes. Tested by process_test.cc. The parent prepares everything before fork(): between
// fork() and exec() the child of a program with threads may only make async-signal-safe calls, so
// it allocates nothing and takes no lock. It reports what failed through a close-on-exec pipe: end
// of file there means that exec() succeeded.
//
// A process id is ours only until the child is reaped. So the group is always signalled first and
// the leader reaped last.

namespace lifeboat::base {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kKeptOutput = kMiB;

enum class Step { Session, Directory, Group, User, Streams, Exec };

struct Report {
    Step step;
    int number;
};

const char* name(Step step) {
    switch (step) {
        case Step::Session:
            return "starting a session";
        case Step::Directory:
            return "changing directory";
        case Step::Group:
            return "changing group";
        case Step::User:
            return "changing user";
        case Step::Streams:
            return "connecting standard streams";
        case Step::Exec:
            return "executing";
    }
    return "executing";
}

Error failed(std::string what) {
    const int number = errno;
    return os_failure(std::move(what), number);
}

struct Pipe {
    Fd read;
    Fd write;
};

// Descriptors 0 to 2 may be closed in this process; the pipe must not land there, where the child
// puts its standard streams.
Result<Fd> above_streams(int raw) {
    Fd low(raw);
    if (!low.is_open() || low.get() > STDERR_FILENO) {
        return low;
    }
    Fd high(::fcntl(low.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!high.is_open()) {
        return failed("duplicating a descriptor");
    }
    return high;
}

Result<Pipe> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return failed("creating a pipe");
    }
    Fd second(ends[1]);
    Fd read = TRY(above_streams(ends[0]));
    const int raw = ::fcntl(second.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (raw < 0) {
        return failed("duplicating a descriptor");
    }
    return Pipe{std::move(read), Fd(raw)};
}

Result<Fd> open_stream(const std::string& path, int flags) {
    const int raw = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (raw < 0) {
        return failed("opening '" + path + "'");
    }
    return above_streams(raw);
}

// What execve(2) wants, built before fork().
class Image {
  public:
    static Result<Image> prepare(const Command& command) {
        if (command.argv.empty()) {
            return Error(Code::InvalidInput, "a command without a program");
        }
        Image image;
        image.add_environment(command);
        image.path_ = TRY(image.find_program(command.argv[0]));
        image.arguments_ = command.argv;
        return image;
    }

    const char* path() const { return path_.c_str(); }

    std::vector<char*> arguments() { return pointers(arguments_); }

    std::vector<char*> environment() { return pointers(environment_); }

  private:
    static std::vector<char*> pointers(std::vector<std::string>& strings) {
        std::vector<char*> out;
        for (std::string& s : strings) {
            out.push_back(s.data());
        }
        out.push_back(nullptr);
        return out;
    }

    void add_environment(const Command& command) {
        for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
            const std::string_view text = *entry;
            const auto overrides = [&](const auto& added) {
                return text.substr(0, text.find('=')) == added.first;
            };
            if (std::none_of(command.environment.begin(), command.environment.end(), overrides)) {
                environment_.emplace_back(text);
            }
        }
        for (const auto& [key, value] : command.environment) {
            environment_.push_back(key + "=" + value);
        }
    }

    std::string search_path() const {
        for (const std::string& entry : environment_) {
            if (entry.starts_with("PATH=")) {
                return entry.substr(5);
            }
        }
        return "/usr/local/bin:/usr/bin:/bin";
    }

    Result<std::string> find_program(const std::string& program) const {
        if (program.find('/') != std::string::npos) {
            return program;
        }
        const std::string path = search_path();
        for (std::size_t at = 0; at <= path.size();) {
            const std::size_t end = std::min(path.find(':', at), path.size());
            const std::string directory = path.substr(at, end - at);
            const std::string candidate = (directory.empty() ? "." : directory) + "/" + program;
            if (::access(candidate.c_str(), X_OK) == 0) {
                return candidate;
            }
            at = end + 1;
        }
        return Error(Code::NotFound, "program '" + program + "' is not in PATH");
    }

    std::string path_;
    std::vector<std::string> arguments_;
    std::vector<std::string> environment_;
};

// All that the child needs between fork() and exec(): plain pointers and numbers.
struct Launch {
    const char* path;
    char* const* arguments;
    char* const* environment;
    const char* directory;  // nullptr: stay
    long uid;               // -1: keep
    long gid;
    int input;
    int output;
    int report;
};

void reset_signals() {
    struct sigaction defaults{};
    defaults.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) {
        ::sigaction(number, &defaults,
                    nullptr);  // SIGKILL, SIGSTOP and libc's own refuse; they need no reset
    }
    sigset_t none{};
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The raw calls: libc's would signal the threads that this copy of the process does not have.
bool change_user(const Launch& launch, Step& step) {
    step = Step::Group;
    if ((launch.uid >= 0 || launch.gid >= 0) && ::syscall(SYS_setgroups, 0, nullptr) != 0) {
        return false;
    }
    if (launch.gid >= 0 && ::syscall(SYS_setresgid, launch.gid, launch.gid, launch.gid) != 0) {
        return false;
    }
    step = Step::User;
    return launch.uid < 0 || ::syscall(SYS_setresuid, launch.uid, launch.uid, launch.uid) == 0;
}

// Returns only when a step failed; errno says why.
Step become(const Launch& launch) {
    if (::setsid() < 0) {
        return Step::Session;
    }
    if (::dup2(launch.input, STDIN_FILENO) < 0 || ::dup2(launch.output, STDOUT_FILENO) < 0 ||
        ::dup2(launch.output, STDERR_FILENO) < 0) {
        return Step::Streams;
    }
    Step step = Step::Group;
    if (!change_user(launch, step)) {
        return step;
    }
    if (launch.directory != nullptr && ::chdir(launch.directory) != 0) {
        return Step::Directory;
    }
    // A library may have opened a descriptor without close-on-exec: nothing but the streams reaches
    // the program.
    ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    reset_signals();
    ::execve(launch.path, launch.arguments, launch.environment);
    return Step::Exec;
}

[[noreturn]] void run_child(const Launch& launch) {
    const Step step = become(launch);
    const Report report{step, errno};
    // A pipe takes so few bytes at once or not at all; with no reader left there is nobody to tell.
    const ssize_t written = ::write(launch.report, &report, sizeof report);
    ::_exit(written < 0 ? 126 : 127);
}

// Signals wait while the child still runs our code: a handler of ours must not run in two
// processes.
int fork_quietly(const Launch& launch) {
    sigset_t all{};
    sigset_t before{};
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const int pid = ::fork();
    if (pid == 0) {
        run_child(launch);
    }
    const int number = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = number;
    return pid;
}

int status_of(int raw) {
    return WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
}

int reap(int pid) {
    int raw = 0;
    while (::waitpid(pid, &raw, 0) < 0) {
        if (errno != EINTR) {
            return 255;  // somebody else took the status
        }
    }
    return status_of(raw);
}

bool has_ended(int pid) {
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
        if (errno != EINTR) {
            return true;
        }
    }
    return info.si_pid == pid;
}

void kill_group(int pid) {
    ::kill(-pid, SIGKILL);
}

// Blocks until the child ended, `output` (if any) has something or ended, or the time is up.
class Waiter {
  public:
    explicit Waiter(int pid) : handle_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U))) {}

    void wait(const Fd& output, SteadyTime until) const {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())
                .count();
        // Without process handles (an old kernel, a strict sandbox) look again every few
        // milliseconds.
        const std::int64_t longest = handle_.is_open() ? 60'000 : 5;
        std::array<pollfd, 2> events = {pollfd{handle_.get(), POLLIN, 0},
                                        pollfd{output.get(), POLLIN, 0}};
        ::poll(events.data(), events.size(),
               static_cast<int>(std::clamp<std::int64_t>(left, 0, longest)));
    }

  private:
    Fd handle_;
};

// Takes what is there; closes `from` at its end.
void drain(Fd& from, std::string& into) {
    std::array<char, 64 * kKiB> buffer{};
    while (from.is_open()) {
        const ssize_t n = ::read(from.get(), buffer.data(), buffer.size());
        if (n > 0) {
            into.append(buffer.data(), static_cast<std::size_t>(n));
            if (into.size() > 2 * kKeptOutput) {
                into.erase(0, into.size() - kKeptOutput);
            }
        } else if (n == 0) {
            from.reset();
        } else if (errno != EINTR) {
            return;
        }
    }
}

SteadyTime deadline(Duration limit) {
    constexpr Duration kCentury =
        std::chrono::hours(24 * 36525);  // beyond it the clock's own range ends
    return std::chrono::steady_clock::now() + std::min(limit, kCentury);
}

Result<int> launch(const Command& command, int output) {
    Image image = TRY(Image::prepare(command));
    const Fd input = TRY(open_stream("/dev/null", O_RDONLY));
    Pipe report = TRY(make_pipe());
    const std::vector<char*> arguments = image.arguments();
    const std::vector<char*> environment = image.environment();
    const Launch plan{image.path(),
                      arguments.data(),
                      environment.data(),
                      command.directory.empty() ? nullptr : command.directory.c_str(),
                      command.uid ? static_cast<long>(*command.uid) : -1,
                      command.gid ? static_cast<long>(*command.gid) : -1,
                      input.get(),
                      output,
                      report.write.get()};
    const int pid = fork_quietly(plan);
    if (pid < 0) {
        return failed("starting a process");
    }
    report.write.reset();
    Report failure{};
    ssize_t n = 0;
    do {
        n = ::read(report.read.get(), &failure, sizeof failure);
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        return pid;
    }
    reap(pid);
    if (n != sizeof failure) {
        return Error(Code::Unavailable, "the new process ended before its program began");
    }
    const std::string& object =
        failure.step == Step::Directory ? command.directory : command.argv[0];
    return os_failure(std::string(name(failure.step)) + " '" + object + "'", failure.number);
}

}  // namespace

Result<Finished> run(const Command& command, Duration limit) {
    const bool capture = command.log_file.empty();
    Pipe pipe;
    if (capture) {
        pipe = TRY(make_pipe());
        ::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK);
    } else {
        pipe.write = TRY(open_stream(command.log_file, O_WRONLY | O_CREAT | O_APPEND));
    }
    const SteadyTime until = deadline(limit);
    const int pid = TRY(launch(command, pipe.write.get()));
    pipe.write.reset();
    Finished finished;
    const Waiter waiter(pid);
    while (!has_ended(pid)) {
        if (std::chrono::steady_clock::now() >= until) {
            kill_group(pid);
            reap(pid);
            return Error(Code::Cancelled,
                         "'" + command.argv[0] + "' did not end within " + human_duration(limit));
        }
        waiter.wait(pipe.read, until);
        drain(pipe.read, finished.output);
    }
    drain(pipe.read, finished.output);
    finished.exit_status = reap(pid);
    if (finished.output.size() > kKeptOutput) {
        finished.output.erase(0, finished.output.size() - kKeptOutput);
    }
    return finished;
}

Result<Child> Child::start(const Command& command) {
    const bool discard = command.log_file.empty();
    const Fd output =
        TRY(open_stream(discard ? "/dev/null" : command.log_file, O_WRONLY | O_CREAT | O_APPEND));
    const int pid = TRY(launch(command, output.get()));
    return Child(pid);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), status_(std::exchange(other.status_, std::nullopt)) {}

Child& Child::operator=(Child&& other) noexcept {
    if (this != &other) {
        finish();
        pid_ = std::exchange(other.pid_, -1);
        status_ = std::exchange(other.status_, std::nullopt);
    }
    return *this;
}

Child::~Child() {
    finish();
}

int Child::finish() {
    if (pid_ > 0 && !status_) {
        kill_group(pid_);
        status_ = reap(pid_);
    }
    return status_.value_or(0);
}

bool Child::running() {
    if (pid_ <= 0 || status_) {
        return false;
    }
    if (!has_ended(pid_)) {
        return true;
    }
    finish();
    return false;
}

std::optional<int> Child::exit_status() {
    running();
    return status_;
}

void Child::signal(int number) {
    if (pid_ > 0 && !status_) {
        ::kill(pid_, number);
    }
}

int Child::stop(int number, Duration grace) {
    const SteadyTime until = deadline(grace);
    signal(number);
    const Fd nothing;
    if (running()) {
        const Waiter waiter(pid_);
        while (running() && std::chrono::steady_clock::now() < until) {
            waiter.wait(nothing, until);
        }
    }
    return finish();
}

void Child::detach() {
    pid_ = -1;
}

}  // namespace lifeboat::base

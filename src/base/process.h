#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace lifeboat::base {

struct Command {
    // argv[0] is a path, or is looked up in PATH; no shell is involved.
    std::vector<std::string> argv;
    std::vector<std::pair<std::string, std::string>> environment;  // added to this process's own
    std::string directory;                                         // empty: inherit
    std::optional<std::uint32_t> uid;                              // run as this user (needs root)
    std::optional<std::uint32_t> gid;
    // Standard output and error are appended here. Empty: run() captures them, a Child's are lost.
    std::string log_file;
};

struct Finished {
    int exit_status = 0;  // 128 + signal number when it was killed
    std::string output;   // standard output and error as they came, at most the last 1 MiB
};

// Runs to the end, or kills the process group after `limit` (Cancelled). NotFound when the program
// does not exist. What the program leaves running in the background is left alone. The program
// starts in a session of its own, with default signals, standard input from /dev/null, no other
// open file, and no supplementary groups when `uid` or `gid` is set.
Result<Finished> run(const Command& command, Duration limit);

// A child in its own process group. The destructor kills the group and reaps it: nothing that we
// start outlives us by accident. When the child itself has ended, what is left of its group is
// killed too; who leaves the group (a daemon) lives on. One thread at a time.
class Child {
  public:
    static Result<Child> start(const Command& command);
    Child(Child&& other) noexcept;
    Child& operator=(Child&& other) noexcept;
    ~Child();

    int pid() const { return pid_; }

    bool running();                    // reaps when it has ended
    std::optional<int> exit_status();  // known once it has ended; as in Finished
    void signal(int number);           // to the process itself
    // SIGTERM-like `number`, then SIGKILL to the group after `grace`. Returns the exit status.
    int stop(int number, Duration grace);
    void detach();  // leaves it running; pid() is then -1

  private:
    explicit Child(int pid) : pid_(pid) {}

    int finish();
    int pid_ = -1;
    std::optional<int> status_;
};

}  // namespace lifeboat::base

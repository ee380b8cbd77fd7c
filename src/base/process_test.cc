#include "base/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "tests/support/expect.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using test::fails;
using test::ok;
using test::TempDir;
using testing::HasSubstr;

constexpr Duration kPatience = seconds(30);

Command shell(std::string script) {
    Command command;
    command.argv = {"sh", "-c", std::move(script)};
    return command;
}

std::string output_of(const Command& command) {
    const auto finished = run(command, kPatience);
    EXPECT_TRUE(ok(finished));
    return finished ? finished->output : "";
}

bool is_alive(int pid) {
    return ::kill(pid, 0) == 0;
}

// Waits for what another process does, without a fixed pause.
template <class Condition>
bool eventually(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

int read_pid(const std::string& path) {
    int pid = 0;
    eventually([&] {
        const auto bytes = read_file(real_files(), path);
        pid = bytes && text(*bytes).ends_with('\n') ? std::atoi(std::string(text(*bytes)).c_str())
                                                    : 0;
        return pid != 0;
    });
    return pid;
}

TEST(Run, ReturnsStatusAndOutputOfBothStreams) {
    const auto finished = run(shell("echo out; echo err >&2; exit 7"), kPatience);
    ASSERT_TRUE(ok(finished));
    EXPECT_EQ(finished->exit_status, 7);
    EXPECT_EQ(finished->output, "out\nerr\n");
    EXPECT_EQ(run(shell("kill -9 $$"), kPatience)->exit_status, 128 + SIGKILL);
}

TEST(Run, PassesArgumentsWithoutAShell) {
    Command command;
    command.argv = {"printf", "%s|", "a b", "$HOME", "*", ""};
    EXPECT_EQ(output_of(command), "a b|$HOME|*||");
}

TEST(Run, AddsToTheEnvironment) {
    ASSERT_EQ(::setenv("LIFEBOAT_TEST_OLD", "inherited", 1), 0);
    ASSERT_EQ(::setenv("LIFEBOAT_TEST_BOTH", "inherited", 1), 0);
    Command command = shell("echo $LIFEBOAT_TEST_OLD $LIFEBOAT_TEST_BOTH $LIFEBOAT_TEST_NEW");
    command.environment = {{"LIFEBOAT_TEST_BOTH", "replaced"}, {"LIFEBOAT_TEST_NEW", "a=b"}};
    EXPECT_EQ(output_of(command), "inherited replaced a=b\n");
}

TEST(Run, RunsInTheDirectory) {
    const TempDir directory;
    Command command = shell("pwd -P");
    command.directory = directory.path();
    EXPECT_EQ(output_of(command), directory.path() + "\n");
    command.directory = directory / "absent";
    const auto failed = run(command, kPatience);
    ASSERT_TRUE(fails(failed, Code::NotFound));
    EXPECT_THAT(failed.error().message(),
                HasSubstr("changing directory '" + directory / "absent'"));
}

TEST(Run, SaysWhenTheProgramCannotBeStarted) {
    Command command;
    EXPECT_TRUE(fails(run(command, kPatience), Code::InvalidInput));
    command.argv = {"no-such-program-here"};
    EXPECT_TRUE(fails(run(command, kPatience), Code::NotFound));
    EXPECT_TRUE(fails(Child::start(command), Code::NotFound));
    command.argv = {"/no/such/program"};
    EXPECT_TRUE(fails(run(command, kPatience), Code::NotFound));
    command.argv = {"/dev/null"};
    EXPECT_TRUE(fails(run(command, kPatience), Code::Denied));
}

TEST(Run, LooksInThePathOfTheNewEnvironment) {
    const TempDir directory;
    ASSERT_TRUE(ok(write_durably(real_files(), directory / "tool", view("#!/bin/sh\necho found\n"),
                                 Replace::No, 0700)));
    Command command;
    command.argv = {"tool"};
    command.environment = {{"PATH", "/nowhere:" + directory.path()}};
    EXPECT_EQ(output_of(command), "found\n");
}

TEST(Run, KillsTheWholeGroupAtTheLimit) {
    const TempDir directory;
    const std::string pid_file = directory / "pid";
    const auto before = std::chrono::steady_clock::now();
    const auto result =
        run(shell("sleep 1000 & echo $! > " + pid_file + "; wait"), milliseconds(200));
    EXPECT_TRUE(fails(result, Code::Cancelled));
    EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(20));
    EXPECT_THAT(result.error().message(), HasSubstr("did not end within 200 ms"));
    const int sleeper = read_pid(pid_file);
    ASSERT_GT(sleeper, 1);
    // Its new parent may not reap it at once, so a zombie counts as dead.
    EXPECT_TRUE(eventually([&] {
        const auto status = read_file(real_files(), "/proc/" + std::to_string(sleeper) + "/stat");
        return !status || text(*status).find(") Z ") != std::string_view::npos;
    }));
}

TEST(Run, DoesNotWaitForWhatWasLeftInTheBackground) {
    const TempDir directory;
    const auto before = std::chrono::steady_clock::now();
    EXPECT_EQ(output_of(shell("sleep 1000 & echo $! > " + directory / "pid" + "; echo done")),
              "done\n");
    EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(20));
    const int sleeper = read_pid(directory / "pid");
    ASSERT_GT(sleeper, 1);
    EXPECT_TRUE(is_alive(sleeper));
    EXPECT_EQ(::kill(sleeper, SIGKILL), 0);
}

TEST(Run, KeepsTheEndOfLongOutput) {
    const std::string output = output_of(
        shell("i=0; while [ $i -lt 4000 ]; do printf '%01000d' $i; i=$((i+1)); done; echo end"));
    EXPECT_EQ(output.size(), kMiB);
    EXPECT_TRUE(output.ends_with("3999end\n"));
}

TEST(Run, AppendsToALogFile) {
    const TempDir directory;
    Command command = shell("echo line; echo again >&2");
    command.log_file = directory / "log";
    EXPECT_EQ(output_of(command), "");
    EXPECT_EQ(output_of(command), "");
    EXPECT_EQ(text(*read_file(real_files(), command.log_file)), "line\nagain\nline\nagain\n");
}

TEST(Run, GivesTheProgramACleanStart) {
    const Fd leaked(::open("/dev/null", O_RDONLY));  // deliberately without close-on-exec
    ASSERT_TRUE(leaked.is_open());
    ASSERT_NE(::signal(SIGPIPE, SIG_IGN), SIG_ERR);
    const std::string output = output_of(
        shell("ls /proc/self/fd | tr '\\n' ' '; cat; grep -E 'Sig(Blk|Ign)' /proc/self/status"));
    ::signal(SIGPIPE, SIG_DFL);
    EXPECT_THAT(output, testing::StartsWith("0 1 2 3 "));  // 3 is the directory that ls reads
    EXPECT_THAT(output, testing::Not(HasSubstr(" 4 ")));
    EXPECT_THAT(output, HasSubstr("SigBlk:\t0000000000000000\n"));
    EXPECT_THAT(output, HasSubstr("SigIgn:\t0000000000000000\n"));
}

TEST(Run, ChangesUserAndDropsGroups) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    std::vector<gid_t> own(static_cast<std::size_t>(::getgroups(0, nullptr)));
    ASSERT_GE(::getgroups(static_cast<int>(own.size()), own.data()), 0);
    const gid_t extra = 4242;
    ASSERT_EQ(::setgroups(1, &extra), 0);
    Command command = shell("id -G; grep -E '^(Uid|Gid)' /proc/self/status");
    command.uid = 65534;
    command.gid = 65534;
    const std::string output = output_of(command);
    ASSERT_EQ(::setgroups(own.size(), own.data()), 0);
    EXPECT_EQ(output,
              "65534\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n");
}

TEST(Run, ChangingUserNeedsThePrivilege) {
    if (::geteuid() == 0) {
        GTEST_SKIP() << "needs a user other than root";
    }
    Command command = shell("true");
    command.uid = 0;
    EXPECT_TRUE(fails(run(command, kPatience), Code::Denied));
}

TEST(Child, RunsUntilItEnds) {
    const TempDir directory;
    const std::string gate = directory / "gate";
    auto child = Child::start(shell("while [ ! -e " + gate + " ]; do :; done; exit 3"));
    ASSERT_TRUE(ok(child));
    EXPECT_GT(child->pid(), 1);
    EXPECT_TRUE(child->running());
    EXPECT_EQ(child->exit_status(), std::nullopt);
    ASSERT_TRUE(ok(write_durably(real_files(), gate, {}, Replace::No)));
    EXPECT_TRUE(eventually([&] { return !child->running(); }));
    EXPECT_EQ(child->exit_status(), 3);
    EXPECT_FALSE(is_alive(child->pid())) << "it was reaped";
    child->signal(SIGTERM);
    EXPECT_EQ(child->stop(SIGTERM, seconds(1)), 3);
}

TEST(Child, StopAsksBeforeItKills) {
    const TempDir directory;
    auto polite = Child::start(
        shell("trap 'exit 5' TERM; echo $$ > " + directory / "ready" + "; while :; do :; done"));
    ASSERT_TRUE(ok(polite));
    ASSERT_EQ(read_pid(directory / "ready"), polite->pid());
    EXPECT_EQ(polite->stop(SIGTERM, kPatience), 5);
    auto stubborn = Child::start(
        shell("trap '' TERM; echo $$ > " + directory / "stubborn" + "; while :; do :; done"));
    ASSERT_TRUE(ok(stubborn));
    ASSERT_EQ(read_pid(directory / "stubborn"), stubborn->pid());
    EXPECT_EQ(stubborn->stop(SIGTERM, milliseconds(20)), 128 + SIGKILL);
    EXPECT_FALSE(stubborn->running());
}

TEST(Child, TheDestructorLeavesNothingBehind) {
    const TempDir directory;
    int leader = 0;
    int helper = 0;
    {
        auto child = Child::start(shell("sleep 1000 & echo $! > " + directory / "pid" + "; wait"));
        ASSERT_TRUE(ok(child));
        leader = child->pid();
        helper = read_pid(directory / "pid");
        ASSERT_GT(helper, 1);
        Child moved = *std::move(child);
        EXPECT_EQ(moved.pid(), leader);
        EXPECT_TRUE(moved.running());
    }
    EXPECT_FALSE(is_alive(leader));
    EXPECT_TRUE(eventually([&] {
        const auto status = read_file(real_files(), "/proc/" + std::to_string(helper) + "/stat");
        return !status || text(*status).find(") Z ") != std::string_view::npos;
    }));
}

TEST(Child, DetachLeavesItRunning) {
    int pid = 0;
    {
        auto child = Child::start(shell("sleep 1000"));
        ASSERT_TRUE(ok(child));
        pid = child->pid();
        child->detach();
    }
    EXPECT_TRUE(is_alive(pid));
    EXPECT_EQ(::kill(-pid, SIGKILL), 0);
    EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST(Child, LeadsASessionOfItsOwn) {
    auto child = Child::start(shell("sleep 1000"));
    ASSERT_TRUE(ok(child));
    EXPECT_EQ(::getsid(child->pid()), child->pid());
    EXPECT_EQ(::getpgid(child->pid()), child->pid());
}

}  // namespace
}  // namespace lifeboat::base

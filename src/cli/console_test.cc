#include "cli/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

namespace lifeboat::cli {
namespace {

std::string printed(const std::function<void()>& body) {
    testing::internal::CaptureStdout();
    body();
    std::fflush(stdout);
    return testing::internal::GetCapturedStdout();
}

TEST(Console, ATableIsAsWideAsItsWidestCells) {
    Console console({}, "list");
    EXPECT_EQ(printed([&] {
                  console.table({{"name", "size"}, {"a", "1 B"}, {"längste", "12 KiB"}, {"", "x"}});
              }),
              "name     size\n"
              "a        1 B\n"
              "längste  12 KiB\n"
              "         x\n");
}

// Standard output and error are a terminal of this kind, while it lives.
class OnATerminal {
  public:
    explicit OnATerminal(const char* kind) {
        const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
        EXPECT_EQ(::grantpt(master), 0);
        EXPECT_EQ(::unlockpt(master), 0);
        const int slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
        EXPECT_GE(slave, 0);
        std::fflush(stdout);
        for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
            kept_.push_back(::dup(fd));
            ::dup2(slave, fd);
        }
        ::close(slave);
        kept_.push_back(master);
        ::setenv("TERM", kind, 1);
    }

    OnATerminal(const OnATerminal&) = delete;
    OnATerminal& operator=(const OnATerminal&) = delete;

    ~OnATerminal() {
        std::fflush(stdout);
        ::dup2(kept_[0], STDOUT_FILENO);
        ::dup2(kept_[1], STDERR_FILENO);
        for (const int fd : kept_) {
            ::close(fd);
        }
        ::unsetenv("TERM");
    }

  private:
    std::vector<int> kept_;
};

TEST(Console, ADumbTerminalIsNone) {
    const std::pair<const char*, bool> cases[] = {
        {"xterm-256color", true}, {"linux", true}, {"dumb", false}, {"", false}};
    ::unsetenv("NO_COLOR");
    for (const auto& [kind, colours] : cases) {
        std::string tinted;
        {
            const OnATerminal terminal(kind);
            tinted = Console({}, "list").tint(Tone::Good, "ok");
        }
        EXPECT_EQ(tinted != "ok", colours) << kind;
    }
}

TEST(Console, ATableMayBeRagged) {
    Console console({}, "list");
    EXPECT_EQ(printed([&] { console.table({{"a", "b", "c"}, {"long"}, {"x", "yy"}}); }),
              "a     b   c\n"
              "long\n"
              "x     yy\n");
    EXPECT_EQ(printed([&] { console.table({}); }), "");
}

TEST(Console, WithJsonThereIsOneObjectAndNothingElse) {
    Common common;
    common.json = true;
    Console console(common, "backup");
    EXPECT_EQ(
        printed([&] {
            console.line("words");
            console.note("more words");
            console.complain(base::Error(base::Code::Bug, "words"));
            EXPECT_EQ(console.finish(base::Json::object().set("ok", true), 3), 3);
        }),
        "{\n  \"lifeboat\": 1,\n  \"verb\": \"backup\",\n  \"exit\": 3,\n  \"result\": {\n    "
        "\"ok\": true\n  }\n}\n");
}

TEST(Console, AFailureEndsWithItsExitCode) {
    Console console({}, "backup");
    testing::internal::CaptureStderr();
    EXPECT_EQ(console.fail(base::Error(base::Code::Refused, "not safe").hint("Do not.")), 4);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "lifeboat: not safe\nhint: Do not.\n");
}

TEST(Console, ProgressThatEndsAtOnceSaysNothing) {
    Console console({}, "backup");
    testing::internal::CaptureStderr();
    console.progress([] { return Console::Tick{"x", 1, 2}; }).reset();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace lifeboat::cli

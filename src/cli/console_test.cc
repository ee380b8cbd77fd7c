#include "cli/console.h"

#include <gtest/gtest.h>

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

#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "base/workers.h"
#include "tests/support/expect.h"

namespace lifeboat::base {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::MatchesRegex;

class Log : public testing::Test {
  protected:
    Log() {
        set_log_sink([this](std::string_view line) { lines_.emplace_back(line); });
    }

    ~Log() override {
        set_log_sink(nullptr);
        set_log(LogLevel::Info, LogFormat::Text);
    }

    std::vector<std::string> lines_;
};

TEST_F(Log, TextLinesHaveTimeLevelMessageAndFields) {
    log(LogLevel::Warn, "stream: reconnecting", {{"system", "prod"}, {"attempt", "3"}});
    log(LogLevel::Error, "plain");
    EXPECT_THAT(
        lines_,
        ElementsAre(
            MatchesRegex(
                "[0-9]{2}:[0-9]{2}:[0-9]{2} warn  stream: reconnecting  system=prod attempt=3"),
            MatchesRegex("[0-9:]{8} error plain")));
}

TEST_F(Log, ValuesCannotForgeLines) {
    log(LogLevel::Info, "a\nb",
        {{"path", "x y\n12:00:00 error forged\x1b[2J"}, {"empty", ""}, {"quote", "a\"b=c"}});
    ASSERT_EQ(lines_.size(), 1U);
    EXPECT_EQ(lines_[0].find_first_of("\n\x1b"), std::string::npos);
    EXPECT_THAT(
        lines_[0],
        EndsWith(R"(a\x0ab  path="x y\x0a12:00:00 error forged\x1b[2J" empty="" quote="a\"b=c")"));
}

TEST_F(Log, LevelsBelowTheLeastAreSilent) {
    log(LogLevel::Debug, "unseen");
    set_log(LogLevel::Warn, LogFormat::Text);
    log(LogLevel::Info, "unseen");
    log(LogLevel::Warn, "seen");
    EXPECT_THAT(lines_, ElementsAre(EndsWith("seen")));
}

TEST_F(Log, JsonLinesParse) {
    set_log(LogLevel::Debug, LogFormat::Json);
    log(LogLevel::Debug, "say \"hello\"", {{"system", "prod\n"}});
    ASSERT_EQ(lines_.size(), 1U);
    const auto line = Json::parse(lines_[0]);
    ASSERT_TRUE(test::ok(line));
    EXPECT_EQ(line->text("level").value(), "debug");
    EXPECT_EQ(line->text("message").value(), "say \"hello\"");
    EXPECT_EQ(line->text("system").value(), "prod\n");
    EXPECT_TRUE(test::ok(line->text("time")));
}

TEST_F(Log, LinesOfThreadsDoNotMix) {
    const auto all = run_parallel(4, [](std::size_t worker) -> Result<> {
        for (int i = 0; i < 100; ++i) {
            log(LogLevel::Info, std::string(50, static_cast<char>('a' + worker)));
        }
        return {};
    });
    EXPECT_TRUE(test::ok(all));
    EXPECT_EQ(lines_.size(), 400U);
    EXPECT_THAT(lines_, testing::Each(MatchesRegex("[0-9:]{8} info  (a{50}|b{50}|c{50}|d{50})")));
}

TEST(LogToStandardError, WritesOneLine) {
    testing::internal::CaptureStderr();
    log(LogLevel::Info, "hello");
    EXPECT_THAT(testing::internal::GetCapturedStderr(), EndsWith(" info  hello\n"));
}

}  // namespace
}  // namespace lifeboat::base

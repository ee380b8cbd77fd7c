#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/stop.h"

namespace lifeboat::base {
namespace {

Error not_found() {
    return Error(Code::NotFound, "object 'x' does not exist");
}

TEST(Error, MessageReadsFromTheOutsideIn) {
    const Error error = not_found().during("reading pack").during("restoring 'prod'");
    EXPECT_EQ(error.message(), "restoring 'prod': reading pack: object 'x' does not exist");
    EXPECT_EQ(error.what(), "object 'x' does not exist");
    EXPECT_EQ(error.trail(), (std::vector<std::string>{"reading pack", "restoring 'prod'"}));
}

TEST(Error, TheInnermostHintWins) {
    const Error error = not_found().hint("Run 'lifeboat repo check'.").hint("Try again.");
    EXPECT_EQ(error.hint(), "Run 'lifeboat repo check'.");
}

TEST(Error, CloneIsWhole) {
    const Error error = not_found().during("reading").hint("Look.").with_os_error(ENOENT);
    const Error copy = error.clone();
    EXPECT_EQ(copy.message(), error.message());
    EXPECT_EQ(copy.hint(), "Look.");
    EXPECT_EQ(copy.os_error(), ENOENT);
    EXPECT_EQ(not_found().recode(Code::Corrupt).code(), Code::Corrupt);
}

TEST(Error, OsFailuresSayWhatACallerCanDo) {
    const std::pair<int, Code> cases[] = {
        {ENOENT, Code::NotFound},
        {EACCES, Code::Denied},
        {EROFS, Code::Denied},
        {EEXIST, Code::Conflict},
        {ENOTEMPTY, Code::Conflict},
        {ENOSPC, Code::NoSpace},
        {EDQUOT, Code::NoSpace},
        {EIO, Code::Unavailable},
        {EMFILE, Code::Unavailable},
        {ETIMEDOUT, Code::Unavailable},
        {ENAMETOOLONG, Code::InvalidInput},
    };
    for (const auto& [number, code] : cases) {
        const Error error = os_failure("opening '/x'", number);
        EXPECT_EQ(error.code(), code) << number;
        EXPECT_EQ(error.os_error(), number);
        EXPECT_TRUE(error.message().starts_with("opening '/x': ")) << error.message();
    }
}

TEST(Error, ExitCodesAreTheContract) {
    const std::pair<Code, int> cases[] = {
        {Code::NotFound, 1},        {Code::Corrupt, 1},        {Code::Unavailable, 1},
        {Code::Denied, 1},          {Code::Conflict, 1},       {Code::NoSpace, 1},
        {Code::Cancelled, 1},       {Code::Unsupported, 1},    {Code::Bug, 1},
        {Code::InvalidInput, 2},    {Code::Partial, 3},        {Code::Refused, 4},
        {Code::ObjectiveMissed, 5}, {Code::OutcomeUnknown, 6},
    };
    for (const auto& [code, exit] : cases) {
        EXPECT_EQ(exit_code(code), exit) << name(code);
        EXPECT_EQ(is_transient(code), code == Code::Unavailable) << name(code);
    }
}

Result<int> half(int n) {
    if (n % 2 != 0) {
        return Error(Code::InvalidInput, "odd");
    }
    return n / 2;
}

Result<int> quarter(int n) {
    const int first = TRY(half(n));
    const int second = TRY(half(first).during("second half"));
    return second;
}

TEST(Try, UnwrapsOrReturnsTheError) {
    EXPECT_EQ(quarter(8).value(), 2);
    EXPECT_EQ(quarter(7).error().message(), "odd");
    EXPECT_EQ(quarter(6).error().message(), "second half: odd");
}

Result<> only_if(bool allowed, int& reached) {
    if (!allowed) {
        return not_found();
    }
    ++reached;
    return {};
}

Result<> both(bool first, bool second, int& reached) {
    TRY(only_if(first, reached));
    TRY(only_if(second, reached));
    return {};
}

TEST(Try, StopsAtTheFirstFailure) {
    int reached = 0;
    EXPECT_FALSE(both(false, true, reached).has_value());
    EXPECT_EQ(reached, 0);
    EXPECT_FALSE(both(true, false, reached).has_value());
    EXPECT_EQ(reached, 1);
    EXPECT_TRUE(both(true, true, reached).has_value());
}

Result<std::unique_ptr<int>> boxed(bool fail) {
    if (fail) {
        return not_found();
    }
    return std::make_unique<int>(7);
}

Result<int> opened_box(bool fail) {
    const std::unique_ptr<int> box = TRY(boxed(fail));
    return *box;
}

TEST(Try, MovesWhatCannotBeCopied) {
    EXPECT_EQ(opened_box(false).value(), 7);
    EXPECT_FALSE(opened_box(true).has_value());
    EXPECT_EQ(**boxed(false), 7);
}

TEST(Result, DuringAndHintLeaveSuccessAlone) {
    EXPECT_EQ(half(4).during("x").hint("y").value(), 2);
    EXPECT_TRUE(Result<>().during("x").hint("y").has_value());
    EXPECT_EQ(Result<>(not_found()).during("x").hint("Y.").error().hint(), "Y.");
}

TEST(StopToken, FailsOnceRequested) {
    StopToken stop;
    EXPECT_TRUE(stop.check().has_value());
    stop.request();
    EXPECT_TRUE(stop.requested());
    EXPECT_EQ(stop.check().error().code(), Code::Cancelled);
}

TEST(CheckDeathTest, AbortsWithTheConditionAndPlace) {
    LB_CHECK(1 + 1 == 2);
    EXPECT_DEATH(LB_CHECK(1 + 1 == 3), "1 \\+ 1 == 3.*result_test\\.cc");
}

}  // namespace
}  // namespace lifeboat::base

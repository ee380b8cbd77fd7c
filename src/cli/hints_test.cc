#include "cli/hints.h"

#include <gtest/gtest.h>

namespace lifeboat::cli {
namespace {

using base::Code;
using base::Error;

TEST(HintFor, IsTheErrorsOwnWhereItHasOne) {
    EXPECT_EQ(hint_for(Error(Code::NoSpace, "full").hint("Buy a disk.")), "Buy a disk.");
}

TEST(HintFor, IsAWholeSentenceForEveryCode) {
    for (int code = 0; code <= static_cast<int>(Code::Bug); ++code) {
        const std::string hint = hint_for(Error(static_cast<Code>(code), "x"));
        EXPECT_FALSE(hint.empty());
        EXPECT_EQ(hint.back(), '.') << base::name(static_cast<Code>(code));
    }
}

}  // namespace
}  // namespace lifeboat::cli

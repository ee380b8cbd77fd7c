#include "postgres/recovery_branches.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"

namespace lifeboat::postgres {
namespace {

using test::ok;

// 1 -> 2 at 500, 2 -> 4 at 800, 1 -> 3 at 300.
TimelineTree branched() {
    TimelineTree tree;
    EXPECT_TRUE(ok(tree.add({2, {{1, Lsn{500}, ""}}})));
    EXPECT_TRUE(ok(tree.add({4, {{1, Lsn{500}, ""}, {2, Lsn{800}, ""}}})));
    EXPECT_TRUE(ok(tree.add({3, {{1, Lsn{300}, ""}}})));
    return tree;
}

TEST(Parting, IsWhereTheLastCommonTimelineIsLeft) {
    const TimelineTree tree = branched();

    const struct {
        TimelineId a, b;
        Lsn at;
    } cases[] = {{1, 2, Lsn{500}}, {1, 4, Lsn{500}}, {2, 4, Lsn{800}},
                 {3, 4, Lsn{300}}, {2, 3, Lsn{300}}, {1, 3, Lsn{300}}};

    for (const auto& c : cases) {
        EXPECT_EQ(parting(tree, c.a, c.b), c.at) << c.a << " and " << c.b;
        EXPECT_EQ(parting(tree, c.b, c.a), c.at) << c.b << " and " << c.a;
    }
}

TEST(Parting, OfStrangersIsNowhere) {
    TimelineTree tree = branched();
    ASSERT_TRUE(ok(tree.add({9, {}})));
    EXPECT_EQ(parting(tree, 9, 4), std::nullopt);
}

}  // namespace
}  // namespace lifeboat::postgres

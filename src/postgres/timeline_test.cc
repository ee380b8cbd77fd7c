#include "postgres/timeline.h"

#include <gtest/gtest.h>

namespace lifeboat::postgres {
namespace {

using Spans = std::vector<TimelineSpan>;

TimelineHistory history(TimelineId timeline, const char* text) {
    return parse_history(timeline, text).value();
}

TEST(TimelineHistory, IsReadAsServersWriteIt) {
    const TimelineHistory h = history(3,
                                      "1\t0/3000148\tno recovery target "
                                      "specified\n\n2\t0/5000000\tbefore 2024-01-01 00:00:00+00\n");
    ASSERT_EQ(h.ancestors.size(), 2U);
    EXPECT_EQ(h.timeline, 3U);
    EXPECT_EQ(h.ancestors[0].timeline, 1U);
    EXPECT_EQ(h.ancestors[0].at, Lsn{0x3000148});
    EXPECT_EQ(h.ancestors[0].reason, "no recovery target specified");
    EXPECT_EQ(h.ancestors[1].reason, "before 2024-01-01 00:00:00+00");
}

TEST(TimelineHistory, MayHoldCommentsBlanksAndNoReason) {
    const TimelineHistory h = history(4, "# made by hand\r\n   \n  2 1/A0\n\t# and\n3\t1/B0\t\r\n");
    ASSERT_EQ(h.ancestors.size(), 2U);
    EXPECT_EQ(h.ancestors[0].at, (Lsn{0x1000000A0}));
    EXPECT_EQ(h.ancestors[1].reason, "");
}

TEST(TimelineHistory, IsCorruptWhenItCannotBeTrue) {
    for (const char* text :
         {"", "\n", "# nothing\n", "1\n", "1\t0/0\tx\n", "x\t0/10\n", "1\t0-10\n", "-1\t0/10\n",
          "0\t0/10\n", "1.5\t0/10\n", "1\t0/1000000000\n", "2\t0/10\tx\n1\t0/20\ty\n",
          "1\t0/10\tx\n1\t0/20\ty\n", "3\t0/10\n", "4\t0/10\n", "4294967296\t0/10\n",
          "1\t0/10\tx\n2\t0/"}) {
        EXPECT_EQ(parse_history(3, text).error().code(), Code::Corrupt) << text;
    }
}

TEST(TimelineTree, KnowsWhereATimelineCameFrom) {
    TimelineTree tree;
    ASSERT_TRUE(tree.add(history(2, "1\t0/200\n")));
    ASSERT_TRUE(tree.add(history(3, "1\t0/200\n2\t0/300\n")));
    ASSERT_TRUE(tree.add(history(4, "1\t0/200\n2\t0/250\n")));
    ASSERT_TRUE(tree.add({5, {}}));
    EXPECT_EQ(tree.timelines(), (std::vector<TimelineId>{1, 2, 3, 4, 5}));
    EXPECT_EQ(tree.origin(3)->timeline, 2U);
    EXPECT_EQ(tree.origin(3)->at, Lsn{0x300});
    EXPECT_FALSE(tree.origin(1));
    EXPECT_FALSE(tree.origin(5));
    EXPECT_TRUE(tree.is_ancestor(1, 4));
    EXPECT_TRUE(tree.is_ancestor(4, 4));
    EXPECT_FALSE(tree.is_ancestor(3, 4));
    EXPECT_FALSE(tree.is_ancestor(4, 1));
    EXPECT_FALSE(tree.is_ancestor(1, 5));
    EXPECT_FALSE(tree.is_ancestor(1, 9));
    EXPECT_EQ(tree.departure(1, 4).value(), Lsn{0x200});
    EXPECT_EQ(tree.departure(2, 4).value(), Lsn{0x250});
    EXPECT_EQ(tree.departure(4, 4).value(), Lsn{});
    EXPECT_EQ(tree.departure(3, 4).error().code(), Code::NotFound);
    EXPECT_EQ(tree.departure(1, 9).error().code(), Code::NotFound);
}

TEST(TimelineTree, LearnsAncestorsFromADescendant) {
    TimelineTree tree;
    ASSERT_TRUE(tree.add(history(4, "1\t0/200\n3\t0/300\n")));
    EXPECT_EQ(tree.origin(3)->at, Lsn{0x200});
    EXPECT_FALSE(tree.knows(2));
}

TEST(TimelineTree, ChoosesTheTimelineOfEachByte) {
    TimelineTree tree;
    ASSERT_TRUE(tree.add(history(3, "1\t0/200\n2\t0/300\n")));
    for (const auto& [at, timeline] : std::vector<std::pair<std::uint64_t, TimelineId>>{
             {0x1, 1}, {0x1FF, 1}, {0x200, 2}, {0x2FF, 2}, {0x300, 3}, {0x9000, 3}}) {
        EXPECT_EQ(tree.timeline_at(Lsn{at}, 3).value(), timeline) << at;
    }
    EXPECT_EQ(tree.timeline_at(Lsn{0x9000}, 2).value(), 2U);
    EXPECT_EQ(tree.timeline_at(Lsn{1}, 7).error().code(), Code::NotFound);
}

TEST(TimelineTree, FindsThePathToATarget) {
    TimelineTree tree;
    ASSERT_TRUE(tree.add(history(3, "1\t0/200\n2\t0/300\n")));
    EXPECT_EQ(
        tree.path(1, Lsn{0x100}, 3).value(),
        (Spans{{1, Lsn{0x100}, Lsn{0x200}}, {2, Lsn{0x200}, Lsn{0x300}}, {3, Lsn{0x300}, {}}}));
    EXPECT_EQ(tree.path(1, Lsn{0x200}, 3).value(),
              (Spans{{2, Lsn{0x200}, Lsn{0x300}}, {3, Lsn{0x300}, {}}}));
    EXPECT_EQ(tree.path(2, Lsn{0x280}, 3).value(),
              (Spans{{2, Lsn{0x280}, Lsn{0x300}}, {3, Lsn{0x300}, {}}}));
    EXPECT_EQ(tree.path(3, Lsn{0x900}, 3).value(), (Spans{{3, Lsn{0x900}, {}}}));
    EXPECT_EQ(tree.path(1, Lsn{0x900}, 1).value(), (Spans{{1, Lsn{0x900}, {}}}));
}

TEST(TimelineTree, RefusesAPathFromWalThatTheTargetNeverHad) {
    TimelineTree tree;
    ASSERT_TRUE(tree.add(history(3, "1\t0/200\n2\t0/300\n")));
    ASSERT_TRUE(tree.add(history(4, "1\t0/200\n2\t0/250\n")));
    const auto past = tree.path(2, Lsn{0x251}, 4);
    EXPECT_EQ(past.error().code(), Code::Conflict);
    EXPECT_EQ(past.error().what(), "timeline 4 knows timeline 2 until 0/250 only, not 0/251");
    EXPECT_EQ(tree.path(3, Lsn{0x100}, 4).error().code(), Code::Conflict);
    EXPECT_EQ(tree.path(1, Lsn{0x100}, 9).error().code(), Code::NotFound);
}

// A server that follows timeline 2, but stops before 2 began, names 2 as its parent all the same.
TEST(TimelineTree, UnderstandsAStopInThePastOfATimeline) {
    TimelineTree tree;
    ASSERT_TRUE(tree.add(history(2, "1\t0/200\n")));
    ASSERT_TRUE(tree.add(history(3, "1\t0/200\n2\t0/180\n")));
    EXPECT_EQ(tree.path(1, Lsn{0x100}, 3).value(),
              (Spans{{1, Lsn{0x100}, Lsn{0x180}}, {3, Lsn{0x180}, {}}}));
    EXPECT_EQ(tree.timeline_at(Lsn{0x190}, 3).value(), 3U);
    EXPECT_EQ(tree.departure(1, 3).value(), Lsn{0x180});
    EXPECT_EQ(tree.path(1, Lsn{0x190}, 3).error().code(), Code::Conflict);
    EXPECT_EQ(tree.path(2, Lsn{0x210}, 3).error().code(), Code::Conflict);
}

TEST(TimelineTree, RefusesHistoriesThatContradictEachOther) {
    struct Case {
        TimelineId first;
        const char* first_text;
        TimelineId second;
        const char* second_text;
    };

    for (const Case& c : {
             Case{2, "1\t0/200\n", 2, "1\t0/210\n"},  // two servers made the same timeline
             Case{2, "1\t0/200\n", 3, "1\t0/210\n2\t0/300\n"},  // 2 began elsewhere
             Case{3, "1\t0/200\n2\t0/300\n", 4,
                  "1\t0/200\n3\t0/400\n"},  // 3 descends from 2, or does it?
             Case{3, "1\t0/200\n2\t0/300\n", 4,
                  "1\t0/210\n2\t0/400\n"},  // learnt from descendants only
             Case{3, "1\t0/200\n2\t0/300\n", 3, "1\t0/200\n"},
         }) {
        for (const bool swapped : {false, true}) {
            TimelineTree tree;
            const TimelineHistory a = history(c.first, c.first_text);
            const TimelineHistory b = history(c.second, c.second_text);
            ASSERT_TRUE(tree.add(swapped ? b : a));
            const std::vector<TimelineId> before = tree.timelines();
            EXPECT_EQ(tree.add(swapped ? a : b).error().code(), Code::Corrupt)
                << c.second_text << swapped;
            EXPECT_EQ(tree.timelines(), before);
        }
    }
}

TEST(TimelineTree, AcceptsTheSameHistoryTwice) {
    TimelineTree tree;
    ASSERT_TRUE(tree.add({3, {}}));
    ASSERT_TRUE(tree.add(history(3, "1\t0/200\n2\t0/300\n")));
    EXPECT_TRUE(
        tree.add(history(3, "1\t0/200\tsomething\n2\t0/300\tno recovery target specified\n")));
    EXPECT_TRUE(tree.add({3, {}}));
    EXPECT_TRUE(tree.add({1, {}}));
    EXPECT_EQ(tree.add({0, {}}).error().code(), Code::Corrupt);
    EXPECT_EQ(tree.origin(3)->timeline, 2U);
}

TEST(HiddenTimelines, T14_AreThoseBehindAMissingFile) {
    const std::vector<TimelineId> all = {2, 3, 5, 4};
    EXPECT_EQ(hidden_timelines(all, 1), std::vector<TimelineId>{});
    const std::vector<TimelineId> gap = {6, 2, 4, 5, 5};
    EXPECT_EQ(hidden_timelines(gap, 1), (std::vector<TimelineId>{4, 5, 6}));
    EXPECT_EQ(hidden_timelines(gap, 3), std::vector<TimelineId>{});
    EXPECT_EQ(hidden_timelines({}, 0xFFFFFFFF), std::vector<TimelineId>{});
}

}  // namespace
}  // namespace lifeboat::postgres

#include "postgres/wal_receiver_plan.h"

#include <gtest/gtest.h>

#include "postgres/wal_gather.h"

namespace lifeboat::postgres {
namespace {

using base::kMiB;
using repo::StreamRange;

SegmentSize one_mib() {
    return *SegmentSize::of(kMiB);
}

WalRanges set_of(const std::vector<StreamRange>& ranges) {
    WalRanges set;
    for (const StreamRange& range : ranges) {
        set.add(range);
    }
    return set;
}

// ---- WalRanges --------------------------------------------------------------------------------

TEST(WalRanges, JoinWhateverTouches) {
    for (const auto& order : std::vector<std::vector<StreamRange>>{
             {{1, 10, 20}, {1, 20, 30}, {1, 40, 50}},
             {{1, 40, 50}, {1, 20, 30}, {1, 10, 20}},
             {{1, 10, 30}, {1, 12, 14}, {1, 40, 50}},
             {{1, 15, 30}, {1, 10, 20}, {1, 40, 45}, {1, 45, 50}}}) {
        const WalRanges set = set_of(order);
        EXPECT_EQ(set.covered_to(1, 10), 30U);
        EXPECT_EQ(set.covered_to(1, 29), 30U);
        EXPECT_EQ(set.covered_to(1, 30), 30U);
        EXPECT_EQ(set.covered_to(1, 9), 9U);
        EXPECT_EQ(set.covered_to(2, 10), 10U);
        EXPECT_EQ(set.last(1), (StreamRange{1, 40, 50}));
        EXPECT_EQ(set.first_missing({1, 10, 60}), (StreamRange{1, 30, 40}));
        EXPECT_EQ(set.first_missing({1, 42, 60}), (StreamRange{1, 50, 60}));
        EXPECT_EQ(set.first_missing({1, 12, 30}), std::nullopt);
        EXPECT_EQ(set.first_missing({1, 5, 60}), (StreamRange{1, 5, 10}));
        EXPECT_EQ(set.first_missing({3, 5, 60}), (StreamRange{3, 5, 60}));
    }
}

TEST(WalRanges, FillsTheHoleBetweenTwo) {
    WalRanges set = set_of({{1, 10, 20}, {1, 30, 40}});
    set.add({1, 15, 35});
    EXPECT_EQ(set.covered_to(1, 10), 40U);
    set.add({1, 50, 50});
    EXPECT_EQ(set.last(1), (StreamRange{1, 10, 40}));
}

// ---- Where to start ---------------------------------------------------------------------------

struct StartCase {
    const char* name;
    std::vector<StreamRange> held;
    TimelineHistory history;
    WalStart first;
    WalStart start;
};

TEST(PlanStart, GoesOnAtTheFirstByteThatIsMissingOnTheServersWay) {
    const TimelineHistory first{1, {}};
    const TimelineHistory second{2, {{1, Lsn{5 * kMiB + 100}, ""}}};
    const TimelineHistory fourth{4, {{1, Lsn{5 * kMiB + 100}, ""}, {2, Lsn{8 * kMiB}, ""}}};
    const WalStart begin{1, Lsn{2 * kMiB}};
    const std::vector<StartCase> cases{
        {"nothing held", {}, first, begin, begin},
        {"same timeline", {{1, 2 * kMiB, 4 * kMiB + 7}}, first, begin, {1, Lsn{4 * kMiB + 7}}},
        {"a hole before pushed segments",
         {{1, 2 * kMiB, 4 * kMiB + 7}, {1, 9 * kMiB, 20 * kMiB}},
         first,
         begin,
         {1, Lsn{4 * kMiB + 7}}},
        {"the oldest of two holes",
         {{1, 2 * kMiB, 3 * kMiB}, {1, 4 * kMiB, 5 * kMiB}, {1, 6 * kMiB, 7 * kMiB}},
         first,
         begin,
         {1, Lsn{3 * kMiB}}},
        {"a hole before what matters",
         {{1, 2 * kMiB, 3 * kMiB}, {1, 4 * kMiB, 5 * kMiB}},
         first,
         {1, Lsn{4 * kMiB}},
         {1, Lsn{5 * kMiB}}},
        {"old timeline first", {{1, 2 * kMiB, 4 * kMiB}}, second, begin, {1, Lsn{4 * kMiB}}},
        {"T12: only the old timeline's .partial was pushed",
         {{1, 2 * kMiB, 3 * kMiB + 9}, {1, 5 * kMiB, 5 * kMiB + 100}, {2, 5 * kMiB, 6 * kMiB}},
         second,
         begin,
         {1, Lsn{3 * kMiB + 9}}},
        {"old timeline whole", {{1, 2 * kMiB, 5 * kMiB + 100}}, second, begin, {2, Lsn{5 * kMiB}}},
        {"more of the old one than was shared",
         {{1, 2 * kMiB, 7 * kMiB}},
         second,
         begin,
         {2, Lsn{5 * kMiB}}},
        {"new timeline begun",
         {{1, 2 * kMiB, 7 * kMiB}, {2, 5 * kMiB, 6 * kMiB}},
         second,
         begin,
         {2, Lsn{6 * kMiB}}},
        {"a number is skipped",
         {{1, 2 * kMiB, 6 * kMiB}, {2, 5 * kMiB, 8 * kMiB + 9}, {3, 6 * kMiB, 9 * kMiB}},
         fourth,
         begin,
         {4, Lsn{8 * kMiB}}},
        {"an old primary",
         {{1, 2 * kMiB, 7 * kMiB}, {2, 5 * kMiB, 9 * kMiB}},
         first,
         begin,
         {1, Lsn{7 * kMiB}}},
    };
    for (const StartCase& c : cases) {
        EXPECT_EQ(plan_start(set_of(c.held), c.first, c.history, one_mib()), c.start) << c.name;
    }
}

TEST(PlanStart, BeginsWithTheNewestBackupAndNeverBehindWhatTheServerKeeps) {
    const TimelineHistory second{2, {{1, Lsn{5 * kMiB + 100}, ""}}};
    const SegmentSize size = one_mib();
    const WalRanges held = set_of({{1, 2 * kMiB, 3 * kMiB}, {1, 4 * kMiB, 5 * kMiB}});
    const WalStart kept{2, Lsn{6 * kMiB}};
    const auto first = [&](const WalRanges& ranges, std::optional<WalStart> base, WalStart keeps) {
        return plan_first_needed(ranges, base, keeps, second, size);
    };
    EXPECT_EQ(first({}, std::nullopt, kept), kept);
    EXPECT_EQ(first(held, std::nullopt, kept), (WalStart{1, Lsn{2 * kMiB}})) << "no backup known";
    EXPECT_EQ(first(held, WalStart{1, Lsn{4 * kMiB + 7}}, kept), (WalStart{1, Lsn{4 * kMiB}}));
    EXPECT_EQ(first({}, WalStart{1, Lsn{3 * kMiB + 7}}, kept), (WalStart{1, Lsn{3 * kMiB}}))
        << "the stream begins behind the backup";
    EXPECT_EQ(first(held, WalStart{2, Lsn{9 * kMiB}}, kept), kept);
    EXPECT_EQ(first(held, WalStart{1, Lsn{4 * kMiB}}, {1, Lsn{3 * kMiB}}),
              (WalStart{1, Lsn{3 * kMiB}}));
    EXPECT_EQ(first(held, WalStart{1, Lsn{7 * kMiB}}, kept), (WalStart{1, Lsn{2 * kMiB}}))
        << "a backup of a branch that the server never saw says nothing";
    EXPECT_EQ(first({}, WalStart{3, Lsn{7 * kMiB}}, kept), kept);
}

TEST(PlanStart, KnowsWhatIsNewToIt) {
    const TimelineHistory fourth{4, {{1, Lsn{5 * kMiB}, ""}}};
    EXPECT_TRUE(is_on_the_way(set_of({{1, kMiB, 2 * kMiB}}), std::nullopt, fourth));
    EXPECT_TRUE(is_on_the_way({}, WalStart{1, Lsn{5 * kMiB}}, fourth));
    EXPECT_FALSE(is_on_the_way({}, WalStart{1, Lsn{5 * kMiB + 1}}, fourth));
    EXPECT_FALSE(is_on_the_way(set_of({{3, kMiB, 9 * kMiB}, {1, 6 * kMiB, 7 * kMiB}}), std::nullopt,
                               fourth));
}

// A byte that was captured of the new way needs a backup as much as none did.
TEST(PlanStart, T17_ABackupElsewhereAnchorsNothing) {
    const TimelineHistory fourth{4, {{1, Lsn{5 * kMiB}, ""}}};
    const WalRanges here = set_of({{4, 5 * kMiB, 9 * kMiB}});
    const WalRanges elsewhere = set_of({{3, kMiB, 9 * kMiB}});
    EXPECT_FALSE(is_anchored(here, WalStart{3, Lsn{2 * kMiB}}, fourth));
    EXPECT_FALSE(is_anchored(here, WalStart{1, Lsn{5 * kMiB + 1}}, fourth));
    EXPECT_TRUE(is_anchored(here, WalStart{1, Lsn{5 * kMiB}}, fourth));
    EXPECT_TRUE(is_anchored(elsewhere, WalStart{4, Lsn{6 * kMiB}}, fourth));
    EXPECT_TRUE(is_anchored(here, std::nullopt, fourth));
    EXPECT_TRUE(is_anchored({}, std::nullopt, fourth)) << "the first backup of all";
    EXPECT_FALSE(is_anchored(elsewhere, std::nullopt, fourth));
}

TEST(PlanStart, BeginsAtTheSegmentOfWhatIsKept) {
    const TimelineHistory second{2, {{1, Lsn{5 * kMiB + 100}, ""}}};
    EXPECT_EQ(plan_first_start(Lsn{4 * kMiB + 50}, second, one_mib()),
              (WalStart{1, Lsn{4 * kMiB}}));
    EXPECT_EQ(plan_first_start(Lsn{5 * kMiB + 100}, second, one_mib()),
              (WalStart{2, Lsn{5 * kMiB}}));
    EXPECT_EQ(plan_first_start(Lsn{9 * kMiB + 1}, second, one_mib()), (WalStart{2, Lsn{9 * kMiB}}));
}

TEST(PlanRequest, OverlapsAPageButStaysInTheSegment) {
    const std::uint64_t in = 5 * kMiB;
    const SegmentSize size = one_mib();
    const auto from = [&](std::uint64_t start, std::optional<StreamRange> spooled) {
        return plan_request({1, Lsn{start}}, spooled, size).from.value;
    };
    EXPECT_EQ(from(in + 20000, StreamRange{1, in, in + 20000}), in + 16384);
    EXPECT_EQ(from(in + 16384, StreamRange{1, in, in + 16384}), in + 8192);
    EXPECT_EQ(from(in + 20000, StreamRange{1, in + 18000, in + 20000}), in + 18000);
    EXPECT_EQ(from(in, StreamRange{1, in - kMiB, in}), in) << "the slot keeps nothing before";
    EXPECT_EQ(from(in + 20000, std::nullopt), in);
    EXPECT_EQ(from(in + 20000, StreamRange{1, in - kMiB, in - 10}), in);
    EXPECT_EQ(from(in + 50000, StreamRange{1, in, in + 20000}), in + 16384)
        << "the repository is ahead of the spool";
    EXPECT_EQ(from(in + 20000, StreamRange{1, in, in + 50000}), in);
}

TEST(PlanGap, IsTheHoleAsFarAsTheServerLostIt) {
    const TimelineHistory second{2, {{1, Lsn{5 * kMiB + 100}, ""}}};
    const WalRanges held = set_of({{1, 2 * kMiB, 3 * kMiB}, {1, 4 * kMiB, 5 * kMiB}});
    const auto gap = [&](WalStart from, WalStart kept) {
        return plan_gap(held, from, kept, second);
    };
    const WalStart late{2, Lsn{12 * kMiB}};
    EXPECT_EQ(gap({1, Lsn{3 * kMiB}}, late), (StreamRange{1, 3 * kMiB, 4 * kMiB}))
        << "up to what is held";
    EXPECT_EQ(gap({1, Lsn{3 * kMiB}}, {1, Lsn{3 * kMiB + 50}}),
              (StreamRange{1, 3 * kMiB, 3 * kMiB + 50}))
        << "up to what the server keeps";
    EXPECT_EQ(gap({1, Lsn{5 * kMiB}}, late), (StreamRange{1, 5 * kMiB, 5 * kMiB + 100}))
        << "up to the timeline's end";
    EXPECT_EQ(gap({2, Lsn{5 * kMiB}}, late), (StreamRange{2, 5 * kMiB, 12 * kMiB}));
    EXPECT_EQ(gap({2, Lsn{12 * kMiB}}, late), std::nullopt) << "the slot promises it";
    EXPECT_EQ(gap({3, Lsn{5 * kMiB}}, late), std::nullopt);
}

struct SkipCase {
    const char* name;
    std::vector<StreamRange> held;
    WalStart start;
    std::vector<StreamRange> skipped;
};

// Slot lost, a backup by hand, then capture again: nobody asks for what is between.
TEST(PlanSkipped, S1_IsAllBetweenWhatIsHeldAndTheStart) {
    const TimelineHistory second{2, {{1, Lsn{5 * kMiB + 100}, ""}}};
    const std::vector<SkipCase> cases{
        {"nothing is held", {}, {1, Lsn{4 * kMiB}}, {}},
        {"capture goes on", {{1, 2 * kMiB, 3 * kMiB + 7}}, {1, Lsn{3 * kMiB + 7}}, {}},
        {"a backup behind it",
         {{1, 2 * kMiB, 3 * kMiB + 7}},
         {1, Lsn{5 * kMiB}},
         {{1, 3 * kMiB + 7, 5 * kMiB}}},
        {"more is held behind the start",
         {{1, 2 * kMiB, 3 * kMiB}, {1, 5 * kMiB, 6 * kMiB}},
         {1, Lsn{4 * kMiB}},
         {{1, 3 * kMiB, 4 * kMiB}}},
        {"only that", {{1, 5 * kMiB, 6 * kMiB}}, {1, Lsn{4 * kMiB}}, {}},
        {"the next timeline, from its first segment",
         {{1, 2 * kMiB, 5 * kMiB + 100}},
         {2, Lsn{5 * kMiB}},
         {}},
        {"more of the old timeline than was shared",
         {{1, 2 * kMiB, 9 * kMiB}},
         {2, Lsn{5 * kMiB}},
         {}},
        {"a backup on the next timeline",
         {{1, 2 * kMiB, 3 * kMiB}},
         {2, Lsn{8 * kMiB}},
         {{1, 3 * kMiB, 5 * kMiB + 100}, {2, 5 * kMiB, 8 * kMiB}}},
        {"begun before",
         {{1, 2 * kMiB, 3 * kMiB}, {2, 5 * kMiB, 6 * kMiB}},
         {2, Lsn{8 * kMiB}},
         {{2, 6 * kMiB, 8 * kMiB}}},
        {"held elsewhere", {{3, 2 * kMiB, 3 * kMiB}}, {2, Lsn{8 * kMiB}}, {}},
        {"a start elsewhere", {{1, 2 * kMiB, 3 * kMiB}}, {3, Lsn{8 * kMiB}}, {}},
    };
    for (const SkipCase& c : cases) {
        EXPECT_EQ(plan_skipped(set_of(c.held), c.start, second, one_mib()), c.skipped) << c.name;
    }
}

// ---- Gathering --------------------------------------------------------------------------------

struct GatherCase {
    const char* name;
    std::vector<StreamRange> held;
    std::vector<StreamRange> done;
    bool at_once;
    std::optional<StreamRange> next;
};

TEST(PlanGather, TakesWholeSegmentsInGroupsOfFour) {
    const std::vector<GatherCase> cases{
        {"nothing", {}, {}, false, std::nullopt},
        {"too few", {{1, 8 * kMiB, 11 * kMiB + 9}}, {}, false, std::nullopt},
        {"too few, but they waited",
         {{1, 8 * kMiB, 11 * kMiB + 9}},
         {},
         true,
         StreamRange{1, 8 * kMiB, 11 * kMiB}},
        {"a group", {{1, 8 * kMiB, 12 * kMiB}}, {}, false, StreamRange{1, 8 * kMiB, 12 * kMiB}},
        {"up to the next multiple",
         {{1, 6 * kMiB, 9 * kMiB}},
         {},
         false,
         StreamRange{1, 6 * kMiB, 8 * kMiB}},
        {"the next group",
         {{1, 8 * kMiB, 17 * kMiB}},
         {{1, 4 * kMiB, 12 * kMiB}},
         false,
         StreamRange{1, 12 * kMiB, 16 * kMiB}},
        {"done", {{1, 8 * kMiB, 13 * kMiB}}, {{1, 8 * kMiB, 12 * kMiB}}, false, std::nullopt},
        {"a timeline that ended",
         {{1, 8 * kMiB, 9 * kMiB + 77}, {2, 9 * kMiB, 9 * kMiB + 100}},
         {},
         false,
         StreamRange{1, 8 * kMiB, 9 * kMiB + 77}},
        {"before a gap",
         {{2, 8 * kMiB, 9 * kMiB + 77}, {2, 19 * kMiB, 19 * kMiB + 5}},
         {},
         false,
         StreamRange{2, 8 * kMiB, 9 * kMiB + 77}},
        {"an incomplete segment", {{2, 8 * kMiB, 8 * kMiB + 77}}, {}, true, std::nullopt},
    };
    for (const GatherCase& c : cases) {
        EXPECT_EQ(plan_gather(c.held, set_of(c.done), {one_mib(), std::nullopt, c.at_once}), c.next)
            << c.name;
    }
}

TEST(PlanGather, KeepsGoingOnATimelineThatTheServerWentBackTo) {
    const std::vector<StreamRange> held{{1, 8 * kMiB, 9 * kMiB + 77},
                                        {2, 9 * kMiB, 9 * kMiB + 100}};
    EXPECT_EQ(plan_gather(held, {}, {one_mib(), WalStart{1, Lsn{9 * kMiB + 77}}, false}),
              (StreamRange{2, 9 * kMiB, 9 * kMiB + 100}));
}

TEST(PlanGather, WaitsForTheRangeThatGrowsIntoAHole) {
    const std::vector<StreamRange> held{{1, 8 * kMiB, 9 * kMiB + 77}, {1, 14 * kMiB, 15 * kMiB}};
    const WalStart filling{1, Lsn{9 * kMiB + 77}};
    EXPECT_EQ(plan_gather(held, {}, {one_mib(), filling, false}),
              (StreamRange{1, 14 * kMiB, 15 * kMiB}));
    EXPECT_TRUE(is_growing(held[0], filling));
    EXPECT_FALSE(is_growing(held[1], filling));
}

TEST(PlanGather, DropsOnlyTheBeginningOfTheRangeThatIsGathered) {
    const StreamRange first{1, 8 * kMiB, 11 * kMiB};
    const StreamRange second{1, 14 * kMiB, 18 * kMiB + 9};
    const WalRanges pushed = set_of({{1, 14 * kMiB, 18 * kMiB}});
    const WalStart here{1, Lsn{18 * kMiB + 9}};
    EXPECT_EQ(droppable(first, pushed, here, one_mib()), (StreamRange{1, 8 * kMiB, 8 * kMiB}))
        << "not gathered, although what is behind it is";
    EXPECT_EQ(droppable(second, pushed, here, one_mib()), (StreamRange{1, 14 * kMiB, 17 * kMiB}));
    EXPECT_EQ(droppable({1, 14 * kMiB, 18 * kMiB}, pushed, WalStart{1, Lsn{11 * kMiB}}, one_mib()),
              (StreamRange{1, 14 * kMiB, 18 * kMiB}))
        << "left behind, and whole";
}

TEST(PlanGather, BoundsPacksOfHugeSegments) {
    EXPECT_EQ(gather_bytes(one_mib()), 4 * kMiB);
    EXPECT_EQ(gather_bytes(SegmentSize()), 64 * kMiB);
    const SegmentSize huge = *SegmentSize::of(base::kGiB);
    EXPECT_EQ(gather_bytes(huge), 64 * kMiB);
    EXPECT_EQ(plan_gather({{1, base::kGiB, 2 * base::kGiB}}, {}, {huge, std::nullopt, false}),
              (StreamRange{1, base::kGiB, base::kGiB + 64 * kMiB}));
    EXPECT_EQ(plan_gather({{1, base::kGiB, 2 * base::kGiB - 1}}, {}, {huge, std::nullopt, true}),
              std::nullopt);
}

TEST(PlanGather, LeavesTheFileBeforeTheLast) {
    EXPECT_EQ(droppable_before(Lsn{12 * kMiB}, one_mib()), Lsn{11 * kMiB});
    EXPECT_EQ(droppable_before(Lsn{12 * kMiB + 5}, one_mib()), Lsn{11 * kMiB});
    EXPECT_EQ(droppable_before(Lsn{5}, one_mib()), Lsn{0});
}

}  // namespace
}  // namespace lifeboat::postgres

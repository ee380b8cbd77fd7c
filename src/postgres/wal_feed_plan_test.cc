#include "postgres/wal_feed_plan.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/expect.h"

namespace lifeboat::postgres {
namespace {

using test::fails;
using test::ok;
using Kind = FeedSegment::Kind;

constexpr std::uint64_t kSegment = 16ULL << 20;

Lsn at(std::uint64_t segment, std::uint64_t offset = 0) {
    return Lsn{segment * kSegment + offset};
}

// Timeline 1 from inside segment 2; left inside segment 5 for timeline 2; left inside segment 7 for
// timeline 4; ends inside segment 9.
FeedPlan branched() {
    FeedPlan plan;
    plan.system = "prod";
    plan.backup = "20260123T020000Z-7f3a";
    plan.repository = "file:///r";
    plan.repository_id = {1, 2, 3};
    plan.system_identifier = 0xF000000000000001;
    plan.major = 15;
    plan.way = {{1, at(2, 0x28), at(5, 0x500)},
                {2, at(5, 0x500), at(7, 0x900)},
                {4, at(7, 0x900), at(9, 0x100)}};
    plan.end = at(9, 0x100);
    plan.local_timeline = 1;
    plan.local_end = at(3, 0x200);
    plan.histories = {{2, {'a', 0, 'b'}}, {4, {}}};
    return plan;
}

TEST(FeedPlan, SurvivesItsFile) {
    const FeedPlan plan = branched();
    const auto parsed = base::Json::parse(plan.to_json().dump(2));
    ASSERT_TRUE(ok(parsed));
    const auto read = FeedPlan::from_json(*parsed);
    ASSERT_TRUE(ok(read));
    EXPECT_EQ(read->to_json().dump(), plan.to_json().dump());
    EXPECT_EQ(read->way, plan.way);
    EXPECT_EQ(read->system_identifier, plan.system_identifier);
    EXPECT_EQ(read->histories[0].contents, plan.histories[0].contents);
}

TEST(FeedPlan, RefusesAFileThatDoesNotAddUp) {
    const auto broken = [](const std::function<void(FeedPlan&)>& damage) {
        FeedPlan plan = branched();
        damage(plan);
        return FeedPlan::from_json(plan.to_json());
    };
    EXPECT_TRUE(fails(broken([](FeedPlan& p) { p.way[1].begin = at(6); }), Code::Corrupt))
        << "a hole";
    EXPECT_TRUE(fails(broken([](FeedPlan& p) { p.end = at(10); }), Code::Corrupt))
        << "not to the end";
    EXPECT_TRUE(fails(broken([](FeedPlan& p) { p.way.clear(); }), Code::Corrupt));
    base::Json newer = branched().to_json();
    newer.set("format", 2);
    EXPECT_TRUE(fails(FeedPlan::from_json(newer), Code::Unsupported));
}

TEST(PlanSegment, AnswersForEveryNameThatAServerMayTry) {
    const FeedPlan plan = branched();

    const struct {
        TimelineId timeline;
        std::uint64_t number;
        Kind kind;
        std::size_t parts;
    } cases[] = {
        {1, 1, Kind::Absent, 0},                           // before the way
        {1, 2, Kind::Local, 1},  {1, 3, Kind::Needed, 1},  // the backup's own; half of the next
        {1, 5, Kind::Needed, 1}, {2, 5, Kind::Needed, 2},  // the switch inside a segment
        {2, 4, Kind::Absent, 0}, {2, 7, Kind::Needed, 1},  {4, 7, Kind::Needed, 2},
        {4, 9, Kind::Needed, 1}, {4, 10, Kind::Absent, 0},  // the last, and what follows
        {3, 7, Kind::Absent, 0}, {5, 9, Kind::Absent, 0},   // timelines that are not on the way
        {1, 6, Kind::Absent, 0},                            // the abandoned tail
    };

    for (const auto& c : cases) {
        const FeedSegment got = plan_segment(plan, c.timeline, c.number);
        EXPECT_EQ(got.kind, c.kind) << c.timeline << " " << c.number;
        EXPECT_EQ(got.parts.size(), c.parts) << c.timeline << " " << c.number;
    }
}

TEST(PlanSegment, GivesBytesToTheTimelineThatWroteThem) {
    const FeedSegment got = plan_segment(branched(), 2, 5);
    ASSERT_EQ(got.parts.size(), 2U);
    EXPECT_EQ(got.parts[0].timeline, 1U);
    EXPECT_EQ(got.parts[0].from, at(5));
    EXPECT_EQ(got.parts[0].to, at(5, 0x500));
    EXPECT_EQ(got.parts[1].timeline, 2U);
    EXPECT_EQ(got.parts[1].to, at(6));
    EXPECT_EQ(plan_segment(branched(), 1, 2).parts[0].from, at(2))
        << "the page headers before the first record are read as well";
    EXPECT_EQ(plan_segment(branched(), 4, 9).parts[0].to, at(9, 0x100))
        << "nothing behind the end of the plan";
}

TEST(SegmentsInOrder, NamesEachSegmentOnceUnderTheNewestTimeline) {
    const std::vector<std::pair<TimelineId, std::uint64_t>> expected = {
        {1, 2}, {1, 3}, {1, 4}, {2, 5}, {2, 6}, {4, 7}, {4, 8}, {4, 9}};
    EXPECT_EQ(segments_in_order(branched()), expected);
}

TEST(SegmentsInOrder, AWayThatEndsOnABoundaryHasNoSegmentBehindIt) {
    FeedPlan plan = branched();
    plan.way = {{1, at(2, 0x28), at(4)}};
    plan.end = at(4);
    EXPECT_EQ(segments_in_order(plan).back().second, 3U);
}

}  // namespace
}  // namespace lifeboat::postgres

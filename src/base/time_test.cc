#include "base/time.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/expect.h"

namespace lifeboat::base {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using test::fails;

constexpr std::int64_t kNoon = 1'769'176'800;  // 2026-01-23T14:00:00Z

Timestamp at(std::int64_t second, std::int64_t micro = 0) {
    return from_unix_micros(second * 1'000'000 + micro);
}

TEST(FormatTime, WritesUtcAndOnlyTheFractionThatIs) {
    EXPECT_EQ(format_time(at(kNoon)), "2026-01-23T14:00:00Z");
    EXPECT_EQ(format_time(at(kNoon, 123'456)), "2026-01-23T14:00:00.123456Z");
    EXPECT_EQ(format_time(at(kNoon, 1)), "2026-01-23T14:00:00.000001Z");
    EXPECT_EQ(format_time(at(0)), "1970-01-01T00:00:00Z");
    EXPECT_EQ(format_time(from_unix_micros(-1)), "1969-12-31T23:59:59.999999Z");
    EXPECT_EQ(human_time(at(kNoon, 123'456)), "2026-01-23 14:00:00 UTC");
    EXPECT_EQ(human_time(at(kNoon, 123'456), 3), "2026-01-23 14:00:00.123 UTC");
    EXPECT_EQ(human_time(at(kNoon, 123'456), 6), "2026-01-23 14:00:00.123456 UTC");
    EXPECT_EQ(compact_time(at(kNoon, 999'999)), "20260123T140000Z");
}

TEST(ParseRfc3339, ReadsZonesFractionsAndSpaces) {
    const std::pair<const char*, Timestamp> cases[] = {
        {"2026-01-23T14:00:00Z", at(kNoon)},
        {"2026-01-23 14:00:00Z", at(kNoon)},
        {"2026-01-23t14:00:00z", at(kNoon)},
        {"2026-01-23T15:00:00+01:00", at(kNoon)},
        {"2026-01-23T15:00:00+0100", at(kNoon)},
        {"2026-01-23T15:00:00+01", at(kNoon)},
        {"2026-01-23T08:30:00-05:30", at(kNoon)},
        {"2026-01-23T14:00:00.5Z", at(kNoon, 500'000)},
        {"2026-01-23T14:00:00,25Z", at(kNoon, 250'000)},
        {"2026-01-23T14:00:00.1234567899Z", at(kNoon, 123'456)},
        {"2024-02-29T00:00:00Z", at(1'709'164'800)},
        {"2016-12-31T23:59:60Z", at(1'483'228'800)},
        {"1969-12-31T23:59:59Z", at(-1)},
    };
    for (const auto& [text, expected] : cases) {
        const auto parsed = parse_rfc3339(text);
        ASSERT_TRUE(test::ok(parsed)) << text;
        EXPECT_EQ(*parsed, expected) << text;
    }
}

TEST(ParseRfc3339, RejectsWhatIsNotAMoment) {
    for (const char* text : {"",
                             "2026-01-23",
                             "2026-01-23T14:00:00",
                             "2026-01-23T14:00Z",
                             "2026-1-23T14:00:00Z",
                             "2026-13-01T00:00:00Z",
                             "2026-02-29T00:00:00Z",
                             "2026-01-23T24:00:00Z",
                             "2026-01-23T14:60:00Z",
                             "2026-01-23T14:00:61Z",
                             "2026-01-23T14:00:00.Z",
                             "2026-01-23T14:00:00Z ",
                             " 2026-01-23T14:00:00Z",
                             "-026-01-23T14:00:00Z",
                             "2026-01-23T-1:00:00Z",
                             "2026-01-23T14:00:00+1",
                             "2026-01-23T14:00:00+01:",
                             "2026-01-23T14:00:00+16:00",
                             "2026-01-23T14:00:00+01:60",
                             "2026-01-23T14:00:00 UTC",
                             "yesterday"}) {
        EXPECT_TRUE(fails(parse_rfc3339(text), Code::InvalidInput)) << text;
    }
    EXPECT_FALSE(parse_rfc3339("tomorrow").error().hint().empty());
}

TEST(ParseTime, RoundTripsAnyMoment) {
    const auto random = seeded_random(1);
    for (int i = 0; i < 2000; ++i) {
        const Timestamp t =
            from_unix_micros(static_cast<std::int64_t>(random->u64() % 4'000'000'000'000'000));
        EXPECT_EQ(parse_rfc3339(format_time(t)).value(), t);
        EXPECT_EQ(parse_rfc3339(human_time(t, 6).replace(26, 4, "Z")).value(), t);
        EXPECT_EQ(parse_compact_time(compact_time(t)).value(), std::chrono::floor<seconds>(t));
    }
}

TEST(CompactTime, SortsAsTextAndRejectsOtherForms) {
    EXPECT_LT(compact_time(at(kNoon)), compact_time(at(kNoon + 1)));
    EXPECT_LT(compact_time(at(kNoon)), compact_time(at(kNoon + 86'400 * 400)));
    for (const char* text :
         {"", "20260123T140000", "20260123140000Z", "20261323T140000Z", "20260123T140000Zx",
          "2026-01-23T14:00:00Z", "20260123T1400 0Z", "+0260123T140000Z"}) {
        EXPECT_TRUE(fails(parse_compact_time(text), Code::InvalidInput)) << text;
    }
}

TEST(HumanDuration, NamesTheTwoLargestUnits) {
    const std::pair<Duration, const char*> cases[] = {
        {microseconds(0), "0 ms"},        {milliseconds(940), "940 ms"},
        {milliseconds(4300), "4.3 s"},    {seconds(59), "59 s"},
        {seconds(125), "2 min 5 s"},      {hours(3) + minutes(4), "3 h 4 min"},
        {hours(51), "2 d 3 h"},           {-milliseconds(4300), "-4.3 s"},
        {microseconds(999'999), "1.0 s"},
    };
    for (const auto& [duration, expected] : cases) {
        EXPECT_EQ(human_duration(duration), expected);
    }
}

TEST(HumanDuration, CarriesWhatRoundsUp) {
    EXPECT_EQ(human_duration(milliseconds(9'960)), "10 s");
    EXPECT_EQ(human_duration(milliseconds(59'700)), "1 min 0 s");
    EXPECT_EQ(human_duration(seconds(3'600) - microseconds(1)), "1 h 0 min");
    EXPECT_EQ(human_duration(hours(24) - microseconds(1)), "1 d 0 h");
}

TEST(ManualClock, MovesOnlyWhenToldOrSleptOn) {
    ManualClock clock(at(kNoon));
    const auto steady = clock.steady();
    EXPECT_EQ(clock.now(), at(kNoon));
    EXPECT_EQ(clock.now(), at(kNoon));
    clock.advance(seconds(5));
    clock.sleep_for(seconds(2));
    EXPECT_EQ(clock.now(), at(kNoon + 7));
    EXPECT_EQ(clock.steady() - steady, seconds(7));
}

TEST(SystemClock, TellsTheTimeOfThisMachine) {
    const auto before = std::chrono::system_clock::now();
    const Timestamp now = system_clock().now();
    EXPECT_GE(now, std::chrono::floor<microseconds>(before));
    EXPECT_LE(now, std::chrono::system_clock::now());
}

}  // namespace
}  // namespace lifeboat::base

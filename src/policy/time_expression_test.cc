#include "policy/time_expression.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace lifeboat::policy {
namespace {

using base::Timestamp;
using namespace std::chrono_literals;

// A Friday in winter; 15:30 in Berlin.
const Timestamp kNow = base::parse_rfc3339("2026-01-23T14:30:00.5Z").value();

class TimeExpression : public testing::Test {
  protected:
    void SetUp() override {
        if (!Zone::load(berlin_, base::real_files()).has_value()) {
            GTEST_SKIP() << "this machine has no tz database";
        }
    }

    base::Result<ResolvedTime> in_berlin(std::string_view text) const {
        return resolve_time(text, kNow, berlin_);
    }

    void expect(std::string_view text, std::string_view utc) const {
        const auto got = in_berlin(text);
        ASSERT_TRUE(got.has_value()) << text << ": " << got.error().message();
        EXPECT_EQ(base::format_time(got->at), utc) << text;
    }

    void expect_refused(std::string_view text, std::string_view message,
                        std::string_view hint) const {
        const auto got = in_berlin(text);
        ASSERT_FALSE(got.has_value()) << text;
        EXPECT_EQ(got.error().code(), base::Code::InvalidInput) << text;
        EXPECT_EQ(got.error().message(), message);
        EXPECT_EQ(got.error().hint(), hint);
    }

    const ZoneName berlin_ = ZoneName::parse("Europe/Berlin").value();
};

TEST_F(TimeExpression, ReadsRfc3339) {
    expect("2026-01-23T14:00:00Z", "2026-01-23T14:00:00Z");
    expect("2026-01-23t14:00:00z", "2026-01-23T14:00:00Z");
    expect("2026-01-23T14:00:00.25+01:00", "2026-01-23T13:00:00.250000Z");
    expect("2026-01-23T14:00:00-05:30", "2026-01-23T19:30:00Z");
    expect("2026-01-23 14:00:00+01", "2026-01-23T13:00:00Z");
    expect("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
    expect("2026-01-23T14:00:00.123456789Z", "2026-01-23T14:00:00.123456Z");
}

TEST_F(TimeExpression, ReadsADateAndATimeInAnyZone) {
    expect("2026-01-23 14:00 UTC", "2026-01-23T14:00:00Z");
    expect("2026-01-23 14:00", "2026-01-23T13:00:00Z");
    expect("2026-01-23 14:00:05", "2026-01-23T13:00:05Z");
    expect("2026-01-23 14:00:05.123", "2026-01-23T13:00:05.123000Z");
    expect("2026-07-23 14:00", "2026-07-23T12:00:00Z");
    expect("  2026-01-23   14:00   America/New_York ", "2026-01-23T19:00:00Z");
    expect("2026-01-23 14:00 +05:30", "2026-01-23T08:30:00Z");
    expect("2026-01-23 14:00UTC", "2026-01-23T14:00:00Z");
}

TEST_F(TimeExpression, CountsBackFromNow) {
    expect("now", "2026-01-23T14:30:00.500000Z");
    expect("5 minutes ago", "2026-01-23T14:25:00.500000Z");
    expect("90s ago", "2026-01-23T14:28:30.500000Z");
    expect("2h ago", "2026-01-23T12:30:00.500000Z");
    expect("1 day ago", "2026-01-22T14:30:00.500000Z");
    expect("1h 30m ago", "2026-01-23T13:00:00.500000Z");
    expect("5 Minutes Ago", "2026-01-23T14:25:00.500000Z");
}

TEST_F(TimeExpression, CountsDaysByTheCalendarOfTheZone) {
    expect("yesterday 14:00", "2026-01-22T13:00:00Z");
    expect("Today 09:30", "2026-01-23T08:30:00Z");
    expect("14:00", "2026-01-23T13:00:00Z");
    expect("14:00 UTC", "2026-01-23T14:00:00Z");
    expect("yesterday 23:59:59.5 America/New_York", "2026-01-23T04:59:59.500000Z");
    // It is already Saturday in Auckland.
    expect("00:30 Pacific/Auckland", "2026-01-23T11:30:00Z");
}

TEST_F(TimeExpression, EchoesTheMomentAbsolute) {
    EXPECT_EQ(in_berlin("2026-01-23 14:00").value().text,
              "2026-01-23 14:00:00 Europe/Berlin = 2026-01-23 13:00:00 UTC");
    EXPECT_EQ(in_berlin("2026-01-23 14:00 UTC").value().text, "2026-01-23 14:00:00 UTC");
    EXPECT_EQ(in_berlin("2026-01-23T14:00:00+01:00").value().text,
              "2026-01-23 14:00:00 +01:00 = 2026-01-23 13:00:00 UTC");
    EXPECT_EQ(in_berlin("1s ago").value().text,
              "2026-01-23 15:29:59.500 Europe/Berlin = 2026-01-23 14:29:59.500 UTC");
    EXPECT_EQ(in_berlin("00:00:00.000001").value().text,
              "2026-01-23 00:00:00.000001 Europe/Berlin = 2026-01-22 "
              "23:00:00.000001 UTC");
}

TEST_F(TimeExpression, ATimeOfTodayThatHasNotComeIsNotGuessed) {
    expect_refused("16:00", "'16:00' has not come yet: it would be 2026-01-23 15:00:00 UTC",
                   "If you mean the day before, write 'yesterday 16:00'.");
    expect_refused("today 16:00:01.5 Europe/Berlin",
                   "'today 16:00:01.5 Europe/Berlin' has not come yet: it would "
                   "be 2026-01-23 15:00:01.500 UTC",
                   "If you mean the day before, write 'yesterday 16:00:01.5 "
                   "Europe/Berlin'.");
    expect("2026-01-23 16:00", "2026-01-23T15:00:00Z");
}

TEST_F(TimeExpression, ATimeThatClocksSkippedNamesBothReadings) {
    expect_refused("2026-03-29 02:30",
                   "'2026-03-29 02:30:00' in Europe/Berlin never happened: "
                   "clocks were set forward over it",
                   "Write it with an offset: '2026-03-29 02:30:00+01:00' is "
                   "2026-03-29 01:30:00 UTC, "
                   "'2026-03-29 02:30:00+02:00' is 2026-03-29 00:30:00 UTC.");
    expect("2026-03-29 01:59:59", "2026-03-29T00:59:59Z");
    expect("2026-03-29 03:00", "2026-03-29T01:00:00Z");
}

TEST_F(TimeExpression, ATimeThatClocksShowedTwiceNamesBothReadings) {
    expect_refused("2025-10-26 02:30",
                   "'2025-10-26 02:30:00' in Europe/Berlin happened twice: "
                   "clocks were set back",
                   "Write it with an offset: '2025-10-26 02:30:00+02:00' is "
                   "2025-10-26 00:30:00 UTC, "
                   "'2025-10-26 02:30:00+01:00' is 2025-10-26 01:30:00 UTC.");
    expect("2025-10-26 01:59:59", "2025-10-25T23:59:59Z");
    expect("2025-10-26 03:00", "2025-10-26T02:00:00Z");
    expect("2025-10-26 02:30:00+02:00", "2025-10-26T00:30:00Z");
}

TEST_F(TimeExpression, RefusesWhatItCannotKnow) {
    for (const char* text : {"",
                             "  ",
                             "later",
                             "ago",
                             "5 ago",
                             "minutes ago",
                             "-5 minutes ago",
                             "1 month ago",
                             "2026-01-23",
                             "yesterday",
                             "today",
                             "tomorrow 14:00",
                             "14",
                             "14:0",
                             "4:00",
                             "24:00",
                             "14:60",
                             "14:00:61",
                             "14:00:00.",
                             "2:00 pm",
                             "02:00 pm",
                             "2026-02-30 14:00",
                             "2026-13-01 14:00",
                             "26-01-23 14:00",
                             "2026-1-23 14:00",
                             "2026-01-2314:00",
                             "2026/01/23 14:00",
                             "1769-01-23 14:00 UTC",
                             "0000-01-01 00:00 UTC",
                             "99y ago",
                             "2026-01-23 14:00 Europe/Berln",
                             "2026-01-23 14:00 CEST",
                             "2026-01-23 14:00 +2",
                             "2026-01-23 14:00 UTC UTC",
                             "2026-01-23 14:00 ../../etc/passwd",
                             "today14:00",
                             "1769177400",
                             "\xff\xfe",
                             "14:00\n"}) {
        const auto got = in_berlin(text);
        ASSERT_FALSE(got.has_value()) << text;
        EXPECT_EQ(got.error().code(), base::Code::InvalidInput)
            << text << ": " << got.error().message();
    }
    EXPECT_FALSE(in_berlin(std::string(5000, '1')).has_value());
}

TEST_F(TimeExpression, SaysWhatIsMissing) {
    expect_refused("yesterday", "'yesterday' does not say which time of the day",
                   "Add it, as in 'yesterday 14:00'.");
    expect_refused("2026-01-23", "'2026-01-23' does not say which time of the day",
                   "Add it, as in '2026-01-23 14:00'.");
    expect_refused("noon", "'noon' is not a time",
                   "Write '2026-01-23 14:00 UTC', '5 minutes ago', 'yesterday "
                   "14:00', 'now', or RFC 3339 such as 2026-01-23T14:00:00Z.");
    expect_refused("2026-01-23 14:00 CEST", "there is no time zone 'CEST'",
                   "Abbreviations such as CEST are not names of zones: write "
                   "Europe/Berlin, +02:00 or UTC.");
    expect_refused("2026-02-30 14:00",
                   "'2026-02-30 14:00' is not a time: there is no such day in the calendar", "");
    expect_refused("60y ago", "'60y' is not a duration: months and years differ in length",
                   "Write days or weeks, such as 30d or 52w.");
    expect_refused("30000d ago", "'30000d ago' lies before 1970 or after 9999", "");
}

TEST(TimeExpressionWithoutDatabase, RelativeTimesStillResolve) {
    const ZoneName nowhere = ZoneName::parse("Nowhere/Atlantis").value();
    EXPECT_EQ(resolve_time("5 minutes ago", kNow, nowhere).value().text,
              "2026-01-23 14:25:00.500 UTC");
    EXPECT_EQ(resolve_time("2026-01-23 14:00 UTC", kNow, nowhere).value().text,
              "2026-01-23 14:00:00 UTC");
    EXPECT_EQ(resolve_time("2026-01-23 14:00", kNow, nowhere).error().code(), base::Code::NotFound);
}

TEST(TimeExpressionRoundTrip, EveryEchoOfAMomentMeansThatMoment) {
    const auto random = base::seeded_random(10);
    for (int i = 0; i < 2000; ++i) {
        const Timestamp t = base::from_unix_micros(
            static_cast<std::int64_t>(random->u64() % (253402214400ULL * 1'000'000)));
        EXPECT_EQ(resolve_time(base::format_time(t), kNow, ZoneName()).value().at, t);
        const ResolvedTime echoed = resolve_time(base::human_time(t, 6), kNow, ZoneName()).value();
        EXPECT_EQ(echoed.at, t);
        EXPECT_EQ(resolve_time(echoed.text, kNow, ZoneName()).value().at, t);
    }
}

}  // namespace
}  // namespace lifeboat::policy

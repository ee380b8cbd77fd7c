#include "policy/quantity.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace lifeboat::policy {
namespace {

using base::Duration;
using namespace std::chrono_literals;

void expect_duration(std::string_view text, Duration wanted) {
    const auto got = parse_duration(text);
    ASSERT_TRUE(got.has_value()) << text << ": " << got.error().message();
    EXPECT_EQ(got->count(), wanted.count()) << text;
}

TEST(Duration, ReadsWhatPeopleWrite) {
    expect_duration("500ms", 500ms);
    expect_duration("90s", 90s);
    expect_duration("5m", 5min);
    expect_duration("5 minutes", 5min);
    expect_duration("1 hour", 1h);
    expect_duration("  1 Hour ", 1h);
    expect_duration("30d", 720h);
    expect_duration("2 weeks", 336h);
    expect_duration("1h30m", 90min);
    expect_duration("1 hour 30 minutes", 90min);
    expect_duration("2 min 5 s", 125s);
    expect_duration("0", 0s);
    expect_duration("0s", 0s);
    expect_duration("36525d", 36525 * 24h);
}

TEST(Duration, RefusesWhatCouldMeanTwoThings) {
    for (const char* text : {"",
                             " ",
                             "5",
                             "m",
                             "5x",
                             "5M",
                             "5S",
                             "5 D",
                             "-5m",
                             "+5m",
                             "1.5h",
                             "5m 1h",
                             "5m 5m",
                             "5m,",
                             "5 m m",
                             "5\xc2\xb5s",
                             "99999999999999999999s",
                             "1 month",
                             "2 years",
                             "5mms",
                             "0x5s",
                             "1e3s"}) {
        const auto got = parse_duration(text);
        ASSERT_FALSE(got.has_value()) << text;
        EXPECT_EQ(got.error().code(), base::Code::InvalidInput) << text;
    }
}

TEST(Duration, SaysWhyMonthsAreNotAccepted) {
    EXPECT_EQ(parse_duration("1 month").error().message(),
              "'1 month' is not a duration: months and years differ in length");
    EXPECT_EQ(parse_duration("1 month").error().hint(), "Write days or weeks, such as 30d or 52w.");
}

TEST(Duration, IsBoundedInsteadOfOverflowing) {
    EXPECT_EQ(parse_duration("36526d").error().message(), "'36526d' is longer than 100 years");
    EXPECT_EQ(parse_duration("9223372036854775807w").error().message(),
              "'9223372036854775807w' is longer than 100 years");
    EXPECT_FALSE(parse_duration("36525d 1ms").has_value());
}

TEST(Duration, IsWrittenShortAndReadBack) {
    EXPECT_EQ(format_duration(0s), "0");
    EXPECT_EQ(format_duration(500ms), "500ms");
    EXPECT_EQ(format_duration(90min), "90m");
    EXPECT_EQ(format_duration(1h), "1h");
    EXPECT_EQ(format_duration(720h), "30d");
    const auto random = base::seeded_random(1);
    for (int i = 0; i < 2000; ++i) {
        const Duration d = std::chrono::milliseconds(
            static_cast<std::int64_t>(random->u64() % (1ULL << (random->u64() % 41))));
        expect_duration(format_duration(d), d);
    }
}

TEST(Days, AreWhole) {
    EXPECT_EQ(parse_days("4 weeks").value(), std::chrono::days(28));
    EXPECT_EQ(parse_days("48h").value(), std::chrono::days(2));
    EXPECT_EQ(parse_days("36h").error().message(), "'36h' is not a whole number of days");
    EXPECT_EQ(format_days(std::chrono::days(30)), "30d");
}

TEST(Size, KnowsBothFamiliesOfUnits) {
    EXPECT_EQ(parse_size("64MiB").value(), 64ULL << 20);
    EXPECT_EQ(parse_size("8 GiB").value(), 8ULL << 30);
    EXPECT_EQ(parse_size("10GB").value(), 10'000'000'000ULL);
    EXPECT_EQ(parse_size("10 kB").value(), 10'000ULL);
    EXPECT_EQ(parse_size("512 B").value(), 512ULL);
    EXPECT_EQ(parse_size("0").value(), 0ULL);
    EXPECT_EQ(parse_size("9223372036854775807B").value(), 9223372036854775807ULL);
}

TEST(Size, RefusesWhatCouldMeanTwoThings) {
    for (const char* text : {"", "64", "10G", "10gb", "10Gib", "mb", "-1MiB", "1.5GiB",
                             "64MiB 1KiB", "8388608TiB", "18446744073709551616B"}) {
        const auto got = parse_size(text);
        ASSERT_FALSE(got.has_value()) << text;
        EXPECT_EQ(got.error().code(), base::Code::InvalidInput) << text;
    }
    EXPECT_EQ(parse_size("8388608TiB").error().message(), "'8388608TiB' is larger than any disk");
}

TEST(Size, IsWrittenShortAndReadBack) {
    EXPECT_EQ(format_size(8ULL << 30), "8GiB");
    EXPECT_EQ(format_size(10'000'000'000ULL), "10GB");
    EXPECT_EQ(format_size(1), "1B");
    const auto random = base::seeded_random(2);
    for (int i = 0; i < 2000; ++i) {
        const std::uint64_t bytes = random->u64() >> (1 + random->u64() % 60);
        EXPECT_EQ(parse_size(format_size(bytes)).value(), bytes);
    }
}

}  // namespace
}  // namespace lifeboat::policy

#include "postgres/wal_coverage.h"

#include <gtest/gtest.h>

namespace lifeboat::postgres {
namespace {

using namespace std::chrono_literals;

base::Timestamp at(base::Duration since) {
    return base::from_unix_micros(1'700'000'000'000'000) + since;
}

TEST(WalCoverage, GoesAsFarAsTheServerPromisedAndWeReceived) {
    WalCoverage coverage;
    coverage.promise(Lsn{100}, at(1s));
    coverage.promise(Lsn{200}, at(2s));
    EXPECT_EQ(coverage.reach(Lsn{99}), std::nullopt);
    EXPECT_EQ(coverage.reach(Lsn{150}), at(1s));
    EXPECT_EQ(coverage.reach(Lsn{199}), std::nullopt);
    EXPECT_EQ(coverage.reach(Lsn{200}), at(2s));
    EXPECT_EQ(coverage.reach(Lsn{300}), std::nullopt);
}

TEST(WalCoverage, OfAServerThatWritesNothingFollowsItsClock) {
    WalCoverage coverage;
    for (int second = 0; second < 5; ++second) {
        coverage.promise(Lsn{100}, at(1s * second));
        EXPECT_EQ(coverage.reach(Lsn{100}), at(1s * second));
    }
}

TEST(WalCoverage, OfAnEndThatWasSaidAgainIsThatOfTheLaterWord) {
    WalCoverage coverage;
    coverage.promise(Lsn{100}, at(1s));
    coverage.promise(Lsn{100}, at(2s));
    EXPECT_EQ(coverage.reach(Lsn{100}), at(2s));
}

// Hours behind a server that writes all the time: no word of its end is reached for long, and yet
// the covered moment goes on, never ahead of the truth.
TEST(WalCoverage, FollowsFarBehindAServerInBoundedSpace) {
    WalCoverage coverage;
    const auto end_at = [](base::Duration since) {
        return Lsn{1'000'000 + static_cast<std::uint64_t>(since.count() / 1000)};
    };
    std::optional<base::Timestamp> covered;
    base::Timestamp last{};
    for (base::Duration now = 0s; now < 2000s; now += 1ms) {
        coverage.promise(end_at(now), at(now));
        const Lsn received = end_at(now / 2);
        if (const auto reached = coverage.reach(received)) {
            EXPECT_GT(*reached, last);
            last = *reached;
            covered = reached;
        }
    }
    ASSERT_TRUE(covered);
    EXPECT_LE(*covered, at(1000s));
    EXPECT_GE(*covered, at(980s));
}

TEST(WalCoverage, GoesBackWithTheServersClock) {
    WalCoverage coverage;
    coverage.promise(Lsn{100}, at(1h));
    EXPECT_EQ(coverage.reach(Lsn{100}), at(1h));
    coverage.promise(Lsn{200}, at(1s));
    EXPECT_EQ(coverage.reach(Lsn{200}), at(1s));
}

TEST(WalCoverage, DoesNotTakeOneWaysPromisesForAnother) {
    WalCoverage coverage;
    coverage.promise(Lsn{100}, at(1s));
    coverage.forget();
    EXPECT_EQ(coverage.reach(Lsn{1000}), std::nullopt);
}

}  // namespace
}  // namespace lifeboat::postgres

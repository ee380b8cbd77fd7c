#include "policy/expiry.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace lifeboat::policy {
namespace {

using base::Duration;
using base::Timestamp;
using std::chrono::days;
using namespace std::chrono_literals;

Timestamp at(std::string_view text) {
    return base::parse_rfc3339(text).value();
}

TEST(ExpiryDay, IsADayInUtc) {
    EXPECT_EQ(ExpiryDay::of(at("2026-02-22T00:00:00Z")).text(), "20260222");
    EXPECT_EQ(ExpiryDay::of(at("2026-02-22T23:59:59.999999Z")).text(), "20260222");
    EXPECT_EQ(ExpiryDay::of(at("2026-02-23T00:30:00+01:00")).text(), "20260222");
    EXPECT_EQ(ExpiryDay::of(at("2026-02-22T12:00:00Z")).end(), at("2026-02-23T00:00:00Z"));
}

TEST(ExpiryDay, ReadsOnlyRealDays) {
    EXPECT_EQ(ExpiryDay::parse("20240229").value().text(), "20240229");
    for (const char* text : {"", "2026022", "202602222", "20260229", "20261301", "20260100",
                             "2026-2-2", "2026022x", "+2026022"}) {
        EXPECT_EQ(ExpiryDay::parse(text).error().code(), base::Code::InvalidInput) << text;
    }
}

TEST(ExpiryDay, SortsAsTextAsItSortsInTime) {
    const auto random = base::seeded_random(3);
    for (int i = 0; i < 2000; ++i) {
        const auto a = ExpiryDay::of(Timestamp(days(static_cast<int>(random->u64() % 40000))));
        const auto b = ExpiryDay::of(Timestamp(days(static_cast<int>(random->u64() % 40000))));
        EXPECT_EQ(a < b, a.text() < b.text());
        EXPECT_EQ(ExpiryDay::parse(a.text()).value(), a);
    }
}

TEST(Expiry, CountsFromTheEndOfTheBackup) {
    EXPECT_EQ(backup_expiry(at("2026-01-23T14:00:00Z"), days(30)).text(), "20260222");
    EXPECT_EQ(pack_expiry(at("2026-01-23T14:00:00Z"), days(30), days(28)).text(), "20260324");
    EXPECT_EQ(pack_expiry(at("2026-01-23T14:00:00Z"), days(30), days(0)).text(), "20260224");
    EXPECT_EQ(wal_expiry(at("2026-01-23T14:00:00Z"), days(7)).text(), "20260204");
    EXPECT_EQ(wal_expiry(at("2026-01-23T14:00:00Z"), days(30)).text(), "20260310");
}

TEST(Expiry, W1_APackMustOutliveTheManifest) {
    const auto day = [](std::string_view text) { return ExpiryDay::parse(text).value(); };
    EXPECT_TRUE(may_reference(day("20260222"), day("20260222")));
    EXPECT_TRUE(may_reference(day("20260223"), day("20260222")));
    EXPECT_FALSE(may_reference(day("20260221"), day("20260222")));
}

TEST(Expiry, G1_DeletionWaitsADayAfterTheExpiryDay) {
    const ExpiryDay day = ExpiryDay::parse("20260222").value();
    EXPECT_FALSE(may_delete(day, at("2026-02-22T12:00:00Z")));
    EXPECT_FALSE(may_delete(day, at("2026-02-23T00:00:00Z")));
    EXPECT_FALSE(may_delete(day, at("2026-02-23T23:59:59.999999Z")));
    EXPECT_TRUE(may_delete(day, at("2026-02-24T00:00:00Z")));
}

struct Case {
    Timestamp written;
    Duration ran;  // from writing a pack to the end of the backup that names it
    days retention, rolling;
};

Case random_case(base::Random& random) {
    const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random.u64() % n); };
    return {Timestamp(Duration(below(100ULL * 365 * 86400 * 1'000'000))),
            Duration(below(60ULL * 86400 * 1'000'000)), days(static_cast<int>(below(400))),
            days(static_cast<int>(below(60)))};
}

TEST(Expiry, NothingThatACommittedBackupNamesIsDeletedWithinItsRetention) {
    const auto random = base::seeded_random(4);
    int committed = 0;
    for (int i = 0; i < 20000; ++i) {
        const Case c = random_case(*random);
        const Timestamp stop = c.written + c.ran;
        const ExpiryDay manifest = backup_expiry(stop, c.retention);
        const ExpiryDay pack = pack_expiry(c.written, c.retention, c.rolling);
        if (!may_reference(pack, manifest)) {
            continue;
        }
        ++committed;
        EXPECT_FALSE(may_delete(pack, stop + c.retention + 24h));
        EXPECT_FALSE(may_delete(manifest, stop + c.retention + 24h));
    }
    EXPECT_GT(committed, 5000);
}

TEST(Expiry, ABackupWithinTheRollingCycleMayNameThePack) {
    const auto random = base::seeded_random(5);
    for (int i = 0; i < 20000; ++i) {
        const Case c = random_case(*random);
        const bool reachable = may_reference(pack_expiry(c.written, c.retention, c.rolling),
                                             backup_expiry(c.written + c.ran, c.retention));
        if (c.ran <= c.rolling + kSessionMargin) {
            EXPECT_TRUE(reachable);
        }
        if (c.ran > c.rolling + kSessionMargin + days(1)) {
            EXPECT_FALSE(reachable);
        }
    }
}

TEST(Expiry, AWholeWindowOfStreamDataHasTheBackupBeforeIt) {
    const auto random = base::seeded_random(6);
    for (int i = 0; i < 20000; ++i) {
        const Case c = random_case(*random);
        const Timestamp now = c.written;
        const Timestamp point = now - c.retention;                     // the oldest promised point
        const Timestamp base_stop = point - oldest_base(c.retention);  // as old as verify accepts
        EXPECT_FALSE(may_delete(wal_expiry(base_stop, c.retention), now));
    }
}

TEST(Expiry, EverythingIsDeletableInTheEnd) {
    const auto random = base::seeded_random(7);
    for (int i = 0; i < 20000; ++i) {
        const Case c = random_case(*random);
        EXPECT_TRUE(may_delete(pack_expiry(c.written, c.retention, c.rolling),
                               c.written + c.retention + c.rolling + kSessionMargin + days(2)));
    }
}

TEST(Clocks, W2_MayDifferByFiveMinutes) {
    const Timestamp now = at("2026-01-23T14:00:00Z");
    EXPECT_TRUE(check_clocks(now, now + 5min).has_value());
    EXPECT_TRUE(check_clocks(now, now - 5min).has_value());
    EXPECT_EQ(check_clocks(now, now + 5min + 1s).error().message(),
              "this host's clock is 5 min 1 s behind the repository's");
    EXPECT_EQ(check_clocks(now, now - 6min).error().message(),
              "this host's clock is 6 min 0 s ahead of the repository's");
    EXPECT_EQ(check_clocks(now, now - 6min).error().code(), base::Code::Refused);
}

}  // namespace
}  // namespace lifeboat::policy

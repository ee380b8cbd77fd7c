#include "repo/rolling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using std::chrono::days;
using test::ok;

namespace {

constexpr std::uint64_t kMega = 1'000'000;

// ---- The choice
// ---------------------------------------------------------------------------------------------------

struct Choice {
    const char* what;
    std::vector<RewriteCandidate> candidates;
    int cycle;
    std::set<std::string> chosen;
};

TEST(Rolling, ChoosesWhatIsDue) {
    const std::vector<Choice> cases = {
        {"nothing of nothing", {}, 28, {}},
        {"nothing when there is no cycle", {{"a", kMega, 1, 99}}, 0, {}},
        {"nothing on the first day", {{"a", kMega, 1, 0}, {"b", kMega, 1, 0}}, 4, {}},
        {"a share on the second",
         {{"a", kMega, 1, 1}, {"b", kMega, 1, 1}, {"c", kMega, 1, 1}, {"d", kMega, 1, 1}},
         4,
         {"a"}},
        {"the most fragmented first",
         {{"a", kMega, 1, 1}, {"b", kMega, 9, 1}, {"c", kMega, 3, 1}, {"d", kMega, 3, 1}},
         4,
         {"b"}},
        {"the oldest before the fragmented",
         {{"a", kMega, 1, 4}, {"b", kMega, 9, 3}, {"c", kMega, 3, 3}, {"d", kMega, 3, 3}},
         4,
         {"a"}},
        {"all that is as old as the cycle",
         {{"a", kMega, 1, 4}, {"b", kMega, 9, 4}, {"c", kMega, 3, 4}, {"d", kMega, 3, 1}},
         4,
         {"a", "b", "c"}},
        {"what is overdue, however many generations",
         {{"a", kMega, 1, 9}, {"b", kMega, 1, 7}, {"c", kMega, 1, 4}, {"d", kMega, 1, 3}},
         4,
         {"a", "b", "c"}},
        {"not what does not fit the share yet",
         {{"a", 3 * kMega, 9, 1}, {"b", kMega, 1, 1}},
         4,
         {}},
        {"what does not fit a day's share, when its day comes",
         {{"a", 3 * kMega, 9, 3}, {"b", kMega, 1, 3}},
         4,
         {"a"}},
    };
    for (const Choice& one : cases) {
        EXPECT_EQ(choose_rewrites(one.candidates, days(one.cycle)), one.chosen) << one.what;
    }
}

// ---- A simulated year
// ---------------------------------------------------------------------------------------------

struct Simulated {
    std::uint64_t size = 0;
    std::uint32_t runs = 1;
    std::int64_t written = 0;  // the day of its oldest page
};

struct Year {
    std::int64_t cycle = 28;
    std::map<std::string, Simulated> files;
    std::int64_t oldest_ever = 0;       // after a backup, while backups are daily
    std::vector<std::uint64_t> volume;  // rewritten on each day

    std::uint64_t total() const {
        std::uint64_t sum = 0;
        for (const auto& [path, file] : files) {
            sum += file.size;
        }
        return sum;
    }
};

std::uint64_t back_up(Year& year, std::int64_t day) {
    std::vector<RewriteCandidate> candidates;
    for (const auto& [path, file] : year.files) {
        candidates.push_back({path, file.size, file.runs, day - file.written});
    }
    std::uint64_t bytes = 0;
    for (const std::string& path : choose_rewrites(std::move(candidates), days(year.cycle))) {
        Simulated& file = year.files.at(path);
        bytes += file.size;
        file.written = day;
        file.runs = static_cast<std::uint32_t>(file.size / kFrameSize + 1);
    }
    std::int64_t oldest = 0;
    for (const auto& [path, file] : year.files) {
        oldest = std::max(oldest, day - file.written);
    }
    year.oldest_ever = std::max(year.oldest_ever, oldest);
    year.volume.push_back(bytes);
    return bytes;
}

Year fresh(base::Random& random, std::size_t files, std::uint64_t largest) {
    Year year;
    for (std::size_t i = 0; i < files; ++i) {
        year.files["base/" + std::to_string(i)] = {1 + random.u64() % largest, 1, 0};
    }
    return year;
}

// Everyday life: pages change (fragmentation), files come, some are replaced whole.
void live(Year& year, std::int64_t day, base::Random& random) {
    for (auto& [path, file] : year.files) {
        file.runs += static_cast<std::uint32_t>(random.u64() % 20);
        if (random.u64() % 400 == 0) {
            file = {1 + random.u64() % (8 * kMega), 1, day};
        }
    }
    if (day % 5 == 0) {
        year.files["base/new" + std::to_string(day)] = {1 + random.u64() % (8 * kMega), 1, day};
    }
}

TEST(Rolling, EveryFileIsRewrittenWithinACycleOfAYear) {
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
        const auto random = base::seeded_random(seed);
        Year year = fresh(*random, 150, 8 * kMega);
        for (std::int64_t day = 1; day <= 365; ++day) {
            live(year, day, *random);
            back_up(year, day);
        }
        EXPECT_LT(year.oldest_ever, year.cycle)
            << seed;  // so a file is rewritten on its 28th day at the latest
    }
}

TEST(Rolling, TheDailyVolumeStaysNearItsShare) {
    const auto random = base::seeded_random(4);
    Year year = fresh(*random, 800, 2 * kMega);
    for (std::int64_t day = 1; day <= 365; ++day) {
        back_up(year, day);
    }
    const double share = static_cast<double>(year.total()) / 28;
    for (std::size_t day = 0; day < year.volume.size(); ++day) {
        EXPECT_NEAR(static_cast<double>(year.volume[day]) / share, 1, 0.15) << "day " << day + 1;
    }
}

// Files of a gigabyte beside small ones: a large one takes its days' share at once, the sum stays
// even.
TEST(Rolling, LargeFilesAverageOut) {
    const auto random = base::seeded_random(5);
    Year year = fresh(*random, 300, 2 * kMega);
    for (int i = 0; i < 12; ++i) {
        year.files["big/" + std::to_string(i)] = {80 * kMega, 1, 0};
    }
    for (std::int64_t day = 1; day <= 365; ++day) {
        back_up(year, day);
    }
    EXPECT_LT(year.oldest_ever, year.cycle);
    const double share = static_cast<double>(year.total()) / 28;
    for (std::size_t first = 0; first + 28 <= year.volume.size(); ++first) {
        double sum = 0;
        for (std::size_t i = first; i < first + 28; ++i) {
            sum += static_cast<double>(year.volume[i]);
        }
        EXPECT_NEAR(sum / (28 * share), 1, 0.12) << "days from " << first + 1;
    }
}

// Ten days without a backup make ten generations overdue; the next backup catches up, and nothing
// stays late.
TEST(Rolling, CatchesUpAfterDaysWithoutBackups) {
    const auto random = base::seeded_random(6);
    Year year = fresh(*random, 150, 8 * kMega);
    for (std::int64_t day = 1; day <= 100; ++day) {
        back_up(year, day);
    }
    back_up(year, 111);
    for (const auto& [path, file] : year.files) {
        EXPECT_LT(111 - file.written, year.cycle) << path;
    }
    year.oldest_ever = 0;
    for (std::int64_t day = 112; day <= 200; ++day) {
        back_up(year, day);
    }
    EXPECT_LT(year.oldest_ever, year.cycle);
}

TEST(Rolling, WeeklyBackupsKeepTheCycleToo) {
    const auto random = base::seeded_random(7);
    Year year = fresh(*random, 150, 8 * kMega);
    for (std::int64_t day = 7; day <= 364; day += 7) {
        back_up(year, day);
    }
    EXPECT_LT(year.oldest_ever, year.cycle);
}

// W1 in the arithmetic of days: what the plan leaves in place may be named by the manifest of that
// day.
TEST(Rolling, W1_WhatIsNotRewrittenOutlivesTheBackup) {
    const days retention(7);
    const days cycle(28);
    const base::Timestamp start = base::from_unix_micros(1'769'176'800'000'000);
    const auto random = base::seeded_random(8);
    Year year = fresh(*random, 150, 8 * kMega);
    for (std::int64_t day = 1; day <= 365; ++day) {
        back_up(year, day);
        const base::Timestamp stop =
            start + days(day) + std::chrono::hours(9);  // the backup may run past midnight
        for (const auto& [path, file] : year.files) {
            const auto expires = policy::pack_expiry(start + days(file.written), retention, cycle);
            ASSERT_TRUE(policy::may_reference(expires, policy::backup_expiry(stop, retention)))
                << path << " on day " << day;
        }
    }
}

// ---- On a real repository
// -----------------------------------------------------------------------------------------

// Two months of daily backups of a system that never changes: every pack is rewritten in time, and
// every manifest keeps W1.
TEST(Rolling, W1_HoldsForEveryManifestOfTwoMonths) {
    test::RepoWorld world;
    test::Tree tree;
    for (int i = 0; i < 40; ++i) {
        tree["base/" + std::to_string(i)] =
            test::table_like(static_cast<std::uint64_t>(i), 3 * kPageSize);
    }
    const test::Lifetimes lifetimes{days(7), days(10)};
    auto manifest = world.capture({.tree = &tree, .lifetimes = lifetimes});
    ASSERT_TRUE(ok(manifest));
    std::size_t largest = 0;
    for (int day = 1; day <= 60; ++day) {
        world.clock.advance(days(1));
        const auto previous = world.load(*manifest);
        ASSERT_TRUE(ok(previous));
        const auto maps = MapIndex::open(*world.store, world.repository->id(), *previous);
        ASSERT_TRUE(ok(maps));
        const auto expires =
            policy::pack_expiry(world.clock.now(), lifetimes.retention, lifetimes.rolling);
        const auto rewrite = plan_rewrites(**maps, previous->manifest, expires, lifetimes.rolling);
        largest = std::max(largest, rewrite.size());
        manifest = world.capture(
            {.tree = &tree, .previous = &*previous, .rewrite = rewrite, .lifetimes = lifetimes});
        ASSERT_TRUE(ok(manifest));
        for (const auto& [index, pack] : manifest->packs) {
            const auto pack_expires = expiry_of(pack.object.name);
            ASSERT_TRUE(ok(pack_expires));
            ASSERT_GE(*pack_expires, manifest->expires);
            ASSERT_LT((expires.end() - pack_expires->end()), days(10))
                << "a page older than the cycle, on day " << day;
        }
    }
    EXPECT_LE(largest, 6U);  // 40 files in 10 days: four each day
    const auto restored = world.restore(*manifest);
    ASSERT_TRUE(ok(restored));
    EXPECT_TRUE(*restored == tree);
}

}  // namespace

}  // namespace lifeboat::repo

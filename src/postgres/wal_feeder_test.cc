#include "postgres/wal_feeder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>

#include "repo/stream.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using base::kMiB;
using test::fails;
using test::ok;
using Kind = FeedAnswer::Kind;

constexpr std::uint64_t kSystem = 7000000000000000001ULL;

// Segments 2 to 6 of timeline 1, the last one half, in pieces that cut across them; timeline 2 from
// inside segment 4.
class FeederWorld {
  public:
    FeederWorld() {
        store_ = store::with_faults(store::memory_store(clock_), [this](store::Operation operation,
                                                                        const std::string& name) {
            return faults ? faults(operation, name) : store::Fault::None;
        });
        auto created = repo::Repository::create(*store_, keys_.recipients(), clock_, *keys_.random);
        EXPECT_TRUE(ok(created));
        repository = std::move(created).value();
        EXPECT_TRUE(ok(files_.create_directory(data / "pg_wal")));
        one = test::noise(1, 4 * kMiB + kMiB / 2);
        put(1, 2 * kMiB, one, 700'000);
        two = test::noise(2, kMiB);
        std::copy_n(one.begin() + 2 * kMiB, 4096, two.begin());  // what timeline 2's server copied
        put(2, 4 * kMiB, two, 300'000);
    }

    void put(TimelineId timeline, std::uint64_t from, base::BytesView bytes, std::size_t step) {
        repo::StreamWriter writer(*repository, keys_.host, "prod", clock_, *keys_.random);
        for (std::size_t at = 0; at < bytes.size(); at += step) {
            const auto part = bytes.subspan(at, std::min(step, bytes.size() - at));
            repo::StreamPut put;
            put.range = {timeline, from + at, from + at + part.size()};
            put.expires = policy::ExpiryDay::of(clock_.now() + std::chrono::hours(240));
            put.source = kSystem;
            put.segment_size = kMiB;
            put.major = 15;
            put.captured = clock_.now();
            EXPECT_TRUE(ok(writer.put(put, part)));
        }
    }

    FeedPlan plan() const {
        FeedPlan plan;
        plan.system = "prod";
        plan.backup = "b";
        plan.repository_id = repository->id();
        plan.system_identifier = kSystem;
        plan.major = 15;
        plan.segment = *SegmentSize::of(kMiB);
        plan.end = Lsn{6 * kMiB + 1000};
        plan.way = {{1, Lsn{2 * kMiB + 40}, plan.end}};
        plan.local_timeline = 1;
        plan.local_end = Lsn{2 * kMiB + 40};
        plan.histories = {{2, {'1', '\t'}}};
        return plan;
    }

    std::unique_ptr<WalFeeder> start(FeedPlan plan, FeedOptions options = {}) {
        auto feeder =
            WalFeeder::start(std::move(plan), data.path(), *repository, reader_, files_, options);
        EXPECT_TRUE(ok(feeder));
        return feeder ? std::move(feeder).value() : nullptr;
    }

    Bytes ready(const std::string& name) {
        auto bytes = base::read_file(
            files_, data / (std::string(kFeedDirectory) + "/" + name + std::string(kReadySuffix)));
        EXPECT_TRUE(ok(bytes));
        return bytes ? *bytes : Bytes{};
    }

    // As a server does: the file is gone from where the feeder keeps it.
    void take(const std::string& name) {
        EXPECT_TRUE(ok(files_.remove(
            data / (std::string(kFeedDirectory) + "/" + name + std::string(kReadySuffix)))));
    }

    Bytes slice(std::size_t from, std::size_t count) const {
        return {one.begin() + static_cast<std::ptrdiff_t>(from),
                one.begin() + static_cast<std::ptrdiff_t>(from + count)};
    }

    base::Result<> write(const std::string& path, base::BytesView bytes) {
        return base::write_durably(files_, data / path, bytes, base::Replace::Yes);
    }

    std::vector<std::string> objects() {
        std::vector<std::string> names;
        const auto all = store::list_all(*store_, "s/prod/wal/");
        for (const auto& object : *all) {
            names.push_back(object.name);
        }
        return names;
    }

    store::ObjectStore& store() { return *store_; }

    store::FaultPlan faults;
    test::TempDir data;
    std::unique_ptr<repo::Repository> repository;
    Bytes one;
    Bytes two;

  private:
    base::Files& files_ = base::real_files();
    base::ManualClock clock_{base::from_unix_micros(1'769'176'800'000'000)};
    test::RepoKeys keys_;
    repo::ReaderKeys reader_ = keys_.reader();
    std::unique_ptr<store::ObjectStore> store_;
};

std::string segment(TimelineId timeline, std::uint64_t number) {
    return segment_name(timeline, number, *SegmentSize::of(kMiB));
}

TEST(WalFeeder, PutsSegmentsTogetherAcrossPieces) {
    FeederWorld world;
    const auto feeder = world.start(world.plan());
    for (const std::uint64_t n : {2U, 3U, 4U, 5U}) {
        ASSERT_EQ(feeder->answer(segment(1, n)).kind, Kind::Found) << n;
        EXPECT_EQ(world.ready(segment(1, n)), world.slice((n - 2) * kMiB, kMiB)) << n;
        world.take(segment(1, n));
    }
    EXPECT_FALSE(feeder->failure());
}

TEST(WalFeeder, PadsTheLastSegmentWithZerosBehindThePlan) {
    FeederWorld world;
    const auto feeder = world.start(world.plan());
    ASSERT_EQ(feeder->answer(segment(1, 6)).kind, Kind::Found);
    Bytes expected = world.slice(4 * kMiB, 1000);
    expected.resize(kMiB);
    EXPECT_EQ(world.ready(segment(1, 6)), expected)
        << "bytes behind the plan's end are in the repository, and are not given";
}

TEST(WalFeeder, ProvesAbsenceByThePlanAlone) {
    FeederWorld world;
    const auto feeder = world.start(world.plan());
    for (const std::string& name : {segment(1, 7), segment(2, 4), segment(1, 1), history_name(3),
                                    history_name(1), segment(1, 6) + ".partial"}) {
        EXPECT_EQ(feeder->answer(name).kind, Kind::Absent) << name;
    }
}

TEST(FeedRoom, IsTheWindowAndOneSegmentButNoMoreThanTheWayNeeds) {
    FeederWorld world;
    FeedPlan plan = world.plan();
    EXPECT_EQ(feed_room(plan), 6 * kMiB) << "segments 2 to 6, and one more";
    plan.way.front().end = plan.end = Lsn{100 * kMiB};
    EXPECT_EQ(feed_room(plan), 9 * kMiB);
    plan.segment = SegmentSize{};
    plan.way.front().end = plan.end = Lsn{1000 * kMiB};
    EXPECT_EQ(feed_room(plan), 9 * 16 * kMiB);
}

TEST(WalFeeder, GivesEveryHistoryThatIsKnown) {
    FeederWorld world;
    const auto feeder = world.start(world.plan());
    ASSERT_EQ(feeder->answer(history_name(2)).kind, Kind::Found)
        << "or the server would take its number again";
    EXPECT_EQ(world.ready(history_name(2)), (Bytes{'1', '\t'}));
}

TEST(WalFeeder, JoinsTimelinesInsideASegment) {
    FeederWorld world;
    FeedPlan plan = world.plan();
    plan.way = {{1, Lsn{2 * kMiB + 40}, Lsn{4 * kMiB + 4096}},
                {2, Lsn{4 * kMiB + 4096}, Lsn{5 * kMiB}}};
    plan.end = Lsn{5 * kMiB};
    const auto feeder = world.start(plan);
    ASSERT_EQ(feeder->answer(segment(2, 4)).kind, Kind::Found);
    EXPECT_EQ(world.ready(segment(2, 4)), world.two);
    ASSERT_EQ(feeder->answer(segment(1, 4)).kind, Kind::Found)
        << "under the ancestor's name, up to where it was left";
    Bytes expected = world.slice(2 * kMiB, 4096);
    expected.resize(kMiB);
    EXPECT_EQ(world.ready(segment(1, 4)), expected);
}

TEST(WalFeeder, TakesAnAncestorsLastBytesFromItsHeir) {
    FeederWorld world;
    for (const std::string& name : world.objects()) {
        const auto parsed = repo::StreamName::parse(name);
        if (parsed && parsed->range.timeline == 1 && parsed->range.to > 4 * kMiB) {
            EXPECT_TRUE(ok(world.store().remove(name)));
        }
    }
    FeedPlan plan = world.plan();
    plan.way = {{1, Lsn{2 * kMiB + 40}, Lsn{4 * kMiB + 4096}},
                {2, Lsn{4 * kMiB + 4096}, Lsn{5 * kMiB}}};
    plan.end = Lsn{5 * kMiB};
    const auto feeder = world.start(plan);
    ASSERT_EQ(feeder->answer(segment(2, 4)).kind, Kind::Found);
    EXPECT_EQ(world.ready(segment(2, 4)), world.two);
}

TEST(WalFeeder, LetsTheServerUseWhatTheBackupBrought) {
    FeederWorld world;
    FeedPlan plan = world.plan();
    plan.local_end = Lsn{3 * kMiB + 500};
    ASSERT_TRUE(ok(world.write("pg_wal/" + segment(1, 2), world.slice(0, kMiB))));
    Bytes half = world.slice(kMiB, 500);
    half.resize(kMiB, 0xEE);  // what a recycled segment holds behind
    ASSERT_TRUE(ok(world.write("pg_wal/" + segment(1, 3), half)));
    const auto feeder = world.start(plan);
    EXPECT_EQ(feeder->answer(segment(1, 2)).kind, Kind::Absent) << "all of it lies in pg_wal";
    ASSERT_EQ(feeder->answer(segment(1, 3)).kind, Kind::Found) << "half of it does";
    EXPECT_EQ(world.ready(segment(1, 3)), world.slice(kMiB, kMiB));
}

TEST(WalFeeder, P5_WhatCannotBeReadIsNeverAbsent) {
    const struct {
        const char* what;
        std::function<void(FeederWorld&)> harm;
    } cases[] = {
        {"the store is down",
         [](FeederWorld& w) {
             w.faults = [](store::Operation, const std::string&) { return store::Fault::Fail; };
         }},
        {"access is denied",
         [](FeederWorld& w) {
             w.faults = [](store::Operation, const std::string&) { return store::Fault::Deny; };
         }},
        {"bits rot",
         [](FeederWorld& w) {
             w.faults = [](store::Operation o, const std::string&) {
                 return o == store::Operation::GetRange ? store::Fault::FlipBit
                                                        : store::Fault::None;
             };
         }},
        {"transfers end early",
         [](FeederWorld& w) {
             w.faults = [](store::Operation o, const std::string&) {
                 return o == store::Operation::GetRange ? store::Fault::Truncate
                                                        : store::Fault::None;
             };
         }},
        {"objects were deleted",
         [](FeederWorld& w) {
             for (const std::string& name : w.objects()) {
                 EXPECT_TRUE(ok(w.store().remove(name)));
             }
         }},
    };

    for (const auto& c : cases) {
        FeederWorld world;
        c.harm(world);
        const auto feeder = world.start(world.plan());
        for (const std::string& name : {segment(1, 2), segment(1, 6)}) {
            const FeedAnswer answer = feeder->answer(name);
            EXPECT_EQ(answer.kind, Kind::Failed) << c.what;
            EXPECT_FALSE(answer.message.empty()) << c.what;
        }
        ASSERT_TRUE(feeder->failure()) << c.what;
        EXPECT_NE(feeder->failure()->code(), Code::NotFound) << c.what;
    }
}

TEST(WalFeeder, GoesOnOnceTheRepositoryIsBack) {
    FeederWorld world;
    world.faults = [](store::Operation, const std::string&) { return store::Fault::Fail; };
    const auto feeder = world.start(world.plan());
    ASSERT_EQ(feeder->answer(segment(1, 2)).kind, Kind::Failed);
    world.faults = nullptr;
    EXPECT_EQ(feeder->answer(segment(1, 2)).kind, Kind::Found);
}

TEST(WalFeeder, GivesASegmentAgainToAServerThatStartedAnew) {
    FeederWorld world;
    const auto feeder = world.start(world.plan());
    for (int round = 0; round < 2; ++round) {
        for (const std::uint64_t n : {2U, 3U}) {
            ASSERT_EQ(feeder->answer(segment(1, n)).kind, Kind::Found);
            EXPECT_EQ(world.ready(segment(1, n)), world.slice((n - 2) * kMiB, kMiB));
            world.take(segment(1, n));
        }
    }
}

TEST(WalFeeder, RefusesNamesThatAreNone) {
    FeederWorld world;
    const auto feeder = world.start(world.plan());
    for (const char* name : {"", "../../etc/passwd", "00000001000000000000000",
                             "0000000100000000000000ZZ", "x.history"}) {
        EXPECT_EQ(feeder->answer(name).kind, Kind::Failed) << name;
    }
}

TEST(WalFeeder, KeepsItsDirectoryToItselfAndTakesItAway) {
    FeederWorld world;
    const std::string directory = world.data / std::string(kFeedDirectory);
    auto feeder = world.start(world.plan());
    struct stat found{};
    ASSERT_EQ(::stat(directory.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0700U);
    auto reader = test::RepoKeys().reader();
    const auto second = WalFeeder::start(world.plan(), world.data.path(), *world.repository, reader,
                                         base::real_files(), {});
    EXPECT_TRUE(fails(second, Code::Conflict));
    feeder.reset();
    EXPECT_NE(::stat(directory.c_str(), &found), 0);
}

TEST(ResidentFeeder, ServesOnlyTheRepositoryOfItsPlan) {
    FeederWorld world;
    base::StopToken stop;
    auto reader = test::RepoKeys().reader();
    const auto run = [&] {
        return run_resident_feeder({world.data.path(), std::chrono::seconds(1)}, *world.repository,
                                   reader, base::real_files(), base::system_clock(), stop);
    };
    EXPECT_TRUE(fails(run(), Code::NotFound)) << "no plan";
    FeedPlan plan = world.plan();
    plan.repository_id[0] ^= 1;
    ASSERT_TRUE(ok(world.write(std::string(kFeedPlanFile), base::view(plan.to_json().dump()))));
    EXPECT_TRUE(fails(run(), Code::Refused));
    ASSERT_TRUE(
        ok(world.write(std::string(kFeedPlanFile), base::view(world.plan().to_json().dump()))));
    EXPECT_TRUE(ok(run())) << "no recovery.signal: recovery is over, and so is the feeder";
}

TEST(ResidentFeeder, TakesTheTargetAwayOnceRecoveryIsOver) {
    FeederWorld world;
    base::StopToken stop;
    auto reader = test::RepoKeys().reader();
    const std::string settings = "postgresql.auto.conf";
    const std::string before =
        "\n# Recovery by lifeboat from backup 'b'.\nrecovery_target = 'immediate'\nport = '7'\n";
    ASSERT_TRUE(ok(world.write(settings, base::view(before))));
    ASSERT_TRUE(
        ok(world.write(std::string(kFeedPlanFile), base::view(world.plan().to_json().dump()))));
    const auto left = [&] {
        EXPECT_TRUE(
            ok(run_resident_feeder({world.data.path(), std::chrono::seconds(1)}, *world.repository,
                                   reader, base::real_files(), base::system_clock(), stop)));
        const auto bytes = base::read_file(base::real_files(), world.data / settings);
        return bytes ? std::string(base::text(*bytes)) : "";
    };
    ASSERT_TRUE(ok(world.write("standby.signal", {})));
    EXPECT_EQ(left(), before) << "it became a replica";
    ASSERT_TRUE(ok(base::real_files().remove(world.data / "standby.signal")));
    EXPECT_EQ(left(), "\nport = '7'\n");
}

}  // namespace
}  // namespace lifeboat::postgres

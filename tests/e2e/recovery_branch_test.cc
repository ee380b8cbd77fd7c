#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postgres/backup.h"
#include "repo/stream.h"
#include "tests/e2e/forged_backup.h"
#include "tests/e2e/recovery_fixture.h"
#include "tests/support/expect.h"

// Two servers that went on from the same past.

namespace lifeboat::test {
namespace {

using base::Code;
using testing::AllOf;
using testing::HasSubstr;
using namespace std::chrono_literals;

// WAL of timeline 1 behind what the old primary wrote, captured when `captured` says; gone with
// this object. Nobody reads it.
class LaterWal {
  public:
    LaterWal(RecoveryWorld& world, base::Timestamp captured) : world_(world) {
        const auto names = world.repository->backups("prod");
        const auto opened = world.repository->load(names->front(), *world.reader);
        const auto details = postgres::BackupDetails::from_json(opened->manifest.details);
        EXPECT_TRUE(ok(details));
        const std::uint64_t from = world.at("eight on one").lsn.value;
        repo::StreamPut put;
        put.range = {1, from, from + 4096};
        put.expires = policy::ExpiryDay::of(base::system_clock().now() + 240h);
        put.source = details->system_identifier;
        put.segment_size = details->wal_segment_size;
        put.major = 15;
        put.captured = captured;
        repo::StreamWriter writer(*world.repository, world.keys.host, "prod", base::system_clock(),
                                  base::system_random());
        EXPECT_TRUE(ok(writer.put(put, base::Bytes(4096))));
        name_ = repo::StreamName{put.kind, "prod", put.expires, put.range}.text();
    }

    ~LaterWal() { EXPECT_TRUE(ok(world_.store->remove(name_))); }

    LaterWal(const LaterWal&) = delete;
    LaterWal& operator=(const LaterWal&) = delete;

  private:
    RecoveryWorld& world_;
    std::string name_;
};

TEST_F(RecoveryTest, T14_ABackupOfARetiredPrimaryDoesNotTakeOver) {
    const ForgedBackup retired(world(), [&](repo::Manifest& m, postgres::BackupDetails& d) {
        d.start = d.stop = world().at("eight on one").lsn;
        m.start = m.stop = base::system_clock().now();
    });
    Restored restored(world(), "restored");
    const engine::Target targets[] = {engine::Latest{}, engine::Immediate{},
                                      engine::AtTime{retired.forged.stop}};
    for (const engine::Target& target : targets) {
        const auto planned = restored.plan(target);
        ASSERT_TRUE(fails(planned, Code::Refused)) << target.index();
        EXPECT_THAT(planned.error().message(),
                    AllOf(HasSubstr("timeline 1"), HasSubstr("timeline 2")));
        EXPECT_THAT(planned.error().hint(), HasSubstr("--timeline 1 or --timeline 2"));
    }
    ASSERT_TRUE(ok(restored.plan(engine::Latest{}, 1U)));
    EXPECT_EQ(restored.recovery->backup.manifest.backup, retired.forged.backup);
    ASSERT_TRUE(ok(restored.plan(engine::Latest{}, 2U)));
    EXPECT_EQ(restored.recovery->backup.manifest.backup, retired.original.backup);
    EXPECT_TRUE(ok(restored.plan(engine::AtTransaction{world().at("two").xid})))
        << "of the past that both share there is one";
}

TEST_F(RecoveryTest, T14_WhatAnOldPrimaryWroteAroundAFailoverIsNoLifeOfItsOwn) {
    Restored restored(world(), "restored");
    const LaterWal farewell(world(), world().at("seventy").time + 1min);
    EXPECT_TRUE(ok(restored.plan(engine::Latest{})));
}

TEST_F(RecoveryTest, T14_AnOldPrimaryThatWentOnIsNotPassedOverInSilence) {
    Restored restored(world(), "restored");
    const base::Timestamp later = world().at("seventy").time + 1h;
    const LaterWal life(world(), later);
    const engine::Target behind[] = {
        engine::Latest{}, engine::AtTransaction{world().at("seventy").xid},
        engine::AtPosition{postgres::format_lsn(world().captured_to() - 1)}};
    for (const engine::Target& target : behind) {
        ASSERT_TRUE(fails(restored.plan(target), Code::Refused)) << target.index();
    }
    EXPECT_TRUE(ok(restored.plan(engine::AtTransaction{world().at("six").xid})));
    EXPECT_TRUE(ok(restored.plan(engine::Latest{}, 2U)));

    const ForgedBackup decided(world(), [&](repo::Manifest& m, postgres::BackupDetails& d) {
        d.timeline = 2;
        d.start = d.stop = world().at("seventy").lsn;
        m.start = m.stop = later;
    });
    ASSERT_TRUE(ok(restored.plan(engine::Latest{}))) << "a backup was taken since";
    EXPECT_EQ(restored.recovery->backup.manifest.backup, decided.forged.backup);
}

// A copy that was promoted, and whose WAL went nowhere.
TEST_F(RecoveryTest, T14_AHistoryWithoutWalDoesNotShortenTheNewestPoint) {
    const auto before = repo::StreamCatalog::load(*world().repository, "prod");
    ASSERT_TRUE(ok(before));
    repo::StreamWriter writer(*world().repository, world().keys.host, "prod", base::system_clock(),
                              base::system_random());
    const std::string text =
        "1\t" + postgres::format_lsn(world().at("three").lsn) + "\tno recovery target specified\n";
    ASSERT_TRUE(ok(writer.put_history(3, base::view(text))));
    Restored restored(world(), "restored");
    const auto planned = restored.plan(engine::Latest{});
    const auto after = repo::StreamCatalog::load(*world().repository, "prod");
    for (const std::string& name : after->histories()) {
        if (repo::history_timeline(name).value() == 3) {
            EXPECT_TRUE(ok(world().store->remove(name)));
        }
    }
    ASSERT_TRUE(ok(planned));
    EXPECT_THAT(restored.recovery->point, HasSubstr("on timeline 2"));
}

// Its cron runs on, and so does its backup.
TEST_F(RecoveryTest, T14_AnOldPrimaryThatCameBackIsNotBackedUp) {
    const postgres::PgCluster& cluster = world().cluster();
    cluster.tool("pg_ctl",
                 {"start", "-w", "-D", cluster.inside("data"), "-l", cluster.inside("again.log")});
    for (int i = 0; i < 5; ++i) {
        cluster.tool("psql", {"-XAtq", "-h", cluster.inside(""), "-p", "5432", "-d", "postgres",
                              "-c", "SELECT txid_current(), pg_switch_wal()"});
    }
    postgres::PostgresConfig config;
    config.system = "prod";
    config.connection = "host=" + cluster.inside("") + " dbname=postgres user=postgres";
    const auto back_up = [&](std::optional<repo::OpenedManifest> parent) {
        repo::CaptureProgress progress;
        std::vector<std::string> notes;
        engine::BackupJob job{*world().repository, world().keys.host, {},
                              std::move(parent),   progress,          notes};
        return postgres::take_backup(config, job, world().context());
    };
    const auto by_stream = back_up({});
    std::optional<repo::OpenedManifest> newer;
    {
        const ForgedBackup forged(world(), [&](repo::Manifest& m, postgres::BackupDetails& d) {
            m.stop += 1s;
            d.timeline = 2;
        });
        const auto names = world().repository->backups("prod");
        auto opened = world().repository->load(names->back(), *world().reader);
        newer = std::move(opened).value();
    }
    const auto by_backup = back_up(std::move(newer));
    cluster.tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", cluster.inside("data")});

    ASSERT_TRUE(fails(by_stream, Code::Conflict));
    EXPECT_THAT(by_stream.error().message(), HasSubstr("went on as timeline 2: it left there at"));
    ASSERT_TRUE(fails(by_backup, Code::Conflict));
    EXPECT_THAT(by_backup.error().message(), HasSubstr("went on as timeline 2: the newest backup"));
    EXPECT_EQ(world().repository->backups("prod")->size(), 1U);
}

}  // namespace
}  // namespace lifeboat::test

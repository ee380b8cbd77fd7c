#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/e2e/property_world.h"
#include "tests/e2e/stream_world.h"
#include "tests/support/expect.h"

// Traps that only a real server sets. docs/traps.md says which test shows which.

namespace lifeboat::test {
namespace {

using base::Json;
using testing::HasSubstr;
using Start = PropertyWorld::Start;

const postgres::PgServer kServer{15, 1, false};

class Trap : public testing::Test {
  protected:
    void SetUp() override {
        const std::string missing = kServer.missing();
        if (!missing.empty()) {
            GTEST_SKIP() << missing;
        }
        PropertyWorld::Options options;
        options.checksums = false;
        options.settings = settings();
        world_.emplace(kServer, options);
    }

    virtual std::string settings() const { return "autovacuum=off\n"; }

    PropertyWorld& world() { return *world_; }

    std::string ask(const std::string& sql) { return world_->ask(sql); }

    const Json& back_up(std::vector<std::string> words = {}) {
        words.insert(words.begin(), "backup");
        report_ = world_->lifeboat(words);
        const Json* systems = report_.find("systems");
        EXPECT_NE(systems, nullptr);
        return systems != nullptr ? systems->items().front() : report_;
    }

    std::string path(const std::string& name) { return world_->cluster().inside(name); }

  private:
    std::optional<PropertyWorld> world_;
    Json report_ = Json::object();
};

// How many rows a table has by its pages, and by its index alone.
std::string both_counts(PropertyWorld& world, const PropertyWorld::Running& server,
                        const std::string& table) {
    return world.ask(server, "SELECT count(*) FROM " + table) + " " +
           world.ask(
               server,
               "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM " +
                   table + " WHERE k > 0");
}

// Neither of the two changes that it makes to a page moves that page's LSN or names the page of the
// map: setting "all visible" without checksums, and clearing it by a DELETE.
TEST_F(Trap, T20_T21_AnIncrementalAfterDeleteAndVacuumKeepsMapsTrue) {
    ask("CREATE TABLE a AS SELECT g AS k, repeat('x', 100) AS v FROM generate_series(1, 5000) g");
    ask("CREATE TABLE b AS SELECT g AS k, repeat('x', 100) AS v FROM generate_series(1, 5000) g");
    ask("CREATE INDEX ON a (k)");
    ask("CREATE INDEX ON b (k)");
    ask("VACUUM b");
    back_up({"--full"});
    ask("VACUUM a");
    ask("DELETE FROM b WHERE k % 2 = 0");
    ask("CHECKPOINT");
    const Json& incremental = back_up();
    EXPECT_EQ(incremental.find("kind")->as_text(), "incremental");
    const PropertyWorld::Running restored =
        world().start_restored({"--immediate"}, Start::ByLifeboat);
    EXPECT_EQ(both_counts(world(), restored, "b"), "2500 2500");
    EXPECT_EQ(both_counts(world(), restored, "a"), "5000 5000");
    world().ask(restored, "DELETE FROM a WHERE k <= 4000");
    EXPECT_EQ(both_counts(world(), restored, "a"), "1000 1000");
}

TEST_F(Trap, T5_AFileIsReadWhateverItsTimeSays) {
    ask("CREATE TABLE t AS SELECT g AS k FROM generate_series(1, 1000) g");
    ask("CHECKPOINT");
    back_up();
    const std::string file = "data/" + ask("SELECT pg_relation_filepath('t')");
    world().shell("touch -r " + file + " before");
    ask("UPDATE t SET k = k + 1000000");
    ask("CHECKPOINT");
    world().shell("touch -r before " + file);
    back_up();
    const PropertyWorld::Running restored =
        world().start_restored({"--immediate"}, Start::ByLifeboat);
    EXPECT_EQ(world().ask(restored, "SELECT min(k) FROM t"), "1000001");
}

TEST_F(Trap, T8_T10_ABackupStandsOnItsOwnAndItsSegmentsAreNotArchivedAgain) {
    ask("CREATE TABLE t AS SELECT g AS k FROM generate_series(1, 1000) g");
    back_up();
    ask("DROP TABLE t");
    world().lifeboat({"restore", "main", "--target", path("restored"), "--identity",
                      path("recovery-1.key"), "--immediate", "--tablespace",
                      path("away") + "=" + path("restored_away")});
    std::vector<std::string> own;
    for (const std::string& name : world().cluster().list("restored/pg_wal")) {
        if (name.size() == 24) {
            own.push_back(name);
        }
    }
    ASSERT_FALSE(own.empty());
    world().shell("mkdir archived");
    world().cluster().append("restored/postgresql.auto.conf",
                             "port=5439\nunix_socket_directories='" + path("restored") +
                                 "'\narchive_mode=on\narchive_command='cp %p " + path("archived") +
                                 "/%f'");
    world().start_by_hand("restored");
    const PropertyWorld::Running server{path("restored"), 5439, {}};
    ASSERT_TRUE(
        eventually([&] { return world().ask(server, "SELECT pg_is_in_recovery()") == "f"; }));
    EXPECT_EQ(world().ask(server, "SELECT count(*) FROM t"), "1000");
    world().ask(server, "SELECT pg_switch_wal()");
    ASSERT_TRUE(eventually([&] {
        const auto names = world().cluster().list("archived");
        return std::any_of(names.begin(), names.end(), [](const std::string& name) {
            return name.size() == 24 && name.starts_with("00000002");
        });
    }));
    for (const std::string& name : world().cluster().list("archived")) {
        EXPECT_EQ(std::count(own.begin(), own.end(), name), 0) << name;
    }
}

TEST_F(Trap, T18_AnotherClusterUnderTheSameNameIsRefused) {
    ask("CREATE TABLE mine AS SELECT 7 AS k");
    back_up();
    world().cluster().stop();
    world().shell("mv data old");
    world().cluster().tool("initdb", {"-D", path("data"), "-A", "trust", "-N", "--wal-segsize=1"});
    world().shell("cp old/postgresql.conf data/");
    world().cluster().start();
    const base::Finished refused = world().run_lifeboat({"backup"});
    EXPECT_NE(refused.exit_status, 0);
    EXPECT_THAT(refused.output, HasSubstr("cluster"));
    EXPECT_THAT(refused.output, HasSubstr("\"hint\""));
    const PropertyWorld::Running restored =
        world().start_restored({"--immediate"}, Start::ByLifeboat);
    EXPECT_EQ(world().ask(restored, "SELECT k FROM mine"), "7") << "the first is as it was";
}

// A replica takes its settings from the server that it is made of: a target among them would end
// its recovery at once.
TEST_F(Trap, T25_AServerThatRecoveredCanBeFollowed) {
    ask("CREATE TABLE t AS SELECT 7 AS k");
    back_up();
    const auto replica_of = [&](const std::string& primary, const std::string& name, int port) {
        world().cluster().tool(
            "pg_basebackup",
            {"-D", path(name), "-h", path(primary), "-p", std::to_string(port - 1), "-R", "-X",
             "stream", "-c", "fast", "-T", path("restored_away") + "=" + path(name + "_away")});
        world().cluster().append(
            name + "/postgresql.auto.conf",
            "port=" + std::to_string(port) + "\nunix_socket_directories='" + path(name) + "'");
        world().start_by_hand(name);
        return PropertyWorld::Running{path(name), port, {}};
    };
    for (const Start start : {Start::ByLifeboat, Start::ByHand}) {
        const PropertyWorld::Running restored = world().start_restored({"--immediate"}, start);
        ASSERT_TRUE(eventually([&] {
            return world()
                       .cluster()
                       .read("restored/postgresql.auto.conf")
                       .find("recovery_target") == std::string::npos;
        }));
        if (start == Start::ByLifeboat) {
            world().cluster().tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", path("restored")});
            world().cluster().append(
                "restored/postgresql.auto.conf",
                "port=5439\narchive_mode=off\nunix_socket_directories='" + path("restored") + "'");
            world().start_by_hand("restored");
        }
        const std::string name = start == Start::ByLifeboat ? "replica" : "replica_by_hand";
        const PropertyWorld::Running replica = replica_of("restored", name, 5440);
        world().ask({path("restored"), 5439, {}}, "INSERT INTO t VALUES (8)");
        EXPECT_TRUE(eventually([&] {
            return world().ask(replica, "SELECT pg_is_in_recovery(), sum(k) FROM t") == "t|15";
        })) << world().cluster().read(name + ".log");
        world().cluster().tool("pg_ctl", {"stop", "-w", "-m", "immediate", "-D", path(name)});
        world().end_restored();
    }
}

TEST_F(Trap, T19_ABackupTakenFromAStandbyIsAsGood) {
    const PropertyWorld::Running standby = world().start_standby("standby");
    ask("CREATE TABLE t AS SELECT g AS k FROM generate_series(1, 3000) g");
    ask("CREATE TABLE far TABLESPACE away AS SELECT 5 AS k");
    const std::string written = ask("SELECT pg_current_wal_flush_lsn()");
    ASSERT_TRUE(eventually([&] {
        return world().ask(standby,
                           "SELECT pg_last_wal_replay_lsn() >= '" + written + "'::pg_lsn") == "t";
    }));
    world().connect_to(standby.host, standby.port);
    back_up();
    ask("UPDATE t SET k = -k WHERE k <= 1000");
    ask("CHECKPOINT");
    const std::string later = ask("SELECT pg_current_wal_flush_lsn()");
    ASSERT_TRUE(eventually([&] {
        return world().ask(standby, "SELECT pg_last_wal_replay_lsn() >= '" + later + "'::pg_lsn") ==
               "t";
    }));
    EXPECT_EQ(back_up().find("kind")->as_text(), "incremental");
    const PropertyWorld::Running restored = world().start_restored(
        {"--immediate", "--tablespace", path("standby_away") + "=" + path("restored_far")},
        Start::ByLifeboat);
    EXPECT_EQ(world().ask(restored, "SELECT sum(sign(k)) FROM t"), "1000");
    EXPECT_EQ(world().ask(restored, "SELECT k FROM far"), "5");
}

// A server replays CREATE TABLESPACE with the original's path: beside it, that is the original's
// own directory.
TEST_F(Trap, T9_ATablespaceThatWalCreatesNeverLandsOnTheOriginal) {
    world().start_stream();
    back_up();
    world().shell("mkdir later");
    ask("CREATE TABLESPACE later LOCATION '" + path("later") + "'");
    ask("CREATE TABLE there TABLESPACE later AS SELECT g AS k FROM generate_series(1, 1000) g");
    ask("CHECKPOINT");
    world().wait_for_stream();
    world().end_stream();
    const std::vector<std::string> words = {
        "restore",      "main",
        "--target",     path("restored"),
        "--identity",   path("recovery-1.key"),
        "--tablespace", path("away") + "=" + path("restored_away"),
        "--at",         "latest"};
    const base::Finished refused = world().run_lifeboat(words);
    EXPECT_EQ(refused.exit_status, 4) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr(path("later")));
    EXPECT_EQ(ask("SELECT count(*) FROM there"), "1000");
}

TEST_F(Trap, T26_ATargetThatIsInUseIsRefusedAndLeftAlone) {
    back_up();
    world().shell("mkdir used; echo mine > used/file");
    for (const std::string target : {"data", "used"}) {
        const base::Finished refused = world().run_lifeboat(
            {"restore", "main", "--target", path(target), "--identity", path("recovery-1.key"),
             "--immediate", "--tablespace", path("away") + "=" + path("restored_away")});
        EXPECT_EQ(refused.exit_status, 4) << refused.output;
    }
    EXPECT_EQ(world().cluster().read("used/file"), "mine\n");
    EXPECT_EQ(world().cluster().list("used").size(), 1U);
    ask("CREATE TABLE still AS SELECT 1 AS works");
}

// ---- What must stay behind
// ------------------------------------------------------------------------------------

class Isolation : public Trap {
  protected:
    std::string settings() const override {
        return "autovacuum=off\nwal_level=logical\nprimary_conninfo='host=/nowhere'\n"
               "synchronous_standby_names='nobody'\nsynchronous_commit=local\n"
               "recovery_end_command='touch reached_out'\n"
               "archive_cleanup_command='touch reached_out'\n"
               "recovery_min_apply_delay=1h\n";
    }
};

TEST_F(Isolation, T25_T33_ARestoredServerReachesNothingOfTheOriginal) {
    ask("CREATE TABLE t (k int PRIMARY KEY)");
    ask("SELECT pg_create_physical_replication_slot('p', true)");
    ask("SELECT pg_create_logical_replication_slot('l', 'pgoutput')");
    ask("CREATE SUBSCRIPTION s CONNECTION 'host=" + path("") +
        " dbname=postgres' PUBLICATION none WITH (connect = false)");
    ask("ALTER SUBSCRIPTION s SET (slot_name = NONE)");
    back_up();
    const PropertyWorld::Running restored =
        world().start_restored({"--immediate"}, Start::ByLifeboat);
    EXPECT_EQ(world().ask(restored, "SELECT count(*) FROM pg_replication_slots"), "0");
    const std::pair<const char*, const char*> settings[] = {
        {"archive_mode", "off"},
        {"primary_conninfo", ""},
        {"max_logical_replication_workers", "0"},
        {"synchronous_standby_names", ""}};
    for (const auto& [name, value] : settings) {
        EXPECT_EQ(world().ask(restored, std::string("SHOW ") + name), value) << name;
    }
    world().ask(restored, "INSERT INTO t VALUES (1)");
    EXPECT_EQ(ask("SELECT count(*) FROM t"), "0");
}

// It would move the original's address, or empty the archive that it shares with others.
TEST_F(Isolation, T25_ARestoredServerRunsNoCommandOfTheOriginal) {
    ask("CREATE TABLE t AS SELECT 7 AS k");
    world().start_stream();
    back_up();
    ask("INSERT INTO t VALUES (8)");
    world().wait_for_stream();
    world().end_stream();
    for (const Start start : {Start::ByLifeboat, Start::ByHand}) {
        const PropertyWorld::Running restored = world().start_restored({}, start);
        ASSERT_NE(restored.port, 0);
        EXPECT_TRUE(eventually([&] {
            return world().ask(restored, "SELECT pg_is_in_recovery(), sum(k) FROM t") == "f|15";
        }));
        EXPECT_THAT(world().cluster().list("restored"),
                    testing::Not(testing::Contains("reached_out")));
        world().end_restored();
    }
}

// ---- Promotions
// ------------------------------------------------------------------------------------------------

class Storm : public Trap {};

// Each promotion leaves the old primary behind; the capture goes on at the new one, also where it
// was down meanwhile.
TEST_F(Storm, T14_T15_ManyPromotionsInARowLoseNothing) {
    constexpr int kPromotions = 6;
    ask("CREATE TABLE t (n int)");
    world().drop_tablespace();
    world().start_stream();
    back_up();
    PropertyWorld::Running primary{path(""), 5432, {}};
    for (int n = 1; n <= kPromotions; ++n) {
        world().ask(primary, "INSERT INTO t VALUES (" + std::to_string(n) + ")");
        world().ask(primary, "SELECT pg_switch_wal()");
        world().ask(primary, "INSERT INTO t VALUES (" + std::to_string(-n) + ")");
        world().wait_for_stream(primary);
        if (n % 2 == 0) {
            world().kill_stream();
        }
        primary = world().fail_over(primary, n);
        world().connect_to(primary.host, primary.port);
        if (n % 2 == 1) {
            world().end_stream();
        }
        world().ask(primary, "INSERT INTO t VALUES (" + std::to_string(100 + n) + ")");
        world().start_stream();
    }
    world().wait_for_stream(primary);
    world().end_stream();
    const PropertyWorld::Running restored = world().start_restored({}, Start::ByLifeboat);
    EXPECT_EQ(world().ask(restored, "SELECT count(*), sum(n) FROM t"),
              world().ask(primary, "SELECT count(*), sum(n) FROM t"));
    EXPECT_EQ(world().ask(restored, "SELECT count(*) FROM t"), std::to_string(3 * kPromotions));
}

}  // namespace
}  // namespace lifeboat::test

// Facts, backup sessions and slots of real servers.

#include <gtest/gtest.h>

#include "postgres/backup_session.h"
#include "postgres/pg_control.h"
#include "postgres/server_facts.h"
#include "postgres/slots.h"
#include "tests/support/expect.h"
#include "tests/support/pg_session.h"

namespace lifeboat::postgres {
namespace {

using std::chrono::seconds;
using test::fails;
using test::ok;

class LiveBackup : public testing::TestWithParam<PgServer> {
  protected:
    void SetUp() override {
        if (const std::string missing = GetParam().missing(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
    }

    Connection open(const PgCluster& cluster, const std::string& user = "postgres",
                    SessionKind kind = SessionKind::Sql) {
        auto connection = Connection::open(session_options(cluster, kind, user), stop_);
        EXPECT_TRUE(ok(connection));
        return std::move(connection).value();
    }

    static void start_primary(PgCluster& cluster, const std::string& settings = "") {
        cluster.create(settings);
        cluster.start();
    }

    static void start_standby(const PgCluster& primary, PgCluster& standby) {
        standby.tool("pg_basebackup", {"-N", "-h", primary.inside(""), "-D", standby.inside("data"),
                                       "-R", "-X", "stream", "-c", "fast"});
        standby.append("data/postgresql.conf",
                       "unix_socket_directories='" + standby.inside("") + "'");
        standby.start();
    }

    base::StopToken stop_;
};

TEST_P(LiveBackup, FactsAreThoseOfTheServer) {
    PgCluster cluster(GetParam());
    start_primary(cluster, "max_connections=77\nmax_slot_wal_keep_size=64MB\n");
    cluster.run({"/bin/mkdir", cluster.inside("space")});
    cluster.script({"CREATE TABLESPACE away LOCATION '" + cluster.inside("space") + "'"});
    cluster.script({"SET allow_in_place_tablespaces = on", "CREATE TABLESPACE here LOCATION ''"});
    cluster.script({"CREATE ROLE plain LOGIN"});
    Connection connection = open(cluster);
    const auto facts = gather_facts(connection, base::system_clock());
    ASSERT_TRUE(ok(facts));
    EXPECT_EQ(facts->major(), GetParam().major);
    const auto control = read_control(base::real_files(), cluster.host("data/global/pg_control"),
                                      base::system_clock());
    ASSERT_TRUE(ok(control));
    EXPECT_EQ(facts->system_identifier, control->data.system_identifier);
    EXPECT_EQ(facts->catalog_version, control->data.catalog_version);
    EXPECT_EQ(facts->control_version, control->data.control_version);
    EXPECT_EQ(facts->block_size, control->data.block_size);
    EXPECT_EQ(facts->blocks_per_segment, control->data.relation_segment_blocks);
    EXPECT_EQ(facts->wal_block_size, control->data.wal_block_size);
    EXPECT_EQ(facts->wal_segment, cluster.segment_size());
    EXPECT_EQ(facts->timeline, 1U);
    EXPECT_FALSE(facts->in_recovery);
    EXPECT_TRUE(facts->data_checksums);
    EXPECT_EQ(facts->data_directory, cluster.inside("data"));
    EXPECT_EQ(facts->config_file, cluster.inside("data/postgresql.conf"));
    EXPECT_EQ(facts->hba_file, cluster.inside("data/pg_hba.conf"));
    EXPECT_EQ(facts->ident_file, cluster.inside("data/pg_ident.conf"));
    EXPECT_EQ(facts->setting("max_connections"), "77");
    EXPECT_EQ(facts->number("max_slot_wal_keep_size"), 64 << 20);
    EXPECT_EQ(facts->setting("archive_mode"), "on");
    ASSERT_EQ(facts->tablespaces.size(), 2U);
    EXPECT_EQ(facts->tablespaces[0].location, cluster.inside("space"));
    EXPECT_FALSE(facts->tablespaces[0].in_place);
    EXPECT_TRUE(facts->tablespaces[1].in_place);
    EXPECT_EQ(facts->version_directory(), cluster.list("space").at(0));
    ASSERT_EQ(facts->databases.size(), 2U);
    EXPECT_EQ(facts->databases[1].name + facts->databases[0].name, "postgrestemplate1");
    EXPECT_EQ(facts->databases[1].encoding, "UTF8");
    EXPECT_EQ(facts->databases[1].collate, "C");
    ASSERT_EQ(facts->extensions.size(), 1U);
    EXPECT_EQ(facts->extensions[0].name, "plpgsql");
    EXPECT_TRUE(facts->role.superuser && facts->role.replication &&
                facts->role.reads_all_settings && facts->role.may_back_up);
    EXPECT_LT(facts->started, base::system_clock().now());
    EXPECT_LE(std::chrono::abs(facts->clock.offset),
              facts->clock.bound + std::chrono::milliseconds(1));

    Connection plain = open(cluster, "plain");
    const auto seen = gather_facts(plain, base::system_clock());
    ASSERT_TRUE(ok(seen));
    EXPECT_FALSE(seen->data_directory || seen->config_file || seen->hba_file);
    EXPECT_FALSE(seen->role.superuser || seen->role.replication || seen->role.reads_all_settings ||
                 seen->role.may_back_up);
    EXPECT_EQ(seen->system_identifier, facts->system_identifier);
}

TEST_P(LiveBackup, T1_T19_ABackupIsOneSession) {
    PgCluster cluster(GetParam());
    start_primary(cluster);
    cluster.run({"/bin/mkdir", cluster.inside("space")});
    cluster.script({"CREATE TABLESPACE away LOCATION '" + cluster.inside("space") + "'"});
    Connection connection = open(cluster);
    const auto start = start_backup(connection, "it's a label", CheckpointPace::Fast, seconds(60));
    ASSERT_TRUE(ok(start));
    EXPECT_EQ(start->timeline, 1U);
    EXPECT_FALSE(start->from_standby);
    const auto name = parse_wal_file_name(start->wal_file, cluster.segment_size());
    ASSERT_TRUE(ok(name));
    EXPECT_EQ(name->segment, cluster.segment_size().number_at(start->lsn));
    EXPECT_TRUE(ok(check_backup(connection, *start)));
    const auto stop = stop_backup(connection, *start);
    ASSERT_TRUE(ok(stop));
    EXPECT_GT(stop->lsn, start->lsn);
    EXPECT_EQ(stop->timeline, 1U);
    EXPECT_NE(stop->tablespace_map.find(cluster.inside("space")), std::string::npos);
    const auto label = parse_backup_label(stop->backup_label);
    ASSERT_TRUE(ok(label));
    EXPECT_EQ(label->wal_file, start->wal_file);
    EXPECT_EQ(label->label, "it's a label");

    EXPECT_TRUE(fails(stop_backup(connection, *start), Code::Conflict));  // there is none any more
    const auto second = start_backup(connection, "second", CheckpointPace::Fast, seconds(60));
    ASSERT_TRUE(ok(second));
    cluster.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = "
        "'lifeboat'");
    const auto lost = check_backup(connection, *second);
    ASSERT_TRUE(fails(lost, Code::Unavailable));
    EXPECT_NE(lost.error().hint().find("max_slot_wal_keep_size"), std::string::npos)
        << lost.error().message() << ": " << lost.error().hint();
    EXPECT_TRUE(fails(stop_backup(connection, *second), Code::Unavailable));
}

TEST_P(LiveBackup, T19_AStandbyServesUntilItIsPromoted) {
    PgCluster primary(GetParam());
    start_primary(primary);
    PgCluster standby(GetParam());
    start_standby(primary, standby);
    Connection connection = open(standby);
    const auto facts = gather_facts(connection, base::system_clock());
    ASSERT_TRUE(ok(facts));
    EXPECT_TRUE(facts->in_recovery);
    EXPECT_EQ(facts->timeline, 1U);

    const auto start = start_backup(connection, "standby", CheckpointPace::Fast, seconds(60));
    ASSERT_TRUE(ok(start));
    EXPECT_TRUE(start->from_standby);
    EXPECT_EQ(start->timeline, 1U);
    const auto stop = stop_backup(connection, *start);
    ASSERT_TRUE(ok(stop));
    EXPECT_TRUE(parse_backup_label(stop->backup_label)->from_standby);

    const auto interrupted =
        start_backup(connection, "promoted", CheckpointPace::Fast, seconds(60));
    ASSERT_TRUE(ok(interrupted));
    standby.sql("SELECT pg_promote()");
    const auto promoted = stop_backup(connection, *interrupted);
    ASSERT_TRUE(fails(promoted, Code::Conflict));
    EXPECT_NE(promoted.error().message().find("promoted"), std::string::npos);
    Connection fresh = open(standby);
    const auto after = gather_facts(fresh, base::system_clock());
    ASSERT_TRUE(ok(after));
    EXPECT_FALSE(after->in_recovery);
    EXPECT_EQ(after->timeline, 2U);
}

TEST_P(LiveBackup, T17_SlotsAreMadeWatchedLostAndDropped) {
    PgCluster cluster(GetParam());
    start_primary(cluster,
                  "wal_keep_size=0\nmax_slot_wal_keep_size=32MB\nmax_wal_size=64MB\nmax_"
                  "replication_slots=2\n");
    Connection connection = open(cluster);
    EXPECT_FALSE(read_slot(connection, "boat")->has_value());
    EXPECT_TRUE(fails(drop_slot(connection, "boat"), Code::NotFound));
    ASSERT_TRUE(ok(create_slot(connection, "boat", SlotLife::Permanent)));
    EXPECT_TRUE(fails(create_slot(connection, "boat", SlotLife::Permanent), Code::Conflict));
    const auto made = read_slot(connection, "boat");
    ASSERT_TRUE(ok(made));
    ASSERT_TRUE(made->has_value());
    EXPECT_TRUE((*made)->physical);
    EXPECT_FALSE((*made)->temporary || (*made)->active);
    EXPECT_TRUE((*made)->restart);
    EXPECT_EQ((*made)->wal, SlotWal::Reserved);
    EXPECT_TRUE((*made)->safe_wal_bytes);

    Connection stream = open(cluster, "postgres", SessionKind::PhysicalReplication);
    ASSERT_TRUE(ok(create_slot(stream, "passing", SlotLife::Temporary)));
    const auto passing = read_slot(connection, "passing");
    ASSERT_TRUE(ok(passing));
    EXPECT_TRUE((*passing)->temporary);
    EXPECT_TRUE((*passing)->restart);
    EXPECT_TRUE(fails(create_slot(connection, "third", SlotLife::Permanent), Code::Refused));
    EXPECT_TRUE(fails(drop_slot(connection, "passing"), Code::Conflict));
    stream.close();

    for (int i = 0; i < 6; ++i) {
        cluster.script({"SELECT pg_logical_emit_message(false, 'x', repeat('x', 20000000))",
                        "SELECT pg_switch_wal()"});
    }
    cluster.sql("CHECKPOINT");
    const auto lost = read_slot(connection, "boat");
    ASSERT_TRUE(ok(lost));
    EXPECT_EQ(name((*lost)->wal), "lost");
    EXPECT_EQ((*lost)->invalidation, GetParam().major >= 17 ? "wal_removed" : "");
    EXPECT_TRUE(ok(drop_slot(connection, "boat")));
    EXPECT_FALSE(read_slot(connection, "boat")->has_value());
}

INSTANTIATE_TEST_SUITE_P(Servers, LiveBackup, testing::ValuesIn(kLiveServers));

}  // namespace
}  // namespace lifeboat::postgres

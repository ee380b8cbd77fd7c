#include "postgres/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "postgres/discover.h"
#include "tests/support/expect.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::postgres {
namespace {

using engine::Finding;
using engine::Severity;
using testing::HasSubstr;

PostgresConfig config() {
    PostgresConfig config;
    config.system = "main";
    config.slot = "lifeboat_main";
    return config;
}

void set(DoctorProbe& probe, const std::string& name, const std::string& value,
         const std::string& unit = "") {
    probe.facts.settings[name] = {value, unit, "configuration file", false};
}

// A server of which there is nothing to say.
DoctorProbe healthy() {
    DoctorProbe probe;
    ServerFacts& facts = probe.facts;
    facts.version = 150004;
    facts.data_checksums = true;
    facts.data_directory = "/data";
    facts.hba_file = "/data/pg_hba.conf";
    facts.connected_database = "postgres";
    facts.role = {"backup", false, true, true, true};
    set(probe, "wal_level", "replica");
    set(probe, "max_wal_senders", "10");
    set(probe, "max_replication_slots", "10");
    set(probe, "max_slot_wal_keep_size", "16384", "MB");
    set(probe, "full_page_writes", "on");
    set(probe, "archive_mode", "off");
    probe.slot = SlotState{};
    probe.slot->name = "lifeboat_main";
    probe.slot->active = true;
    probe.slot->restart = Lsn{1};
    probe.slot->wal = SlotWal::Reserved;
    probe.slots_used = 1;
    probe.senders_used = 1;
    probe.host = "/run/postgresql:5432";
    probe.binaries = true;
    return probe;
}

TEST(Doctor, HasNothingToSayOfAHealthyServer) {
    EXPECT_EQ(judge_server(config(), healthy()).size(), 0U);
}

struct Ailment {
    std::function<void(DoctorProbe&)> inflict;
    Severity severity;
    const char* subject;
    const char* remedy;
};

DatabaseFact stale_database() {
    DatabaseFact database;
    database.name = "shop";
    database.collation_version = "2.31";
    database.actual_version = "2.36";
    return database;
}

const Ailment kAilments[] = {
    {[](DoctorProbe& p) { p.facts.role.replication = false; }, Severity::Error, "role 'backup'",
     "ALTER ROLE \"backup\" REPLICATION"},
    {[](DoctorProbe& p) { p.facts.role.may_back_up = false; }, Severity::Warn, "role 'backup'",
     "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean)"},
    {[](DoctorProbe& p) {
         p.facts.role.may_back_up = false;
         p.facts.version = 140010;
     },
     Severity::Warn, "role 'backup'", "pg_start_backup(text, boolean, boolean)"},
    {[](DoctorProbe& p) { p.facts.role.reads_all_settings = false; }, Severity::Warn,
     "role 'backup'", "GRANT pg_read_all_settings TO \"backup\""},
    {[](DoctorProbe& p) { set(p, "wal_level", "minimal"); }, Severity::Error, "wal_level",
     "ALTER SYSTEM SET wal_level = 'replica'; then restart the server"},
    {[](DoctorProbe& p) { set(p, "max_wal_senders", "0"); }, Severity::Error, "max_wal_senders",
     "max_wal_senders = '10'"},
    {[](DoctorProbe& p) { p.senders_used = 8; }, Severity::Warn, "max_wal_senders",
     "max_wal_senders = '20'"},
    {[](DoctorProbe& p) {
         p.slot.reset();
         p.slots_used = 10;
     },
     Severity::Error, "max_replication_slots", "max_replication_slots = '20'"},
    {[](DoctorProbe& p) { set(p, "max_slot_wal_keep_size", "-1", "MB"); }, Severity::Warn,
     "max_slot_wal_keep_size", "SELECT pg_reload_conf()"},
    {[](DoctorProbe& p) { p.slot.reset(); }, Severity::Info, "slot 'lifeboat_main'",
     "lifeboat stream"},
    {[](DoctorProbe& p) { p.slot->physical = false; }, Severity::Error, "slot 'lifeboat_main'",
     "Name another slot"},
    {[](DoctorProbe& p) { p.slot->wal = SlotWal::Lost; }, Severity::Error, "slot 'lifeboat_main'",
     "lifeboat stream"},
    {[](DoctorProbe& p) { p.slot->wal = SlotWal::Unreserved; }, Severity::Error,
     "slot 'lifeboat_main'", "lifeboat stream"},
    {[](DoctorProbe& p) { p.slot->wal = SlotWal::Extended; }, Severity::Warn,
     "slot 'lifeboat_main'", "lifeboat status"},
    {[](DoctorProbe& p) { p.slot->active = false; }, Severity::Warn, "slot 'lifeboat_main'",
     "lifeboat stream"},
    {[](DoctorProbe& p) { p.replication_refused = "no pg_hba.conf entry"; }, Severity::Error,
     "replication", "Add 'local replication \"backup\" peer' to '/data/pg_hba.conf'"},
    {[](DoctorProbe& p) {
         p.replication_refused = "no pg_hba.conf entry";
         p.host = "10.0.0.5:5432";
     },
     Severity::Error, "replication", "Add 'host replication \"backup\""},
    {[](DoctorProbe& p) { p.facts.data_checksums = false; }, Severity::Warn, "data checksums",
     "pg_checksums --enable -D '/data'"},
    {[](DoctorProbe& p) { set(p, "full_page_writes", "off"); }, Severity::Warn, "full_page_writes",
     "full_page_writes = 'on'"},
    {[](DoctorProbe& p) { p.fsync = false; }, Severity::Error, "fsync", "fsync = 'on'"},
    {[](DoctorProbe& p) {
         set(p, "archive_mode", "on");
         set(p, "archive_command", "(disabled)");
     },
     Severity::Warn, "archive_command", "lifeboat wal-push main %p"},
    {[](DoctorProbe& p) {
         set(p, "archive_mode", "on");
         set(p, "archive_command", "cp %p /gone/%f");
         p.archiver = {7, "000000010000000000000003", true};
     },
     Severity::Error, "archive_command", "Run it by hand"},
    {[](DoctorProbe& p) { p.directory_trouble = "permission denied"; }, Severity::Info,
     "data directory", "data_directory: none"},
    {[](DoctorProbe& p) { p.facts.clock = {std::chrono::minutes(6), {}}; }, Severity::Error,
     "clock", "timedatectl"},
    {[](DoctorProbe& p) { p.facts.clock = {-std::chrono::seconds(10), {}}; }, Severity::Warn,
     "clock", "timedatectl"},
    {[](DoctorProbe& p) { p.facts.databases = {stale_database()}; }, Severity::Warn,
     "collation of 'shop'", "REINDEX DATABASE \"shop\""},
    {[](DoctorProbe& p) { p.facts.settings["wal_level"].pending_restart = true; }, Severity::Warn,
     "wal_level", "Restart the server."},
    {[](DoctorProbe& p) { p.binaries = false; }, Severity::Warn, "PostgreSQL 15",
     "apt-get install postgresql-15"},
    {[](DoctorProbe& p) { p.missing_extensions = {"amcheck"}; }, Severity::Info, "extensions",
     "postgresql-contrib"},
    {[](DoctorProbe& p) { p.facts.tablespaces = {{16400, "fast", "/ssd", false}}; }, Severity::Info,
     "tablespaces", "--tablespace /ssd=/NEW/DIRECTORY"},
    {[](DoctorProbe& p) { p.unlogged_tables = 2; }, Severity::Info, "unlogged tables",
     "SET LOGGED"},
    {[](DoctorProbe& p) { p.facts.in_recovery = true; }, Severity::Info, "server", ""},
};

TEST(Doctor, FindsEachAilmentAloneAndSaysWhatToType) {
    for (const Ailment& ailment : kAilments) {
        DoctorProbe probe = healthy();
        ailment.inflict(probe);
        const std::vector<Finding> findings = judge_server(config(), probe);
        ASSERT_GE(findings.size(), 1U) << ailment.subject << " " << ailment.remedy;
        EXPECT_EQ(findings.front().subject, ailment.subject) << ailment.remedy;
        EXPECT_EQ(findings.front().severity, ailment.severity) << ailment.subject;
        EXPECT_THAT(findings.front().remedy, HasSubstr(ailment.remedy));
        EXPECT_THAT(findings.front().what, testing::EndsWith(".")) << ailment.subject;
    }
}

TEST(Doctor, TellsTheWorstFirst) {
    DoctorProbe probe = healthy();
    probe.unlogged_tables = 1;
    probe.facts.data_checksums = false;
    probe.fsync = false;
    probe.facts.in_recovery = true;
    const std::vector<Finding> findings = judge_server(config(), probe);
    ASSERT_EQ(findings.size(), 4U);
    EXPECT_TRUE(
        std::is_sorted(findings.begin(), findings.end(),
                       [](const Finding& a, const Finding& b) { return a.severity > b.severity; }));
}

TEST(Doctor, FilesThatCannotBeReadAreFatalOnlyToWhoInsists) {
    DoctorProbe probe = healthy();
    probe.directory_trouble = "permission denied";
    PostgresConfig insisting = config();
    insisting.read = PostgresConfig::Read::Directory;
    EXPECT_EQ(judge_server(insisting, probe).front().severity, Severity::Error);
    insisting.read = PostgresConfig::Read::Wire;
    EXPECT_EQ(judge_server(insisting, probe).size(), 0U);
}

TEST(Doctor, AClockWithinTheErrorOfItsMeasurementIsRight) {
    DoctorProbe probe = healthy();
    probe.facts.clock = {std::chrono::seconds(30), std::chrono::seconds(29)};
    EXPECT_EQ(judge_server(config(), probe).size(), 0U);
    probe.facts.clock = {std::chrono::seconds(1), std::chrono::seconds(40)};
    EXPECT_EQ(judge_server(config(), probe).size(), 0U);
}

TEST(SocketPorts, AreReadFromTheNamesOfSockets) {
    test::TempDir dir;
    for (const char* name : {".s.PGSQL.5433", ".s.PGSQL.5433.lock", ".s.PGSQL.432", ".s.PGSQL.",
                             ".s.PGSQL.70000", ".s.PGSQL.0", "other"}) {
        const auto file = base::real_files().open(dir / name, base::OpenMode::CreateNew);
        ASSERT_TRUE(test::ok(file));
    }
    EXPECT_EQ(socket_ports(base::real_files(), dir.path()), (std::vector<int>{432, 5433}));
    EXPECT_EQ(socket_ports(base::real_files(), dir / "absent"), std::vector<int>{});
}

}  // namespace
}  // namespace lifeboat::postgres

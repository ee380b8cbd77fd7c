#include "postgres/recovery_settings.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"

namespace lifeboat::postgres {
namespace {

using test::fails;
using test::ok;

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

PostgresPlan small_plan() {
    PostgresPlan plan;
    plan.backup = "20260123T020000Z-7f3a";
    plan.details.timeline = 1;
    plan.way = {{1, Lsn{0x2000028}, Lsn{0x3000100}}};
    plan.end = Lsn{0x3000100};
    plan.stop.record = {Lsn{0x30000C8}, Lsn{0x3000100}};
    plan.minimums.max_connections = 250;
    return plan;
}

TEST(RecoverySettings, PinTheLastRecordByItsPosition) {
    const std::string text = recovery_settings(small_plan(), "lifeboat wal-fetch");
    EXPECT_TRUE(has_line(text, "recovery_target_lsn = '0/30000C8'")) << text;
    EXPECT_TRUE(has_line(text, "recovery_target_inclusive = 'true'"));
    EXPECT_TRUE(has_line(text, "recovery_target_timeline = '1'"));
    EXPECT_TRUE(has_line(text, "recovery_target_action = 'promote'"));
    EXPECT_TRUE(has_line(text, "restore_command = 'lifeboat wal-fetch \"%f\" \"%p\"'"));
    EXPECT_TRUE(has_line(text, "max_connections = '250'"));
    EXPECT_EQ(text.find("max_wal_senders"), std::string::npos)
        << "a minimum that is not known is not set";
}

TEST(RecoverySettings, UnsetEveryOtherTargetBeforeTheOne) {
    const std::string text = recovery_settings(small_plan(), "x");
    for (const char* other : {"recovery_target_time", "recovery_target_xid", "recovery_target_name",
                              "recovery_target"}) {
        const std::size_t at = text.find("\n" + std::string(other) + " = ''");
        EXPECT_NE(at, std::string::npos) << other;
        EXPECT_LT(at, text.find("recovery_target_lsn = '0"));
    }
}

TEST(RecoverySettings, ABackupAloneStopsAtTheFirstConsistentMoment) {
    PostgresPlan plan = small_plan();
    plan.stop = {.immediate = true, .record = {}};
    const std::string text = recovery_settings(plan, "x");
    EXPECT_TRUE(has_line(text, "recovery_target = 'immediate'"));
    EXPECT_TRUE(has_line(text, "recovery_target_lsn = ''"));
}

TEST(RecoverySettings, NameATimelineOnlyIfItsHistoryCanBeFound) {
    PostgresPlan plan = small_plan();
    plan.details.timeline = 3;
    plan.way.front().timeline = 3;
    EXPECT_TRUE(has_line(recovery_settings(plan, "x"), "recovery_target_timeline = 'current'"));
    plan.histories.push_back({3, {}});
    EXPECT_TRUE(has_line(recovery_settings(plan, "x"), "recovery_target_timeline = '3'"));
}

TEST(RecoverySettings, QuoteWhatTheServerWouldTakeApart) {
    EXPECT_EQ(quote_setting("it's C:\\x"), "'it''s C:\\\\x'");
    EXPECT_EQ(restore_command("lifeboat --config '/a%b.yaml' wal-fetch"),
              "lifeboat --config '/a%%b.yaml' wal-fetch \"%f\" \"%p\"");
}

TEST(TablespaceMap, ReadsWhatItWrites) {
    const std::vector<TablespaceLink> links = {{16400, "/data/fast one"},
                                               {16401, "/data/new\nline \\ back"}};
    const auto read = parse_tablespace_map(encode_tablespace_map(links));
    ASSERT_TRUE(ok(read));
    ASSERT_EQ(read->size(), 2U);
    EXPECT_EQ((*read)[0].path, "/data/fast one");
    EXPECT_EQ((*read)[1].oid, 16401U);
    EXPECT_EQ((*read)[1].path, "/data/new\nline \\ back");
    for (const char* bad : {"x /data\n", "16400\n", "16400/data\n", "0 /data\n"}) {
        EXPECT_TRUE(fails(parse_tablespace_map(bad), Code::InvalidInput)) << bad;
    }
}

BackupDetails with_tablespaces() {
    BackupDetails d;
    d.data_directory = "/var/lib/postgresql/15/main";
    d.tablespaces = {
        {16400, "/fast", false}, {16401, "pg_tblspc/16401", true}, {16402, "/slow", false}};
    return d;
}

TEST(PlaceTablespaces, GoWhereTheyAreSent) {
    const auto placed = place_tablespaces(
        with_tablespaces(), {{"/fast", "/new/fast"}, {"/slow", "/new/slow"}}, "/restored");
    ASSERT_TRUE(ok(placed));
    ASSERT_EQ(placed->size(), 2U) << "one in place needs no link";
    EXPECT_EQ((*placed)[0].path, "/new/fast");
    EXPECT_EQ((*placed)[1].oid, 16402U);
}

TEST(PlaceTablespaces, NeverGoWhereALivingServerMayHaveThem) {
    EXPECT_TRUE(fails(place_tablespaces(with_tablespaces(), {{"/fast", "/new/fast"}}, "/restored"),
                      Code::Refused));
    EXPECT_TRUE(ok(place_tablespaces(with_tablespaces(), {}, "/var/lib/postgresql/15/main")))
        << "the original place is the disaster's own";
}

TEST(CreatedTablespaces, T9_MayOnlyLieWhereTheyWere) {
    const std::vector<TablespaceMade> created = {{Lsn{0x2000}, 16500, "/made"}};
    const BackupDetails d = with_tablespaces();
    EXPECT_TRUE(fails(allow_created_tablespaces(created, d, {}, "/restored"), Code::Refused));
    EXPECT_TRUE(fails(allow_created_tablespaces(created, d, {{"/made", "/x"}}, "/restored"),
                      Code::InvalidInput));
    EXPECT_TRUE(ok(allow_created_tablespaces(created, d, {}, "/var/lib/postgresql/15/main")))
        << "the original place is the disaster's own";
    const auto left = allow_created_tablespaces(
        created, d, {{"/made", "/made"}, {"/fast", "/new/fast"}}, "/restored");
    ASSERT_TRUE(ok(left));
    EXPECT_EQ(*left, (Remap{{"/fast", "/new/fast"}}));
}

TEST(CreatedTablespaces, T9_OneThatIsDroppedAndMadeAgainIsCreatedToo) {
    const std::vector<TablespaceMade> created = {{Lsn{0x2000}, 16500, "/fast"}};
    const BackupDetails d = with_tablespaces();
    EXPECT_TRUE(fails(allow_created_tablespaces(created, d, {{"/fast", "/x"}}, "/restored"),
                      Code::Refused));
    const Remap same = {{"/fast", "/fast"}};
    const auto left = allow_created_tablespaces(created, d, same, "/restored");
    ASSERT_TRUE(ok(left));
    EXPECT_EQ(*left, same);
}

TEST(PlaceTablespaces, RefuseWhatMakesNoSense) {
    const Remap bad[] = {{{"/fats", "/x"}},
                         {{"/fast", "relative"}, {"/slow", "/y"}},
                         {{"/fast", "/x"}, {"/slow", "/x"}}};
    for (const Remap& remap : bad) {
        EXPECT_TRUE(
            fails(place_tablespaces(with_tablespaces(), remap, "/restored"), Code::InvalidInput))
            << remap.front().first;
    }
}

TEST(SelfContainedConfiguration, LeavesOutWhatPointsElsewhere) {
    const OutsideFile file{"postgresql.conf", "/etc/postgresql/15/main/postgresql.conf",
                           "data_directory = '/var/lib/x'\n  HBA_FILE='/etc/y'\nshared_buffers = "
                           "1GB\ninclude_dir = 'conf.d'\n#port = 1\nhba_files = 1"};
    const std::string text = self_contained_configuration(file);
    EXPECT_TRUE(has_line(text, "# lifeboat: data_directory = '/var/lib/x'")) << text;
    EXPECT_TRUE(has_line(text, "# lifeboat:   HBA_FILE='/etc/y'"));
    EXPECT_TRUE(has_line(text, "shared_buffers = 1GB"));
    EXPECT_TRUE(has_line(text, "# lifeboat: include_dir = 'conf.d'"));
    EXPECT_TRUE(has_line(text, "#port = 1"));
    EXPECT_TRUE(has_line(text, "hba_files = 1"));
}

}  // namespace
}  // namespace lifeboat::postgres

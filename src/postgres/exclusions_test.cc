#include "postgres/exclusions.h"

#include <gtest/gtest.h>

namespace lifeboat::postgres {
namespace {

using base::FileKind;

const DirectoryRules kRules = {.version_directory = "PG_15_202209061",
                               .statistics_directory = "pg_stat_tmp"};

std::string describe(const std::optional<RelationFile>& file) {
    if (!file) {
        return "none";
    }
    const std::string backend = file->backend ? " temp " + std::to_string(*file->backend) : "";
    return std::to_string(file->tablespace) + "/" + std::to_string(file->database) + "/" +
           std::to_string(file->number) + " fork " + std::to_string(static_cast<int>(file->fork)) +
           " seg " + std::to_string(file->segment) + backend;
}

TEST(RelationPath, NamesTheRelationForkAndSegment) {
    const std::pair<const char*, const char*> table[] = {
        {"base/5/16384", "1663/5/16384 fork 0 seg 0"},
        {"base/5/16384.12", "1663/5/16384 fork 0 seg 12"},
        {"base/5/16384_fsm.2", "1663/5/16384 fork 1 seg 2"},
        {"base/5/16384_vm", "1663/5/16384 fork 2 seg 0"},
        {"base/5/16384_init", "1663/5/16384 fork 3 seg 0"},
        {"global/1262", "1664/0/1262 fork 0 seg 0"},
        {"pg_tblspc/16400/PG_15_202209061/5/16401", "16400/5/16401 fork 0 seg 0"},
        {"base/5/t3_16400", "1663/5/16400 fork 0 seg 0 temp 3"},
        {"base/5/t0_16400_fsm.1", "1663/5/16400 fork 1 seg 1 temp 0"},
        {"base/4294967295/4294967295", "1663/4294967295/4294967295 fork 0 seg 0"},
    };
    for (const auto& [path, expected] : table) {
        EXPECT_EQ(describe(parse_relation_path(path)), expected) << path;
        const auto file = parse_relation_path(path);
        ASSERT_TRUE(file) << path;
        EXPECT_EQ(relation_path(*file, "PG_15_202209061"), path);
    }
}

TEST(RelationPath, RefusesWhatTheServerNeverWrites) {
    for (const char* path : {"",
                             "16384",
                             "base",
                             "base/5",
                             "base/5/",
                             "base/5/016384",
                             "base/5/0",
                             "base/5/4294967296",
                             "base/5/16384.",
                             "base/5/16384.0",
                             "base/5/16384.01",
                             "base/5/16384_",
                             "base/5/16384_xxx",
                             "base/5/16384_fsm_vm",
                             "base/5/16384.1_fsm",
                             "base/5/pg_filenode.map",
                             "base/5/PG_VERSION",
                             "base/x/16384",
                             "base/0/16384",
                             "base/5/6/16384",
                             "global/5/16384",
                             "base/5/t_16400",
                             "base/5/t3",
                             "base/5/t3_",
                             "base/5/tx_16400",
                             "base/5/-1",
                             "base/5/+1",
                             "base/5/1 ",
                             "base/5/16384.99999999999",
                             "pg_tblspc/16400/5/16401",
                             "pg_tblspc/16400/PG_15/5/16401",
                             "pg_tblspc/x/PG_15_202209061/5/16401",
                             "pg_xact/0000",
                             "/base/5/16384"}) {
        EXPECT_EQ(describe(parse_relation_path(path)), "none") << path;
    }
}

struct Expectation {
    const char* path;
    FileKind kind;
    Keep keep;
};

TEST(Judge, T6_LeavesOutWhatMeansNothingInACopy) {
    const Expectation table[] = {
        {"pg_stat_tmp", FileKind::Directory, Keep::EmptyDirectory},
        {"pg_stat_tmp", FileKind::Symlink, Keep::EmptyDirectory},
        {"pg_stat_tmp/global.stat", FileKind::Regular, Keep::Skip},
        {"pg_replslot", FileKind::Directory, Keep::EmptyDirectory},
        {"pg_replslot/lifeboat", FileKind::Directory, Keep::Skip},
        {"pg_replslot/lifeboat/state", FileKind::Regular, Keep::Skip},
        {"pg_dynshmem", FileKind::Directory, Keep::EmptyDirectory},
        {"pg_notify/0000", FileKind::Regular, Keep::Skip},
        {"pg_serial", FileKind::Directory, Keep::EmptyDirectory},
        {"pg_snapshots", FileKind::Directory, Keep::EmptyDirectory},
        {"pg_subtrans/0000", FileKind::Regular, Keep::Skip},
        {"postmaster.pid", FileKind::Regular, Keep::Skip},
        {"postmaster.opts", FileKind::Regular, Keep::Skip},
        {"postgresql.auto.conf.tmp", FileKind::Regular, Keep::Skip},
        {"current_logfiles.tmp", FileKind::Regular, Keep::Skip},
        {"backup_label", FileKind::Regular, Keep::Skip},
        {"backup_label.old", FileKind::Regular, Keep::Skip},
        {"tablespace_map", FileKind::Regular, Keep::Skip},
        {"backup_manifest", FileKind::Regular, Keep::Skip},
        {"backup_manifest.tmp", FileKind::Regular, Keep::Skip},
        {"recovery.signal", FileKind::Regular, Keep::Skip},
        {"standby.signal", FileKind::Regular, Keep::Skip},
        {"global/pg_internal.init", FileKind::Regular, Keep::Skip},
        {"base/5/pg_internal.init.4711", FileKind::Regular, Keep::Skip},
        {"base/pgsql_tmp", FileKind::Directory, Keep::Skip},
        {"base/pgsql_tmp/pgsql_tmp4711.0", FileKind::Regular, Keep::Skip},
        {"base/pgsql_tmp/pgsql_tmp4711.0.sharedfileset/0.0", FileKind::Regular, Keep::Skip},
        {"pg_tblspc/16400/PG_15_202209061/pgsql_tmp", FileKind::Directory, Keep::Skip},
        {"base/5/t3_16400", FileKind::Regular, Keep::Skip},
        {"base/5/t3_16400_fsm.1", FileKind::Regular, Keep::Skip},
        {"lost+found", FileKind::Directory, Keep::Skip},
        {".s.PGSQL.5432", FileKind::Other, Keep::Skip},
    };
    for (const Expectation& e : table) {
        EXPECT_EQ(judge(e.path, e.kind, kRules), e.keep) << e.path;
    }
}

TEST(Judge, CopiesEverythingElse) {
    for (const char* path : {"PG_VERSION",
                             "postgresql.conf",
                             "postgresql.auto.conf",
                             "pg_hba.conf",
                             "base/5/16384",
                             "base/5/16384_init",
                             "base/5/pg_filenode.map",
                             "base/5/PG_VERSION",
                             "global/1262",
                             "pg_xact/0000",
                             "pg_multixact/offsets/0000",
                             "pg_twophase/00000123",
                             "pg_logical/replorigin_checkpoint",
                             "pg_stat/pgstat.stat",
                             "log/postgresql.log",
                             "notes/backup_label",
                             "notes/postmaster.pid",
                             "notes/pgsql_tmp",
                             "notes/t3_16400",
                             "pg_commit_ts/0000",
                             "pg_tblspc/16400/PG_15_202209061/5/16401",
                             "current_logfiles",
                             "pg_replslots",
                             "notes/pg_wal/x"}) {
        EXPECT_EQ(judge(path, FileKind::Regular, kRules), Keep::Copy) << path;
    }
    EXPECT_EQ(judge("", FileKind::Directory, kRules), Keep::Copy);
    EXPECT_EQ(judge("base/5", FileKind::Directory, kRules), Keep::Copy);
}

TEST(Judge, T2_ControlFileComesLast) {
    EXPECT_EQ(judge("global/pg_control", FileKind::Regular, kRules), Keep::CopyLast);
    EXPECT_EQ(judge("base/5/pg_control", FileKind::Regular, kRules), Keep::Copy);
}

TEST(Judge, T8_WalIsAnEmptyDirectoryEvenBehindALink) {
    EXPECT_EQ(judge("pg_wal", FileKind::Directory, kRules), Keep::EmptyDirectory);
    EXPECT_EQ(judge("pg_wal", FileKind::Symlink, kRules), Keep::EmptyDirectory);
    EXPECT_EQ(judge("pg_wal/archive_status", FileKind::Directory, kRules), Keep::EmptyDirectory);
    EXPECT_EQ(judge("pg_wal/summaries", FileKind::Directory, kRules), Keep::EmptyDirectory);
    EXPECT_EQ(judge("pg_wal/000000010000000000000001", FileKind::Regular, kRules), Keep::Skip);
    EXPECT_EQ(judge("pg_wal/archive_status/x.ready", FileKind::Regular, kRules), Keep::Skip);
}

TEST(Judge, T9_TablespaceHoldsOnlyItsVersionDirectory) {
    const Expectation table[] = {
        {"pg_tblspc", FileKind::Directory, Keep::Copy},
        {"pg_tblspc/16400", FileKind::Symlink, Keep::TablespaceLink},
        {"pg_tblspc/16400", FileKind::Directory, Keep::Copy},  // in place
        {"pg_tblspc/16400", FileKind::Regular, Keep::Skip},
        {"pg_tblspc/notes", FileKind::Symlink, Keep::Skip},
        {"pg_tblspc/16400/PG_15_202209061", FileKind::Directory, Keep::Copy},
        {"pg_tblspc/16400/PG_14_202107181", FileKind::Directory, Keep::Skip},
        {"pg_tblspc/16400/PG_14_202107181/5/16401", FileKind::Regular, Keep::Skip},
        {"pg_tblspc/16400/lost+found", FileKind::Directory, Keep::Skip},
        {"pg_tblspc/16400/PG_15_202209061/5/16401", FileKind::Symlink, Keep::ForeignLink},
    };
    for (const Expectation& e : table) {
        EXPECT_EQ(judge(e.path, e.kind, kRules), e.keep) << e.path;
    }
}

TEST(Judge, ALinkThatTheServerDidNotMakeIsForeign) {
    EXPECT_EQ(judge("postgresql.conf", FileKind::Symlink, kRules), Keep::ForeignLink);
    EXPECT_EQ(judge("base/5", FileKind::Symlink, kRules), Keep::ForeignLink);
    EXPECT_EQ(judge("postmaster.pid", FileKind::Symlink, kRules), Keep::Skip);
}

TEST(Judge, StatisticsDirectoryOfOldServersMayBeAnywhere) {
    const DirectoryRules rules = {.version_directory = "PG_14_202107181",
                                  .statistics_directory = "run/stats"};
    EXPECT_EQ(judge("run/stats", FileKind::Directory, rules), Keep::EmptyDirectory);
    EXPECT_EQ(judge("run/stats/db_0.stat", FileKind::Regular, rules), Keep::Skip);
    EXPECT_EQ(judge("run/stats2/x", FileKind::Regular, rules), Keep::Copy);
    EXPECT_EQ(judge("pg_stat_tmp", FileKind::Directory, rules), Keep::EmptyDirectory);
}

std::vector<std::string> kept(std::string_view directory,
                              std::initializer_list<const char*> names) {
    std::vector<DirectoryEntry> entries;
    for (const char* name : names) {
        entries.push_back({name, FileKind::Regular});
    }
    const std::vector<Keep> verdicts = judge_directory(directory, entries, kRules);
    std::vector<std::string> result;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (verdicts[i] == Keep::Copy) {
            result.push_back(entries[i].name);
        }
    }
    return result;
}

TEST(JudgeDirectory, T7_OfAnUnloggedRelationOnlyTheInitForkIsKept) {
    const auto names = {"16384",    "16384.1", "16384_fsm", "16384_init",
                        "16384_vm", "16385",   "16385_fsm", "t3_16384"};
    const std::vector<std::string> expected = {"16384_init", "16385", "16385_fsm"};
    for (const char* directory : {"base/5", "global", "pg_tblspc/16400/PG_15_202209061/5"}) {
        EXPECT_EQ(kept(directory, names), expected) << directory;
    }
}

TEST(JudgeDirectory, T7_TheInitForkCountsWhereverItStandsInTheListing) {
    EXPECT_EQ(kept("base/5", {"16384_init", "16384", "163840"}),
              (std::vector<std::string>{"16384_init", "163840"}));
}

TEST(JudgeDirectory, FilesThatLookLikeRelationsElsewhereAreJustFiles) {
    EXPECT_EQ(kept("notes", {"16384", "16384_init", "t3_16384"}).size(), 3U);
}

TEST(RequiredDirectories, SummariesCameWith17) {
    EXPECT_EQ(required_empty_directories(15).back(), "pg_wal/archive_status");
    EXPECT_EQ(required_empty_directories(17).back(), "pg_wal/summaries");
}

}  // namespace
}  // namespace lifeboat::postgres

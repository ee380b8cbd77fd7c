// What lies in the data directory of a real cluster: pages, the control file, and what a backup
// copies of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "postgres/backup_session.h"
#include "postgres/exclusions.h"
#include "postgres/page_check.h"
#include "postgres/pg_control.h"
#include "postgres/server_facts.h"
#include "tests/support/expect.h"
#include "tests/support/pg_session.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using base::FileKind;
using std::chrono::seconds;
using test::fails;
using test::ok;

constexpr std::size_t kPage = 8192;

class LiveFiles : public testing::TestWithParam<PgServer> {
  protected:
    void SetUp() override {
        if (const std::string missing = GetParam().missing(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
        cluster_.emplace(GetParam());
        cluster_->create("max_wal_size=1GB\n");
        cluster_->start();
        cluster_->run({"/bin/mkdir", cluster_->inside("space"), cluster_->inside("copied_space")});
        cluster_->script(
            {"CREATE TABLESPACE away LOCATION '" + cluster_->inside("space") + "'",
             "CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 20000) i",
             "CREATE INDEX ON t (v)",
             "CREATE TABLE far TABLESPACE away AS SELECT i FROM generate_series(1, 5000) i",
             "CREATE UNLOGGED TABLE fast TABLESPACE away AS SELECT i FROM generate_series(1, 5000) "
             "i",
             "CREATE UNLOGGED TABLE fast2 (x int PRIMARY KEY)",
             "INSERT INTO fast2 SELECT generate_series(1, 5000)", "DELETE FROM t WHERE i % 3 = 0",
             "VACUUM", "CHECKPOINT"});
    }

    // The path on this host of `path` in a data directory, whose links may be meant for another
    // root.
    std::string resolve(const std::string& directory, const std::string& path) const {
        constexpr std::size_t kNumber = sizeof "pg_tblspc/" - 1;
        const std::string plain = cluster_->host(base::join(directory, path));
        if (!path.starts_with("pg_tblspc/")) {
            return plain;
        }
        const std::size_t end = std::min(path.find('/', kNumber), path.size());
        const auto target = base::real_files().read_link(
            cluster_->host(base::join(directory, path.substr(0, end))));
        return target ? GetParam().root() + *target + path.substr(end) : plain;
    }

    std::vector<std::string> list(const std::string& directory, const std::string& path) const {
        auto names = base::real_files().list(resolve(directory, path));
        EXPECT_TRUE(ok(names)) << path;
        return names ? *std::move(names) : std::vector<std::string>();
    }

    // Walks as a backup would, and returns what it would copy; directories end in '/'.
    void walk(const std::string& path, const DirectoryRules& rules,
              std::set<std::string>& copied) const {
        std::vector<DirectoryEntry> entries;
        for (const std::string& name : list("data", path)) {
            const bool link = path == "pg_tblspc";
            const std::string entry = path.empty() ? name : path + "/" + name;
            const auto stat = base::real_files().lstat(link ? cluster_->host("data/" + entry)
                                                            : resolve("data", entry));
            ASSERT_TRUE(ok(stat));
            entries.push_back({name, stat->kind});
        }
        const std::vector<Keep> verdicts = judge_directory(path, entries, rules);
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const std::string entry = path.empty() ? entries[i].name : path + "/" + entries[i].name;
            const bool descends =
                verdicts[i] == Keep::TablespaceLink ||
                (verdicts[i] == Keep::Copy && entries[i].kind == FileKind::Directory);
            EXPECT_NE(verdicts[i], Keep::ForeignLink) << entry;
            if (descends || verdicts[i] == Keep::EmptyDirectory) {
                copied.insert(entry + "/");
            } else if (verdicts[i] != Keep::Skip) {
                copied.insert(entry);
            }
            if (descends) {
                walk(entry, rules, copied);
            }
        }
    }

    void list_all(const std::string& directory, const std::string& path,
                  std::set<std::string>& out) const {
        for (const std::string& name : list(directory, path)) {
            const std::string entry = path.empty() ? name : path + "/" + name;
            const auto stat = base::real_files().stat(resolve(directory, entry));
            ASSERT_TRUE(ok(stat));
            const bool is_directory = stat->kind == FileKind::Directory;
            out.insert(is_directory ? entry + "/" : entry);
            if (is_directory) {
                list_all(directory, entry, out);
            }
        }
    }

    // Verdicts of all pages of all relations, as "good 812".
    void check_all(Lsn start, std::map<PageVerdict, int>& counts) const {
        std::set<std::string> all;
        list_all("data", "", all);
        for (const std::string& path : all) {
            const auto relation = parse_relation_path(path);
            if (!relation || relation->backend) {
                continue;
            }
            const auto read =
                base::read_file(base::real_files(), resolve("data", path), base::kGiB);
            ASSERT_TRUE(ok(read));
            const Bytes& bytes = *read;
            EXPECT_EQ(bytes.size() % kPage, 0U) << path;
            for (std::uint32_t block = 0; (block + 1) * kPage <= bytes.size(); ++block) {
                const auto page = base::BytesView(bytes).subspan(block * kPage, kPage);
                ++counts[check_page(page, absolute_block(relation->segment, block, 131072), start,
                                    Checksums::On)];
            }
        }
    }

    std::optional<PgCluster> cluster_;
    base::StopToken stop_;
};

TEST_P(LiveFiles, EveryPageOfARealClusterIsGood) {
    cluster_->stop();
    std::map<PageVerdict, int> counts;
    check_all(Lsn{}, counts);
    EXPECT_GT(counts.at(PageVerdict::Good), 1000);
    for (const auto& [verdict, count] : counts) {
        EXPECT_TRUE(verdict == PageVerdict::Good || verdict == PageVerdict::New)
            << name(verdict) << " " << count;
    }
    // Every page that was ever logged has changed after position 1; the rest cannot be told apart.
    std::map<PageVerdict, int> newer;
    check_all(Lsn{1}, newer);
    EXPECT_GT(newer.at(PageVerdict::NewerThanStart), 900);
}

TEST_P(LiveFiles, T6_T7_T8_T9_TheSameFilesAsTheServersOwnBackup) {
    auto connection = Connection::open(session_options(*cluster_), stop_);
    ASSERT_TRUE(ok(connection));
    const auto facts = gather_facts(*connection, base::system_clock());
    ASSERT_TRUE(ok(facts));
    ASSERT_TRUE(
        ok(connection->exec("CREATE TEMP TABLE passing AS SELECT 1 AS x; CREATE TEMP TABLE going "
                            "TABLESPACE away AS SELECT 1 AS x")));
    cluster_->tool(
        "pg_basebackup",
        {"-N", "-h", cluster_->inside(""), "-D", cluster_->inside("copy"), "-X", "none", "-c",
         "fast", "-T", cluster_->inside("space") + "=" + cluster_->inside("copied_space")});
    std::set<std::string> ours;
    walk("", {facts->version_directory(), facts->setting("stats_temp_directory", "pg_stat_tmp")},
         ours);
    for (const std::string& directory : required_empty_directories(GetParam().major)) {
        ours.insert(directory + "/");
    }
    std::set<std::string> theirs;
    list_all("copy", "", theirs);
    theirs.erase("backup_label");
    theirs.erase("backup_manifest");
    theirs.erase("tablespace_map");
    std::vector<std::string> only_ours;
    std::vector<std::string> only_theirs;
    std::set_difference(ours.begin(), ours.end(), theirs.begin(), theirs.end(),
                        std::back_inserter(only_ours));
    std::set_difference(theirs.begin(), theirs.end(), ours.begin(), ours.end(),
                        std::back_inserter(only_theirs));
    EXPECT_EQ(only_ours, std::vector<std::string>());
    EXPECT_EQ(only_theirs, std::vector<std::string>());
    EXPECT_GT(ours.size(), 900U);
}

TEST_P(LiveFiles, ControlDataIsWhatPgControldataSays) {
    cluster_->stop();
    const std::string said = cluster_->tool("pg_controldata", {cluster_->inside("data")});
    const auto file =
        read_control(base::real_files(), cluster_->host("data/" + std::string(kControlFile)),
                     base::system_clock());
    ASSERT_TRUE(ok(file));
    const ControlData& data = file->data;
    const auto says = [&](const std::string& key, const std::string& value) {
        const std::size_t at = said.find(key + ":");
        ASSERT_NE(at, std::string::npos) << key;
        const std::string line = said.substr(at, said.find('\n', at) - at);
        EXPECT_EQ(line.substr(line.find_last_of(" \t") + 1), value) << line;
    };
    says("pg_control version number", std::to_string(data.control_version));
    says("Catalog version number", std::to_string(data.catalog_version));
    says("Database system identifier", std::to_string(data.system_identifier));
    says("Latest checkpoint location", format_lsn(data.checkpoint));
    says("Latest checkpoint's REDO location", format_lsn(data.redo));
    says("Latest checkpoint's TimeLineID", std::to_string(data.timeline));
    says("Latest checkpoint's PrevTimeLineID", std::to_string(data.previous_timeline));
    says("Minimum recovery ending location", format_lsn(data.min_recovery_point));
    says("max_connections setting", std::to_string(data.max_connections));
    says("max_worker_processes setting", std::to_string(data.max_worker_processes));
    says("max_wal_senders setting", std::to_string(data.max_wal_senders));
    says("max_prepared_xacts setting", std::to_string(data.max_prepared_transactions));
    says("max_locks_per_xact setting", std::to_string(data.max_locks_per_transaction));
    says("Database block size", std::to_string(data.block_size));
    says("Blocks per segment of large relation", std::to_string(data.relation_segment_blocks));
    says("WAL block size", std::to_string(data.wal_block_size));
    says("Bytes per WAL segment", std::to_string(data.wal_segment_size));
    says("Data page checksum version", std::to_string(data.checksum_version));
    EXPECT_EQ(data.state, ClusterState::ShutDown);
}

TEST_P(LiveFiles, T1_NoServerStartsOnACopyWithoutItsLabel) {
    auto connection = Connection::open(session_options(*cluster_), stop_);
    ASSERT_TRUE(ok(connection));
    const auto start = start_backup(*connection, "copy", CheckpointPace::Fast, seconds(60));
    ASSERT_TRUE(ok(start));
    cluster_->run({"/bin/cp", "-r", cluster_->inside("data"), cluster_->inside("copy")},
                  MayFail::Yes);  // files vanish
    const auto stop = stop_backup(*connection, *start);
    ASSERT_TRUE(ok(stop));
    cluster_->stop();
    cluster_->run({"/bin/cp", "-r", cluster_->inside("data/pg_wal"), cluster_->inside("copy/")});
    cluster_->run({"/bin/rm", cluster_->inside("copy/postmaster.pid")});
    const std::string path = cluster_->host("copy/" + std::string(kControlFile));
    const auto control = read_control(base::real_files(), path, base::system_clock());
    ASSERT_TRUE(ok(control));
    const auto changed = without_checkpoint(control->bytes);
    ASSERT_TRUE(ok(changed));
    auto file = base::real_files().open(path, base::OpenMode::ReadWrite);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok((*file)->write_at(0, *changed)));

    const auto start_copy = [&] {
        return cluster_->tool(
            "pg_ctl",
            {"start", "-w", "-D", cluster_->inside("copy"), "-l", cluster_->inside("copy.log")},
            MayFail::Yes);
    };
    EXPECT_NE(start_copy().find("could not start server"), std::string::npos);
    EXPECT_NE(cluster_->read("copy.log").find("could not locate a valid checkpoint record"),
              std::string::npos)
        << cluster_->read("copy.log");

    // The label of a backup with no backup_label.old lying about; its tablespace is the stopped
    // cluster's own.
    cluster_->append("copy/backup_label",
                     stop->backup_label.substr(0, stop->backup_label.size() - 1));
    EXPECT_NE(start_copy().find("server started"), std::string::npos) << cluster_->read("copy.log");
    cluster_->sql("DO $$ BEGIN ASSERT (SELECT count(*) FROM t) = 13334; END $$");
    cluster_->tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", cluster_->inside("copy")});
}

INSTANTIATE_TEST_SUITE_P(Servers, LiveFiles, testing::ValuesIn(kLiveServers));

}  // namespace
}  // namespace lifeboat::postgres

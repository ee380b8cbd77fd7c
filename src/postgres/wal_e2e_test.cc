// The decoder against real servers: every record must read as pg_waldump reads it, recovery must
// stop where resolve_time says, and every page that changed on disk must be among the changed
// pages.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "postgres/changed_pages.h"
#include "postgres/timeline.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_summary.h"
#include "tests/support/pg_cluster.h"
#include "tests/support/waldump.h"

namespace lifeboat::postgres {
namespace {

using namespace std::chrono_literals;

struct Decoded {
    std::vector<std::string> records;
    WalSummary summary;
    ChangedPages pages;
    WalStep last = WalStep::NeedMore;
    std::string failure;
    std::optional<WalPosition> position;
    Lsn longest;  // start of the last record that reaches over two pages
    std::uint64_t system = 0;
};

// Reads the segments of one timeline in `directory`, from the first one or from `resume`, in runs
// of `run` bytes.
Decoded decode(const PgCluster& cluster, const std::string& directory, TimelineId timeline,
               std::optional<WalPosition> resume = {}, std::size_t run = 65536) {
    const SegmentSize size = cluster.segment_size();
    WalReader reader({.segment_size = size,
                      .major = cluster.major(),
                      .latest_timeline = timeline,
                      .resume = resume});
    WalSummarizer summarizer(KeepPoints::Yes);
    Decoded out;
    for (const std::string& name : cluster.list(directory)) {
        const auto file = parse_wal_file_name(name, size);
        if (!file || file->kind != WalFileKind::Segment || file->timeline != timeline ||
            (resume && file->segment < size.number_at(resume->next))) {
            continue;
        }
        const std::string text = cluster.read(directory + "/" + name);
        const base::BytesView bytes = base::view(text);
        for (std::size_t at = 0; at < bytes.size(); at += run) {
            const auto fed = reader.feed(size.start_of(file->segment) + at,
                                         bytes.subspan(at, std::min(run, bytes.size() - at)));
            EXPECT_TRUE(fed) << fed.error().message();
            while ((out.last = reader.next()) == WalStep::Record) {
                const WalRecord& record = reader.record();
                out.records.push_back(from_record(record));
                EXPECT_TRUE(summarizer.add(record));
                EXPECT_TRUE(out.pages.add(record));
                if (record.end.value / kWalPage > record.start.value / kWalPage + 2) {
                    out.longest = record.start;
                }
            }
            if (out.last == WalStep::Failed) {
                out.failure = reader.failure().message();
                break;
            }
        }
        if (out.last != WalStep::NeedMore) {
            break;
        }
    }
    out.position = reader.position();
    out.summary = summarizer.take();
    out.system = reader.system_identifier().value_or(0);
    return out;
}

// Every record that pg_waldump sees, and no other.
Decoded expect_same_as_waldump(const PgCluster& cluster, TimelineId timeline) {
    Decoded ours = decode(cluster, "data/pg_wal", timeline);
    const std::vector<std::string> theirs = waldump(cluster, timeline);
    EXPECT_EQ(ours.failure, "");
    EXPECT_EQ(ours.records.size(), theirs.size());
    EXPECT_GT(ours.records.size(), 100U);
    int shown = 0;
    for (std::size_t i = 0; i < std::min(ours.records.size(), theirs.size()) && shown < 5; ++i) {
        if (ours.records[i] != theirs[i]) {
            ADD_FAILURE() << "record " << i << "\n  ours   " << ours.records[i] << "\n  theirs "
                          << theirs[i];
            ++shown;
        }
    }
    return ours;
}

// ---- Work for a server -------------------------------------------------------------------------

std::vector<std::string> statements(int major) {
    std::vector<std::string> all = {
        "CREATE TABLE t (id int PRIMARY KEY, v text, a int[], p point); CREATE SEQUENCE s",
        "CREATE INDEX ON t USING hash (v); CREATE INDEX ON t USING gin (a); CREATE INDEX ON t "
        "USING gist (p); CREATE INDEX ON t USING brin (id); "
        "CREATE INDEX ON t USING spgist (p)",
        "INSERT INTO t SELECT i, md5(i::text), ARRAY[i, i % 7], point(i, i) FROM "
        "generate_series(1, 6000) i",
        "SELECT nextval('s'), nextval('s')",
        "BEGIN; SAVEPOINT a; INSERT INTO t VALUES (10001); ROLLBACK TO a; SAVEPOINT b; INSERT INTO "
        "t VALUES (10002); RELEASE b; COMMIT",
        "DO $$ BEGIN FOR i IN 1..150 LOOP BEGIN INSERT INTO t VALUES (11000 + i); EXCEPTION WHEN "
        "others THEN NULL; END; END LOOP; END $$",
        "BEGIN; CREATE TABLE gone (x text); INSERT INTO gone SELECT repeat('x', 500) FROM "
        "generate_series(1, 200); ROLLBACK",
        "BEGIN; INSERT INTO t VALUES (20001); SAVEPOINT c; INSERT INTO t VALUES (20002); PREPARE "
        "TRANSACTION 'one'",
        "COMMIT PREPARED 'one'",
        "BEGIN; CREATE TABLE never (x int); INSERT INTO t VALUES (20003); PREPARE TRANSACTION "
        "'two'",
        "ROLLBACK PREPARED 'two'",
        "SELECT pg_create_restore_point('before the drop')",
        "CREATE TABLE doomed AS SELECT i, repeat('d', 200) AS v FROM generate_series(1, 3000) i",
        "DROP TABLE doomed",
        "CREATE UNLOGGED TABLE fast (x int); INSERT INTO fast SELECT generate_series(1, 100)",
        "CREATE TABLE emptied AS SELECT i FROM generate_series(1, 2000) i",
        "TRUNCATE emptied",
        "BEGIN; CREATE TABLE inside (x int); INSERT INTO inside VALUES (1); TRUNCATE inside; "
        "INSERT INTO inside VALUES (2); COMMIT",
        "CREATE TABLE shrunk AS SELECT i, repeat('s', 300) AS v FROM generate_series(1, 4000) i",
        "DELETE FROM shrunk WHERE i > 500",
        "VACUUM shrunk",
        "VACUUM FULL t",
        "SELECT pg_switch_wal()",
        "UPDATE t SET v = v || '.' WHERE id % 3 = 0",
        "SELECT pg_logical_emit_message(true, 'test', repeat('m', 150000))",
        "SELECT pg_switch_wal()",
        "CREATE DATABASE other",
        "DROP DATABASE other",
        "CHECKPOINT",
        "ALTER SYSTEM SET wal_compression = on",
        "SELECT pg_reload_conf()",
        "UPDATE t SET v = v || ':' WHERE id % 5 = 0",
        "VACUUM (FREEZE) t",
    };
    if (major >= 15) {
        all.insert(all.end() - 4,
                   {"CREATE DATABASE copied STRATEGY file_copy", "DROP DATABASE copied"});
    }
    return all;
}

class WalEndToEnd : public testing::TestWithParam<PgServer> {
  protected:
    void SetUp() override {
        const std::string missing = GetParam().missing();
        if (!missing.empty()) {
            GTEST_SKIP() << missing;
        }
    }
};

class WalAgainstPgWaldump : public WalEndToEnd {};

void work(PgCluster& cluster) {
    cluster.script(statements(cluster.major()));
    cluster.tool("pgbench", {"-h", cluster.inside(""), "-i", "-q", "-s", "1", "postgres"});
    cluster.tool("pgbench",
                 {"-h", cluster.inside(""), "-c", "8", "-j", "2", "-t", "150", "postgres"});
}

TEST_P(WalAgainstPgWaldump, EveryRecordReadsTheSame) {
    PgCluster cluster(GetParam());
    cluster.create("wal_level=logical\nmax_prepared_transactions=10\n");
    cluster.start();
    work(cluster);
    cluster.sql("ALTER SYSTEM SET max_connections = 150");
    cluster.stop();
    cluster.start();
    cluster.sql("INSERT INTO t VALUES (30001)");
    cluster.stop();

    const Decoded one = expect_same_as_waldump(cluster, 1);
    const WalSummary& s = one.summary;
    EXPECT_GT(s.commits, 1200U);
    EXPECT_GE(s.aborts, 2U);
    ASSERT_EQ(s.restore_points.size(), 1U);
    EXPECT_EQ(s.restore_points[0].name, "before the drop");
    ASSERT_FALSE(s.parameter_changes.empty());
    EXPECT_EQ(s.parameter_changes.back().now.max_connections, 150);
    EXPECT_EQ(s.parameter_changes.back().now.max_prepared_transactions, 10);
    EXPECT_EQ(s.parameter_changes.back().now.level, WalLevel::Logical);
    EXPECT_TRUE(s.timeline_switches.empty());
    std::set<LossMarker::Kind> kinds;
    for (const LossMarker& loss : s.losses) {
        kinds.insert(loss.kind);
    }
    EXPECT_EQ(kinds.size(), 4U);
    // Where the log ends is where pg_control says that the last checkpoint is.
    const std::string control = cluster.tool("pg_controldata", {cluster.inside("data")});
    const std::string checkpoint = after(control, "Latest checkpoint location:");
    const std::size_t word = checkpoint.find_first_not_of(' ');
    EXPECT_EQ(s.last, parse_lsn(checkpoint.substr(word, checkpoint.find('\n') - word)).value());
    EXPECT_EQ(std::to_string(one.system),
              std::to_string(std::stoull(after(control, "Database system identifier:"))));
    EXPECT_EQ(decode_summary(encode_summary(s)).value(), s);

    // However the stream is cut.
    for (std::size_t run : {std::size_t{7919}, std::size_t{1} << 20}) {
        EXPECT_EQ(decode(cluster, "data/pg_wal", 1, {}, run).records, one.records) << run;
    }

    cluster.append("data/standby.signal", "");
    cluster.start();
    cluster.sql("SELECT pg_promote()");
    cluster.sql("INSERT INTO t SELECT i FROM generate_series(40001, 41000) i");
    cluster.stop();
    const Decoded two = expect_same_as_waldump(cluster, 2);
    ASSERT_EQ(two.summary.timeline_switches.size(), 1U);
    EXPECT_EQ(two.summary.timeline_switches[0].from, 1U);
    EXPECT_EQ(two.summary.timeline_switches[0].to, 2U);

    // The new timeline begins where its history says, and every archived file has a name that is
    // understood.
    const TimelineHistory history =
        parse_history(2, cluster.read("data/pg_wal/00000002.history")).value();
    ASSERT_EQ(history.ancestors.size(), 1U);
    EXPECT_EQ(history.ancestors[0].at, one.position->next);
    std::set<WalFileKind> seen;
    for (const std::string& name : cluster.list("archive")) {
        const auto file = parse_wal_file_name(name, cluster.segment_size());
        ASSERT_TRUE(file) << name;
        seen.insert(file->kind);
        if (file->kind == WalFileKind::Segment) {
            const SegmentHeader head =
                read_segment_header(base::view(cluster.read("archive/" + name)).first(40)).value();
            EXPECT_EQ(head.start, cluster.segment_size().start_of(file->segment));
            EXPECT_EQ(head.system_identifier, one.system);
        }
    }
    EXPECT_TRUE(seen.contains(WalFileKind::Segment) && seen.contains(WalFileKind::History) &&
                seen.contains(WalFileKind::Partial));
}

TEST_P(WalEndToEnd, T28_ARecordLostInACrashIsSuperseded) {
    PgCluster cluster(GetParam());
    cluster.create("wal_level=replica\nautovacuum=off\n");
    cluster.start();
    cluster.script({"CREATE TABLE t (v text)", "CHECKPOINT", "SELECT pg_switch_wal()",
                    "INSERT INTO t VALUES ('kept')",
                    "SELECT pg_logical_emit_message(true, 'test', repeat('l', 50000))"});
    cluster.stop("immediate");
    const Decoded before = decode(cluster, "data/pg_wal", 1);
    ASSERT_TRUE(before.longest.is_set());
    // The power went out after the first page of that record was written.
    const SegmentSize size = cluster.segment_size();
    const Lsn cut{(before.longest.value / kWalPage + 1) * kWalPage};
    const std::string name =
        cluster.inside("data/pg_wal/" + segment_name(1, size.number_at(cut), size));
    cluster.run({"/bin/dd", "if=/dev/zero", "of=" + name, "bs=8192", "conv=notrunc",
                 "seek=" + std::to_string(size.offset_at(cut) / kWalPage),
                 "count=" + std::to_string((size.bytes() - size.offset_at(cut)) / kWalPage)});
    const Decoded torn = decode(cluster, "data/pg_wal", 1);
    EXPECT_EQ(torn.last, WalStep::End);
    EXPECT_EQ(torn.failure, "");
    EXPECT_LE(torn.position->next, before.longest);
    cluster.start();
    cluster.script({"INSERT INTO t SELECT 'later' FROM generate_series(1, 500)"});
    cluster.stop();
    const std::size_t records = torn.records.size();
    const Decoded healed = expect_same_as_waldump(cluster, 1);
    ASSERT_GT(healed.records.size(), records + 500);
    EXPECT_NE(
        healed.records[records].find("XLOG len 42 xid 0 " + format_lsn(cut + kShortPageHeader)),
        std::string::npos)
        << healed.records[records];
}

std::string sql_time(Timestamp t) {
    std::string text = base::human_time(t, 6);
    return text.substr(0, text.size() - 4) + "+00";
}

// Restores `backup`, lets it recover up to `time`, and returns what the server says of where it
// stopped.
std::string where_recovery_stops(PgCluster& cluster, const std::string& name, Timestamp time) {
    cluster.run({"/bin/cp", "-a", cluster.inside("backup"), cluster.inside(name)});
    cluster.append(name + "/postgresql.conf",
                   "archive_mode=off\nhot_standby=off\nrestore_command='cp " +
                       cluster.inside("archive") + "/%f %p'\nrecovery_target_time='" +
                       sql_time(time) + "'\nrecovery_target_action=shutdown\n");
    cluster.append(name + "/recovery.signal", "");
    cluster.tool("postgres", {"-D", cluster.inside(name)}, MayFail::Yes,
                 cluster.host(name + ".log"));  // until it shuts itself down
    const std::string log = cluster.read(name + ".log");
    const std::string stopping = after(log, "recovery stopping ");
    EXPECT_NE(stopping, "") << log;
    return stopping.substr(0, stopping.find('\n'));
}

TEST_P(WalEndToEnd, RecoveryStopsWhereResolveTimeSays) {
    PgCluster cluster(GetParam());
    cluster.create("wal_level=replica\nmax_prepared_transactions=10\nsynchronous_commit=off\n");
    cluster.run({"/bin/cp", "-a", cluster.inside("data"), cluster.inside("backup")});
    cluster.start();
    work(cluster);
    // Backends that fight for two cores take their times in one order and their places in the WAL
    // in another.
    cluster.tool("pgbench",
                 {"-h", cluster.inside(""), "-N", "-c", "16", "-j", "2", "-t", "400", "postgres"});
    cluster.sql("SELECT pg_switch_wal()");
    cluster.stop();
    const Decoded all = decode(cluster, "archive", 1);
    ASSERT_EQ(all.failure, "");
    const std::vector<CommitPoint>& points = all.summary.points;
    ASSERT_GT(points.size(), 1000U);

    // In the middle; at an abort; and where the clock of one backend was behind another's.
    std::map<std::string, Timestamp> targets = {{"middle", points[points.size() / 2].time}};
    for (std::size_t i = 1; i + 1 < points.size(); ++i) {
        if (points[i].aborted && points[i].time > points[i - 1].time) {
            targets["abort"] = points[i].time - 1us;
        }
        if (points[i].time < points[i - 1].time) {
            targets["inversion"] = points[i].time;
        }
    }
    EXPECT_TRUE(targets.contains("abort"));
    RecordProperty("saw_times_go_back", targets.contains("inversion") ? "yes" : "no");
    for (const auto& [name, time] : targets) {
        const TargetPoint target = resolve_time(points, time);
        ASSERT_TRUE(target.first_dropped) << name;
        const CommitPoint& stop = *target.first_dropped;
        std::string expected = std::string(stop.aborted ? "before abort" : "before commit") +
                               " of transaction " + std::to_string(stop.xid) + ", time " +
                               sql_time(stop.time);
        while (expected[expected.size() - 4] == '0') {
            expected.erase(expected.size() - 4,
                           1);  // the server omits zeros at the end of a fraction
        }
        EXPECT_EQ(where_recovery_stops(cluster, name, time), expected) << name;
    }
}

// A server that follows timeline 2, but is told to stop before 2 began, names 2 as its parent all
// the same.
TEST_P(WalEndToEnd, TimelinesAreFollowedAsServersMakeThem) {
    PgCluster cluster(GetParam());
    cluster.create("wal_level=replica\n");
    cluster.run({"/bin/cp", "-a", cluster.inside("data"), cluster.inside("backup")});
    cluster.start();
    cluster.script({"CREATE TABLE t (x int)", "SELECT pg_create_restore_point('early')",
                    "INSERT INTO t VALUES (1)"});
    cluster.stop();
    cluster.append("data/standby.signal", "");
    cluster.start();
    cluster.script({"SELECT pg_promote()", "INSERT INTO t VALUES (2)", "SELECT pg_switch_wal()"});
    cluster.stop();
    cluster.run({"/bin/mv", cluster.inside("data"), cluster.inside("second")});
    cluster.run({"/bin/mv", cluster.inside("backup"), cluster.inside("data")});
    cluster.append("data/postgresql.conf", "restore_command='cp " + cluster.inside("archive") +
                                               "/%f "
                                               "%p'\nrecovery_target_name='early'\nrecovery_target_"
                                               "timeline='2'\nrecovery_target_action=promote\n");
    cluster.append("data/recovery.signal", "");
    cluster.start();
    cluster.sql(
        "DO $$ BEGIN WHILE pg_is_in_recovery() LOOP PERFORM pg_sleep(0.05); END LOOP; END $$");
    cluster.stop();

    TimelineTree tree;
    ASSERT_TRUE(tree.add(parse_history(2, cluster.read("second/pg_wal/00000002.history")).value()));
    const TimelineHistory third =
        parse_history(3, cluster.read("data/pg_wal/00000003.history")).value();
    ASSERT_TRUE(tree.add(third));
    EXPECT_EQ(tree.origin(3)->timeline, 2U);
    EXPECT_LT(tree.origin(3)->at, tree.origin(2)->at);
    const Decoded early = decode(cluster, "archive", 1);
    const Lsn point = resolve_name(early.summary.restore_points, "early").value().end;
    EXPECT_EQ(tree.origin(3)->at, point);
    const std::vector<TimelineSpan> path = tree.path(1, Lsn{1}, 3).value();
    EXPECT_EQ(path, (std::vector<TimelineSpan>{{1, Lsn{1}, point}, {3, point, {}}}));
    EXPECT_EQ(tree.path(2, tree.origin(2)->at, 3).error().code(), Code::Conflict);
    // What the server wrote bears the numbers that the path says.
    const Decoded on_three = decode(cluster, "data/pg_wal", 3);
    ASSERT_EQ(on_three.summary.timeline_switches.size(), 1U);
    EXPECT_EQ(on_three.summary.timeline_switches[0].to, 3U);
    EXPECT_GE(on_three.summary.timeline_switches[0].at, point);
}

// Relation files of a data directory that WAL covers, by path.
std::map<std::string, RelationFile> relation_files(const PgCluster& cluster,
                                                   const std::string& data) {
    std::map<std::string, RelationFile> out;
    std::vector<std::string> directories = {"global"};
    for (const std::string& database : cluster.list(data + "/base")) {
        directories.push_back("base/" + database);
    }
    for (const std::string& directory : directories) {
        const std::vector<std::string> names = cluster.list(data + "/" + directory);
        const std::set<std::string> known(names.begin(), names.end());
        for (const std::string& name : names) {
            const auto file = parse_relation_path(directory + "/" + name);
            if (file && !file->backend &&
                (file->fork == Fork::Init ||
                 !known.contains(std::to_string(file->number) + "_init"))) {
                out[directory + "/" + name] = *file;
            }
        }
    }
    return out;
}

TEST_P(WalEndToEnd, T22_EveryPageThatChangedIsAmongTheChangedPages) {
    PgCluster cluster(GetParam());
    cluster.create("wal_level=logical\nmax_prepared_transactions=10\n");
    cluster.start();
    cluster.script(
        {"CREATE TABLE still AS SELECT i, repeat('q', 400) AS v FROM generate_series(1, 5000) i",
         "VACUUM FREEZE still"});
    cluster.stop();
    const Decoded first = decode(cluster, "data/pg_wal", 1);
    cluster.run({"/bin/cp", "-a", cluster.inside("data"), cluster.inside("before")});
    cluster.start();
    work(cluster);
    cluster.sql("UPDATE still SET v = 'x' WHERE i = 2500");
    cluster.stop();
    const Decoded second = decode(cluster, "data/pg_wal", 1, first.position);
    ASSERT_EQ(second.failure, "");
    EXPECT_FALSE(second.pages.unsure()) << *second.pages.unsure();

    constexpr std::size_t kPage = 8192;
    std::size_t different = 0;
    std::size_t reported = 0;
    std::size_t total = 0;
    const std::map<std::string, RelationFile> old_files = relation_files(cluster, "before");
    for (const auto& [path, file] : relation_files(cluster, "data")) {
        const std::string now = cluster.read("data/" + path);
        const std::string then = old_files.contains(path) ? cluster.read("before/" + path) : "";
        const auto blocks = static_cast<std::uint32_t>(now.size() / kPage);
        std::vector<bool> changed(blocks);
        const RelationKey key{file.tablespace, file.database, file.number};
        for (const BlockRun& run :
             second.pages.changed(key, file.fork, file.segment * 131072, blocks)) {
            for (std::uint32_t i = 0; i < run.count; ++i) {
                changed[run.first - file.segment * 131072 + i] = true;
            }
        }
        for (std::uint32_t block = 0; block < blocks; ++block) {
            const std::size_t at = block * kPage;
            const bool differs = at >= then.size() || now.compare(at, kPage, then, at, kPage) != 0;
            different += differs ? 1 : 0;
            reported += changed[block] ? 1 : 0;
            EXPECT_TRUE(!differs || changed[block]) << path << " block " << block;
        }
        total += blocks;
    }
    RecordProperty("pages", std::to_string(total) + ", different " + std::to_string(different) +
                                ", reported " + std::to_string(reported));
    EXPECT_GT(different, 500U);
    EXPECT_LT(reported, total - 200);  // the table that was left alone, but for one row
    EXPECT_EQ(ChangedPages::decode(second.pages.encode()).value().encode(), second.pages.encode());
}

std::string server_name(const testing::TestParamInfo<PgServer>& info) {
    return "Pg" + std::to_string(info.param.major) + "Segments" +
           std::to_string(info.param.segment_mib) + "MiB";
}

INSTANTIATE_TEST_SUITE_P(Servers, WalAgainstPgWaldump,
                         testing::Values(PgServer{15, 16, false}, PgServer{15, 1, false},
                                         PgServer{17, 1, true}),
                         server_name);
INSTANTIATE_TEST_SUITE_P(Servers, WalEndToEnd,
                         testing::Values(PgServer{15, 1, false}, PgServer{17, 1, true}),
                         server_name);

}  // namespace
}  // namespace lifeboat::postgres

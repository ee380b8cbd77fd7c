// Capture against real servers: what is in the repository is what the server wrote, byte by byte.

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "postgres/wal_push.h"
#include "postgres/wal_summary.h"
#include "tests/e2e/stream_fixture.h"

namespace lifeboat::postgres {
namespace {

TEST_F(Stream, PiecesAndGatheredPacksHoldWhatTheServerWrote) {
    start_primary();
    receiver_.start();
    write_wal(primary_, 11);
    const Lsn end = primary_.lsn("pg_current_wal_flush_lsn()");
    ASSERT_TRUE(wait_covered(1, end));
    ASSERT_TRUE(eventually([&] {
        const auto catalog = repository_.catalog();
        return std::any_of(catalog.entries().begin(), catalog.entries().end(), [](const auto& e) {
            return e.name.kind == StreamObject::Gathered &&
                   e.name.range.to - e.name.range.from == 4 * kMiB;
        });
    }));
    EXPECT_TRUE(eventually([&] { return number("lag_bytes") == 0; }));
    EXPECT_EQ(word("phase"), "streaming");
    EXPECT_LT(number("spool_bytes"), static_cast<std::int64_t>(7 * kMiB));
    stop_receiver();
    EXPECT_EQ(word("phase"), "stopped");
    expect_equal_to_files(primary_, covered(1));
    EXPECT_EQ(primary_.lsn("restart_lsn FROM pg_replication_slots").value, covered(1).to);
}

TEST_F(Stream, SummariesTellEveryCommit) {
    start_primary();
    receiver_.start();
    for (int i = 0; i < 40; ++i) {
        primary_.sql("INSERT INTO t VALUES (1, " + std::to_string(i) + ", 'x')");
    }
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    receiver_.kill();
    receiver_.start();
    primary_.sql("SELECT pg_create_restore_point('here')");
    primary_.sql("SELECT pg_switch_wal()");
    primary_.sql("INSERT INTO t VALUES (2, 1, 'x')");
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    stop_receiver();
    const auto catalog = repository_.catalog();
    const auto keys = repository_.keys.host_reader();
    const auto map_key =
        repo::RepositoryKeys::derive(repository_.keys.host.secret, repository_.repository->id())
            .map;
    std::set<std::uint32_t> told;
    std::vector<RestorePoint> points;
    for (const auto& entry : catalog.entries()) {
        const auto label = repo::read_label(*repository_.repository, entry, keys);
        ASSERT_TRUE(ok(label));
        const auto bytes = repo::open_summary(*label, map_key);
        ASSERT_TRUE(ok(bytes));
        if (bytes->empty()) {
            continue;
        }
        const auto summary = decode_summary(*bytes);
        ASSERT_TRUE(ok(summary));
        if (entry.name.kind == StreamObject::Piece) {
            points.insert(points.end(), summary->restore_points.begin(),
                          summary->restore_points.end());
            for (const CommitPoint& point : summary->points) {
                told.insert(point.xid);
            }
        }
    }
    EXPECT_EQ(points.size(), 1U);
    for (const std::uint32_t xid : commits_in(covered(1))) {
        EXPECT_TRUE(xid == 0 || told.contains(xid)) << xid;
    }
}

TEST_F(Stream, SecondReceiverIsRefused) {
    start_primary();
    receiver_.start();
    ASSERT_TRUE(eventually([&] {
        return primary_.sql("SELECT count(*) FROM pg_replication_slots WHERE active") == "1";
    }));
    ReceiverOptions wanted = options("b");
    wanted.spool = receiver_.options.spool;
    ReceiverProcess second(wanted);
    second.start();
    EXPECT_TRUE(eventually([&] { return !second.running(); }));
    EXPECT_EQ(second.exit_status(), base::exit_code(base::Code::Conflict));
    stop_receiver();
}

TEST_F(Stream, StopsAtOnceWhateverItWaitsFor) {
    start_primary();
    for (const std::string where : {"server", "nobody"}) {
        receiver_.options.conninfo = where == "server"
                                         ? primary_.conninfo()
                                         : "host=/nonexistent user=postgres dbname=postgres";
        receiver_.start();
        ASSERT_TRUE(eventually(
            [&] { return word("phase") == (where == "server" ? "streaming" : "waiting"); }));
        const auto began = std::chrono::steady_clock::now();
        stop_receiver();
        EXPECT_LT(std::chrono::steady_clock::now() - began, 2s) << where;
        EXPECT_EQ(word("phase"), "stopped");
    }
}

// ---- What is covered --------------------------------------------------------------------------

TEST_F(Stream, T23_TheCoveredMomentGoesOnUnderLoadAndAtRest) {
    start_primary();
    receiver_.start();
    const auto behind = [&]() -> base::Duration {
        const auto captured = base::parse_rfc3339(word("captured"));
        return captured ? base::system_clock().now() - *captured : base::Duration(1h);
    };
    ASSERT_TRUE(eventually([&] { return behind() < 3s; }));
    std::atomic<bool> done = false;
    std::thread load([&] {
        primary_.sql(
            "DO $$ BEGIN FOR i IN 1..4000 LOOP INSERT INTO t VALUES (1, i, repeat('x', "
            "2000)); COMMIT; END LOOP; END $$");
        done = true;
    });
    base::Duration worst{};
    while (!done) {
        worst = std::max(worst, behind());
        base::system_clock().sleep_for(20ms);
    }
    load.join();
    EXPECT_LT(worst, 10s);
    const auto rest = base::system_clock().now() + 1s;
    EXPECT_TRUE(eventually([&] { return base::system_clock().now() - behind() > rest; }, 10s));
    const StreamRange range = covered(1);
    base::system_clock().sleep_for(1s);
    EXPECT_EQ(covered(1).to, range.to) << "nothing was written meanwhile";
    stop_receiver();
}

// The standby's clock says nothing of the primary's.
TEST_F(Stream, T23_AStandbyCoversTheLastCommitThatItReplayed) {
    start_primary();
    PgServer standby(dir_ / "standby", 1);
    standby.init_standby_of(primary_);
    standby.start();
    receiver_.options.conninfo = standby.conninfo();
    receiver_.start();
    write_wal(primary_, 1);
    const auto last =
        base::parse_rfc3339(primary_.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', "
                                         "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"));
    ASSERT_TRUE(ok(last));
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    base::system_clock().sleep_for(3s);
    const auto captured = base::parse_rfc3339(word("captured"));
    ASSERT_TRUE(ok(captured));
    EXPECT_LE(*captured, *last);
    EXPECT_GT(*captured, *last - 20s);
    stop_receiver();
}

// ---- archive_command --------------------------------------------------------------------------

TEST_F(Stream, T11_T12_PushedSegmentsAreTheStream) {
    start_primary();
    receiver_.start();
    write_wal(primary_, 6);
    primary_.sql("SELECT pg_switch_wal()");
    write_wal(primary_, 1);
    const Lsn end = primary_.lsn("pg_current_wal_flush_lsn()");
    ASSERT_TRUE(wait_covered(1, end));
    stop_receiver();
    const StreamRange range = covered(1);
    StreamRepository pushed(dir_ / "pushed");
    const base::StopToken stop;
    const engine::Context context{base::real_files(), base::system_clock(), base::system_random(),
                                  stop};
    const PushJob job{*pushed.repository, pushed.keys.host, "prod", std::chrono::days(7),
                      dir_ / "pushed-spool"};
    const SegmentSize size = primary_.segment_size();
    const std::uint64_t last = size.number_at(Lsn{range.to});
    for (std::uint64_t number = size.number_at(Lsn{range.from}); number < last; ++number) {
        const std::string path = primary_.wal(segment_name(1, number, size));
        ASSERT_TRUE(ok(push_segment(job, context, path)));
        ASSERT_TRUE(ok(push_segment(job, context, path))) << "again";
    }
    const std::uint64_t to = size.start_of(last).value;
    EXPECT_EQ(pushed.catalog().ranges(1), (std::vector<StreamRange>{{1, range.from, to}}));
    EXPECT_EQ(pushed.catalog().entries().size(), last - size.number_at(Lsn{range.from}));
    EXPECT_EQ(pushed.read(1, range.from, to, source_),
              repository_.read(1, range.from, to, source_));

    Bytes changed = file_bytes(primary_.wal(segment_name(1, last - 1, size)));
    changed[5000] ^= 1;
    const std::string altered = dir_ / segment_name(1, last - 1, size);
    ASSERT_TRUE(ok(base::write_durably(base::real_files(), altered, changed, base::Replace::Yes)));
    EXPECT_TRUE(test::fails(push_segment(job, context, altered), base::Code::Conflict));

    Bytes foreign = file_bytes(primary_.wal(segment_name(1, last, size)));
    foreign[24] ^= 1;  // the system identifier
    const std::string path = dir_ / segment_name(1, last, size);
    ASSERT_TRUE(ok(base::write_durably(base::real_files(), path, foreign, base::Replace::Yes)));
    EXPECT_TRUE(test::fails(push_segment(job, context, path), base::Code::Conflict));

    const std::string partial = dir_ / partial_name(1, last, size);
    ASSERT_TRUE(ok(base::write_durably(base::real_files(), partial,
                                       file_bytes(primary_.wal(segment_name(1, last, size))),
                                       base::Replace::Yes)));
    ASSERT_TRUE(ok(push_segment(job, context, partial)));
    EXPECT_EQ(pushed.catalog().ranges(1).back().to, end.value);
    EXPECT_EQ(pushed.read(1, to, end.value, source_), repository_.read(1, to, end.value, source_));
}

}  // namespace
}  // namespace lifeboat::postgres

// Capture against real servers: what was acknowledged is in the repository, whoever is killed when,
// and what is in the repository is what the server wrote, byte by byte.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "postgres/wal_body.h"
#include "postgres/wal_push.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_summary.h"
#include "tests/e2e/stream_world.h"
#include "tests/support/expect.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using base::kMiB;
using repo::StreamObject;
using repo::StreamRange;
using test::eventually;
using test::ok;
using test::PgServer;
using test::ReceiverOptions;
using test::ReceiverProcess;
using test::StreamRepository;
using namespace std::chrono_literals;

Bytes file_bytes(const std::string& path) {
    auto bytes = base::read_file(base::real_files(), path, base::kGiB);
    EXPECT_TRUE(ok(bytes));
    return bytes ? std::move(bytes).value() : Bytes{};
}

class Stream : public testing::Test {
  protected:
    Stream()
        : primary_(dir_ / "primary", 1),
          repository_(dir_ / "repository"),
          receiver_(options("a")) {}

    ReceiverOptions options(const std::string& name) {
        ReceiverOptions wanted;
        wanted.conninfo = primary_.conninfo();
        wanted.repository = dir_ / "repository";
        wanted.spool = dir_ / ("spool-" + name);
        wanted.control = dir_ / ("control-" + name);
        return wanted;
    }

    void TearDown() override {
        if (HasFailure()) {
            const auto done = base::run(
                {{"/bin/sh", "-c", "tail -n 25 " + dir_ / "*/log"}, {}, "/", {}, {}, ""}, 5s);
            std::printf("%s\n%s\n", receiver_.state().dump(2).c_str(),
                        done ? done->output.c_str() : "");
        }
    }

    void start_primary(const std::string& settings = "") {
        primary_.init("wal_keep_size=4GB\n" + settings);
        primary_.start();
        primary_.sql("CREATE TABLE t (worker int, n int, filler text)");
        const std::string id = primary_.sql("SELECT system_identifier FROM pg_control_system()");
        source_ = std::strtoull(id.c_str(), nullptr, 10);
    }

    void write_wal(const PgServer& server, int megabytes) {
        server.sql("INSERT INTO t SELECT 0, g, repeat(md5(g::text), 30) FROM generate_series(1, " +
                   std::to_string(megabytes * 950) + ") g");
    }

    // Where the timeline's last contiguous range begins and ends.
    StreamRange covered(TimelineId timeline) const {
        const auto ranges = repository_.catalog().ranges(timeline);
        return ranges.empty() ? StreamRange{timeline, 0, 0} : ranges.back();
    }

    bool wait_covered(TimelineId timeline, Lsn to, base::Duration limit = 30s) {
        return eventually([&] { return covered(timeline).to >= to.value; }, limit);
    }

    // The repository's bytes are those of the files in pg_wal, from the first to the last that is
    // covered.
    void expect_equal_to_files(const PgServer& server, const StreamRange& range) {
        const SegmentSize size = server.segment_size();
        int compared = 0;
        for (std::uint64_t at = range.from; at < range.to;) {
            const std::uint64_t number = size.number_at(Lsn{at});
            const std::uint64_t end = std::min(size.start_of(number + 1).value, range.to);
            const std::string path = server.wal(segment_name(range.timeline, number, size));
            const Bytes file = file_bytes(path);
            ASSERT_EQ(file.size(), size.bytes()) << path;
            const Bytes ours = repository_.read(range.timeline, at, end, source_);
            const auto offset = static_cast<std::ptrdiff_t>(size.offset_at(Lsn{at}));
            ASSERT_TRUE(std::equal(ours.begin(), ours.end(), file.begin() + offset)) << path;
            at = end;
            ++compared;
        }
        EXPECT_GT(compared, 0);
    }

    // Transactions whose commit is in the stream, read from the first byte that is there.
    std::set<std::uint32_t> commits_in(const StreamRange& range) {
        const Bytes bytes = repository_.read(range.timeline, range.from, range.to, source_);
        WalReaderOptions reading;
        reading.segment_size = primary_.segment_size();
        WalReader reader(reading);
        EXPECT_TRUE(ok(reader.feed(Lsn{range.from}, bytes)));
        std::set<std::uint32_t> xids;
        WalStep step = reader.next();
        for (; step == WalStep::Record; step = reader.next()) {
            if (is_transaction_end(reader.record())) {
                const auto end = read_transaction_end(reader.record());
                EXPECT_TRUE(ok(end));
                xids.insert(end->xid != 0 ? end->xid : reader.record().xid);
            }
        }
        EXPECT_NE(step, WalStep::Failed) << reader.failure().message();
        return xids;
    }

    std::int64_t number(std::string_view name) const {
        const auto value = receiver_.state().integer(name);
        return value ? *value : -1;
    }

    std::string word(std::string_view name) const {
        const auto text = receiver_.state().text(name);
        return text ? *text : "";
    }

    void stop_receiver() { EXPECT_EQ(receiver_.stop(), 0) << receiver_.log(); }

    test::OpenDirectory dir_;
    PgServer primary_;
    StreamRepository repository_;
    ReceiverProcess receiver_;
    std::uint64_t source_ = 0;
};

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

// P1: the heart of it. Clients commit while the receiver is the only synchronous standby; then both
// die at once.
TEST_F(Stream, EveryAcknowledgedCommitIsInTheRepositoryAfterBothDie) {
    start_primary();
    receiver_.start();
    primary_.settings("synchronous_standby_names='lifeboat'");
    primary_.sql("SELECT pg_reload_conf()");
    ASSERT_TRUE(eventually([&] {
        return primary_.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") ==
               "1";
    }));
    std::mt19937 dice(static_cast<unsigned>(::getpid()));
    std::map<std::uint32_t, int> acknowledged;
    std::mutex mutex;
    for (int round = 0; round < 4; ++round) {
        base::StopToken stop;
        std::vector<std::thread> clients;
        for (int worker = 0; worker < 3; ++worker) {
            clients.emplace_back([&, worker] {
                ConnectOptions wanted;
                wanted.conninfo = primary_.conninfo();
                auto connection = Connection::open(wanted, stop);
                for (int n = 0; connection && !stop.requested(); ++n) {
                    const auto rows = connection->query(
                        "INSERT INTO public.t VALUES (" + std::to_string(worker) + ", " +
                        std::to_string(n) +
                        ", 'x') RETURNING pg_current_xact_id()::text::bigint AS xid");
                    if (!rows) {
                        return;
                    }
                    const auto xid = static_cast<std::uint32_t>(rows->integer(0, "xid").value());
                    const std::lock_guard lock(mutex);
                    acknowledged[xid] = round;
                }
            });
        }
        base::system_clock().sleep_for(std::chrono::milliseconds(700 + dice() % 900));
        std::thread kill_receiver([&] { receiver_.kill(); });
        primary_.kill();
        kill_receiver.join();
        stop.request();
        for (std::thread& client : clients) {
            client.join();
        }
        const auto commits = commits_in(covered(1));
        std::size_t missing = 0;
        for (const auto& [xid, when] : acknowledged) {
            missing += commits.contains(xid) ? 0 : 1;
        }
        EXPECT_EQ(missing, 0U) << "round " << round << ", " << acknowledged.size() << " commits";
        primary_.start();
        receiver_.start();
        ASSERT_TRUE(eventually([&] {
            return primary_.sql(
                       "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1";
        }));
    }
    EXPECT_GT(acknowledged.size(), 50U);
    std::printf("%zu acknowledged commits, none lost\n", acknowledged.size());
    primary_.sql("INSERT INTO t VALUES (9, 9, 'the last')");
    const Lsn end = primary_.lsn("pg_current_wal_flush_lsn()");
    EXPECT_TRUE(wait_covered(1, end));
    stop_receiver();
    expect_equal_to_files(primary_, covered(1));
    EXPECT_EQ(repository_.catalog().ranges(1).size(), 1U);
    EXPECT_TRUE(repository_.catalog().gaps().empty());
}

TEST_F(Stream, KillsAtTwentyMomentsLeaveNoHole) {
    for (const bool repository_counts : {true, false}) {
        SCOPED_TRACE(repository_counts ? "acknowledging from the repository"
                                       : "acknowledging from the spool");
        if (repository_counts) {
            start_primary("max_wal_size=200MB");
            primary_.tool("pgbench", {"-i", "-q", "-s", "2"});
        }
        receiver_.options.acknowledge_repository = repository_counts;
        receiver_.start();
        auto pgbench =
            base::Child::start(primary_.command("pgbench", {"-c", "2", "-T", "600", "-n"}));
        ASSERT_TRUE(ok(pgbench));
        std::mt19937 dice(static_cast<unsigned>(::getpid()));
        for (int kill = 0; kill < 20; ++kill) {
            base::system_clock().sleep_for(std::chrono::milliseconds(50 + dice() % 600));
            receiver_.kill();
            receiver_.start();
        }
        pgbench->stop(15, 5s);
        const Lsn end = primary_.lsn("pg_current_wal_flush_lsn()");
        ASSERT_TRUE(wait_covered(1, end));
        stop_receiver();
        EXPECT_EQ(repository_.catalog().ranges(1).size(), 1U);
        EXPECT_TRUE(repository_.catalog().gaps().empty());
        EXPECT_EQ(receiver_.bases(), "");
        expect_equal_to_files(primary_, covered(1));
    }
}

TEST_F(Stream, FollowsAPromotionOfItsOwnServer) {
    start_primary();
    PgServer standby(dir_ / "standby", 1);
    standby.init_standby_of(primary_);
    standby.start();
    receiver_.options.conninfo = standby.conninfo();
    receiver_.start();
    write_wal(primary_, 3);
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    primary_.stop("fast");
    standby.promote();
    write_wal(standby, 6);
    const Lsn end = standby.lsn("pg_current_wal_flush_lsn()");
    ASSERT_TRUE(wait_covered(2, end));
    stop_receiver();
    const auto switched =
        standby.lsn("min(end_lsn) FROM (SELECT pg_current_wal_flush_lsn() AS end_lsn) s");
    EXPECT_GT(switched.value, 0U);
    expect_equal_to_files(standby, covered(2));
    EXPECT_EQ(repository_.catalog().histories().size(), 1U);
    EXPECT_EQ(covered(2).from % kMiB, 0U);
    EXPECT_GE(covered(1).to, covered(2).from) << "nothing is missing between the timelines";
    EXPECT_EQ(receiver_.bases(), "");
}

// The old primary had more than the new one ever saw; and the number of a timeline is skipped.
TEST_F(Stream, GoesOnAtTheNewPrimaryAfterAFailover) {
    start_primary();
    PgServer standby(dir_ / "standby", 1);
    standby.init_standby_of(primary_);
    standby.start();
    receiver_.start();
    write_wal(primary_, 2);
    ASSERT_TRUE(eventually([&] {
        return standby.lsn("pg_last_wal_replay_lsn()") >=
               primary_.lsn("pg_current_wal_flush_lsn()");
    }));
    standby.stop("fast");
    write_wal(primary_, 3);  // only the old primary, and we, have this
    const Lsn old_end = primary_.lsn("pg_current_wal_flush_lsn()");
    ASSERT_TRUE(wait_covered(1, old_end));
    receiver_.kill();
    primary_.kill();
    standby.sql("", true);
    standby.start();
    standby.promote();
    receiver_.options.conninfo = standby.conninfo();
    receiver_.start();
    write_wal(standby, 5);
    ASSERT_TRUE(wait_covered(2, standby.lsn("pg_current_wal_flush_lsn()")));
    stop_receiver();
    expect_equal_to_files(standby, covered(2));
    EXPECT_GE(covered(1).to, old_end.value) << "what only the old primary had stays";
    EXPECT_LT(covered(2).from, old_end.value);
    EXPECT_EQ(receiver_.bases(), "");
    EXPECT_TRUE(repository_.catalog().gaps().empty());
}

TEST_F(Stream, LostSlotIsARecordedGapAndAsksForABase) {
    start_primary(
        "wal_keep_size=0\nmax_slot_wal_keep_size=4MB\nmax_wal_size=4MB\nmin_wal_size=2MB");
    receiver_.start();
    write_wal(primary_, 2);
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    stop_receiver();
    const std::uint64_t before = covered(1).to;
    for (int i = 0; i < 4; ++i) {
        write_wal(primary_, 5);
        primary_.sql("CHECKPOINT");
    }
    ASSERT_EQ(primary_.sql("SELECT wal_status FROM pg_replication_slots"), "lost");
    receiver_.start();
    const Lsn end = primary_.lsn("pg_current_wal_flush_lsn()");
    ASSERT_TRUE(wait_covered(1, end));
    write_wal(primary_, 1);
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    EXPECT_EQ(number("gaps"), 1);
    stop_receiver();
    const auto catalog = repository_.catalog();
    ASSERT_EQ(catalog.gaps().size(), 1U);
    EXPECT_EQ(catalog.gaps()[0].from, before);
    const auto ranges = catalog.ranges(1);
    ASSERT_EQ(ranges.size(), 2U);
    EXPECT_EQ(catalog.gaps()[0].to, ranges[1].from);
    EXPECT_NE(receiver_.bases(), "");
    const std::string bases = receiver_.bases();
    EXPECT_EQ(std::count(bases.begin(), bases.end(), '\n'), 1) << bases;
}

TEST_F(Stream, FailingRepositoryOnlyDelays) {
    start_primary();
    receiver_.start();
    write_wal(primary_, 2);
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    receiver_.fail(true);
    base::system_clock().sleep_for(1s);
    const Lsn slot = primary_.lsn("restart_lsn FROM pg_replication_slots");
    write_wal(primary_, 6);
    const Lsn end = primary_.lsn("pg_current_wal_flush_lsn()");
    ASSERT_TRUE(
        eventually([&] { return number("spool_bytes") > static_cast<std::int64_t>(6 * kMiB); }));
    EXPECT_NE(word("trouble").find("storing WAL"), std::string::npos) << receiver_.state().dump();
    EXPECT_EQ(word("phase"), "streaming");
    EXPECT_GT(number("lag_bytes"), static_cast<std::int64_t>(4 * kMiB));
    EXPECT_EQ(primary_.lsn("restart_lsn FROM pg_replication_slots"), slot)
        << "nothing that is not stored is acknowledged";
    receiver_.kill();  // with a full spool
    receiver_.start();
    base::system_clock().sleep_for(500ms);
    receiver_.fail(false);
    ASSERT_TRUE(wait_covered(1, end, 60s));
    ASSERT_TRUE(
        eventually([&] { return primary_.lsn("restart_lsn FROM pg_replication_slots") >= end; }));
    stop_receiver();
    expect_equal_to_files(primary_, covered(1));
}

TEST_F(Stream, FullSpoolStopsReadingAndGoesOnLater) {
    start_primary();
    receiver_.options.spool_limit = 8 * kMiB;
    receiver_.start();
    ASSERT_TRUE(eventually([&] { return word("phase") == "streaming"; }));
    receiver_.fail(true);
    write_wal(primary_, 20);
    const Lsn end = primary_.lsn("pg_current_wal_flush_lsn()");
    ASSERT_TRUE(eventually([&] { return word("phase") == "degraded"; }));
    EXPECT_NE(word("trouble").find("the spool is full"), std::string::npos);
    EXPECT_LT(number("spool_bytes"), static_cast<std::int64_t>(13 * kMiB));
    EXPECT_EQ(primary_.sql("SELECT active FROM pg_replication_slots"), "t");
    receiver_.fail(false);
    ASSERT_TRUE(wait_covered(1, end, 60s));
    EXPECT_TRUE(eventually([&] { return word("phase") == "streaming"; }));
    stop_receiver();
    expect_equal_to_files(primary_, covered(1));
}

TEST_F(Stream, LostSpoolIsNoLoss) {
    start_primary();
    receiver_.start();
    write_wal(primary_, 7);
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    receiver_.kill();
    ASSERT_TRUE(ok(base::remove_tree(base::real_files(), receiver_.options.spool)));
    receiver_.start();
    write_wal(primary_, 7);
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    stop_receiver();
    EXPECT_EQ(repository_.catalog().ranges(1).size(), 1U);
    EXPECT_EQ(receiver_.bases(), "");
    expect_equal_to_files(primary_, covered(1));
}

TEST_F(Stream, AnotherClusterEndsItLoudly) {
    start_primary();
    receiver_.start();
    write_wal(primary_, 1);
    ASSERT_TRUE(wait_covered(1, primary_.lsn("pg_current_wal_flush_lsn()")));
    stop_receiver();
    const auto before = repository_.catalog().entries().size();
    PgServer other(dir_ / "other", 1);
    other.init("");
    other.start();
    for (const std::string spool :
         {"spool-a", "spool-new"}) {  // known by the spool, and by the repository alone
        SCOPED_TRACE(spool);
        ReceiverOptions wanted = options("b" + spool);
        wanted.conninfo = other.conninfo();
        wanted.spool = dir_ / spool;
        ReceiverProcess receiver(wanted);
        receiver.start();
        EXPECT_TRUE(eventually([&] { return !receiver.running(); }));
        EXPECT_EQ(receiver.exit_status(), base::exit_code(base::Code::Conflict)) << receiver.log();
        EXPECT_EQ(receiver.state().find("phase")->as_text(), "failed");
    }
    EXPECT_EQ(repository_.catalog().entries().size(), before);
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

// ---- archive_command
// ----------------------------------------------------------------------------------------------------

TEST_F(Stream, PushedSegmentsAreTheStream) {
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

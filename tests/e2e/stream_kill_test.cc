// What was acknowledged is in the repository, whoever is killed, full or out of reach, whenever.

#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "tests/e2e/stream_fixture.h"

namespace lifeboat::postgres {
namespace {

// P1: the heart of it. Clients commit while the receiver is the only synchronous standby; then both
// die at once.
TEST_F(Stream, T16_EveryAcknowledgedCommitIsInTheRepositoryAfterBothDie) {
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

}  // namespace
}  // namespace lifeboat::postgres

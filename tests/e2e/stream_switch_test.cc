// Capture where the server changes under it: promotions, a lost slot, another cluster.

#include <algorithm>

#include "tests/e2e/stream_fixture.h"

namespace lifeboat::postgres {
namespace {

TEST_F(Stream, T15_FollowsAPromotionOfItsOwnServer) {
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
    expect_equal_to_files(standby, covered(2));
    EXPECT_EQ(repository_.catalog().histories().size(), 1U);
    EXPECT_EQ(covered(2).from % kMiB, 0U);
    EXPECT_GE(covered(1).to, covered(2).from) << "nothing is missing between the timelines";
    EXPECT_EQ(receiver_.bases(), "");
}

// The old primary had more than the new one ever saw.
TEST_F(Stream, T15_GoesOnAtTheNewPrimaryAfterAFailover) {
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

TEST_F(Stream, T17_LostSlotIsARecordedGapAndAsksForABase) {
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

TEST_F(Stream, T18_AnotherClusterEndsItLoudly) {
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

}  // namespace
}  // namespace lifeboat::postgres

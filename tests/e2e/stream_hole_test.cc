// Holes in what was captured, and objects that are not what their names say: nothing is skipped,
// and nothing is believed that was not looked at.

#include <algorithm>

#include "postgres/wal_push.h"
#include "tests/e2e/stream_fixture.h"

namespace lifeboat::postgres {
namespace {

class StreamHoles : public Stream {
  protected:
    engine::Context context() {
        return {base::real_files(), base::system_clock(), base::system_random(), stop_};
    }

    void push(const PgServer& server, TimelineId timeline, std::uint64_t from, std::uint64_t to) {
        const PushJob job{*repository_.repository, repository_.keys.host, "prod",
                          std::chrono::days(7), ""};
        for (std::uint64_t number = from; number < to; ++number) {
            const std::string path =
                server.wal(segment_name(timeline, number, server.segment_size()));
            ASSERT_TRUE(ok(push_segment(job, context(), path)));
        }
    }

    std::uint64_t segment_of(Lsn at) { return primary_.segment_size().number_at(at); }

    Lsn flushed() { return primary_.lsn("pg_current_wal_flush_lsn()"); }

    void expect_one_whole_range() {
        EXPECT_EQ(repository_.catalog().ranges(1).size(), 1U);
        EXPECT_TRUE(repository_.catalog().gaps().empty());
        EXPECT_EQ(receiver_.bases(), "");
        expect_equal_to_files(primary_, covered(1));
    }

    void overwrite(const std::string& object, base::BytesView bytes) {
        ASSERT_TRUE(ok(repository_.store->remove(object)));
        ASSERT_TRUE(ok(repository_.store->put(object, bytes)));
    }

    base::StopToken stop_;
};

TEST_F(StreamHoles, S1_WhatWasNotPushedBeforeSegmentsThatWereIsFetched) {
    start_primary();
    receiver_.start();
    write_wal(primary_, 2);
    ASSERT_TRUE(wait_covered(1, flushed()));
    stop_receiver();
    const std::uint64_t before = segment_of(Lsn{covered(1).to});
    write_wal(primary_, 9);
    primary_.sql("SELECT pg_switch_wal()");
    push(primary_, 1, before + 4, segment_of(flushed()));
    ASSERT_EQ(repository_.catalog().ranges(1).size(), 2U);
    receiver_.start();
    write_wal(primary_, 1);
    const Lsn end = flushed();
    ASSERT_TRUE(eventually([&] {
        const auto ranges = repository_.catalog().ranges(1);
        return ranges.size() == 1 && ranges[0].to >= end.value;
    }));
    stop_receiver();
    expect_one_whole_range();
}

TEST_F(StreamHoles, T17_WhatTheServerLostBeforePushedSegmentsIsAGapAndAsksForABase) {
    start_primary("wal_keep_size=0\nmax_wal_size=4MB\nmin_wal_size=2MB");
    receiver_.start();
    write_wal(primary_, 2);
    ASSERT_TRUE(wait_covered(1, flushed()));
    stop_receiver();
    const Lsn before{covered(1).to};
    write_wal(primary_, 9);
    primary_.sql("SELECT pg_switch_wal()");
    const std::uint64_t first = segment_of(before) + 4;
    push(primary_, 1, first, segment_of(flushed()));
    primary_.sql("SELECT pg_drop_replication_slot('lifeboat')");
    primary_.sql("CHECKPOINT");
    receiver_.start();
    write_wal(primary_, 1);
    ASSERT_TRUE(wait_covered(1, flushed()));
    stop_receiver();
    const std::uint64_t to = primary_.segment_size().start_of(first).value;
    EXPECT_EQ(repository_.catalog().gaps(), (std::vector<StreamRange>{{1, before.value, to}}));
    EXPECT_EQ(repository_.catalog().ranges(1).size(), 2U);
    const std::string bases = receiver_.bases();
    EXPECT_EQ(std::count(bases.begin(), bases.end(), '\n'), 1) << bases;
}

// Acknowledged from the spool, then the spool rots in the middle while the repository is away.
TEST_F(StreamHoles, S1_WhatRottedInTheSpoolIsFetchedAgain) {
    start_primary();
    receiver_.options.acknowledge_repository = false;
    receiver_.start();
    write_wal(primary_, 1);
    ASSERT_TRUE(wait_covered(1, flushed()));
    receiver_.fail(true);
    const std::uint64_t rotten = segment_of(flushed()) + 2;
    write_wal(primary_, 6);
    const Lsn end = flushed();
    ASSERT_TRUE(
        eventually([&] { return primary_.lsn("restart_lsn FROM pg_replication_slots") >= end; }));
    receiver_.kill();
    const std::string name = segment_name(1, rotten, primary_.segment_size());
    const std::string path = receiver_.options.spool + "/00000001/" + name;
    auto file = base::real_files().open(path, base::OpenMode::ReadWrite);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok((*file)->write_at(kMiB, Bytes(24))));  // its journal's first entry
    receiver_.fail(false);
    receiver_.start();
    ASSERT_TRUE(eventually([&] {
        const auto ranges = repository_.catalog().ranges(1);
        return ranges.size() == 1 && ranges[0].to >= end.value;
    }));
    stop_receiver();
    expect_one_whole_range();
}

// With the spool, which still holds the bytes, and without it, when only the server does.
TEST_F(StreamHoles, P1_ObjectsAreNotBelievedByTheirNames) {
    start_primary();
    for (const std::string spool : {"spool-a", "spool-new"}) {
        SCOPED_TRACE(spool);
        receiver_.start();
        write_wal(primary_, 3);
        ASSERT_TRUE(wait_covered(1, flushed()));
        stop_receiver();
        const Lsn end{covered(1).to};
        // What the spool has let go of is lost with the storage; without a spool the server has it.
        const std::uint64_t rotten = spool == "spool-a" ? 1 : 2 * kMiB;
        const auto catalog = repository_.catalog();
        for (const auto& entry : catalog.entries()) {
            if (entry.name.range.to + rotten > end.value) {
                overwrite(entry.name.text(), {});  // what a storage failure leaves
            }
        }
        const auto day = policy::ExpiryDay::parse("20991231").value();
        std::vector<std::string> lies;
        for (const StreamRange& range :
             {StreamRange{1, 0, ~end.value}, StreamRange{1, end.value - 1, end.value + 9 * kMiB}}) {
            const repo::StreamName forged{StreamObject::Gathered, "prod", day, range};
            ASSERT_TRUE(ok(repository_.store->put(forged.text(), base::view("forged"))));
            lies.push_back(forged.text());
        }
        receiver_.options.spool = dir_ / spool;
        receiver_.start();
        write_wal(primary_, 3);
        const Lsn later = flushed();
        ASSERT_TRUE(eventually(
            [&] { return primary_.lsn("restart_lsn FROM pg_replication_slots") >= later; }));
        stop_receiver();
        for (const std::string& name : lies) {
            ASSERT_TRUE(ok(repository_.store->remove(name)));
        }
        EXPECT_EQ(receiver_.bases(), "");
        expect_equal_to_files(primary_,
                              {1, repository_.catalog().ranges(1).front().from, later.value});
    }
}

TEST_F(StreamHoles, T14_ASecondServerWithTheSameTimelineNumberIsRefused) {
    start_primary();
    PgServer kept(dir_ / "kept", 1);
    PgServer other(dir_ / "other", 1);
    for (PgServer* standby : {&kept, &other}) {
        standby->init_standby_of(primary_);
        standby->start();
    }
    receiver_.options.conninfo = kept.conninfo();
    receiver_.start();
    write_wal(primary_, 1);
    ASSERT_TRUE(wait_covered(1, flushed()));
    const auto catches_up = [&](const PgServer& standby) {
        return eventually([&] { return standby.lsn("pg_last_wal_replay_lsn()") >= flushed(); });
    };
    ASSERT_TRUE(catches_up(kept));
    kept.promote();
    write_wal(kept, 3);
    ASSERT_TRUE(wait_covered(2, kept.lsn("pg_current_wal_flush_lsn()")));
    stop_receiver();
    const std::uint64_t stored = covered(2).to;
    write_wal(primary_, 1);
    ASSERT_TRUE(catches_up(other));
    primary_.kill();
    other.promote();
    write_wal(other, 1);
    for (const std::string spool : {"spool-a", "spool-new"}) {
        SCOPED_TRACE(spool);
        ReceiverOptions wanted = options("b" + spool);
        wanted.conninfo = other.conninfo();
        wanted.spool = dir_ / spool;
        ReceiverProcess receiver(wanted);
        receiver.start();
        EXPECT_TRUE(eventually([&] { return !receiver.running(); }));
        EXPECT_EQ(receiver.exit_status(), base::exit_code(base::Code::Conflict)) << receiver.log();
        EXPECT_NE(receiver.log().find("another timeline 2"), std::string::npos) << receiver.log();
    }
    EXPECT_EQ(covered(2).to, stored);
    EXPECT_EQ(repository_.catalog().histories().size(), 1U);
}

}  // namespace
}  // namespace lifeboat::postgres

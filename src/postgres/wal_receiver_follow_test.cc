#include "postgres/wal_receiver_follow.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wal_forge.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using base::kMiB;
using test::ok;

constexpr std::uint64_t kStart = 5 * kMiB;

class Follower : public testing::Test {
  protected:
    Follower() : size_(*SegmentSize::of(kMiB)), forge_(15, size_, Lsn{kStart}) {
        auto spool =
            WalSpool::open(base::real_files(), dir_ / "spool", {7000000000000000001ULL, 15, size_});
        EXPECT_TRUE(ok(spool));
        spool_ = std::move(spool).value();
    }

    void commits(int count, std::size_t filler = 100) {
        for (int i = 0; i < count; ++i) {
            base::ByteWriter main;
            main.u64(1);  // xact_time
            forge_.append({.rmgr = Rmgr::Transaction,
                           .info = 0,
                           .xid = next_xid_++,
                           .main = main.take(),
                           .blocks = {}});
            forge_.append({.rmgr = Rmgr::Xlog,
                           .info = 0x20,
                           .xid = 0,
                           .main = Bytes(filler, 7),
                           .blocks = {}});
        }
    }

    void spool_up_to(Lsn end) {
        const std::uint64_t from = std::max(kStart, spool_->last_range(1).to);
        const auto bytes = forge_.bytes().subspan(from - kStart, end.value - from);
        ASSERT_TRUE(ok(spool_->append(1, Lsn{from}, bytes, base::from_unix_micros(1))));
    }

    test::TempDir dir_;
    SegmentSize size_;
    WalForge forge_;
    std::unique_ptr<WalSpool> spool_;
    std::uint32_t next_xid_ = 100;
};

WalSummary decoded(const Bytes& bytes) {
    auto summary = decode_summary(bytes);
    EXPECT_TRUE(ok(summary));
    return summary ? *std::move(summary) : WalSummary{};
}

TEST_F(Follower, StopsBetweenRecordsAndSumsThemUp) {
    commits(50);
    const Lsn boundary = align_record(forge_.end());
    commits(1, 5000);
    spool_up_to(forge_.end() - 100);  // in the middle of the last record
    WalFollower follower(*spool_, KeepPoints::Yes);
    const auto read = follower.follow({1, kStart, forge_.end().value - 100});
    ASSERT_TRUE(ok(read));
    EXPECT_GT(follower.boundary(), boundary);
    EXPECT_LT(follower.boundary(), forge_.end() - 100);
    const WalSummary first = decoded(follower.take_summary());
    EXPECT_EQ(first.commits, 51U);
    follower.passed(follower.boundary());
    commits(3);
    spool_up_to(forge_.end());
    ASSERT_TRUE(ok(follower.follow({1, first.end.value, forge_.end().value})));
    const WalSummary second = decoded(follower.take_summary());
    EXPECT_EQ(second.commits, 3U);
    EXPECT_EQ(second.before, first.last) << "no record between them is missing";
    EXPECT_EQ(follower.trouble(), "");
}

TEST_F(Follower, FindsTheRecordThatBeganBeforeItsObject) {
    commits(200);
    commits(1, 30000);
    const Lsn middle = forge_.end() - 20000;
    commits(2);
    spool_up_to(forge_.end());
    WalFollower follower(*spool_,
                         KeepPoints::Yes);  // as after a restart: it was not there before `middle`
    ASSERT_TRUE(ok(follower.follow({1, middle.value, forge_.end().value})));
    const WalSummary summary = decoded(follower.take_summary());
    EXPECT_EQ(summary.records, 5U);
    EXPECT_LT(summary.first, middle);
    EXPECT_EQ(summary.commits, 2U);
}

TEST_F(Follower, StopsEarlyBeforeASummaryOverflows) {
    commits(3000, 10);
    spool_up_to(forge_.end());
    WalFollower follower(*spool_, KeepPoints::Yes);
    std::uint64_t from = kStart;
    std::uint64_t commits = 0;
    int pieces = 0;
    while (from < forge_.end().value) {
        const auto read = follower.follow({1, from, forge_.end().value});
        ASSERT_TRUE(ok(read));
        const Bytes summary = follower.take_summary();
        ASSERT_LE(summary.size(), 32U << 10);
        const WalSummary told = decoded(summary);
        EXPECT_EQ(told.points.size(), told.commits);
        commits += told.commits;
        from = std::min(follower.boundary(), forge_.end()).value;
        follower.passed(Lsn{from});
        ++pieces;
        ASSERT_LT(pieces, 10);
    }
    EXPECT_EQ(commits, 3000U);
    EXPECT_EQ(pieces, 3);
}

TEST_F(Follower, PassesOverWhatItCannotReadAndSaysSo) {
    commits(2000, 600);  // more than a segment
    Bytes bytes(forge_.bytes().begin(), forge_.bytes().end());
    bytes[300000] ^= 1;
    ASSERT_TRUE(ok(spool_->append(1, Lsn{kStart}, bytes, base::from_unix_micros(1))));
    WalFollower follower(*spool_, KeepPoints::No);
    ASSERT_TRUE(ok(follower.follow({1, kStart, kStart + 800000})));
    EXPECT_TRUE(follower.is_blind());
    EXPECT_NE(follower.trouble(), "");
    EXPECT_EQ(follower.take_summary(), Bytes{});
    follower.passed(Lsn{kStart + 800000});
    ASSERT_TRUE(ok(follower.follow({1, kStart + 800000, forge_.end().value})));
    EXPECT_FALSE(follower.is_blind());
    EXPECT_EQ(follower.take_summary(), Bytes{}) << "records at its beginning are missing";
    EXPECT_GT(follower.boundary(), Lsn{kStart + kMiB});
}

TEST_F(Follower, PlacesASwitchAtTheSegmentsEnd) {
    commits(2);
    forge_.switch_segment();
    spool_up_to(Lsn{kStart + 9000});
    WalFollower follower(*spool_, KeepPoints::Yes);
    ASSERT_TRUE(ok(follower.follow({1, kStart, kStart + 9000})));
    EXPECT_EQ(follower.boundary(), Lsn{kStart + kMiB});
    EXPECT_EQ(decoded(follower.take_summary()).records, 5U);
}

}  // namespace
}  // namespace lifeboat::postgres

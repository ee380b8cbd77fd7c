#include "postgres/wal_spool.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using base::Code;
using repo::StreamRange;
using test::fails;
using test::ok;

constexpr std::uint64_t kMiB = base::kMiB;

ClusterIdentity small_cluster() {
    return {7000000000000000001ULL, 15, *SegmentSize::of(kMiB)};
}

base::Timestamp at_second(int second) {
    return base::from_unix_micros(1'700'000'000'000'000 + second * 1'000'000LL);
}

// Bytes that differ from place to place and timeline to timeline.
Bytes wal(TimelineId timeline, std::uint64_t from, std::size_t count) {
    Bytes out(count);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t at = from + i;
        out[i] = static_cast<base::Byte>((at * 2654435761U + (at >> 8) * 31 + timeline) >> 3);
    }
    return out;
}

class Spool : public testing::Test {
  protected:
    void SetUp() override { open(); }

    void open() {
        spool_.reset();
        auto spool = WalSpool::open(base::real_files(), directory(), small_cluster());
        ASSERT_TRUE(ok(spool));
        spool_ = std::move(spool).value();
    }

    std::string directory() const { return dir_ / "spool"; }

    std::string file(TimelineId timeline, std::uint64_t segment) const {
        return directory() + "/0000000" + std::to_string(timeline) + "/" +
               segment_name(timeline, segment, small_cluster().segment_size);
    }

    Result<> append(TimelineId timeline, std::uint64_t from, std::uint64_t to, int second = 0) {
        return spool_->append(timeline, Lsn{from}, wal(timeline, from, to - from),
                              at_second(second));
    }

    void expect_holds(TimelineId timeline, std::uint64_t from, std::uint64_t to) {
        Bytes got(to - from);
        ASSERT_TRUE(ok(spool_->read(timeline, Lsn{from}, got)));
        EXPECT_EQ(got, wal(timeline, from, to - from));
    }

    test::TempDir dir_;
    std::unique_ptr<WalSpool> spool_;
};

TEST_F(Spool, HoldsWhatWasAppendedAcrossSegments) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 5 * kMiB + 100)));
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 100, 7 * kMiB + 50)));
    EXPECT_EQ(spool_->ranges(), (std::vector<StreamRange>{{1, 5 * kMiB, 7 * kMiB + 50}}));
    EXPECT_EQ(spool_->bytes(), 2 * kMiB + 50);
    expect_holds(1, 5 * kMiB, 7 * kMiB + 50);
    expect_holds(1, 6 * kMiB - 3, 6 * kMiB + 3);
}

TEST_F(Spool, KeepsWhatWasSyncedWhenItIsOpenedAgain) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 40, 6 * kMiB + 200)));
    ASSERT_TRUE(ok(spool_->sync()));
    ASSERT_TRUE(ok(append(1, 6 * kMiB + 200, 6 * kMiB + 300)));
    EXPECT_EQ(spool_->synced_end(1), Lsn{6 * kMiB + 200});
    open();
    EXPECT_EQ(spool_->ranges(), (std::vector<StreamRange>{{1, 5 * kMiB + 40, 6 * kMiB + 200}}));
    EXPECT_EQ(spool_->synced_end(1), Lsn{6 * kMiB + 200});
    expect_holds(1, 5 * kMiB + 40, 6 * kMiB + 200);
    ASSERT_TRUE(ok(append(1, 6 * kMiB + 200, 8 * kMiB)));
    open();
    expect_holds(1, 5 * kMiB + 40, 8 * kMiB);
}

TEST_F(Spool, RefusesAnotherCluster) {
    for (const int field : {0, 1, 2}) {
        ClusterIdentity other = small_cluster();
        other.system_identifier += field == 0 ? 1 : 0;
        other.major += field == 1 ? 1 : 0;
        other.segment_size = field == 2 ? SegmentSize() : other.segment_size;
        EXPECT_TRUE(fails(WalSpool::open(base::real_files(), directory(), other), Code::Conflict));
    }
    const auto there = WalSpool::identity_of(base::real_files(), directory());
    ASSERT_TRUE(ok(there));
    EXPECT_EQ(**there, small_cluster());
    const auto none = WalSpool::identity_of(base::real_files(), dir_ / "elsewhere");
    ASSERT_TRUE(ok(none));
    EXPECT_FALSE(none->has_value());
}

TEST_F(Spool, ComparesBytesThatAreSentTwice) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 6 * kMiB + 500)));
    ASSERT_TRUE(ok(append(1, 6 * kMiB - 100, 6 * kMiB + 700)));
    EXPECT_EQ(spool_->bytes(), kMiB + 700);
    Bytes other = wal(1, 6 * kMiB, 200);
    other[150] ^= 1;
    EXPECT_TRUE(fails(spool_->append(1, Lsn{6 * kMiB}, other, at_second(0)), Code::Conflict));
    expect_holds(1, 5 * kMiB, 6 * kMiB + 700);
}

TEST_F(Spool, RefusesToSkipInsideASegment) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 5 * kMiB + 500)));
    EXPECT_TRUE(fails(append(1, 5 * kMiB + 501, 5 * kMiB + 600), Code::Conflict));
    EXPECT_EQ(spool_->last_range(1), (StreamRange{1, 5 * kMiB, 5 * kMiB + 500}));
}

TEST_F(Spool, KeepsTimelinesAndGapsApart) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 5 * kMiB + 500)));
    ASSERT_TRUE(ok(append(1, 9 * kMiB, 9 * kMiB + 500)));
    ASSERT_TRUE(ok(append(3, 9 * kMiB, 9 * kMiB + 300)));
    const std::vector<StreamRange> held{{1, 5 * kMiB, 5 * kMiB + 500},
                                        {1, 9 * kMiB, 9 * kMiB + 500},
                                        {3, 9 * kMiB, 9 * kMiB + 300}};
    EXPECT_EQ(spool_->ranges(), held);
    EXPECT_EQ(spool_->last_range(1), held[1]);
    EXPECT_EQ(spool_->last_range(2).to, 0U);
    ASSERT_TRUE(ok(spool_->sync()));
    open();
    EXPECT_EQ(spool_->ranges(), held);
    expect_holds(3, 9 * kMiB, 9 * kMiB + 300);
    ASSERT_TRUE(ok(append(1, 9 * kMiB + 500, 9 * kMiB + 600)));
    expect_holds(1, 9 * kMiB, 9 * kMiB + 600);
}

TEST_F(Spool, ReadsNothingThatItDoesNotHold) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 10, 5 * kMiB + 500)));
    Bytes out(20);
    for (const std::uint64_t at : {5 * kMiB, 5 * kMiB + 490, 6 * kMiB}) {
        EXPECT_TRUE(fails(spool_->read(1, Lsn{at}, out), Code::NotFound)) << at;
    }
    EXPECT_TRUE(fails(spool_->read(2, Lsn{5 * kMiB + 10}, out), Code::NotFound));
}

TEST_F(Spool, DropsWholeFilesOfARange) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 8 * kMiB + 10)));
    ASSERT_TRUE(ok(append(2, 5 * kMiB, 5 * kMiB + 10)));
    ASSERT_TRUE(ok(spool_->drop({1, 5 * kMiB, 7 * kMiB - 1})));
    EXPECT_EQ(spool_->ranges(), (std::vector<StreamRange>{{1, 6 * kMiB, 8 * kMiB + 10},
                                                          {2, 5 * kMiB, 5 * kMiB + 10}}));
    EXPECT_EQ(*base::exists(base::real_files(), file(1, 5)), false);
    EXPECT_EQ(*base::exists(base::real_files(), file(1, 6)), true);
    open();
    EXPECT_EQ(spool_->last_range(1).from, 6 * kMiB);
}

TEST_F(Spool, DropsNothingBeforeTheRange) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 6 * kMiB)));
    ASSERT_TRUE(ok(append(1, 8 * kMiB, 10 * kMiB)));
    ASSERT_TRUE(ok(spool_->drop({1, 8 * kMiB, 9 * kMiB})));
    EXPECT_EQ(spool_->ranges(),
              (std::vector<StreamRange>{{1, 5 * kMiB, 6 * kMiB}, {1, 9 * kMiB, 10 * kMiB}}));
}

TEST_F(Spool, FillsAHoleUpToWhatIsThereAndComparesThat) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 5 * kMiB + 500)));
    ASSERT_TRUE(ok(append(1, 7 * kMiB, 8 * kMiB + 10)));
    EXPECT_EQ(spool_->range_before(1, Lsn{5 * kMiB + 500}),
              (StreamRange{1, 5 * kMiB, 5 * kMiB + 500}));
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 500, 8 * kMiB + 300)));
    EXPECT_EQ(spool_->ranges(), (std::vector<StreamRange>{{1, 5 * kMiB, 8 * kMiB + 300}}));
    expect_holds(1, 5 * kMiB, 8 * kMiB + 300);
    Bytes other = wal(1, 6 * kMiB, 2 * kMiB);
    other[kMiB + 9] ^= 1;
    EXPECT_TRUE(fails(spool_->append(1, Lsn{6 * kMiB}, other, at_second(0)), Code::Conflict));
    ASSERT_TRUE(ok(spool_->sync()));
    open();
    EXPECT_EQ(spool_->ranges(), (std::vector<StreamRange>{{1, 5 * kMiB, 8 * kMiB + 300}}));
}

// A crash while a hole is filled: the file is not the last one, and torn all the same.
TEST_F(Spool, S1_ProvesAFileThatWasFilledWhenItWasOpen) {
    ASSERT_TRUE(ok(append(1, 7 * kMiB, 8 * kMiB)));
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 5 * kMiB + 300)));
    ASSERT_TRUE(ok(spool_->sync()));
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 300, 5 * kMiB + 900)));
    ASSERT_TRUE(ok(spool_->sync()));
    spool_.reset();
    auto handle = base::real_files().open(file(1, 5), base::OpenMode::ReadWrite);
    ASSERT_TRUE(ok(handle));
    ASSERT_TRUE(ok((*handle)->write_at(400, Bytes{0x55, 0x55})));
    open();
    EXPECT_EQ(spool_->ranges(),
              (std::vector<StreamRange>{{1, 5 * kMiB, 5 * kMiB + 300}, {1, 7 * kMiB, 8 * kMiB}}));
    const auto names = base::real_files().list(directory() + "/00000001");
    ASSERT_TRUE(ok(names));
    EXPECT_EQ(names->size(), 2U) << "no mark is left";
}

TEST_F(Spool, CutsOffWhatItsJournalDoesNotProve) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 5 * kMiB + 300)));
    ASSERT_TRUE(ok(spool_->sync()));
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 300, 5 * kMiB + 900)));
    ASSERT_TRUE(ok(spool_->sync()));
    spool_.reset();
    auto handle = base::real_files().open(file(1, 5), base::OpenMode::ReadWrite);
    ASSERT_TRUE(ok(handle));
    ASSERT_TRUE(
        ok((*handle)->write_at(400, Bytes{0x55, 0x55})));  // as if the second run had been torn
    open();
    EXPECT_EQ(spool_->ranges(), (std::vector<StreamRange>{{1, 5 * kMiB, 5 * kMiB + 300}}));
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 300, 5 * kMiB + 800)));
    expect_holds(1, 5 * kMiB, 5 * kMiB + 800);
}

TEST_F(Spool, RemovesUnfinishedCopiesAndFilesThatProveNothing) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 6 * kMiB)));
    spool_.reset();
    ASSERT_TRUE(ok(base::real_files().open(file(1, 6), base::OpenMode::CreateNew)));
    const std::string temporary = directory() + "/00000001/.tmp-x";
    ASSERT_TRUE(ok(base::real_files().open(temporary, base::OpenMode::CreateNew)));
    open();
    EXPECT_EQ(*base::exists(base::real_files(), file(1, 6)), false);
    EXPECT_EQ(*base::exists(base::real_files(), temporary), false);
    EXPECT_EQ(spool_->last_range(1).to, 6 * kMiB);
}

TEST_F(Spool, NeverSaysThatMoreIsCoveredThanIs) {
    ASSERT_TRUE(ok(append(1, 5 * kMiB, 5 * kMiB + 100, 1)));
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 100, 5 * kMiB + 200, 2)));
    ASSERT_TRUE(ok(append(1, 5 * kMiB + 200, 6 * kMiB + 200, 3)));
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 100}), at_second(1));
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 199}), at_second(1));
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 200}), at_second(2));
    EXPECT_EQ(spool_->captured_at(1, Lsn{6 * kMiB}), at_second(2)) << "true at the end only";
    EXPECT_EQ(spool_->captured_at(1, Lsn{6 * kMiB + 100}), at_second(2));
    EXPECT_EQ(spool_->captured_at(1, Lsn{6 * kMiB + 200}), at_second(3));
    EXPECT_EQ(spool_->captured_at(2, Lsn{6 * kMiB + 100}), std::nullopt);
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB}), std::nullopt);
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 99}), std::nullopt);
}

TEST_F(Spool, LearnsThatWhatItHoldsCoversMore) {
    ASSERT_TRUE(ok(spool_->append(1, Lsn{5 * kMiB}, Bytes(100), {})));
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 100}), std::nullopt) << "nobody knows";
    spool_->cover(1, Lsn{5 * kMiB + 99}, at_second(7));  // not where it ends
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 100}), std::nullopt);
    spool_->cover(1, Lsn{5 * kMiB + 100}, at_second(8));
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 100}), at_second(8));
    ASSERT_TRUE(ok(spool_->sync()));
    spool_->cover(1, Lsn{5 * kMiB + 100}, at_second(9));
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 100}), at_second(9));
    spool_.reset();
    open();
    EXPECT_EQ(spool_->captured_at(1, Lsn{5 * kMiB + 100}), at_second(8)) << "as it was synced";
}

TEST(SpoolRunCode, IsPinned) {
    const SpoolPlace place{"x", 3, Lsn{0x5000000}, SegmentSize()};
    const SpoolRun run{0x10, 0x2000, base::from_unix_micros(0x0102030405060708), 0xAABBCCDD};
    const Bytes entry = encode_spool_run(run, place);
    EXPECT_EQ(base::hex(entry), "10000000002000000807060504030201ddccbbaa" +
                                    base::hex(base::BytesView(entry).subspan(20)));
    ASSERT_EQ(entry.size(), kSpoolEntry);
    EXPECT_EQ(decode_spool_run(entry, place), run);
}

TEST(SpoolRunCode, RejectsDamageAndOtherPlaces) {
    const SpoolPlace place{"x", 3, Lsn{0x5000000}, SegmentSize()};
    const Bytes entry = encode_spool_run({0, 100, base::from_unix_micros(1), 2}, place);
    for (std::size_t i = 0; i < entry.size(); ++i) {
        Bytes damaged = entry;
        damaged[i] ^= 4;
        EXPECT_EQ(decode_spool_run(damaged, place), std::nullopt) << i;
    }
    EXPECT_EQ(decode_spool_run(entry, {"x", 4, Lsn{0x5000000}, SegmentSize()}), std::nullopt);
    EXPECT_EQ(decode_spool_run(entry, {"x", 3, Lsn{0x6000000}, SegmentSize()}), std::nullopt);
    EXPECT_EQ(decode_spool_run(Bytes(kSpoolEntry), place), std::nullopt);
    const Bytes empty_run = encode_spool_run({100, 100, base::from_unix_micros(1), 0}, place);
    EXPECT_EQ(decode_spool_run(empty_run, place), std::nullopt);
}

}  // namespace
}  // namespace lifeboat::postgres

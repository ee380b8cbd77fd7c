#include "postgres/lsn.h"

#include <gtest/gtest.h>

namespace lifeboat::postgres {
namespace {

SegmentSize size_of(std::uint64_t mib) {
    return SegmentSize::of(mib << 20).value();
}

TEST(Lsn, ReadsAndPrintsWhatPostgresqlPrints) {
    for (const char* text : {"0/0", "0/16B3748", "1A/2B", "FFFFFFFF/FFFFFFFF"}) {
        EXPECT_EQ(format_lsn(parse_lsn(text).value()), text);
    }
    EXPECT_EQ(parse_lsn("0/016b3748").value(), Lsn{0x16B3748});
    EXPECT_EQ(parse_lsn("1/0").value(), Lsn{1ULL << 32});
}

TEST(Lsn, RefusesEverythingElse) {
    for (const char* text : {"", "/", "0", "0/", "/0", "0x1/2", " 0/1", "0/1 ", "0/1/2",
                             "123456789/0", "0/123456789", "-1/0", "G/0", "0/+1"}) {
        EXPECT_EQ(parse_lsn(text).error().code(), Code::InvalidInput) << text;
    }
}

TEST(Lsn, RecordsBeginAtMultiplesOfEight) {
    EXPECT_EQ(align_record(Lsn{40}), Lsn{40});
    EXPECT_EQ(align_record(Lsn{41}), Lsn{48});
    EXPECT_EQ(align_record(Lsn{47}), Lsn{48});
}

TEST(SegmentSize, IsAPowerOfTwoFromOneMebibyteToOneGibibyte) {
    EXPECT_EQ(SegmentSize().bytes(), 16U << 20);
    for (std::uint64_t bytes = 1U << 20; bytes <= 1U << 30; bytes *= 2) {
        EXPECT_EQ(SegmentSize::of(bytes).value().bytes(), bytes);
    }
    for (std::uint64_t bytes :
         {0ULL, 1ULL, 1ULL << 19, 3ULL << 20, (1ULL << 20) + 1, 1ULL << 31, ~0ULL}) {
        EXPECT_EQ(SegmentSize::of(bytes).error().code(), Code::InvalidInput) << bytes;
    }
}

TEST(SegmentSize, PlacesPositionsInSegments) {
    const SegmentSize size = size_of(16);
    EXPECT_EQ(size.number_at(Lsn{0x2000000}), 2U);
    EXPECT_EQ(size.number_before(Lsn{0x2000000}), 1U);
    EXPECT_EQ(size.number_before(Lsn{0x2000001}), 2U);
    EXPECT_EQ(size.offset_at(Lsn{0x2000028}), 0x28U);
    EXPECT_EQ(size.start_of(3), Lsn{0x3000000});
    EXPECT_EQ(size.boundary_after(Lsn{0x2000000}), Lsn{0x2000000});
    EXPECT_EQ(size.boundary_after(Lsn{0x2000001}), Lsn{0x3000000});
}

TEST(WalFileName, NumbersSegmentsAsPostgresqlDoes) {
    EXPECT_EQ(segment_name(1, 2, size_of(16)), "000000010000000000000002");
    EXPECT_EQ(segment_name(0xABC, 0x1FF, size_of(16)), "00000ABC00000001000000FF");
    EXPECT_EQ(segment_name(1, 0x1FF, size_of(1)), "0000000100000000000001FF");
    EXPECT_EQ(segment_name(1, 7, size_of(1024)), "000000010000000100000003");
    EXPECT_EQ(partial_name(2, 3, size_of(16)), "000000020000000000000003.partial");
    EXPECT_EQ(history_name(0x1F), "0000001F.history");
}

TEST(WalFileName, IsReadBack) {
    for (std::uint64_t mib : {1U, 16U, 64U, 1024U}) {
        const SegmentSize size = size_of(mib);
        for (std::uint64_t segment : {std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{4},
                                      std::uint64_t{0xFF}, std::uint64_t{0x12345678}}) {
            const WalFileName expected{WalFileKind::Segment, 7, segment, 0};
            EXPECT_EQ(parse_wal_file_name(segment_name(7, segment, size), size).value(), expected)
                << mib;
            EXPECT_EQ(parse_wal_file_name(partial_name(7, segment, size), size).value().kind,
                      WalFileKind::Partial);
        }
    }
    EXPECT_EQ(parse_wal_file_name("0000001F.history", {}).value(),
              (WalFileName{WalFileKind::History, 0x1F, 0, 0}));
    EXPECT_EQ(parse_wal_file_name("000000010000000000000002.00000028.backup", {}).value(),
              (WalFileName{WalFileKind::BackupLabel, 1, 2, 0x28}));
}

TEST(WalFileName, IsReadStrictly) {
    for (const char* name : {
             "",
             "00000001000000000000000",
             "0000000100000000000000020",
             "00000001000000000000000g",
             "00000001000000000000000a",
             "000000000000000000000002",  // no timeline
             "000000010000000000000100",  // past the last segment of its 4 GiB
             "000000010000000000000002.part",
             "000000010000000000000002.partial.",
             "000000010000000000000002partial",
             "000000010000000000000002.gz",
             "00000001.History",
             "00000000.history",
             "0000001.history",
             "0000000a.history",
             "000000010000000000000002.0000002.backup",
             "000000010000000000000002.01000000.backup",
             "000000010000000000000002..backup",
             "archive_status",
             "../00000001.history",
         }) {
        EXPECT_EQ(parse_wal_file_name(name, {}).error().code(), Code::InvalidInput) << name;
    }
}

}  // namespace
}  // namespace lifeboat::postgres

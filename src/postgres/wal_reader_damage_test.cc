// WAL that is damaged, cut short, foreign, or at its end.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/wal_trace.h"

namespace lifeboat::postgres {
namespace {

// Two records on one page, a third that reaches into the next, and pages of others behind.
TEST(WalReader, SeesEveryFlippedBitOfARecord) {
    const Lsn start = kStart + kWalPage - 400;
    WalForge forge(16, kSmall, start);
    forge.append(record_of(100, 1));
    forge.append({.rmgr = Rmgr::Xlog, .info = 0x20});
    const Lsn last = forge.append(record_of(300, 2));
    const Lsn end = forge.end();
    forge.append(record_of(9000, 3));
    forge.append(record_of(9000, 4));
    const WalReaderOptions options{
        .segment_size = kSmall, .major = 16, .resume = WalPosition{start, {}}};
    const Outcome whole = read(start, forge.bytes(), options);
    ASSERT_EQ(whole.records.size(), 5U);
    Bytes bytes = copy_of(forge.bytes());
    const Lsn page = kStart + kWalPage;
    ASSERT_LT(last, page);
    ASSERT_GT(end, page);
    for (std::size_t bit = 0; bit < (end - start) * 8; ++bit) {
        const Lsn at = start + bit / 8;
        bytes[bit / 8] ^= static_cast<Byte>(1U << bit % 8);
        const Outcome seen = read(start, bytes, options);
        bytes[bit / 8] ^= static_cast<Byte>(1U << bit % 8);
        std::size_t intact =
            0;  // records that lie before the flipped bit, up to where they may be padded
        while (whole.positions[intact].next <= at) {
            ++intact;
        }
        if (at >= page && at < page + kShortPageHeader) {
            intact = 2;  // the third record continues behind this header
        }
        const bool in_padding = intact < 3 && seen.records == whole.records;
        const bool unused_header_byte = at >= page + 20 && at < page + 24;
        const bool removable_flag = bit == (page + 2 - start) * 8 + 2;
        const bool later_timeline =
            at >= page + 4 && at < page + 8;  // the next page shows that it was wrong
        if (unused_header_byte || removable_flag) {
            EXPECT_TRUE(seen.same_as(whole)) << bit;
        } else if (later_timeline) {
            EXPECT_EQ(seen.last, WalStep::Failed) << bit;
        } else if (in_padding) {
            EXPECT_LT(whole.positions[intact].next - at, 8U) << bit;
        } else {
            EXPECT_EQ(seen.records,
                      std::vector<std::string>(
                          whole.records.begin(),
                          whole.records.begin() + static_cast<std::ptrdiff_t>(intact)))
                << bit;
            // The one flip that cannot be told from an end: a page address that turns into that of
            // a recycled page.
            EXPECT_TRUE(seen.last == WalStep::Failed ||
                        (at >= page + 8 && at < page + 16 && seen.what == "torn record"))
                << bit;
        }
    }
}

TEST(WalReader, EndsAtZeros) {
    WalForge forge(15, kSmall, kStart);
    const Lsn last = forge.append(record_of(10));
    const Lsn end = align_record(forge.end());
    for (std::uint64_t zeros : {4ULL, 100ULL, 8192ULL, 100000ULL}) {
        Bytes bytes = copy_of(forge.bytes());
        bytes.resize(bytes.size() + zeros + 8);
        const Outcome seen = read(kStart, bytes);
        EXPECT_EQ(seen.last, WalStep::End) << zeros;
        EXPECT_EQ(seen.what, "zeros");
        EXPECT_EQ(seen.position, (WalPosition{end, last}));
    }
}

TEST(WalReader, EndsAtAPageOfZeros) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(kWalPage - kLongPageHeader - kRecordHeader - 5));
    forge.zeros(kWalPage);
    const Outcome seen = read(forge);
    EXPECT_EQ(seen.last, WalStep::End);
    EXPECT_EQ(seen.position->next, kStart + kWalPage);
    EXPECT_EQ(read(kStart, Bytes(kMegabyte)).last, WalStep::End);
}

TEST(WalReader, EndsAtARecycledPage) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(kWalPage - kLongPageHeader - kRecordHeader - 5));
    WalForge old(15, kSmall, kStart - 3 * kMegabyte + kWalPage);
    old.append(record_of(5000));
    Bytes bytes = copy_of(forge.bytes());
    bytes.insert(bytes.end(), old.bytes().begin(), old.bytes().end());
    const Outcome seen = read(kStart, bytes);
    EXPECT_EQ(seen.last, WalStep::End);
    EXPECT_EQ(seen.what, "old page");
    EXPECT_EQ(seen.position->next, kStart + kWalPage);
    // A page from elsewhere in a segment is no leftover of recycling, one from the future neither.
    const auto address_at = static_cast<std::ptrdiff_t>(kWalPage + 8);
    for (const Lsn address : {kStart - 3 * kMegabyte, kStart + 3 * kMegabyte + kWalPage}) {
        std::memcpy(bytes.data() + address_at, &address.value, 8);
        EXPECT_EQ(read(kStart, bytes).last, WalStep::Failed) << address.value;
    }
}

TEST(WalReader, EndsBeforeATornRecord) {
    WalForge forge(15, kSmall, kStart);
    const Lsn first = forge.append(record_of(10));
    const Lsn torn = forge.append(record_of(9000));
    Bytes bytes = copy_of(forge.bytes());
    std::fill(bytes.begin() + kWalPage, bytes.end(), Byte{0});
    const Outcome seen = read(kStart, bytes);
    EXPECT_EQ(seen.last, WalStep::End);
    EXPECT_EQ(seen.what, "torn record");
    EXPECT_EQ(seen.position, (WalPosition{torn, first}));
}

TEST(WalReader, KeepsItsPlaceBeforeARecordThatIsNotAllThere) {
    WalForge forge(15, kSmall, kStart);
    const Lsn first = forge.append(record_of(10));
    const Lsn second = forge.append(record_of(9000));
    const Outcome seen = read(kStart, forge.bytes().first(forge.bytes().size() - 1));
    EXPECT_EQ(seen.last, WalStep::NeedMore);
    EXPECT_EQ(seen.position, (WalPosition{second, first}));
}

TEST(WalReader, SeesAHoleOfZeros) {
    for (std::size_t hole : {std::size_t{1}, std::size_t{2}}) {
        WalForge forge(15, kSmall, kStart);
        for (int i = 0; i < 9; ++i) {
            forge.append(record_of(4000, i));
        }
        Bytes bytes = copy_of(forge.bytes());
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(hole * kWalPage),
                  bytes.begin() + static_cast<std::ptrdiff_t>((hole + 1) * kWalPage), Byte{0});
        const Outcome seen = read(kStart, bytes);
        EXPECT_EQ(seen.last, WalStep::Failed);
        EXPECT_NE(
            seen.what.find("a hole: WAL goes on at " + format_lsn(kStart + (hole + 1) * kWalPage)),
            std::string::npos)
            << seen.what;
    }
}

TEST(WalReader, SeesALostSectorInsideAPage) {
    WalForge forge(15, kSmall, kStart);
    for (int i = 0; i < 200; ++i) {
        forge.append(record_of(20, i));
    }
    Bytes bytes = copy_of(forge.bytes());
    std::fill(bytes.begin() + 1024, bytes.begin() + 1536, Byte{0});
    EXPECT_EQ(read(kStart, bytes).last, WalStep::Failed);
}

TEST(WalReader, TakesNoRecordWithoutLengthForAnEnd) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(8));
    forge.append(record_of(20));
    Bytes bytes = copy_of(forge.bytes());
    std::fill_n(bytes.begin() + kLongPageHeader + 40, 4, Byte{0});
    const WalReaderOptions options{.segment_size = kSmall};
    const Outcome whole = read(kStart, bytes);
    EXPECT_EQ(whole.last, WalStep::Failed);
    EXPECT_NE(whole.what.find("zeros that are followed by other bytes"), std::string::npos);
    for (std::size_t run = 1; run < 50; ++run) {
        EXPECT_TRUE(read(kStart, bytes, options, [&] { return run; }).same_as(whole)) << run;
    }
}

TEST(WalReader, T28_FollowsARecordThatSupersedesALostOne) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(10));
    forge.append_lost(record_of(9000));
    forge.append(record_of(20));
    const Outcome seen = read(forge);
    EXPECT_EQ(seen.last, WalStep::NeedMore) << seen.what;
    EXPECT_EQ(seen.records.size(), 3U);
    // From its page on, too, and from a page that only holds a part of the lost record.
    EXPECT_EQ(read(kStart + kWalPage, forge.bytes().subspan(kWalPage)).records.size(), 2U);
}

TEST(WalReader, RefusesWhatDoesNotSupersedeTheLostRecord) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(10));
    forge.append_lost(record_of(9000));
    const Bytes good = copy_of(forge.bytes());
    Bytes bytes = good;
    const std::size_t record = kWalPage + kShortPageHeader;
    bytes[record + kRecordHeader + 2] ^= 8;  // names another record, under a right checksum
    const std::uint32_t crc = record_crc(BytesView(bytes).subspan(record, bytes.size() - record));
    std::memcpy(bytes.data() + record + 20, &crc, 4);
    EXPECT_EQ(read(kStart, bytes).last, WalStep::Failed);

    WalForge plain(15, kSmall, kStart);
    plain.append(record_of(kWalPage - kLongPageHeader - kRecordHeader - 5));
    plain.append(record_of(10));
    bytes = copy_of(plain.bytes());
    EXPECT_EQ(read(kStart, bytes).last, WalStep::NeedMore);
    bytes[kWalPage + 2] = 8;  // the page claims to supersede something
    EXPECT_EQ(read(kStart, bytes).last, WalStep::Failed);
}

TEST(WalReader, T18_RefusesPagesOfAnotherClusterVersionOrTimeline) {
    WalForge forge(15, kSmall, kStart, 3, 77);
    for (int i = 0; i < 20; ++i) {
        forge.append(record_of(1000, i));
    }
    EXPECT_EQ(
        read(forge,
             {.segment_size = kSmall, .major = 15, .system_identifier = 77, .latest_timeline = 3})
            .last,
        WalStep::NeedMore);
    EXPECT_EQ(read(forge, {.segment_size = kSmall, .major = 16}).last, WalStep::Failed);
    EXPECT_EQ(read(forge, {.segment_size = kSmall, .system_identifier = 78}).last, WalStep::Failed);
    EXPECT_EQ(read(forge, {.segment_size = kSmall, .latest_timeline = 2}).last, WalStep::Failed);
    EXPECT_EQ(read(forge, {.segment_size = SegmentSize::of(2 * kMegabyte).value()}).last,
              WalStep::Failed);
    Bytes bytes = copy_of(forge.bytes());
    bytes[kWalPage + 4] = 2;
    EXPECT_NE(read(kStart, bytes).what.find("timeline 2 follows timeline 3"), std::string::npos);
    bytes[kWalPage + 4] = 4;
    EXPECT_NE(read(kStart, bytes).what.find("timeline 3 follows timeline 4"), std::string::npos);
    bytes = copy_of(forge.bytes());
    bytes[0] = 0x0D;
    bytes[1] = 0xD1;  // 14 in the first page, 15 in the second
    EXPECT_EQ(read(kStart, bytes).last, WalStep::Failed);
}

TEST(WalReader, GoesOnIntoALaterTimeline) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(9000));
    forge.set_timeline(2);
    forge.append(record_of(9000));
    WalReader reader({.segment_size = kSmall});
    ASSERT_TRUE(reader.feed(kStart, forge.bytes()));
    EXPECT_EQ(reader.next(), WalStep::Record);
    EXPECT_EQ(reader.timeline(), 1U);
    EXPECT_EQ(reader.next(), WalStep::Record);
    EXPECT_EQ(reader.timeline(), 2U);
}

TEST(WalReader, CallsAnUnknownVersionUnsupported) {
    Bytes bytes = copy_of(awkward().bytes());
    bytes[0] = 0x01;
    bytes[1] = 0xD1;
    WalReader reader({.segment_size = kSmall});
    ASSERT_TRUE(reader.feed(kAwkward, bytes));
    EXPECT_EQ(reader.next(), WalStep::Failed);
    EXPECT_EQ(reader.failure().code(), Code::Unsupported);
    EXPECT_EQ(reader.failure().message(),
              "WAL at 0/5E4000: WAL with page magic '0xD101' is of no PostgreSQL from 13 to 18");
    EXPECT_EQ(reader.feed(kAwkward, bytes).error().code(), Code::Unsupported);
}

TEST(WalReader, KnowsResourceManagersOfExtensionsSince15) {
    for (int major : {14, 15}) {
        WalForge forge(major, kSmall, kStart);
        forge.append({.rmgr = static_cast<Rmgr>(130), .main = Bytes(3)});
        EXPECT_EQ(read(forge).last, major < 15 ? WalStep::Failed : WalStep::NeedMore);
    }
    WalForge forge(18, kSmall, kStart);
    forge.append({.rmgr = static_cast<Rmgr>(22), .main = Bytes(3)});
    EXPECT_EQ(read(forge).last, WalStep::Failed);
}

TEST(WalReader, RefusesLengthsThatNoRecordHas) {
    for (std::uint32_t length : {1U, 23U, kMaxRecord + 1, 0xFFFFFFFFU}) {
        WalForge forge(15, kSmall, kStart);
        forge.append(record_of(8));
        forge.append(record_of(20));
        Bytes bytes = copy_of(forge.bytes());
        std::memcpy(bytes.data() + kLongPageHeader + 40, &length, 4);
        const Outcome seen = read(kStart, bytes);
        EXPECT_EQ(seen.last, WalStep::Failed) << length;
        EXPECT_EQ(seen.records.size(), 1U);
    }
}

}  // namespace
}  // namespace lifeboat::postgres

#include "postgres/wal_format.h"

#include <gtest/gtest.h>

#include "tests/support/wal_forge.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;

constexpr std::array<int, 6> kMajors = {13, 14, 15, 16, 17, 18};

struct Split {
    Bytes bytes;  // that the record borrows
    WalRecord record;
    BlockRefs blocks;
    std::string wrong;
};

std::unique_ptr<Split> split(Bytes bytes, int major) {
    auto out = std::make_unique<Split>();
    out->bytes = std::move(bytes);
    out->wrong = split_record(out->bytes, major, out->record, out->blocks);
    return out;
}

TEST(WalMagic, NamesTheMajor) {
    const std::array<std::uint16_t, 6> magics = {0xD106, 0xD10D, 0xD110, 0xD113, 0xD116, 0xD118};
    for (std::size_t i = 0; i < magics.size(); ++i) {
        EXPECT_EQ(major_of_magic(magics[i]).value(), kMajors[i]);
        EXPECT_EQ(magic_of_major(kMajors[i]), magics[i]);
    }
    EXPECT_EQ(magic_of_major(12), 0);
}

TEST(WalMagic, OfAnotherReleaseIsUnsupportedByName) {
    const auto major = major_of_magic(0xD101);
    EXPECT_EQ(major.error().code(), Code::Unsupported);
    EXPECT_EQ(major.error().what(),
              "WAL with page magic '0xD101' is of no PostgreSQL from 13 to 18");
}

TEST(SegmentHeader, SaysWhoseSegmentItIs) {
    const SegmentSize size = SegmentSize::of(1 << 20).value();
    WalForge forge(17, size, Lsn{5 << 20}, 3, 42);
    forge.append({});
    const SegmentHeader header = read_segment_header(forge.bytes()).value();
    EXPECT_EQ(header.major, 17);
    EXPECT_EQ(header.timeline, 3U);
    EXPECT_EQ(header.start, Lsn{5 << 20});
    EXPECT_EQ(header.system_identifier, 42U);
    EXPECT_EQ(header.size, size);
}

TEST(SegmentHeader, IsCorruptInAPageThatCannotBeTheFirst) {
    const SegmentSize size = SegmentSize::of(1 << 20).value();
    WalForge second_page(17, size, Lsn{(5 << 20) + kWalPage});
    second_page.append({.main = Bytes(100)});
    EXPECT_EQ(read_segment_header(second_page.bytes()).error().code(), Code::Corrupt);
    EXPECT_EQ(read_segment_header(Bytes(39)).error().code(), Code::Corrupt);
    EXPECT_EQ(read_segment_header(Bytes(40)).error().code(), Code::Unsupported);

    WalForge forge(17, size, Lsn{5 << 20});
    forge.append({});
    Bytes wrong(forge.bytes().begin(), forge.bytes().end());
    wrong[34] ^= 0x40;  // the segment size
    EXPECT_EQ(read_segment_header(wrong).error().code(), Code::Corrupt);
    wrong[34] ^= 0x40;
    wrong[37] ^= 0x20;  // the page size
    EXPECT_EQ(read_segment_header(wrong).error().code(), Code::Unsupported);
}

TEST(Rmgr, IsNamedAsPgWaldumpNamesIt) {
    EXPECT_EQ(rmgr_name(0), "XLOG");
    EXPECT_EQ(rmgr_name(1), "Transaction");
    EXPECT_EQ(rmgr_name(21), "LogicalMessage");
    EXPECT_EQ(rmgr_name(130), "custom130");
    EXPECT_TRUE(is_rmgr(21, 13));
    EXPECT_FALSE(is_rmgr(22, 18));
    EXPECT_FALSE(is_rmgr(127, 18));
    EXPECT_TRUE(is_rmgr(128, 15));
    EXPECT_FALSE(is_rmgr(128, 14));
}

TEST(SplitRecord, FindsBlocksAndMainDataInEveryMajor) {
    const RelationKey first{1663, 5, 16384};
    const RelationKey second{1663, 5, 16390};
    ForgedRecord forged{
        .rmgr = Rmgr::Heap, .info = 0x21, .xid = 77, .main = Bytes(300, 9), .blocks = {}};
    forged.blocks.push_back(
        {.relation = first, .block = 7, .image = Bytes(500, 1), .data = Bytes(20, 2)});
    forged.blocks.push_back(
        {.block = 8, .fork = Fork::Vm, .same_relation = true, .will_init = true});
    forged.blocks.push_back({.relation = second, .block = 0xFFFFFFFE, .data = Bytes(3)});
    for (int major : kMajors) {
        const auto out = split(WalForge(major, {}, Lsn{1 << 24}).encode(forged), major);
        ASSERT_EQ(out->wrong, "") << major;
        const WalRecord& record = out->record;
        EXPECT_EQ(record.xid, 77U);
        EXPECT_TRUE(record.is(Rmgr::Heap));
        EXPECT_EQ(record.operation(), 0x20);
        EXPECT_TRUE(record.is_special());
        EXPECT_EQ(Bytes(record.main_data.begin(), record.main_data.end()), forged.main);
        ASSERT_EQ(record.blocks.size(), 3U);
        EXPECT_EQ(record.blocks[0].relation, first);
        EXPECT_EQ(record.blocks[0].block, 7U);
        EXPECT_TRUE(record.blocks[0].has_image());
        EXPECT_FALSE(record.blocks[0].will_init());
        EXPECT_EQ(record.blocks[1].relation, first);
        EXPECT_EQ(record.blocks[1].fork, Fork::Vm);
        EXPECT_TRUE(record.blocks[1].same_relation());
        EXPECT_TRUE(record.blocks[1].will_init());
        EXPECT_EQ(record.blocks[2].relation, second);
        EXPECT_EQ(record.blocks[2].block, 0xFFFFFFFE);
    }
}

// A record of given parts behind the fixed head.
Bytes parts(std::initializer_list<int> bytes) {
    Bytes record(kRecordHeader);
    for (int b : bytes) {
        record.push_back(static_cast<base::Byte>(b));
    }
    const auto length = static_cast<std::uint32_t>(record.size());
    std::memcpy(record.data(), &length, 4);
    return record;
}

TEST(SplitRecord, ReadsOriginAndTopLevelTransaction) {
    const Bytes record = parts({253, 0x34, 0x12, 252, 1, 2, 0, 0, 255, 1, 99});
    const auto out = split(record, 14);
    EXPECT_EQ(out->wrong, "");
    EXPECT_EQ(out->record.origin, 0x1234);
    EXPECT_EQ(out->record.top_xid, 0x201U);
    EXPECT_EQ(out->record.main_data.size(), 1U);
    EXPECT_EQ(split(record, 13)->wrong, "it has a part of no known kind");
}

TEST(SplitRecord, KnowsWhichImagesCarryTheLengthOfTheirHole) {
    struct Case {
        int major;
        int flags;
        bool has_length;
    };

    for (const Case& c : {Case{14, 0x03, true}, Case{14, 0x05, false}, Case{14, 0x02, false},
                          Case{15, 0x03, false}, Case{15, 0x05, true}, Case{18, 0x09, true},
                          Case{18, 0x11, true}, Case{18, 0x10, false}}) {
        const auto with = split(parts({0, 0x10, 0, 0, 1, 0, 24, 0, c.flags, 7, 7, 1, 0, 0,
                                       0, 2,    0, 0, 0, 3, 0,  0, 0,       4, 0, 0, 0, 99}),
                                c.major);
        const auto without = split(parts({0, 0x10, 0, 0, 1, 0, 24, 0, c.flags, 1, 0, 0, 0,
                                          2, 0,    0, 0, 3, 0, 0,  0, 4,       0, 0, 0, 99}),
                                   c.major);
        const auto& right = c.has_length ? *with : *without;
        const auto& wrong = c.has_length ? *without : *with;
        EXPECT_EQ(right.wrong, "") << c.major << " " << c.flags;
        EXPECT_EQ(right.record.blocks[0].relation, (RelationKey{1, 2, 3}));
        EXPECT_NE(wrong.wrong, "") << c.major << " " << c.flags;
    }
}

TEST(SplitRecord, SaysWhatIsWrong) {
    struct Case {
        Bytes record;
        const char* wrong;
    };

    const std::vector<Case> cases = {
        {parts({255}), "a header runs over its end"},
        {parts({254, 1, 0}), "a header runs over its end"},
        {parts({253, 1}), "a header runs over its end"},
        {parts({0, 0}), "a header runs over its end"},
        {parts({0, 0x10, 0, 0, 1}), "a header runs over its end"},
        {parts({0, 0x00, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0}), "a header runs over its end"},
        {parts({33, 0, 0, 0}), "it has a part of no known kind"},
        {parts({255, 5, 1}), "its parts do not add up to its length"},
        {parts({255, 1, 1, 1}), "its parts do not add up to its length"},
        {parts({0, 0x80, 0, 0, 1, 0, 0, 0}), "its first block reference names no relation"},
        {parts({0, 0x0F, 0, 0, 1, 0, 0, 0}), "a block reference names no fork"},
        {parts({0, 0x20, 0, 0, 1, 0, 0, 0}), "a block reference contradicts itself about its data"},
        {parts({0, 0x00, 1, 0, 1, 0, 0, 0}), "a block reference contradicts itself about its data"},
        {parts({1, 0, 0, 0, 1, 0, 0, 0,    2, 0, 0, 0, 3, 0,
                0, 0, 4, 0, 0, 0, 1, 0x80, 0, 0, 1, 0, 0, 0}),
         "its block references are out of order"},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(split(c.record, 15)->wrong, c.wrong) << base::hex(c.record);
    }
}

}  // namespace
}  // namespace lifeboat::postgres

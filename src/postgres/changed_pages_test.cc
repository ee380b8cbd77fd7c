#include "postgres/changed_pages.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/support/wal_bodies.h"

namespace lifeboat::postgres {
namespace {

const SegmentSize kSmall = SegmentSize::of(1 << 20).value();
constexpr Lsn kStart{5 << 20};
const RelationKey kTable{1663, 5, 16384};
constexpr std::uint32_t kAll = 0xFFFFFFFF;

using Runs = std::vector<BlockRun>;

ForgedRecord touch(std::initializer_list<std::uint32_t> blocks,
                   const RelationKey& relation = kTable, Fork fork = Fork::Main) {
    ForgedRecord record{.rmgr = Rmgr::Heap, .main = base::Bytes(3)};
    for (std::uint32_t block : blocks) {
        record.blocks.push_back({.relation = relation, .block = block, .fork = fork});
    }
    return record;
}

ChangedPages track(const std::vector<ForgedRecord>& records, int major = 15) {
    WalForge forge(major, kSmall, kStart);
    for (const ForgedRecord& record : records) {
        forge.append(record);
    }
    ChangedPages pages;
    EXPECT_TRUE(for_each_record(forge, kSmall,
                                [&](const WalRecord& record) { EXPECT_TRUE(pages.add(record)); }));
    return pages;
}

TEST(ChangedPages, AreThoseThatRecordsName) {
    const ChangedPages pages =
        track({touch({3, 4}), touch({5, 9000, 0xFFFFFFFE}), touch({1}, {1663, 5, 99})});
    EXPECT_EQ(pages.changed(kTable, Fork::Main, 0, kAll),
              (Runs{{3, 3}, {9000, 1}, {0xFFFFFFFE, 1}}));
    EXPECT_EQ(pages.changed(kTable, Fork::Main, 4, 1), (Runs{{4, 1}}));
    EXPECT_EQ(pages.changed(kTable, Fork::Main, 4, 8996), (Runs{{4, 2}}));
    EXPECT_EQ(pages.changed(kTable, Fork::Main, 6, 100), Runs{});
    EXPECT_EQ(pages.changed({1663, 5, 99}, Fork::Main, 0, kAll), (Runs{{1, 1}}));
    EXPECT_EQ(pages.changed({1663, 6, 16384}, Fork::Main, 0, kAll), Runs{});
    EXPECT_EQ(pages.changed({1700, 5, 16384}, Fork::Main, 0, kAll), Runs{});
    EXPECT_EQ(pages.changed(kTable, Fork::Init, 0, kAll), Runs{});
    EXPECT_FALSE(pages.unsure());
}

TEST(ChangedPages, T21_MapsAlwaysChangeThroughout) {
    const ChangedPages pages = track({touch({3}, kTable, Fork::Vm), touch({3}, kTable, Fork::Fsm)});
    EXPECT_EQ(pages.changed(kTable, Fork::Vm, 0, 2), (Runs{{0, 2}}));
    EXPECT_EQ(pages.changed(kTable, Fork::Fsm, 7, 3), (Runs{{7, 3}}));
    EXPECT_EQ(pages.changed({1663, 5, 4242}, Fork::Vm, 0, 2), (Runs{{0, 2}}));
    EXPECT_EQ(pages.changed(kTable, Fork::Main, 0, kAll), Runs{});
}

TEST(ChangedPages, T22_CreatedAndRemovedFilesChangeFromTheirStart) {
    const ChangedPages pages = track({touch({7}), storage_create(kTable), touch({2})});
    EXPECT_EQ(pages.changed(kTable, Fork::Main, 0, 50), (Runs{{0, 50}}));
    EXPECT_EQ(pages.changed(kTable, Fork::Init, 0, 50), Runs{});
    const ChangedPages unlogged = track({storage_create(kTable, Fork::Init)});
    EXPECT_EQ(unlogged.changed(kTable, Fork::Init, 0, 1), (Runs{{0, 1}}));
    EXPECT_EQ(unlogged.changed(kTable, Fork::Main, 0, 1), Runs{});
    for (TransactionOp op : {TransactionOp::Commit, TransactionOp::Abort,
                             TransactionOp::CommitPrepared, TransactionOp::AbortPrepared}) {
        const ChangedPages removed =
            track({touch({7}), transaction_end({.op = op, .xid = 9, .dropped = {kTable}}, 15)});
        EXPECT_EQ(removed.changed(kTable, Fork::Main, 0, 50), (Runs{{0, 50}}));
        EXPECT_EQ(removed.changed(kTable, Fork::Init, 0, 50), (Runs{{0, 50}}));
        EXPECT_FALSE(removed.unsure());
    }
}

TEST(ChangedPages, T22_TruncatedFilesChangeFromWhereTheyWereCut) {
    struct Case {
        std::uint32_t blocks;
        Runs expected;
    };

    for (const Case& c :
         {Case{10, {{3, 1}, {10, 9990}}}, Case{4, {{3, 9997}}}, Case{3, {{3, 9997}}},
          Case{0, {{0, 10000}}}, Case{4096, {{3, 1}, {20, 1}, {4096, 5904}}},
          Case{5001, {{3, 1}, {20, 1}, {5000, 5000}}}}) {
        const ChangedPages pages =
            track({touch({3, 20, 5000}), storage_truncate(kTable, c.blocks)});
        EXPECT_EQ(pages.changed(kTable, Fork::Main, 0, 10000), c.expected) << c.blocks;
    }
    // It stays so when the file grows again, and a second cut counts only if it is deeper.
    const ChangedPages again = track(
        {storage_truncate(kTable, 10), touch({50}), storage_truncate(kTable, 30), touch({5})});
    EXPECT_EQ(again.changed(kTable, Fork::Main, 0, 100), (Runs{{5, 1}, {10, 90}}));
    const ChangedPages maps_only = track({storage_truncate(kTable, 10, 6)});
    EXPECT_EQ(maps_only.changed(kTable, Fork::Main, 0, 100), Runs{});
}

TEST(ChangedPages, T22_CreatedAndDroppedDatabasesChangeAltogether) {
    for (int major : {13, 14, 15, 16, 17, 18}) {
        const ChangedPages created =
            track({database_change(DatabaseOp::CreateByCopy, 77, {1700}, major)}, major);
        EXPECT_EQ(created.changed({1700, 77, 1}, Fork::Main, 0, 5), (Runs{{0, 5}}));
        EXPECT_EQ(created.changed({1663, 77, 1}, Fork::Main, 0, 5), Runs{});
        const ChangedPages dropped =
            track({database_change(DatabaseOp::Drop, 77, {1663, 1700}, major)}, major);
        EXPECT_EQ(dropped.changed({1700, 77, 1}, Fork::Main, 0, 5), (Runs{{0, 5}}));
        EXPECT_EQ(dropped.changed({1663, 77, 1}, Fork::Main, 0, 5), (Runs{{0, 5}}));
        EXPECT_EQ(dropped.changed({1663, 78, 1}, Fork::Main, 0, 5), Runs{});
    }
    const ChangedPages logged = track({database_change(DatabaseOp::CreateByLog, 77, {1663}, 15)});
    EXPECT_EQ(logged.changed({1663, 77, 1}, Fork::Main, 0, 5), (Runs{{0, 5}}));
}

TEST(ChangedPages, T22_AreUnsureWhereWalIsMinimal) {
    struct Case {
        ForgedRecord record;
        int major;
        bool unsure;
    };

    base::ByteWriter redo;
    redo.u32(0);
    const ForgedRecord redo_record = xlog_record(XlogOp::CheckpointRedo, redo);
    for (const Case& c :
         {Case{parameter_change({.level = WalLevel::Minimal}), 13, true},
          Case{parameter_change({.level = WalLevel::Replica}), 13, false},
          Case{checkpoint(kStart, 1, 1, 0), 17, true}, Case{checkpoint(kStart, 1, 1, 1), 17, false},
          Case{checkpoint(kStart, 1, 1, 0), 16, false},
          Case{end_of_recovery(test_time(0), 2, 1, 0), 18, true}, Case{redo_record, 17, true}}) {
        const ChangedPages pages = track({touch({3}), c.record}, c.major);
        EXPECT_EQ(pages.unsure().has_value(), c.unsure) << c.major;
        EXPECT_EQ(pages.changed(kTable, Fork::Main, 0, 50),
                  c.unsure ? (Runs{{0, 50}}) : (Runs{{3, 1}}));
    }
}

TEST(ChangedPages, T22_AreUnsureAfterAnUnknownSpecialRecord) {
    ForgedRecord special = touch({3});
    special.info |= kSpecialRelationUpdate;
    EXPECT_NE(track({special}).unsure()->find("the Heap record at 0/500028"), std::string::npos);
    ForgedRecord storage = storage_create(kTable);
    storage.info = 0x30;
    EXPECT_TRUE(track({storage}).unsure());
    ForgedRecord custom{
        .rmgr = static_cast<Rmgr>(140), .info = kSpecialRelationUpdate, .main = base::Bytes(1)};
    EXPECT_TRUE(track({custom}).unsure());
    custom.info = 0;
    EXPECT_FALSE(track({custom}).unsure());
}

std::vector<ForgedRecord> mixed(unsigned seed) {
    std::mt19937 generator(seed);
    const auto dice = [&] { return static_cast<std::uint32_t>(generator()); };
    std::vector<ForgedRecord> records;
    for (int i = 0; i < 300; ++i) {
        const RelationKey relation{1663, 5, 16384 + dice() % 4};
        const std::uint32_t block = dice() % 20000;
        records.push_back(touch({block}, relation));
        if (dice() % 50 == 0) {
            records.push_back(storage_truncate(relation, dice() % 20000));
        }
        if (dice() % 100 == 0) {
            records.push_back(
                database_change(DatabaseOp::CreateByCopy, 70 + dice() % 3, {1663}, 15));
        }
    }
    return records;
}

TEST(ChangedPages, MatchAPlainSet) {
    const std::vector<ForgedRecord> records = mixed(1);
    const ChangedPages pages = track(records);
    std::map<RelationKey, std::set<std::uint32_t>> model;
    for (const ForgedRecord& record : records) {
        if (!record.blocks.empty()) {
            model[record.blocks[0].relation].insert(record.blocks[0].block);
        } else if (record.rmgr == Rmgr::Storage) {
            const auto from = load_le<std::uint32_t>(record.main.data());
            for (std::uint32_t block = from; block < 20000; ++block) {
                model[{1663, 5, load_le<std::uint32_t>(record.main.data() + 12)}].insert(block);
            }
        }
    }
    for (const auto& [relation, blocks] : model) {
        std::set<std::uint32_t> seen;
        for (const BlockRun& run : pages.changed(relation, Fork::Main, 0, 20000)) {
            for (std::uint32_t i = 0; i < run.count; ++i) {
                seen.insert(run.first + i);
            }
        }
        EXPECT_EQ(seen, blocks);
    }
}

TEST(ChangedPages, AreTheSameWhenJoined) {
    const std::vector<ForgedRecord> records = mixed(2);
    const base::Bytes whole = track(records).encode();
    for (std::size_t cut = 0; cut < records.size(); cut += 37) {
        ChangedPages joined =
            track({records.begin(), records.begin() + static_cast<std::ptrdiff_t>(cut)});
        joined.append(track({records.begin() + static_cast<std::ptrdiff_t>(cut), records.end()}));
        EXPECT_EQ(joined.encode(), whole) << cut;
    }
}

TEST(ChangedPagesFormat, IsReadBack) {
    std::vector<ForgedRecord> records = mixed(3);
    for (std::uint32_t block = 0; block < 4000; block += 2) {
        records.push_back(touch({block}, {1663, 5, 1}));  // more runs than are worth listing
    }
    const base::Bytes bytes = track(records).encode();
    const ChangedPages decoded = ChangedPages::decode(bytes).value();
    EXPECT_EQ(decoded.encode(), bytes);
    EXPECT_EQ(decoded.changed({1663, 5, 1}, Fork::Main, 3, 4), (Runs{{4, 1}, {6, 1}}));
    ForgedRecord special = touch({3});
    special.info |= kSpecialRelationUpdate;
    const ChangedPages unsure = track({special});
    EXPECT_EQ(ChangedPages::decode(unsure.encode()).value().unsure(), unsure.unsure());
}

TEST(ChangedPagesFormat, StaysAsItIs) {
    const ChangedPages pages = track({touch({3, 4}), touch({9000}), storage_truncate(kTable, 9500),
                                      storage_create({1663, 5, 16385}),
                                      database_change(DatabaseOp::CreateByCopy, 77, {1663}, 15)});
    EXPECT_EQ(base::hex(pages.encode()),
              "4c42435001000"
              "14dff0c"
              "02"
              "ff0c058080010"
              "09d4a"
              "0200010302"
              "0201a80601"
              "ff0c05818001000100");
}

TEST(ChangedPagesFormat, IsCheckedThroughout) {
    const base::Bytes bytes = track(mixed(4)).encode();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_EQ(ChangedPages::decode(base::BytesView(bytes).first(size)).error().code(),
                  Code::Corrupt)
            << size;
    }
    for (std::size_t bit = 40; bit < bytes.size() * 8; ++bit) {
        base::Bytes wrong = bytes;
        wrong[bit / 8] ^= static_cast<base::Byte>(1U << bit % 8);
        const auto decoded = ChangedPages::decode(wrong);
        if (decoded) {
            EXPECT_TRUE(ChangedPages::decode(decoded->encode())) << bit;
        }
    }
    base::Bytes future = bytes;
    future[4] = 2;
    EXPECT_EQ(ChangedPages::decode(future).error().code(), Code::Unsupported);
}

}  // namespace
}  // namespace lifeboat::postgres

#include "postgres/wal_body.h"

#include <gtest/gtest.h>

#include "tests/support/wal_bodies.h"

namespace lifeboat::postgres {
namespace {

constexpr std::array<int, 6> kMajors = {13, 14, 15, 16, 17, 18};

// A record with the body of a forged one. `body` must live as long.
WalRecord as_record(const ForgedRecord& forged, int major) {
    WalRecord record;
    record.start = Lsn{0x1000028};
    record.major = major;
    record.rmgr = static_cast<std::uint8_t>(forged.rmgr);
    record.info = forged.info;
    record.xid = forged.xid;
    record.main_data = forged.main;
    return record;
}

TEST(PostgresTime, BeginsIn2000) {
    EXPECT_EQ(base::format_time(from_postgres_time(0)), "2000-01-01T00:00:00Z");
    EXPECT_EQ(base::format_time(from_postgres_time(-1)), "1999-12-31T23:59:59.999999Z");
    EXPECT_EQ(from_postgres_time(std::numeric_limits<std::int64_t>::max()), Timestamp::max());
}

TEST(TransactionEnd, IsReadWithAllItsPartsInEveryMajor) {
    for (int major : kMajors) {
        for (TransactionOp op : {TransactionOp::Commit, TransactionOp::Abort,
                                 TransactionOp::CommitPrepared, TransactionOp::AbortPrepared}) {
            const bool prepared =
                op == TransactionOp::CommitPrepared || op == TransactionOp::AbortPrepared;
            const ForgedRecord forged =
                transaction_end({.op = op,
                                 .time = test_time(5),
                                 .xid = 777,
                                 .database = 5,
                                 .subtransactions = {778, 779},
                                 .dropped = {{1663, 5, 100}, {1663, 5, 101}},
                                 .statistics = 3,
                                 .invalidations = 2,
                                 .gid = prepared ? "transfer 12" : ""},
                                major);
            const WalRecord record = as_record(forged, major);
            ASSERT_TRUE(is_transaction_end(record));
            const TransactionEnd end = read_transaction_end(record).value();
            EXPECT_EQ(end.op, op);
            EXPECT_EQ(end.is_commit(),
                      op == TransactionOp::Commit || op == TransactionOp::CommitPrepared);
            EXPECT_EQ(end.time, test_time(5));
            EXPECT_EQ(end.xid, 777U) << major;
            EXPECT_EQ(end.database, 5U);
            ASSERT_EQ(end.subtransactions.size(), 2U);
            EXPECT_EQ(end.subtransactions[1], 779U);
            ASSERT_EQ(end.dropped.size(), 2U);
            EXPECT_EQ(end.dropped[1], (RelationKey{1663, 5, 101}));
            EXPECT_EQ(end.gid, prepared ? "transfer 12" : "");
        }
    }
}

TEST(TransactionEnd, MayBeOnlyATime) {
    const ForgedRecord forged = transaction_end({.time = test_time(9), .xid = 4}, 15);
    ASSERT_EQ(forged.main.size(), 8U);
    const TransactionEnd end = read_transaction_end(as_record(forged, 15)).value();
    EXPECT_EQ(end.time, test_time(9));
    EXPECT_EQ(end.xid, 4U);
    EXPECT_EQ(end.dropped.size(), 0U);
}

TEST(TransactionEnd, IsCorruptWhereverItIsCut) {
    for (int major : kMajors) {
        ForgedRecord forged = transaction_end({.op = TransactionOp::CommitPrepared,
                                               .time = test_time(5),
                                               .xid = 777,
                                               .database = 5,
                                               .subtransactions = {778},
                                               .dropped = {{1, 2, 3}},
                                               .statistics = 1,
                                               .invalidations = 1,
                                               .gid = "g"},
                                              major);
        while (!forged.main.empty()) {
            forged.main.pop_back();
            EXPECT_EQ(read_transaction_end(as_record(forged, major)).error().code(), Code::Corrupt)
                << forged.main.size();
        }
    }
}

TEST(TransactionEnd, MustNameThePreparedTransaction) {
    ForgedRecord forged = transaction_end({.time = test_time(5)}, 15);
    forged.info = static_cast<std::uint8_t>(TransactionOp::AbortPrepared);
    EXPECT_EQ(read_transaction_end(as_record(forged, 15)).error().code(), Code::Corrupt);
}

TEST(TransactionEnd, IsNotAPrepareOrAnAssignment) {
    for (int info : {0x10, 0x50, 0x60, 0x70}) {
        EXPECT_FALSE(is_transaction_end(
            as_record({.rmgr = Rmgr::Transaction, .info = static_cast<std::uint8_t>(info)}, 15)))
            << info;
    }
}

TEST(Checkpoint, SaysTheWalLevelSince17) {
    const ForgedRecord forged = checkpoint(Lsn{0x5000}, 3, 2, 0);
    for (int major : kMajors) {
        const Checkpoint read = read_checkpoint(as_record(forged, major)).value();
        EXPECT_EQ(read.redo, Lsn{0x5000});
        EXPECT_EQ(read.timeline, 3U);
        EXPECT_EQ(read.previous_timeline, 2U);
        EXPECT_EQ(read.level, major >= 17 ? std::optional(WalLevel::Minimal) : std::nullopt);
    }
    EXPECT_EQ(read_checkpoint(as_record({.main = base::Bytes(19)}, 15)).error().code(),
              Code::Corrupt);
}

TEST(EndOfRecovery, SaysTheWalLevelSince17) {
    ForgedRecord forged = end_of_recovery(test_time(1), 4, 3, 2);
    for (int major : kMajors) {
        const EndOfRecovery read = read_end_of_recovery(as_record(forged, major)).value();
        EXPECT_EQ(read.time, test_time(1));
        EXPECT_EQ(read.timeline, 4U);
        EXPECT_EQ(read.previous_timeline, 3U);
        EXPECT_EQ(read.level, major >= 17 ? std::optional(WalLevel::Logical) : std::nullopt);
    }
    forged.main.resize(16);
    EXPECT_TRUE(read_end_of_recovery(as_record(forged, 16)));
    EXPECT_EQ(read_end_of_recovery(as_record(forged, 17)).error().code(), Code::Corrupt);
}

TEST(ParameterChange, HoldsWhatAStandbyMustMatch) {
    const Parameters now{.max_connections = 200,
                         .max_worker_processes = 8,
                         .max_wal_senders = 10,
                         .max_prepared_transactions = 5,
                         .max_locks_per_transaction = 64,
                         .level = WalLevel::Logical};
    ForgedRecord forged = parameter_change(now);
    EXPECT_EQ(read_parameter_change(as_record(forged, 15)).value(), now);
    forged.main.resize(23);
    EXPECT_EQ(read_parameter_change(as_record(forged, 15)).error().code(), Code::Corrupt);
}

TEST(NamedPoint, HasATimeAndAName) {
    ForgedRecord forged = restore_point("before upgrade", test_time(7));
    const NamedPoint point = read_restore_point(as_record(forged, 15)).value();
    EXPECT_EQ(point.name, "before upgrade");
    EXPECT_EQ(point.time, test_time(7));
    std::fill(forged.main.begin() + 8, forged.main.end(), base::Byte{'x'});
    EXPECT_EQ(read_restore_point(as_record(forged, 15)).error().code(), Code::Corrupt);
}

TEST(StorageRecords, NameTheFile) {
    const RelationKey relation{1663, 5, 16384};
    const ForgedRecord created = storage_create(relation, Fork::Init);
    const StorageCreate create = read_storage_create(as_record(created, 15)).value();
    EXPECT_EQ(create.relation, relation);
    EXPECT_EQ(create.fork, Fork::Init);
    const ForgedRecord cut = storage_truncate(relation, 17);
    const StorageTruncate truncate = read_storage_truncate(as_record(cut, 15)).value();
    EXPECT_EQ(truncate.relation, relation);
    EXPECT_EQ(truncate.blocks, 17U);
    EXPECT_TRUE(truncate.main_fork);
    const ForgedRecord maps_only = storage_truncate(relation, 17, 6);
    EXPECT_FALSE(read_storage_truncate(as_record(maps_only, 15)).value().main_fork);
    ForgedRecord wrong = created;
    wrong.main[12] = 4;
    EXPECT_EQ(read_storage_create(as_record(wrong, 15)).error().code(), Code::Corrupt);
}

TEST(HeapTruncate, ListsTables) {
    ForgedRecord forged = heap_truncate(5, {16384, 16390});
    const HeapTruncate truncate = read_heap_truncate(as_record(forged, 15)).value();
    EXPECT_EQ(truncate.database, 5U);
    ASSERT_EQ(truncate.relations.size(), 2U);
    EXPECT_EQ(truncate.relations[1], 16390U);
    forged.main[7] = 0xFF;  // a count of billions
    EXPECT_EQ(read_heap_truncate(as_record(forged, 15)).error().code(), Code::Corrupt);
}

TEST(DatabaseChange, IsNumberedAnewSince15) {
    for (int major : kMajors) {
        const ForgedRecord created = database_change(DatabaseOp::CreateByCopy, 20, {1663}, major);
        EXPECT_EQ(read_database_change(as_record(created, major)).value().op,
                  DatabaseOp::CreateByCopy);
        const ForgedRecord dropped = database_change(DatabaseOp::Drop, 20, {1663, 16400}, major);
        const DatabaseChange drop = read_database_change(as_record(dropped, major)).value();
        EXPECT_EQ(drop.op, DatabaseOp::Drop);
        EXPECT_EQ(drop.database, 20U);
        ASSERT_EQ(drop.tablespaces.size(), 2U);
        EXPECT_EQ(drop.tablespaces[1], 16400U);
        ForgedRecord unknown = dropped;
        unknown.info = 0x30;
        EXPECT_EQ(read_database_change(as_record(unknown, major)).error().code(),
                  Code::Unsupported);
    }
    const ForgedRecord logged = database_change(DatabaseOp::CreateByLog, 20, {1663}, 16);
    EXPECT_EQ(read_database_change(as_record(logged, 16)).value().op, DatabaseOp::CreateByLog);
}

TEST(TablespaceCreate, NamesThePathOrNone) {
    ForgedRecord forged = tablespace_create(16500, "/fast/disk");
    EXPECT_TRUE(is_tablespace_creation(as_record(forged, 15)));
    const TablespaceCreate create = read_tablespace_create(as_record(forged, 15)).value();
    EXPECT_EQ(create.tablespace, 16500U);
    EXPECT_EQ(create.path, "/fast/disk");
    forged.main.pop_back();
    EXPECT_EQ(read_tablespace_create(as_record(forged, 15)).error().code(), Code::Corrupt);
    const ForgedRecord in_place = tablespace_create(16501, "");
    EXPECT_EQ(read_tablespace_create(as_record(in_place, 15)).value().path, "");
    ForgedRecord dropped = tablespace_create(16500, "");
    dropped.info = 0x10;
    EXPECT_FALSE(is_tablespace_creation(as_record(dropped, 15)));
}

}  // namespace
}  // namespace lifeboat::postgres

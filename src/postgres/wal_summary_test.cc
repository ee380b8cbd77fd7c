#include "postgres/wal_summary.h"

#include <gtest/gtest.h>

#include "tests/support/wal_bodies.h"

namespace lifeboat::postgres {
namespace {

const SegmentSize kSmall = SegmentSize::of(1 << 20).value();
constexpr Lsn kStart{5 << 20};
constexpr int kMajor = 15;

WalSummary summarize(const WalForge& forge, KeepPoints keep = KeepPoints::Yes) {
    WalSummarizer summarizer(keep);
    const bool whole = for_each_record(
        forge, kSmall, [&](const WalRecord& record) { EXPECT_TRUE(summarizer.add(record)); });
    EXPECT_TRUE(whole);
    return summarizer.take();
}

ForgedRecord commit(std::uint32_t xid, std::int64_t seconds) {
    return transaction_end({.time = test_time(seconds), .xid = xid}, kMajor);
}

// One of everything.
WalForge rich() {
    WalForge forge(kMajor, kSmall, kStart);
    forge.append(checkpoint(kStart, 1, 1));
    forge.append(parameter_change({.max_connections = 100,
                                   .max_worker_processes = 8,
                                   .max_wal_senders = 10,
                                   .max_prepared_transactions = 2,
                                   .max_locks_per_transaction = 64,
                                   .level = WalLevel::Replica}));
    forge.append(commit(700, 10));
    forge.append(restore_point("before the change", test_time(11)));
    forge.append(
        transaction_end({.op = TransactionOp::Abort, .time = test_time(12), .xid = 701}, kMajor));
    forge.append(heap_truncate(5, {16384, 16390}));
    forge.append(storage_truncate({1663, 5, 16400}, 12));
    forge.append(transaction_end(
        {.time = test_time(13), .xid = 702, .database = 5, .dropped = {{1663, 5, 16384}}}, kMajor));
    forge.append(transaction_end(
        {.op = TransactionOp::CommitPrepared, .time = test_time(9), .xid = 690, .gid = "g"},
        kMajor));
    forge.append(database_change(DatabaseOp::Drop, 99, {1663}, kMajor));
    forge.append(transaction_end(
        {.op = TransactionOp::AbortPrepared, .time = test_time(14), .xid = 703}, kMajor));
    forge.append(end_of_recovery(test_time(20), 2, 1));
    forge.append({.rmgr = Rmgr::Heap, .main = base::Bytes(10)});
    return forge;
}

TEST(WalSummary, TellsWhatHappened) {
    const WalForge forge = rich();
    const WalSummary s = summarize(forge);
    EXPECT_EQ(s.major, kMajor);
    EXPECT_EQ(s.before, Lsn{});
    EXPECT_EQ(s.first, kStart + kLongPageHeader);
    EXPECT_EQ(s.last, forge.last());
    EXPECT_EQ(s.end, align_record(forge.end()));
    EXPECT_EQ(s.records, 13U);
    EXPECT_EQ(s.commits, 3U);
    EXPECT_EQ(s.aborts, 2U);
    EXPECT_EQ(s.earliest_commit, test_time(9));
    EXPECT_EQ(s.latest_commit, test_time(13));
    EXPECT_EQ(s.last_commit->xid, 690U);
    EXPECT_EQ(s.last_commit->time, test_time(9));
    EXPECT_EQ(s.lowest_xid, 690U);
    EXPECT_EQ(s.highest_xid, 702U);
    ASSERT_EQ(s.restore_points.size(), 1U);
    EXPECT_EQ(s.restore_points[0].name, "before the change");
    EXPECT_EQ(s.restore_points[0].time, test_time(11));
    ASSERT_EQ(s.parameter_changes.size(), 1U);
    EXPECT_EQ(s.parameter_changes[0].now.max_connections, 100);
    ASSERT_EQ(s.checkpoints.size(), 1U);
    EXPECT_EQ(s.checkpoints[0], (CheckpointMark{s.first, kStart, 1}));
    ASSERT_EQ(s.timeline_switches.size(), 1U);
    EXPECT_EQ(s.timeline_switches[0].from, 1U);
    EXPECT_EQ(s.timeline_switches[0].to, 2U);
    ASSERT_EQ(s.points.size(), 5U);
    EXPECT_TRUE(s.points[1].aborted);
    EXPECT_EQ(s.points[4].xid, 703U);
    EXPECT_TRUE(summarize(forge, KeepPoints::No).points.empty());
}

TEST(WalSummary, MarksWhatWasLost) {
    const WalSummary s = summarize(rich());
    ASSERT_EQ(s.losses.size(), 4U);
    EXPECT_EQ(s.losses[0].kind, LossMarker::Kind::TableTruncated);
    EXPECT_EQ(s.losses[0].oids, (std::vector<std::uint32_t>{16384, 16390}));
    EXPECT_EQ(s.losses[1].kind, LossMarker::Kind::StorageTruncated);
    EXPECT_EQ(s.losses[1].blocks, 12U);
    EXPECT_EQ(s.losses[2].kind, LossMarker::Kind::DropCommitted);
    EXPECT_EQ(s.losses[2].xid, 702U);
    EXPECT_EQ(s.losses[2].time, test_time(13));
    EXPECT_EQ(s.losses[2].relations, (std::vector<RelationKey>{{1663, 5, 16384}}));
    EXPECT_EQ(s.losses[2].start, s.points[2].start);
    EXPECT_EQ(s.losses[3].kind, LossMarker::Kind::DatabaseDropped);
    EXPECT_EQ(s.losses[3].database, 99U);
}

TEST(WalSummary, KnowsThatXidsAreACircle) {
    WalForge forge(kMajor, kSmall, kStart);
    for (std::uint32_t xid : {4294967290U, 5U, 4294967295U}) {
        forge.append(commit(xid, 1));
    }
    const WalSummary s = summarize(forge);
    EXPECT_EQ(s.lowest_xid, 4294967290U);
    EXPECT_EQ(s.highest_xid, 5U);
}

TEST(WalSummary, CountsCommitsWithoutATransactionId) {
    WalForge forge(kMajor, kSmall, kStart);
    forge.append(commit(0, 1));
    const WalSummary s = summarize(forge);
    EXPECT_EQ(s.commits, 1U);
    EXPECT_EQ(s.highest_xid, 0U);
}

TEST(WalSummary, SaysThatARecordIsCorrupt) {
    WalForge forge(kMajor, kSmall, kStart);
    ForgedRecord cut = restore_point("x", test_time(1));
    cut.main.resize(5);
    forge.append(cut);
    WalSummarizer summarizer(KeepPoints::No);
    for_each_record(forge, kSmall, [&](const WalRecord& record) {
        EXPECT_EQ(summarizer.add(record).error().code(), Code::Corrupt);
    });
}

TEST(WalSummary, JoinsWhatFollowsDirectly) {
    const WalForge forge = rich();
    const WalSummary whole = summarize(forge);
    for (std::size_t cut = 0; cut <= whole.records; ++cut) {
        std::vector<WalSummary> parts;
        WalSummarizer summarizer(KeepPoints::Yes);
        std::size_t seen = 0;
        for_each_record(forge, kSmall, [&](const WalRecord& record) {
            if (seen++ == cut) {
                parts.push_back(summarizer.take());
            }
            EXPECT_TRUE(summarizer.add(record));
        });
        parts.push_back(summarizer.take());
        WalSummary joined;
        for (const WalSummary& part : parts) {
            EXPECT_TRUE(joined.append(part));
        }
        EXPECT_EQ(joined, whole) << cut;
        if (parts.size() == 2 && cut > 1) {
            parts[1].before = parts[1].before - 8;
            EXPECT_EQ(parts[0].append(parts[1]).error().code(), Code::InvalidInput);
        }
    }
}

// ---- Storage -----------------------------------------------------------------------------------

TEST(WalSummaryFormat, IsReadBack) {
    const WalSummary s = summarize(rich());
    EXPECT_EQ(decode_summary(encode_summary(s)).value(), s);
    EXPECT_EQ(decode_summary(encode_summary({})).value(), WalSummary{});
}

TEST(WalSummaryFormat, T9_KeepsTheTablespacesThatAreCreated) {
    WalForge forge(kMajor, kSmall, kStart);
    forge.append(tablespace_create(16500, "/fast"));
    forge.append(tablespace_create(16501, ""));
    const WalSummary s = summarize(forge);
    const std::vector<TablespaceMade> made = {{s.first, 16500, "/fast"}};
    EXPECT_EQ(s.tablespaces, made) << "one inside the data directory goes with it";
    const base::Bytes bytes = encode_summary(s);
    EXPECT_EQ(decode_summary(bytes).value(), s);
    WalSummary none = s;
    none.tablespaces.clear();
    for (std::size_t size = encode_summary(none).size() + 1; size < bytes.size(); ++size) {
        EXPECT_EQ(decode_summary(base::BytesView(bytes).first(size)).error().code(), Code::Corrupt)
            << size;
    }
}

TEST(WalSummaryFormat, StaysAsItIs) {
    WalForge forge(kMajor, kSmall, kStart);
    forge.append(commit(700, 10));
    forge.append(restore_point("r", test_time(11)));
    EXPECT_EQ(base::hex(encode_summary(summarize(forge))),
              "4c42575301"                            // mark, format
              "0f00a880c002d080c00268020100bc05bc05"  // major, positions, counts, xids
              "0180dacd8be2f5860680dacd8be2f58606"    // earliest and latest commit
              "01a880c0022880dacd8be2f58606f80a00"    // last commit
              "01d080c0026880e3c78ce2f586060172"      // a restore point
              "00000000"                              // nothing else happened
              "01a880c0022880dacd8be2f58606f80a00");  // points
}

TEST(WalSummaryFormat, IsCorruptWhereverItIsCut) {
    const base::Bytes bytes = encode_summary(summarize(rich()));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_EQ(decode_summary(base::BytesView(bytes).first(size)).error().code(), Code::Corrupt)
            << size;
    }
    base::Bytes longer = bytes;
    longer.push_back(0);
    EXPECT_EQ(decode_summary(longer).error().code(), Code::Corrupt);
}

TEST(WalSummaryFormat, OfTheFutureIsUnsupported) {
    base::Bytes bytes = encode_summary({});
    bytes[4] = 2;
    EXPECT_EQ(decode_summary(bytes).error().code(), Code::Unsupported);
}

TEST(WalSummaryFormat, SurvivesAnyFlippedBit) {
    const base::Bytes bytes = encode_summary(summarize(rich()));
    for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 3) {
        base::Bytes wrong = bytes;
        wrong[bit / 8] ^= static_cast<base::Byte>(1U << bit % 8);
        const auto decoded = decode_summary(wrong);
        if (decoded) {
            EXPECT_EQ(decode_summary(encode_summary(*decoded)).value(), *decoded) << bit;
        }
    }
}

// ---- Targets -----------------------------------------------------------------------------------

// Points 100 bytes long, 100 apart, at these seconds; negative for an abort. The xid is 1 for the
// first.
std::vector<CommitPoint> points_at(const std::vector<int>& seconds) {
    std::vector<CommitPoint> points;
    for (int s : seconds) {
        const std::uint64_t n = points.size() + 1;
        points.push_back({Lsn{n * 200}, Lsn{n * 200 + 100}, test_time(std::abs(s)),
                          static_cast<std::uint32_t>(n), s < 0});
    }
    return points;
}

std::uint32_t xid_of(const std::optional<CommitPoint>& point) {
    return point ? point->xid : 0;
}

TEST(ResolveTime, StopsBeforeTheFirstLaterEnd) {
    struct Case {
        std::vector<int> times;
        int target;
        Inclusive inclusive;
        std::uint32_t last_applied;   // 0: none
        std::uint32_t first_dropped;  // 0: not reached
    };

    constexpr auto kYes = Inclusive::Yes;
    constexpr auto kNo = Inclusive::No;
    const std::vector<Case> cases = {
        {{10, 20, 30}, 20, kYes, 2, 3},         {{10, 20, 30}, 20, kNo, 1, 2},
        {{10, 20, 20, 20, 30}, 20, kYes, 4, 5}, {{10, 20, 20, 20, 30}, 20, kNo, 1, 2},
        {{10, 20, 30}, 25, kNo, 2, 3},          {{10, 20, 30}, 5, kYes, 0, 1},
        {{10, 20, 30}, 30, kYes, 3, 0},         {{}, 30, kYes, 0, 0},
        {{10, 25, 15, 30}, 20, kYes, 1, 2},   // clocks go back: the commit at 15 is lost
        {{10, -25, 15, 30}, 20, kYes, 1, 2},  // the time of an abort counts, too
        {{10, -15, 25}, 20, kYes, 1, 3},      // an abort is no commit to keep
    };
    for (const Case& c : cases) {
        const std::vector<CommitPoint> points = points_at(c.times);
        const TargetPoint target = resolve_time(points, test_time(c.target), c.inclusive);
        EXPECT_EQ(xid_of(target.last_applied), c.last_applied) << c.target;
        EXPECT_EQ(xid_of(target.first_dropped), c.first_dropped) << c.target;
        EXPECT_EQ(target.stop, c.first_dropped == 0 ? Lsn{} : Lsn{c.first_dropped * 200ULL});
    }
}

TEST(ResolveXid, StopsAtThisTransactionsEnd) {
    const std::vector<CommitPoint> points = points_at({10, -20, 30});
    const TargetPoint after = resolve_xid(points, 2).value();
    EXPECT_EQ(after.stop, Lsn{500});
    EXPECT_EQ(xid_of(after.last_applied), 1U);
    EXPECT_EQ(xid_of(after.first_dropped), 3U);
    const TargetPoint before = resolve_xid(points, 3, Inclusive::No).value();
    EXPECT_EQ(before.stop, Lsn{600});
    EXPECT_EQ(xid_of(before.last_applied), 1U);
    const TargetPoint last = resolve_xid(points, 3).value();
    EXPECT_EQ(last.stop, Lsn{700});
    EXPECT_EQ(xid_of(last.last_applied), 3U);
    EXPECT_FALSE(last.first_dropped);
    EXPECT_EQ(resolve_xid(points, 4).error().code(), Code::NotFound);
    EXPECT_EQ(resolve_xid(points, 0).error().code(), Code::NotFound);
}

TEST(ResolveName, TakesTheFirstOfThatName) {
    const std::vector<RestorePoint> points = {{Lsn{100}, Lsn{200}, {}, "a"},
                                              {Lsn{300}, Lsn{400}, {}, "b"},
                                              {Lsn{500}, Lsn{600}, {}, "b"}};
    EXPECT_EQ(resolve_name(points, "b").value().end, Lsn{400});
    EXPECT_EQ(resolve_name(points, "B").error().code(), Code::NotFound);
}

}  // namespace
}  // namespace lifeboat::postgres

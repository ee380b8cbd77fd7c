#include "postgres/recovery_target.h"

#include <gtest/gtest.h>

#include <vector>

#include "postgres/wal_reader.h"
#include "tests/support/expect.h"
#include "tests/support/wal_forge.h"

namespace lifeboat::postgres {
namespace {

using base::from_unix_micros;
using base::Timestamp;
using test::fails;
using test::ok;

constexpr std::int64_t kPostgresEpoch = 946684800LL * 1'000'000;

Timestamp at_second(int second) {
    return from_unix_micros(kPostgresEpoch + 1'000'000LL * second);
}

ForgedRecord transaction_end(std::uint8_t info, std::uint32_t xid, int second) {
    base::ByteWriter main;
    main.u64(static_cast<std::uint64_t>(1'000'000LL * second));
    return {.rmgr = Rmgr::Transaction, .info = info, .xid = xid, .main = main.take(), .blocks = {}};
}

ForgedRecord commit(std::uint32_t xid, int second) {
    return transaction_end(0x00, xid, second);
}

ForgedRecord abort(std::uint32_t xid, int second) {
    return transaction_end(0x20, xid, second);
}

ForgedRecord noop() {
    return {.rmgr = Rmgr::Xlog, .info = 0x20, .xid = 0, .main = {}, .blocks = {}};
}

ForgedRecord restore_point(std::string_view name, int second) {
    base::ByteWriter main;
    main.u64(static_cast<std::uint64_t>(1'000'000LL * second));
    base::Bytes text(64);
    std::copy(name.begin(), name.end(), text.begin());
    main.raw(text);
    return {.rmgr = Rmgr::Xlog, .info = 0x70, .xid = 0, .main = main.take(), .blocks = {}};
}

// The records of one test, and what a finder says of them. Records are named by their index.
struct Log {
    explicit Log(const std::vector<ForgedRecord>& records)
        : forge(15, SegmentSize{}, Lsn{16ULL << 20}) {
        for (const ForgedRecord& record : records) {
            starts.push_back(forge.append(record));
        }
    }

    StopFinder find(const engine::Target& target) const {
        StopFinder finder(target);
        WalReader reader({.major = 15});
        EXPECT_TRUE(ok(reader.feed(forge.start(), forge.bytes())));
        while (reader.next() == WalStep::Record) {
            const auto verdict = finder.see(reader.record());
            EXPECT_TRUE(ok(verdict));
            if (verdict && *verdict == StopFinder::Verdict::Decided) {
                break;
            }
        }
        return finder;
    }

    // -1: before the first.
    int stop_index(const engine::Target& target) const {
        const StopFinder finder = find(target);
        for (std::size_t i = 0; finder.stop() && i < starts.size(); ++i) {
            if (starts[i] == finder.stop()->start) {
                return static_cast<int>(i);
            }
        }
        return -1;
    }

    WalForge forge;
    std::vector<Lsn> starts;
};

TEST(StopFinder, ATimeKeepsEveryRecordBeforeTheFirstLaterEnd) {
    const Log log({commit(100, 10), noop(), commit(101, 20), noop(), commit(102, 30), noop()});
    EXPECT_EQ(log.stop_index(engine::AtTime{at_second(20)}), 3)
        << "a commit at the very time is kept";
    EXPECT_EQ(log.stop_index(engine::AtTime{at_second(19)}), 1);
    EXPECT_EQ(log.stop_index(engine::AtTime{at_second(9)}), -1);
    EXPECT_EQ(log.stop_index(engine::AtTime{at_second(30)}), 5) << "nothing later: all there is";
}

TEST(StopFinder, ATimeIsComparedWithAbortsToo) {
    const Log log({commit(100, 10), abort(101, 30), commit(102, 20)});
    EXPECT_EQ(log.stop_index(engine::AtTime{at_second(25)}), 0)
        << "PostgreSQL stops at the first later end, whatever follows";
}

TEST(StopFinder, ClocksThatGoBackDoNotBringLaterCommitsBack) {
    const Log log({commit(100, 10), commit(101, 40), commit(102, 15)});
    EXPECT_EQ(log.stop_index(engine::AtTime{at_second(20)}), 0);
}

TEST(StopFinder, ATransactionIsFoundByItsEnd) {
    const Log log({commit(100, 10), noop(), abort(101, 20), noop(), commit(102, 30)});

    const struct {
        engine::Target target;
        int expected;
    } cases[] = {
        {engine::AtTransaction{100}, 0},      {engine::AtTransaction{101}, 2},
        {engine::BeforeTransaction{102}, 3},  {engine::BeforeTransaction{101}, 1},
        {engine::BeforeTransaction{100}, -1}, {engine::AtTransaction{(7ULL << 32) | 102}, 4},
    };

    for (const auto& c : cases) {
        EXPECT_EQ(log.stop_index(c.target), c.expected) << describe_target(c.target);
        EXPECT_FALSE(log.find(c.target).needs_match()) << describe_target(c.target);
    }
    EXPECT_TRUE(log.find(engine::AtTransaction{103}).needs_match());
}

TEST(StopFinder, TellsTheNewestCommitThatIsKept) {
    const Log log({commit(100, 10), abort(101, 20), noop()});
    const StopFinder finder = log.find(engine::Latest{});
    ASSERT_TRUE(finder.last_commit());
    EXPECT_EQ(finder.last_commit()->xid, 100U);
    EXPECT_EQ(log.stop_index(engine::Latest{}), 2);
    EXPECT_FALSE(log.find(engine::BeforeTransaction{100}).last_commit());
}

TEST(StopFinder, APositionKeepsTheRecordThatBeginsThere) {
    const Log log({noop(), noop(), noop()});
    const auto position = [&](Lsn at) { return engine::AtPosition{format_lsn(at)}; };
    EXPECT_EQ(log.stop_index(position(log.starts[1])), 1);
    EXPECT_EQ(log.stop_index(position(log.starts[1] + 8)), 1) << "inside a record: that record";
    EXPECT_EQ(log.stop_index(position(log.starts[2] + 4096)), 2);
}

TEST(StopFinder, ANameIsItsFirstRestorePoint) {
    const Log log({restore_point("before", 1), noop(), restore_point("upgrade", 2), noop(),
                   restore_point("upgrade", 3)});
    EXPECT_EQ(log.stop_index(engine::AtName{"upgrade"}), 2);
    EXPECT_TRUE(log.find(engine::AtName{"upgrad"}).needs_match());
}

TEST(CheckTarget, RefusesWhatNoServerResolves) {
    const engine::Target bad[] = {engine::AtPosition{"5A3F2C8"},
                                  engine::AtPosition{"0/0"},
                                  engine::AtPosition{""},
                                  engine::AtTransaction{0},
                                  engine::BeforeTransaction{1ULL << 32},
                                  engine::AtName{""},
                                  engine::AtName{std::string(64, 'x')}};
    for (const engine::Target& target : bad) {
        EXPECT_TRUE(fails(check_target(target), Code::InvalidInput)) << describe_target(target);
    }
    const engine::Target good[] = {engine::Latest{}, engine::Immediate{},
                                   engine::AtPosition{"0/5A3F2C8"}, engine::AtTransaction{7},
                                   engine::AtName{std::string(63, 'x')}};
    for (const engine::Target& target : good) {
        EXPECT_TRUE(ok(check_target(target))) << describe_target(target);
    }
}

}  // namespace
}  // namespace lifeboat::postgres

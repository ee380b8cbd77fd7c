// Power cuts and failing disks under the WAL spool: docs/format/spool.md, S1 to S5.
//
// The oracle: whatever sync() reported is there after the cut, all that is there is what was
// appended, and the spool goes on.

#include <gtest/gtest.h>

#include <cerrno>
#include <map>

#include "postgres/wal_spool.h"
#include "tests/support/expect.h"
#include "tests/support/sim_files.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using base::Code;
using repo::StreamRange;
using test::CrashMode;
using test::fails;
using test::ok;
using test::SimFiles;

constexpr std::uint64_t kSegment = base::kMiB;
constexpr std::uint64_t kStart = 5 * kSegment + 40;
constexpr std::string_view kDirectory = "/spool";

ClusterIdentity cluster() {
    return {7000000000000000001ULL, 15, *SegmentSize::of(kSegment)};
}

Bytes wal(TimelineId timeline, std::uint64_t from, std::size_t count) {
    Bytes out(count);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t at = from + i;
        out[i] = static_cast<base::Byte>(((at * 2654435761U + (at >> 8) * 31 + timeline) >> 3) | 1);
    }
    return out;
}

Result<std::unique_ptr<WalSpool>> open(SimFiles& files) {
    return WalSpool::open(files, std::string(kDirectory), cluster());
}

// What the receiver was told to be durable, by timeline.
using Durable = std::map<TimelineId, std::uint64_t>;

Result<> write_and_sync(WalSpool& spool, TimelineId timeline, std::uint64_t from, std::uint64_t to,
                        Durable& durable) {
    TRY(spool.append(timeline, Lsn{from}, wal(timeline, from, to - from),
                     base::from_unix_micros(1)));
    TRY(spool.sync());
    durable[timeline] = to;
    return {};
}

// A life of the spool: runs of all sizes, a segment that fills, a timeline that ends, gathered
// files that go.
Result<> live(SimFiles& files, Durable& durable) {
    const auto spool = TRY(open(files));
    TRY(write_and_sync(*spool, 1, kStart, kStart + 700, durable));
    TRY(write_and_sync(*spool, 1, kStart + 700, kStart + 1500, durable));
    TRY(spool->append(1, Lsn{kStart + 1500}, wal(1, kStart + 1500, 900),
                      base::from_unix_micros(2)));
    TRY(write_and_sync(*spool, 1, kStart + 2400, 7 * kSegment + 600, durable));
    TRY(write_and_sync(*spool, 1, 7 * kSegment + 600, 7 * kSegment + 5000, durable));
    TRY(write_and_sync(*spool, 2, 7 * kSegment, 7 * kSegment + 3000, durable));
    TRY(spool->drop({1, 0, 7 * kSegment}));
    TRY(write_and_sync(*spool, 2, 7 * kSegment + 3000, 8 * kSegment + 100, durable));
    return {};
}

void expect_only_what_was_appended(const WalSpool& spool) {
    for (const StreamRange& range : spool.ranges()) {
        Bytes got(range.to - range.from);
        ASSERT_TRUE(ok(spool.read(range.timeline, Lsn{range.from}, got)));
        EXPECT_EQ(got, wal(range.timeline, range.from, got.size()))
            << range.timeline << " from " << range.from;
    }
}

void expect_sound(SimFiles& files, const Durable& durable) {
    auto spool = open(files);
    ASSERT_TRUE(ok(spool));
    expect_only_what_was_appended(**spool);
    for (const auto& [timeline, end] : durable) {
        EXPECT_GE((*spool)->last_range(timeline).to, end) << "timeline " << timeline;
    }
    for (const TimelineId timeline : {1U, 2U}) {  // and it goes on
        const std::uint64_t end = (*spool)->last_range(timeline).to;
        const std::uint64_t from = end == 0 ? 9 * kSegment : end;
        Durable more;
        ASSERT_TRUE(ok(write_and_sync(**spool, timeline, from, from + 2000, more)));
    }
    expect_only_what_was_appended(**spool);
}

// Later segments are there when an earlier one is written: any of the two may be torn (S1).
Result<> fill_a_hole(SimFiles& files, std::uint64_t& filled) {
    const auto spool = TRY(open(files));
    Durable durable;
    TRY(write_and_sync(*spool, 1, 9 * kSegment, 10 * kSegment + 100, durable));
    for (const std::uint64_t to : {7 * kSegment + 700, 7 * kSegment + 1500, 9 * kSegment + 50}) {
        TRY(write_and_sync(*spool, 1, filled, to, durable));
        filled = to;
    }
    return {};
}

class SpoolCrash : public testing::TestWithParam<CrashMode> {};

TEST_P(SpoolCrash, KeepsAllThatWasSyncedWhereverThePowerGoes) {
    bool cut = true;
    for (std::uint64_t n = 0; cut; ++n) {
        SCOPED_TRACE("power cut after " + std::to_string(n) + " operations");
        SimFiles files;
        Durable durable;
        files.crash_after(n);
        live(files, durable).discard("the power may go");
        cut = files.power_was_cut();
        files.power_cycle(GetParam());
        expect_sound(files, durable);
        ASSERT_FALSE(HasFatalFailure());
    }
}

TEST_P(SpoolCrash, KeepsAllThatWasSyncedIntoAHole) {
    bool cut = true;
    for (std::uint64_t n = 0; cut; ++n) {
        SCOPED_TRACE("power cut after " + std::to_string(n) + " operations");
        SimFiles files;
        std::uint64_t filled = 7 * kSegment;
        files.crash_after(n);
        fill_a_hole(files, filled).discard("the power may go");
        cut = files.power_was_cut();
        files.power_cycle(GetParam());
        auto spool = open(files);
        ASSERT_TRUE(ok(spool));
        expect_only_what_was_appended(**spool);
        EXPECT_TRUE(filled == 7 * kSegment || (*spool)->holds({1, 7 * kSegment, filled}));
        ASSERT_FALSE(HasFatalFailure());
    }
}

TEST_P(SpoolCrash, SurvivesAPowerCutWhileItRecovers) {
    bool cut = true;
    for (std::uint64_t n = 0; cut; ++n) {
        SCOPED_TRACE("second power cut after " + std::to_string(n) + " operations");
        SimFiles files;
        Durable durable;
        ASSERT_TRUE(ok(live(files, durable)));
        files.power_cycle(GetParam());
        files.crash_after(n);
        open(files).discard("the power may go");
        cut = files.power_was_cut();
        files.power_cycle(GetParam());
        expect_sound(files, durable);
        ASSERT_FALSE(HasFatalFailure());
    }
}

INSTANTIATE_TEST_SUITE_P(Losses, SpoolCrash,
                         testing::Values(test::kLoseUnsynced, test::kKeepAll,
                                         test::keep_random_subset(1), test::keep_random_subset(2),
                                         test::keep_random_subset(3), test::keep_random_subset(4)));

// Each system call fails once, with the process alive: the receiver asks the server again from
// where the spool ends.
Result<> live_on(WalSpool& spool, Durable& durable, std::uint64_t to) {
    for (int tries = 0; spool.synced_end(1).value < to && tries < 20; ++tries) {
        const std::uint64_t end = spool.last_range(1).to;
        const std::uint64_t from = end == 0 ? kStart : end;
        auto written =
            spool.append(1, Lsn{from}, wal(1, from, std::min<std::uint64_t>(to - from, 300000)),
                         base::from_unix_micros(1));
        if (written) {
            written = spool.sync();
        }
        if (written) {
            durable[1] = spool.last_range(1).to;
        } else if (written.error().code() == Code::Conflict) {
            return written;
        }
    }
    return {};
}

TEST(SpoolFaults, GoOnAfterAnySystemCallFailedOnce) {
    constexpr std::uint64_t kTo = 7 * kSegment + 600;
    bool failed = true;
    for (std::uint64_t n = 0; failed; ++n) {
        SCOPED_TRACE("call " + std::to_string(n) + " fails");
        SimFiles files;
        auto spool = open(files);
        ASSERT_TRUE(ok(spool));
        std::uint64_t calls = 0;
        failed = false;
        files.set_fault([&](std::string_view operation, const std::string&) -> std::optional<int> {
            const bool changes = operation == "write" || operation == "sync" ||
                                 operation == "sync_directory" || operation == "create" ||
                                 operation == "create_directory" || operation == "rename";
            if (!changes || calls++ != n) {
                return std::nullopt;
            }
            failed = true;
            return operation == "write" ? ENOSPC : EIO;
        });
        Durable durable;
        ASSERT_TRUE(ok(live_on(**spool, durable, kTo)));
        files.set_fault(nullptr);
        EXPECT_EQ(durable[1], kTo);
        spool->reset();
        files.power_cycle(test::kLoseUnsynced);
        expect_sound(files, durable);
        ASSERT_FALSE(HasFatalFailure());
    }
}

TEST(SpoolFaults, FullDiskLosesNothing) {
    SimFiles files;
    auto spool = open(files);
    ASSERT_TRUE(ok(spool));
    Durable durable;
    ASSERT_TRUE(ok(write_and_sync(**spool, 1, kStart, kStart + 1000, durable)));
    files.fail_next(
        [](std::string_view operation, const std::string&) { return operation == "write"; },
        ENOSPC);
    EXPECT_TRUE(fails((*spool)->append(1, Lsn{kStart + 1000}, wal(1, kStart + 1000, 8000),
                                       base::from_unix_micros(1)),
                      Code::NoSpace));
    EXPECT_EQ((*spool)->last_range(1).to, kStart + 1000);
    ASSERT_TRUE(ok(write_and_sync(**spool, 1, kStart + 1000, kStart + 9000, durable)));
    files.power_cycle(test::kLoseUnsynced);
    expect_sound(files, durable);
}

}  // namespace
}  // namespace lifeboat::postgres

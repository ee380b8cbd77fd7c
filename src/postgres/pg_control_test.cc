#include "postgres/pg_control.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "tests/support/expect.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using test::fails;
using test::ok;

// What initdb of 15.20 and 17 wrote; without the padding.
constexpr const char* kControl15 =
    "f0fdf7db007b036b1405000025770d0c0100000000000000017b036b00000000b029750100000000b0297501000000"
    "000100"
    "0000010000000100000000000000d402000000000000053500000100000000000000cc020000010000000100000001"
    "000000"
    "00000000017b036b0000000000000000000000000000000000000000e8030000000000000000000000000000000000"
    "000000"
    "00000000000000000000000000000000000000000000010000000000000064000000080000000a0000000000000040"
    "000000"
    "00000000080000000000000087d63241002000000000020000200000000000014000000020000000cc070000000800"
    "000100"
    "000001000000f4547a31bd7b610cf0904ca088b6dc90ae7ce275d0ba4626b1eecc78dacb3665a0f7c72500000000";
constexpr const char* kControl17 =
    "f8d445c9506f036ba40600008979100c0100000000000000516f036b00000000c097740100000000c0977401000000"
    "000100"
    "0000010000000100000001000000e2020000000000004d3500000100000000000000da020000010000000100000001"
    "000000"
    "00000000516f036b0000000000000000000000000000000000000000e8030000000000000000000000000000000000"
    "000000"
    "00000000000000000000000000000000000000000000010000000000000064000000080000000a0000000000000040"
    "000000"
    "00000000080000000000000087d63241002000000000020000200000000000014000000020000000cc070000000800"
    "000100"
    "0000010000005e395dba3c770af5ae2e6611029534dca188d8de3eeb406dc8b79f1f2f2bfd0ff84acc4600000000";

Bytes padded(const char* hex) {
    Bytes bytes = *base::from_hex(hex);
    bytes.resize(8192);
    return bytes;
}

void put32(Bytes& bytes, std::size_t at, std::uint32_t value) {
    std::memcpy(&bytes[at], &value, sizeof value);
}

// The layout of 18: a field of four bytes more before the nonce.
Bytes control18() {
    Bytes bytes = padded(kControl17);
    put32(bytes, 8, 1800);
    put32(bytes, 292, base::crc32c(base::BytesView(bytes).first(292)));
    return bytes;
}

TEST(ControlFile, ReadsWhatPgControldataSays) {
    const auto data = parse_control(padded(kControl15));
    ASSERT_TRUE(ok(data));
    EXPECT_EQ(data->system_identifier, 7711142230609100272ULL);
    EXPECT_EQ(data->control_version, 1300U);
    EXPECT_EQ(data->catalog_version, 202209061U);
    EXPECT_EQ(data->state, ClusterState::ShutDown);
    EXPECT_EQ(name(data->state), "shut down");
    EXPECT_EQ(base::format_time(data->modified), "2026-11-22T23:30:09Z");
    EXPECT_EQ(format_lsn(data->checkpoint), "0/17529B0");
    EXPECT_EQ(format_lsn(data->redo), "0/17529B0");
    EXPECT_EQ(data->timeline, 1U);
    EXPECT_EQ(data->previous_timeline, 1U);
    EXPECT_FALSE(data->min_recovery_point.is_set());
    EXPECT_FALSE(data->backup_end_required);
    EXPECT_EQ(data->max_connections, 100U);
    EXPECT_EQ(data->max_worker_processes, 8U);
    EXPECT_EQ(data->max_wal_senders, 10U);
    EXPECT_EQ(data->max_prepared_transactions, 0U);
    EXPECT_EQ(data->max_locks_per_transaction, 64U);
    EXPECT_EQ(data->block_size, 8192U);
    EXPECT_EQ(data->relation_segment_blocks, 131072U);
    EXPECT_EQ(data->wal_block_size, 8192U);
    EXPECT_EQ(data->wal_segment_size, 16777216U);
    EXPECT_EQ(data->checksum_version, 1U);
}

TEST(ControlFile, ReadsTheLayoutsOfLaterServers) {
    const auto data17 = parse_control(padded(kControl17));
    ASSERT_TRUE(ok(data17));
    EXPECT_EQ(data17->control_version, 1700U);
    EXPECT_EQ(data17->catalog_version, 202406281U);
    const auto data18 = parse_control(control18());
    ASSERT_TRUE(ok(data18));
    EXPECT_EQ(data18->control_version, 1800U);
}

TEST(ControlFile, AnyFlippedBitIsSeen) {
    const Bytes good = padded(kControl15);
    for (std::size_t bit = 0; bit < 292 * 8; ++bit) {
        Bytes bad = good;
        bad[bit / 8] ^= static_cast<base::Byte>(1U << (bit % 8));
        EXPECT_FALSE(parse_control(bad).has_value()) << bit;
    }
}

TEST(ControlFile, OtherVersionsAreUnsupportedAndShortFilesCorrupt) {
    Bytes bytes = padded(kControl15);
    put32(bytes, 8, 1201);
    EXPECT_TRUE(fails(parse_control(bytes), Code::Unsupported));
    EXPECT_TRUE(fails(parse_control(Bytes(511)), Code::Corrupt));
    EXPECT_TRUE(fails(parse_control(Bytes()), Code::Corrupt));
    EXPECT_TRUE(fails(parse_control(Bytes(8192)), Code::Unsupported));
}

TEST(ControlFile, T1_WithoutItsCheckpointItIsStillAControlFile) {
    for (const Bytes& bytes : {padded(kControl15), padded(kControl17), control18()}) {
        const auto changed = without_checkpoint(bytes);
        ASSERT_TRUE(ok(changed));
        const auto data = parse_control(*changed);
        ASSERT_TRUE(ok(data));
        EXPECT_EQ(format_lsn(data->checkpoint), "FFFFFFFF/FFFFFFF8");
        EXPECT_EQ(data->system_identifier, parse_control(bytes)->system_identifier);
    }
    Bytes bad = padded(kControl15);
    bad[100] ^= 1;
    EXPECT_TRUE(fails(without_checkpoint(bad), Code::Corrupt));
}

// A clock that rewrites the file whenever somebody waits.
class RewritingClock final : public base::Clock {
  public:
    explicit RewritingClock(std::function<void()> rewrite) : rewrite_(std::move(rewrite)) {}

    base::Timestamp now() override { return {}; }

    std::chrono::steady_clock::time_point steady() override { return {}; }

    void sleep_for(base::Duration /*d*/) override { rewrite_(); }

  private:
    std::function<void()> rewrite_;
};

struct TornReads {
    TornReads() { put(torn(0)); }

    static Bytes torn(base::Byte how) {
        Bytes bytes = padded(kControl15);
        bytes[100] ^= 0x80;
        bytes[101] = how;
        return bytes;
    }

    void put(const Bytes& bytes) const {
        auto file = base::real_files().open(path, base::OpenMode::CreateOrTruncate);
        ASSERT_TRUE(ok(file));
        EXPECT_TRUE(ok((*file)->write_at(0, bytes)));
    }

    Result<ControlFile> read(const std::function<void()>& rewrite) {
        RewritingClock clock(rewrite);
        return read_control(base::real_files(), path, clock);
    }

    test::TempDir directory;
    const std::string path = directory / "pg_control";
};

TEST(ReadControl, T2_ATornReadIsReadAgain) {
    TornReads world;
    int waits = 0;
    const auto file = world.read([&] {
        world.put(++waits < 3 ? TornReads::torn(static_cast<base::Byte>(waits))
                              : padded(kControl15));
    });
    ASSERT_TRUE(ok(file));
    EXPECT_EQ(waits, 3);
    EXPECT_EQ(file->bytes, padded(kControl15));
}

TEST(ReadControl, T2_TheSameBadBytesTwiceAreBelieved) {
    TornReads world;
    int waits = 0;
    EXPECT_TRUE(fails(world.read([&] { ++waits; }), Code::Corrupt));
    EXPECT_EQ(waits, 1);
}

TEST(ReadControl, AFileThatNeverStandsStillIsUnavailable) {
    TornReads world;
    base::Byte how = 0;
    EXPECT_TRUE(fails(world.read([&] { world.put(TornReads::torn(++how)); }), Code::Unavailable));
}

TEST(ReadControl, AMissingFileIsNotFound) {
    const test::TempDir directory;
    EXPECT_TRUE(
        fails(read_control(base::real_files(), directory / "pg_control", base::system_clock()),
              Code::NotFound));
}

}  // namespace
}  // namespace lifeboat::postgres

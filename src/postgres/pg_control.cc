// The control file. Tested by pg_control_test.cc, and against pg_controldata by live_files_test.cc.
//
// It is one C structure, padded with zeros to 8192 bytes, in the byte order and alignment of a
// 64-bit server. From 13 to 18 every field that is read here has stood at the same offset: what
// moved is only the CRC-32C behind it, because 18 put one more field in front of the authentication
// nonce.

#include "postgres/pg_control.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace lifeboat::postgres {

namespace {

using base::BytesView;

constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kCheckpointAt = 32;
constexpr int kAttempts = 50;
constexpr base::Duration kPause = std::chrono::milliseconds(10);

// No WAL can lie here: the last eight bytes of the address space.
constexpr Lsn kNoCheckpoint{0xFFFFFFFFFFFFFFF8};

struct Layout {
    std::uint32_t control_version;
    std::size_t crc_at;
};

constexpr std::array<Layout, 3> kLayouts = {{{1300, 288}, {1700, 288}, {1800, 292}}};

template <class T>
T field(BytesView file, std::size_t at) {
    T value;
    std::memcpy(&value, file.data() + at, sizeof value);
    return value;
}

Lsn lsn_field(BytesView file, std::size_t at) {
    return Lsn{field<std::uint64_t>(file, at)};
}

std::uint32_t u32(BytesView file, std::size_t at) {
    return field<std::uint32_t>(file, at);
}

Result<Layout> find_layout(BytesView file) {
    if (file.size() < 512) {
        return Error(Code::Corrupt,
                     "control file has only " + std::to_string(file.size()) + " bytes");
    }
    const std::uint32_t version = u32(file, kVersionAt);
    for (const Layout& layout : kLayouts) {
        if (layout.control_version == version) {
            return layout;
        }
    }
    return Error(Code::Unsupported, "control file has version '" + std::to_string(version) + "'")
        .hint(
            "PostgreSQL 13 to 18 are supported; pg_controldata of the server's own version shows "
            "what this file is.");
}

std::uint32_t right_crc(BytesView file, const Layout& layout) {
    return base::crc32c(file.first(layout.crc_at));
}

// Seconds since 1970; nonsense stays representable in microseconds.
std::int64_t bounded_time(std::int64_t seconds) {
    return std::clamp<std::int64_t>(seconds, 0, std::int64_t{1} << 42);
}

ControlData read_fields(BytesView file) {
    ControlData data;
    data.system_identifier = field<std::uint64_t>(file, 0);
    data.control_version = u32(file, kVersionAt);
    data.catalog_version = u32(file, 12);
    data.state = static_cast<ClusterState>(u32(file, 16));
    data.modified =
        base::Timestamp(std::chrono::seconds(bounded_time(field<std::int64_t>(file, 24))));
    data.checkpoint = lsn_field(file, kCheckpointAt);
    data.redo = lsn_field(file, 40);
    data.timeline = u32(file, 48);
    data.previous_timeline = u32(file, 52);
    data.min_recovery_point = lsn_field(file, 136);
    data.min_recovery_timeline = u32(file, 144);
    data.backup_start = lsn_field(file, 152);
    data.backup_end = lsn_field(file, 160);
    data.backup_end_required = file[168] != 0;
    data.max_connections = u32(file, 180);
    data.max_worker_processes = u32(file, 184);
    data.max_wal_senders = u32(file, 188);
    data.max_prepared_transactions = u32(file, 192);
    data.max_locks_per_transaction = u32(file, 196);
    data.block_size = u32(file, 216);
    data.relation_segment_blocks = u32(file, 220);
    data.wal_block_size = u32(file, 224);
    data.wal_segment_size = u32(file, 228);
    data.checksum_version = u32(file, 252);
    return data;
}

}  // namespace

std::string_view name(ClusterState state) {
    constexpr std::array<std::string_view, 7> kNames = {
        "starting up",       "shut down",           "shut down in recovery", "shutting down",
        "in crash recovery", "in archive recovery", "in production"};
    const auto index = static_cast<std::size_t>(state);
    return index < kNames.size() ? kNames[index] : "unknown";
}

Result<ControlData> parse_control(BytesView file) {
    const Layout layout = TRY(find_layout(file));
    if (u32(file, layout.crc_at) != right_crc(file, layout)) {
        return Error(Code::Corrupt, "control file has a wrong checksum");
    }
    return read_fields(file);
}

Result<ControlFile> read_control(base::Files& files, const std::string& path, base::Clock& clock) {
    base::Bytes before;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        base::Bytes bytes = TRY(base::read_file(files, path, 64 * base::kKiB));
        Result<ControlData> data = parse_control(bytes);
        if (data.has_value()) {
            return ControlFile{std::move(bytes), *data};
        }
        if (attempt > 0 && bytes == before) {
            return std::move(data).during("reading '" + path + "'").error();
        }
        before = std::move(bytes);
        clock.sleep_for(kPause);
    }
    return Error(Code::Unavailable, "control file '" + path + "' changed under each of " +
                                        std::to_string(kAttempts) + " readings");
}

Result<base::Bytes> without_checkpoint(BytesView file) {
    TRY(parse_control(file));
    const Layout layout = TRY(find_layout(file));
    base::Bytes changed(file.begin(), file.end());
    std::memcpy(changed.data() + kCheckpointAt, &kNoCheckpoint.value, sizeof kNoCheckpoint.value);
    const std::uint32_t crc = right_crc(changed, layout);
    std::memcpy(changed.data() + layout.crc_at, &crc, sizeof crc);
    return changed;
}

}  // namespace lifeboat::postgres

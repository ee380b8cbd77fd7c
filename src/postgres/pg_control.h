#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/files.h"
#include "base/time.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

inline constexpr std::string_view kControlFile = "global/pg_control";

enum class ClusterState : std::uint32_t {
    StartingUp = 0,
    ShutDown = 1,
    ShutDownInRecovery = 2,
    ShuttingDown = 3,
    InCrashRecovery = 4,
    InArchiveRecovery = 5,
    InProduction = 6,
};

std::string_view name(ClusterState state);

// What the control file of a server from 13 to 18 says.
struct ControlData {
    std::uint64_t system_identifier = 0;
    std::uint32_t control_version = 0;
    std::uint32_t catalog_version = 0;
    ClusterState state = ClusterState::StartingUp;
    base::Timestamp modified;
    Lsn checkpoint;
    Lsn redo;
    TimelineId timeline = 0;  // of the last checkpoint
    TimelineId previous_timeline = 0;
    Lsn min_recovery_point;  // unset unless archive recovery has begun
    TimelineId min_recovery_timeline = 0;
    Lsn backup_start;
    Lsn backup_end;
    bool backup_end_required = false;
    std::uint32_t block_size = 0;
    std::uint32_t relation_segment_blocks = 0;
    std::uint32_t wal_block_size = 0;
    std::uint32_t wal_segment_size = 0;
    std::uint32_t checksum_version = 0;  // 0: pages carry no checksums
    // What a standby that replays this cluster's WAL must at least have (T24).
    std::uint32_t max_connections = 0;
    std::uint32_t max_worker_processes = 0;
    std::uint32_t max_wal_senders = 0;
    std::uint32_t max_prepared_transactions = 0;
    std::uint32_t max_locks_per_transaction = 0;
};

// Corrupt when the CRC is wrong or the bytes are too few; Unsupported for the layout of a server
// outside of 13 to 18. The layout is taken from the version in the file, and believed only because
// the CRC at that layout's place is right.
Result<ControlData> parse_control(base::BytesView file);

struct ControlFile {
    base::Bytes bytes;  // exactly as read, with a right CRC
    ControlData data;
};

// Reads the control file at `path` while a server may be rewriting it: a wrong CRC is read again
// after a moment, and believed only when two readings in a row gave the same bytes (T2). Fails like
// parse_control; Unavailable when the file never stands still.
Result<ControlFile> read_control(base::Files& files, const std::string& path, base::Clock& clock);

// The same control file with a checkpoint that does not exist, and a CRC to match: a server refuses
// to start on it without the backup_label that names the right checkpoint (T1). Fails like
// parse_control.
Result<base::Bytes> without_checkpoint(base::BytesView file);

}  // namespace lifeboat::postgres

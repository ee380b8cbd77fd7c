#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "postgres/wal_format.h"

namespace lifeboat::postgres {

// What the few records say that matter to recovery: transaction ends, checkpoints, restore points,
// and whatever changes files without a block reference. Each function reads the record that its
// name says and fails with Corrupt when the body is shorter than it claims; views are borrowed from
// the record.

using base::Timestamp;

// PostgreSQL counts microseconds from 2000-01-01; what lies beyond our clock's range is its nearest
// end.
Timestamp from_postgres_time(std::int64_t micros);

// The operation, in the high four bits of a record's info; transactions use three of them.
enum class XlogOp : std::uint8_t {
    CheckpointShutdown = 0x00,
    CheckpointOnline = 0x10,
    Switch = 0x40,
    ParameterChange = 0x60,
    RestorePoint = 0x70,
    EndOfRecovery = 0x90,
    OverwriteContrecord = 0xD0,
    CheckpointRedo = 0xE0,  // since 17
};
enum class TransactionOp : std::uint8_t {
    Commit = 0x00,
    Prepare = 0x10,
    Abort = 0x20,
    CommitPrepared = 0x30,
    AbortPrepared = 0x40
};
enum class StorageOp : std::uint8_t { Create = 0x10, Truncate = 0x20 };
enum class DatabaseOp { CreateByCopy, CreateByLog, Drop };

inline bool is_operation(const WalRecord& record, XlogOp op) {
    return record.is(Rmgr::Xlog) && record.operation() == static_cast<std::uint8_t>(op);
}

inline bool is_operation(const WalRecord& record, StorageOp op) {
    return record.is(Rmgr::Storage) && record.operation() == static_cast<std::uint8_t>(op);
}

bool is_transaction_end(const WalRecord& record);
bool is_tablespace_creation(const WalRecord& record);
bool is_heap_truncate(const WalRecord& record);  // written by TRUNCATE at wal_level logical only

// An array of 32-bit numbers inside a record.
class NumberList {
  public:
    NumberList() = default;

    explicit NumberList(BytesView bytes) : bytes_(bytes) {}

    std::size_t size() const { return bytes_.size() / 4; }

    std::uint32_t operator[](std::size_t i) const {
        return load_le<std::uint32_t>(bytes_.subspan(i * 4, 4).data());
    }

  private:
    BytesView bytes_;
};

class RelationList {
  public:
    RelationList() = default;

    explicit RelationList(BytesView bytes) : bytes_(bytes) {}

    std::size_t size() const { return bytes_.size() / 12; }

    RelationKey operator[](std::size_t i) const;

  private:
    BytesView bytes_;
};

// COMMIT, ABORT, and the same of a prepared transaction.
struct TransactionEnd {
    TransactionOp op = TransactionOp::Commit;
    Timestamp time;
    std::uint32_t xid =
        0;  // of the prepared transaction, not of the record, where there was one; 0: it had none
    std::uint32_t database = 0;  // 0: not said
    NumberList subtransactions;
    RelationList dropped;  // files that this end removes: dropped by a commit, or created in what
                           // was aborted
    std::string_view gid;  // of a prepared transaction, at wal_level logical

    bool is_commit() const {
        return op == TransactionOp::Commit || op == TransactionOp::CommitPrepared;
    }
};

Result<TransactionEnd> read_transaction_end(const WalRecord& record);

enum class WalLevel : std::uint8_t { Minimal, Replica, Logical };

struct Checkpoint {
    Lsn redo;
    TimelineId timeline = 0;
    TimelineId previous_timeline = 0;  // differs from `timeline` iff this record begins it
    std::optional<WalLevel> level;     // since 17
    std::optional<Timestamp> time;     // whole seconds
};

Result<Checkpoint> read_checkpoint(
    const WalRecord& record);  // CheckpointShutdown, CheckpointOnline

struct EndOfRecovery {
    Timestamp time;
    TimelineId timeline = 0;
    TimelineId previous_timeline = 0;
    std::optional<WalLevel> level;  // since 17
};

Result<EndOfRecovery> read_end_of_recovery(const WalRecord& record);

Result<WalLevel> read_checkpoint_redo(const WalRecord& record);

// Settings that a hot standby must match or exceed (T24), and what is logged.
struct Parameters {
    std::int32_t max_connections = 0;
    std::int32_t max_worker_processes = 0;
    std::int32_t max_wal_senders = 0;
    std::int32_t max_prepared_transactions = 0;
    std::int32_t max_locks_per_transaction = 0;
    WalLevel level = WalLevel::Replica;

    friend bool operator==(const Parameters&, const Parameters&) = default;
};

Result<Parameters> read_parameter_change(const WalRecord& record);

struct NamedPoint {
    Timestamp time;
    std::string_view name;
};

Result<NamedPoint> read_restore_point(const WalRecord& record);

struct StorageCreate {
    RelationKey relation;
    Fork fork = Fork::Main;
};

Result<StorageCreate> read_storage_create(const WalRecord& record);

struct StorageTruncate {
    RelationKey relation;
    std::uint32_t blocks = 0;  // that remain of the main fork
    bool main_fork = false;
};

Result<StorageTruncate> read_storage_truncate(const WalRecord& record);

struct HeapTruncate {
    std::uint32_t database = 0;
    NumberList relations;  // OIDs, not relfilenodes
};

Result<HeapTruncate> read_heap_truncate(const WalRecord& record);

// CREATE DATABASE and DROP DATABASE, also as parts of ALTER DATABASE SET TABLESPACE.
struct DatabaseChange {
    DatabaseOp op = DatabaseOp::Drop;
    std::uint32_t database = 0;
    NumberList tablespaces;
};

Result<DatabaseChange> read_database_change(const WalRecord& record);

// CREATE TABLESPACE. A server that replays it links `path` and writes there, wherever it runs.
struct TablespaceCreate {
    std::uint32_t tablespace = 0;
    std::string_view path;  // empty: a directory inside the data directory
};

Result<TablespaceCreate> read_tablespace_create(const WalRecord& record);

}  // namespace lifeboat::postgres

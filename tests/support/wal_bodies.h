#pragma once

#include <string_view>
#include <vector>

#include "base/time.h"
#include "postgres/wal_body.h"
#include "postgres/wal_reader.h"
#include "tests/support/wal_forge.h"

namespace lifeboat::postgres {

// Records that matter to recovery, as a server of `major` writes them.

inline constexpr std::int64_t kPostgresEpochMicros = 946684800LL * 1000000;

// A time of a test: `seconds` after 2024-01-01 00:00:00 UTC.
inline Timestamp test_time(std::int64_t seconds) {
    return base::from_unix_micros((1704067200LL + seconds) * 1000000);
}

inline void put_time(base::ByteWriter& out, Timestamp t) {
    out.u64(static_cast<std::uint64_t>(base::to_unix_micros(t) - kPostgresEpochMicros));
}

inline void put_relation(base::ByteWriter& out, const RelationKey& r) {
    out.u32(r.tablespace);
    out.u32(r.database);
    out.u32(r.number);
}

struct ForgedEnd {
    TransactionOp op = TransactionOp::Commit;
    Timestamp time{};
    std::uint32_t xid = 0;
    std::uint32_t database = 0;
    std::vector<std::uint32_t> subtransactions{};
    std::vector<RelationKey> dropped{};
    std::uint32_t statistics = 0;
    std::uint32_t invalidations = 0;
    std::string_view gid{};
};

inline ForgedRecord transaction_end(const ForgedEnd& e, int major) {
    const bool prepared =
        e.op == TransactionOp::CommitPrepared || e.op == TransactionOp::AbortPrepared;
    const bool is_commit = e.op == TransactionOp::Commit || e.op == TransactionOp::CommitPrepared;
    std::uint32_t flags = 0;
    flags |= e.database != 0 ? 1U : 0U;
    flags |= !e.subtransactions.empty() ? 2U : 0U;
    flags |= !e.dropped.empty() ? 4U : 0U;
    flags |= e.invalidations > 0 && is_commit ? 8U : 0U;
    flags |= prepared ? 16U : 0U;
    flags |= !e.gid.empty() ? 128U : 0U;
    flags |= e.statistics > 0 && major >= 15 ? 256U : 0U;
    base::ByteWriter out;
    put_time(out, e.time);
    if (flags != 0) {
        out.u32(flags);
    }
    if (e.database != 0) {
        out.u32(e.database);
        out.u32(1663);
    }
    const auto count = [&](std::size_t n) { out.u32(static_cast<std::uint32_t>(n)); };
    if (!e.subtransactions.empty()) {
        count(e.subtransactions.size());
        for (std::uint32_t xid : e.subtransactions) {
            out.u32(xid);
        }
    }
    if (!e.dropped.empty()) {
        count(e.dropped.size());
        for (const RelationKey& r : e.dropped) {
            put_relation(out, r);
        }
    }
    if ((flags & 256U) != 0) {
        count(e.statistics);
        out.raw(base::Bytes(e.statistics * (major >= 18 ? 16U : 12U), 0xEE));
    }
    if ((flags & 8U) != 0) {
        count(e.invalidations);
        out.raw(base::Bytes(e.invalidations * 16U, 0xDD));
    }
    if (prepared) {
        out.u32(e.xid);
    }
    if (!e.gid.empty()) {
        out.raw(e.gid);
        out.u8(0);
    }
    const int info = static_cast<int>(e.op) | (flags != 0 ? 0x80 : 0) |
                     (e.dropped.empty() ? 0 : kSpecialRelationUpdate);
    return {.rmgr = Rmgr::Transaction,
            .info = static_cast<std::uint8_t>(info),
            .xid = prepared ? 0 : e.xid,
            .main = out.take()};
}

inline ForgedRecord xlog_record(XlogOp op, base::ByteWriter& out) {
    return {.rmgr = Rmgr::Xlog, .info = static_cast<std::uint8_t>(op), .main = out.take()};
}

inline ForgedRecord checkpoint(Lsn redo, TimelineId timeline, TimelineId previous, int level = 1) {
    base::ByteWriter out;
    out.u64(redo.value);
    out.u32(timeline);
    out.u32(previous);
    out.u32(1);
    out.u32(static_cast<std::uint32_t>(level));
    out.raw(base::Bytes(64));
    return xlog_record(timeline == previous ? XlogOp::CheckpointOnline : XlogOp::CheckpointShutdown,
                       out);
}

inline ForgedRecord end_of_recovery(Timestamp time, TimelineId timeline, TimelineId previous,
                                    int level = 1) {
    base::ByteWriter out;
    put_time(out, time);
    out.u32(timeline);
    out.u32(previous);
    out.u32(static_cast<std::uint32_t>(level));
    out.u32(0);
    return xlog_record(XlogOp::EndOfRecovery, out);
}

inline ForgedRecord parameter_change(const Parameters& now) {
    base::ByteWriter out;
    for (std::int32_t value : {now.max_connections, now.max_worker_processes, now.max_wal_senders,
                               now.max_prepared_transactions, now.max_locks_per_transaction,
                               static_cast<std::int32_t>(now.level)}) {
        out.u32(static_cast<std::uint32_t>(value));
    }
    out.u32(0);
    return xlog_record(XlogOp::ParameterChange, out);
}

inline ForgedRecord restore_point(std::string_view name, Timestamp time) {
    base::ByteWriter out;
    put_time(out, time);
    out.raw(name);
    out.raw(base::Bytes(64 - name.size()));
    return xlog_record(XlogOp::RestorePoint, out);
}

inline ForgedRecord storage_create(const RelationKey& relation, Fork fork = Fork::Main) {
    base::ByteWriter out;
    put_relation(out, relation);
    out.u32(static_cast<std::uint32_t>(fork));
    return {.rmgr = Rmgr::Storage, .info = 0x10 | kSpecialRelationUpdate, .main = out.take()};
}

inline ForgedRecord storage_truncate(const RelationKey& relation, std::uint32_t blocks,
                                     std::uint32_t flags = 7) {
    base::ByteWriter out;
    out.u32(blocks);
    put_relation(out, relation);
    out.u32(flags);
    return {.rmgr = Rmgr::Storage, .info = 0x20 | kSpecialRelationUpdate, .main = out.take()};
}

inline ForgedRecord heap_truncate(std::uint32_t database, const std::vector<std::uint32_t>& oids) {
    base::ByteWriter out;
    out.u32(database);
    out.u32(static_cast<std::uint32_t>(oids.size()));
    out.u32(0);
    for (std::uint32_t oid : oids) {
        out.u32(oid);
    }
    return {.rmgr = Rmgr::Heap, .info = 0x30, .main = out.take()};
}

inline ForgedRecord database_change(DatabaseOp op, std::uint32_t database,
                                    const std::vector<std::uint32_t>& tablespaces, int major) {
    base::ByteWriter out;
    out.u32(database);
    if (op == DatabaseOp::Drop) {
        out.u32(static_cast<std::uint32_t>(tablespaces.size()));
    }
    for (std::uint32_t tablespace : tablespaces) {
        out.u32(tablespace);
    }
    if (op == DatabaseOp::CreateByCopy) {
        out.u32(1);
        out.u32(1663);
    }
    const int code = op == DatabaseOp::CreateByCopy  ? 0x00
                     : op == DatabaseOp::CreateByLog ? 0x10
                     : major >= 15                   ? 0x20
                                                     : 0x10;
    return {.rmgr = Rmgr::Database,
            .info = static_cast<std::uint8_t>(code | kSpecialRelationUpdate),
            .main = out.take()};
}

inline ForgedRecord tablespace_create(std::uint32_t oid, const std::string& path) {
    base::ByteWriter out;
    out.u32(oid);
    out.raw(path);
    out.u8(0);
    return {.rmgr = Rmgr::Tablespace, .info = 0, .main = out.take()};
}

// Calls `use` for every record of what was forged; false unless the whole of it reads.
template <class Use>
bool for_each_record(const WalForge& forge, SegmentSize size, Use use) {
    WalReader reader({.segment_size = size});
    if (!reader.feed(forge.start(), forge.bytes())) {
        return false;
    }
    WalStep step{};
    while ((step = reader.next()) == WalStep::Record) {
        use(reader.record());
    }
    return step == WalStep::NeedMore;
}

}  // namespace lifeboat::postgres

#include "postgres/wal_summary.h"

#include <algorithm>
#include <utility>

// Tested by wal_summary_test.cc, and by wal_e2e_test.cc against pg_waldump and against where a real
// server stops.

namespace lifeboat::postgres {

namespace {

bool precedes(std::uint32_t a, std::uint32_t b) {
    return static_cast<std::int32_t>(a - b) < 0;
}

void widen_xids(WalSummary& summary, std::uint32_t low, std::uint32_t high) {
    if (low == 0) {
        return;
    }
    if (summary.lowest_xid == 0 || precedes(low, summary.lowest_xid)) {
        summary.lowest_xid = low;
    }
    if (summary.highest_xid == 0 || precedes(summary.highest_xid, high)) {
        summary.highest_xid = high;
    }
}

void widen_times(WalSummary& summary, std::optional<Timestamp> low, std::optional<Timestamp> high) {
    if (low && high) {
        summary.earliest_commit = std::min(summary.earliest_commit.value_or(*low), *low);
        summary.latest_commit = std::max(summary.latest_commit.value_or(*high), *high);
    }
}

template <class Item>
void extend(std::vector<Item>& to, const std::vector<Item>& from) {
    to.insert(to.end(), from.begin(), from.end());
}

LossMarker marker(LossMarker::Kind kind, const WalRecord& record) {
    LossMarker out;
    out.kind = kind;
    out.start = record.start;
    out.end = record.end;
    out.xid = record.xid;
    return out;
}

LossMarker drop_marker(const WalRecord& record, const TransactionEnd& end) {
    LossMarker out = marker(LossMarker::Kind::DropCommitted, record);
    out.xid = end.xid;
    out.time = end.time;
    out.database = end.database;
    for (std::size_t i = 0; i < end.dropped.size(); ++i) {
        out.relations.push_back(end.dropped[i]);
    }
    return out;
}

}  // namespace

Result<> WalSummary::append(const WalSummary& later) {
    if (later.records == 0) {
        return {};
    }
    if (records == 0) {
        *this = later;
        return {};
    }
    if (later.before != last || later.first < end || later.major != major) {
        return Error(Code::InvalidInput, "WAL from " + format_lsn(later.first) +
                                             " does not directly follow WAL to " + format_lsn(end));
    }
    last = later.last;
    end = later.end;
    records += later.records;
    commits += later.commits;
    aborts += later.aborts;
    widen_times(*this, later.earliest_commit, later.latest_commit);
    last_commit = later.last_commit ? later.last_commit : last_commit;
    widen_xids(*this, later.lowest_xid, later.highest_xid);
    extend(restore_points, later.restore_points);
    extend(parameter_changes, later.parameter_changes);
    extend(checkpoints, later.checkpoints);
    extend(timeline_switches, later.timeline_switches);
    extend(losses, later.losses);
    extend(points, later.points);
    extend(tablespaces, later.tablespaces);
    return {};
}

WalSummary WalSummarizer::take() {
    return std::exchange(summary_, {});
}

Result<> WalSummarizer::add(const WalRecord& record) {
    if (summary_.records == 0) {
        summary_.major = record.major;
        summary_.before = record.prev;
        summary_.first = record.start;
    }
    summary_.last = record.start;
    summary_.end = record.end;
    ++summary_.records;
    if (is_transaction_end(record)) {
        return add_transaction_end(record);
    }
    if (record.is(Rmgr::Xlog)) {
        return add_xlog(record);
    }
    if (record.is(Rmgr::Storage) || record.is(Rmgr::Database) || is_heap_truncate(record)) {
        return add_loss(record);
    }
    return is_tablespace_creation(record) ? add_tablespace(record) : Result<>();
}

Result<> WalSummarizer::add_transaction_end(const WalRecord& record) {
    const TransactionEnd end = TRY(read_transaction_end(record));
    const CommitPoint point{record.start, record.end, end.time, end.xid, !end.is_commit()};
    if (end.is_commit()) {
        note_commit(point);
        if (end.dropped.size() > 0) {
            summary_.losses.push_back(drop_marker(record, end));
        }
    } else {
        ++summary_.aborts;
    }
    if (keep_ == KeepPoints::Yes) {
        summary_.points.push_back(point);
    }
    return {};
}

void WalSummarizer::note_commit(const CommitPoint& point) {
    ++summary_.commits;
    summary_.last_commit = point;
    widen_times(summary_, point.time, point.time);
    widen_xids(summary_, point.xid, point.xid);
}

Result<> WalSummarizer::add_xlog(const WalRecord& record) {
    switch (static_cast<XlogOp>(record.operation())) {
        case XlogOp::CheckpointShutdown:
        case XlogOp::CheckpointOnline:
            return add_checkpoint(record);
        case XlogOp::EndOfRecovery: {
            const EndOfRecovery end = TRY(read_end_of_recovery(record));
            note_switch(record.start, end.previous_timeline, end.timeline);
            return {};
        }
        case XlogOp::ParameterChange: {
            const Parameters now = TRY(read_parameter_change(record));
            summary_.parameter_changes.push_back({record.start, now});
            return {};
        }
        case XlogOp::RestorePoint: {
            const NamedPoint point = TRY(read_restore_point(record));
            summary_.restore_points.push_back(
                {record.start, record.end, point.time, std::string(point.name)});
            return {};
        }
        default:
            return {};
    }
}

Result<> WalSummarizer::add_checkpoint(const WalRecord& record) {
    const Checkpoint checkpoint = TRY(read_checkpoint(record));
    summary_.checkpoints.push_back({record.start, checkpoint.redo, checkpoint.timeline});
    note_switch(record.start, checkpoint.previous_timeline, checkpoint.timeline);
    return {};
}

void WalSummarizer::note_switch(Lsn at, TimelineId from, TimelineId to) {
    if (from != to) {
        summary_.timeline_switches.push_back({at, from, to});
    }
}

Result<> WalSummarizer::add_loss(const WalRecord& record) {
    if (is_heap_truncate(record)) {
        const HeapTruncate truncate = TRY(read_heap_truncate(record));
        LossMarker loss = marker(LossMarker::Kind::TableTruncated, record);
        loss.database = truncate.database;
        for (std::size_t i = 0; i < truncate.relations.size(); ++i) {
            loss.oids.push_back(truncate.relations[i]);
        }
        summary_.losses.push_back(std::move(loss));
    } else if (is_operation(record, StorageOp::Truncate)) {
        const StorageTruncate truncate = TRY(read_storage_truncate(record));
        LossMarker loss = marker(LossMarker::Kind::StorageTruncated, record);
        loss.blocks = truncate.blocks;
        loss.relations.push_back(truncate.relation);
        summary_.losses.push_back(std::move(loss));
    } else if (record.is(Rmgr::Database)) {
        const DatabaseChange change = TRY(read_database_change(record));
        if (change.op == DatabaseOp::Drop) {
            summary_.losses.push_back(marker(LossMarker::Kind::DatabaseDropped, record));
            summary_.losses.back().database = change.database;
        }
    }
    return {};
}

Result<> WalSummarizer::add_tablespace(const WalRecord& record) {
    const TablespaceCreate create = TRY(read_tablespace_create(record));
    if (!create.path.empty()) {
        summary_.tablespaces.push_back({record.start, create.tablespace, std::string(create.path)});
    }
    return {};
}

// ---- Targets -----------------------------------------------------------------------------------

namespace {

// Splits `points` into those that recovery applies and the rest.
TargetPoint split_at(std::span<const CommitPoint> points, std::size_t count) {
    TargetPoint out;
    if (count < points.size()) {
        out.first_dropped = points[count];
    }
    const auto applied = points.first(count);
    const auto last = std::find_if(applied.rbegin(), applied.rend(),
                                   [](const CommitPoint& p) { return !p.aborted; });
    if (last != applied.rend()) {
        out.last_applied = *last;
    }
    return out;
}

}  // namespace

TargetPoint resolve_time(std::span<const CommitPoint> points, Timestamp time, Inclusive inclusive) {
    const auto stops = [&](const CommitPoint& p) {
        return inclusive == Inclusive::Yes ? p.time > time : p.time >= time;
    };
    const auto found = std::find_if(points.begin(), points.end(), stops);
    TargetPoint target = split_at(points, static_cast<std::size_t>(found - points.begin()));
    if (target.first_dropped) {
        target.stop = target.first_dropped->start;
    }
    return target;
}

Result<TargetPoint> resolve_xid(std::span<const CommitPoint> points, std::uint32_t xid,
                                Inclusive inclusive) {
    const auto found = std::find_if(points.begin(), points.end(),
                                    [&](const CommitPoint& p) { return p.xid == xid; });
    if (xid == 0 || found == points.end()) {
        return Error(Code::NotFound,
                     "transaction '" + std::to_string(xid) + "' ends nowhere in this WAL");
    }
    const auto before = static_cast<std::size_t>(found - points.begin());
    TargetPoint target = split_at(points, inclusive == Inclusive::Yes ? before + 1 : before);
    target.stop = inclusive == Inclusive::Yes ? found->end : found->start;
    return target;
}

Result<RestorePoint> resolve_name(std::span<const RestorePoint> points, std::string_view name) {
    const auto found = std::find_if(points.begin(), points.end(),
                                    [&](const RestorePoint& p) { return p.name == name; });
    if (found == points.end()) {
        return Error(Code::NotFound, "no restore point has the name '" + std::string(name) + "'");
    }
    return *found;
}

}  // namespace lifeboat::postgres

#include <algorithm>
#include <concepts>
#include <utility>

#include "postgres/wal_summary.h"

// Format 1 of a stored summary. Numbers are varints; "zigzag" ones are signed; positions are
// varints of their value; times are zigzag microseconds of the Unix epoch. Golden bytes are in
// wal_summary_test.cc.
//
//   4   "LBWS"
//   1   format, 1
//   major, before, first, last, end - last, records, commits, aborts, lowest xid, highest xid
//   1   1: earliest and latest commit time follow
//   1   1: the last commit follows, as a point
//   six lists, each a count and its items:
//     restore points     start, end - start, time, length and bytes of the name
//     parameter changes  at, max_connections, max_worker_processes, max_wal_senders,
//                        max_prepared_transactions, max_locks_per_transaction (zigzag); 1 byte
//                        level
//     checkpoints        at, redo, timeline
//     timeline switches  at, from, to
//     losses             1 byte kind, start, end - start, xid, 1 byte whether a time follows,
//                        database, blocks, relations (count; tablespace, database, number each),
//                        oids (count; each)
//     points             start - start of the point before, end - start, time - time before
//                        (zigzag), xid - xid before (zigzag), 1 byte: 1 for an abort
//   A point outside the list is written as if the one before were all zeros.
//   one more list, only where it has items:
//     tablespaces        at, oid, length and bytes of the path
//   Nothing follows.

namespace lifeboat::postgres {

namespace {

using base::ByteReader;
using base::ByteWriter;

constexpr std::string_view kMark = "LBWS";
constexpr std::uint8_t kFormat = 1;
constexpr std::uint64_t kLongestName = 63;
constexpr std::uint64_t kLongestPath = 1023;

std::uint64_t zigzag(std::int64_t v) {
    return static_cast<std::uint64_t>(v) << 1 ^ static_cast<std::uint64_t>(v >> 63);
}

std::int64_t unzigzag(std::uint64_t v) {
    return static_cast<std::int64_t>(v >> 1 ^ (~(v & 1) + 1));
}

std::int64_t minus(std::int64_t a, std::int64_t b) {  // wraps
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

std::int64_t plus(std::int64_t a, std::int64_t b) {  // wraps
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

// ---- Writing -----------------------------------------------------------------------------------

void write_time(ByteWriter& out, Timestamp t) {
    out.varint(zigzag(base::to_unix_micros(t)));
}

void write_point(ByteWriter& out, const CommitPoint& point, const CommitPoint& before) {
    out.varint(point.start - before.start);
    out.varint(point.end - point.start);
    out.varint(zigzag(minus(base::to_unix_micros(point.time), base::to_unix_micros(before.time))));
    out.varint(zigzag(minus(point.xid, before.xid)));
    out.u8(point.aborted ? 1 : 0);
}

void write_points(ByteWriter& out, const std::vector<CommitPoint>& points) {
    out.varint(points.size());
    CommitPoint before;
    for (const CommitPoint& point : points) {
        write_point(out, point, before);
        before = point;
    }
}

void write_item(ByteWriter& out, const RestorePoint& point) {
    out.varint(point.start.value);
    out.varint(point.end - point.start);
    write_time(out, point.time);
    out.sized(point.name);
}

void write_item(ByteWriter& out, const ParameterChange& change) {
    out.varint(change.at.value);
    const Parameters& now = change.now;
    for (std::int32_t value : {now.max_connections, now.max_worker_processes, now.max_wal_senders,
                               now.max_prepared_transactions, now.max_locks_per_transaction}) {
        out.varint(zigzag(value));
    }
    out.u8(static_cast<std::uint8_t>(now.level));
}

void write_item(ByteWriter& out, const CheckpointMark& checkpoint) {
    out.varint(checkpoint.at.value);
    out.varint(checkpoint.redo.value);
    out.varint(checkpoint.timeline);
}

void write_item(ByteWriter& out, const TimelineSwitch& change) {
    out.varint(change.at.value);
    out.varint(change.from);
    out.varint(change.to);
}

void write_item(ByteWriter& out, const RelationKey& relation) {
    out.varint(relation.tablespace);
    out.varint(relation.database);
    out.varint(relation.number);
}

void write_item(ByteWriter& out, const TablespaceMade& made) {
    out.varint(made.at.value);
    out.varint(made.oid);
    out.sized(made.path);
}

void write_item(ByteWriter& out, std::uint32_t oid) {
    out.varint(oid);
}

void write_item(ByteWriter& out, const LossMarker& loss);

template <class Item>
void write_list(ByteWriter& out, const std::vector<Item>& items) {
    out.varint(items.size());
    for (const Item& item : items) {
        write_item(out, item);
    }
}

void write_item(ByteWriter& out, const LossMarker& loss) {
    out.u8(static_cast<std::uint8_t>(loss.kind));
    out.varint(loss.start.value);
    out.varint(loss.end - loss.start);
    out.varint(loss.xid);
    out.u8(loss.time ? 1 : 0);
    if (loss.time) {
        write_time(out, *loss.time);
    }
    out.varint(loss.database);
    out.varint(loss.blocks);
    write_list(out, loss.relations);
    write_list(out, loss.oids);
}

// ---- Reading -----------------------------------------------------------------------------------

Error corrupt(const char* what) {
    return Error(Code::Corrupt, std::string("a WAL summary holds ") + what);
}

template <std::integral Number>
Result<Number> read_number(ByteReader& in) {
    const std::uint64_t value = TRY(in.varint());
    if (!std::in_range<Number>(value)) {
        return corrupt("a number that is too large");
    }
    return static_cast<Number>(value);
}

Result<bool> read_flag(ByteReader& in) {
    const std::uint8_t flag = TRY(in.u8());
    if (flag > 1) {
        return corrupt("a flag that is neither 0 nor 1");
    }
    return flag == 1;
}

Result<Lsn> read_lsn(ByteReader& in) {
    const std::uint64_t value = TRY(in.varint());
    return Lsn{value};
}

// A position `at` or later.
Result<Lsn> read_later(ByteReader& in, Lsn at) {
    const std::uint64_t distance = TRY(in.varint());
    if (distance > ~at.value) {
        return corrupt("a position past the end of all WAL");
    }
    return at + distance;
}

Result<Timestamp> read_time(ByteReader& in) {
    const std::uint64_t value = TRY(in.varint());
    return base::from_unix_micros(unzigzag(value));
}

Result<CommitPoint> read_point(ByteReader& in, const CommitPoint& before) {
    CommitPoint point;
    point.start = TRY(read_later(in, before.start));
    point.end = TRY(read_later(in, point.start));
    const std::uint64_t time = TRY(in.varint());
    point.time = base::from_unix_micros(plus(base::to_unix_micros(before.time), unzigzag(time)));
    const std::uint64_t xid = TRY(in.varint());
    point.xid = static_cast<std::uint32_t>(plus(before.xid, unzigzag(xid)));
    point.aborted = TRY(read_flag(in));
    return point;
}

template <class Item>
Result<Item> read_item(ByteReader& in);

// Counts the items first: a list cannot have more of them than bytes.
template <class Item>
Result<std::vector<Item>> read_list(ByteReader& in) {
    const std::uint64_t count = TRY(in.varint());
    if (count > in.remaining()) {
        return corrupt("a list that is longer than itself");
    }
    std::vector<Item> items;
    for (std::uint64_t i = 0; i < count; ++i) {
        Item item = TRY(read_item<Item>(in));
        items.push_back(std::move(item));
    }
    return items;
}

template <>
Result<RestorePoint> read_item(ByteReader& in) {
    RestorePoint point;
    point.start = TRY(read_lsn(in));
    point.end = TRY(read_later(in, point.start));
    point.time = TRY(read_time(in));
    point.name = TRY(in.sized_text(kLongestName));
    return point;
}

Result<std::int32_t> read_setting(ByteReader& in) {
    const std::uint64_t coded = TRY(in.varint());
    const std::int64_t value = unzigzag(coded);
    if (!std::in_range<std::int32_t>(value)) {
        return corrupt("a number that is too large");
    }
    return static_cast<std::int32_t>(value);
}

template <>
Result<ParameterChange> read_item(ByteReader& in) {
    ParameterChange change;
    change.at = TRY(read_lsn(in));
    change.now.max_connections = TRY(read_setting(in));
    change.now.max_worker_processes = TRY(read_setting(in));
    change.now.max_wal_senders = TRY(read_setting(in));
    change.now.max_prepared_transactions = TRY(read_setting(in));
    change.now.max_locks_per_transaction = TRY(read_setting(in));
    const std::uint8_t level = TRY(in.u8());
    if (level > static_cast<std::uint8_t>(WalLevel::Logical)) {
        return corrupt("no known WAL level");
    }
    change.now.level = static_cast<WalLevel>(level);
    return change;
}

template <>
Result<CheckpointMark> read_item(ByteReader& in) {
    CheckpointMark checkpoint;
    checkpoint.at = TRY(read_lsn(in));
    checkpoint.redo = TRY(read_lsn(in));
    checkpoint.timeline = TRY(read_number<TimelineId>(in));
    return checkpoint;
}

template <>
Result<TimelineSwitch> read_item(ByteReader& in) {
    TimelineSwitch change;
    change.at = TRY(read_lsn(in));
    change.from = TRY(read_number<TimelineId>(in));
    change.to = TRY(read_number<TimelineId>(in));
    return change;
}

template <>
Result<RelationKey> read_item(ByteReader& in) {
    RelationKey relation;
    relation.tablespace = TRY(read_number<std::uint32_t>(in));
    relation.database = TRY(read_number<std::uint32_t>(in));
    relation.number = TRY(read_number<std::uint32_t>(in));
    return relation;
}

template <>
Result<std::uint32_t> read_item(ByteReader& in) {
    return read_number<std::uint32_t>(in);
}

template <>
Result<LossMarker> read_item(ByteReader& in) {
    LossMarker loss;
    const std::uint8_t kind = TRY(in.u8());
    if (kind > static_cast<std::uint8_t>(LossMarker::Kind::DatabaseDropped)) {
        return corrupt("no known kind of loss");
    }
    loss.kind = static_cast<LossMarker::Kind>(kind);
    loss.start = TRY(read_lsn(in));
    loss.end = TRY(read_later(in, loss.start));
    loss.xid = TRY(read_number<std::uint32_t>(in));
    const bool timed = TRY(read_flag(in));
    if (timed) {
        const Timestamp time = TRY(read_time(in));
        loss.time = time;
    }
    loss.database = TRY(read_number<std::uint32_t>(in));
    loss.blocks = TRY(read_number<std::uint32_t>(in));
    loss.relations = TRY(read_list<RelationKey>(in));
    loss.oids = TRY(read_list<std::uint32_t>(in));
    return loss;
}

template <>
Result<TablespaceMade> read_item(ByteReader& in) {
    TablespaceMade made;
    made.at = TRY(read_lsn(in));
    made.oid = TRY(read_number<std::uint32_t>(in));
    made.path = TRY(in.sized_text(kLongestPath));
    return made;
}

Result<std::vector<CommitPoint>> read_points(ByteReader& in) {
    const std::uint64_t count = TRY(in.varint());
    if (count > in.remaining() / 5) {
        return corrupt("a list that is longer than itself");
    }
    std::vector<CommitPoint> points;
    points.reserve(static_cast<std::size_t>(count));
    CommitPoint before;
    for (std::uint64_t i = 0; i < count; ++i) {
        before = TRY(read_point(in, before));
        points.push_back(before);
    }
    return points;
}

Result<> read_head(ByteReader& in, WalSummary& summary) {
    summary.major = TRY(read_number<int>(in));
    summary.before = TRY(read_lsn(in));
    summary.first = TRY(read_lsn(in));
    summary.last = TRY(read_lsn(in));
    summary.end = TRY(read_later(in, summary.last));
    summary.records = TRY(in.varint());
    summary.commits = TRY(in.varint());
    summary.aborts = TRY(in.varint());
    summary.lowest_xid = TRY(read_number<std::uint32_t>(in));
    summary.highest_xid = TRY(read_number<std::uint32_t>(in));
    const bool timed = TRY(read_flag(in));
    if (timed) {
        const Timestamp earliest = TRY(read_time(in));
        const Timestamp latest = TRY(read_time(in));
        summary.earliest_commit = earliest;
        summary.latest_commit = latest;
    }
    const bool committed = TRY(read_flag(in));
    if (committed) {
        const CommitPoint last = TRY(read_point(in, {}));
        summary.last_commit = last;
    }
    return {};
}

Result<> read_lists(ByteReader& in, WalSummary& summary) {
    summary.restore_points = TRY(read_list<RestorePoint>(in));
    summary.parameter_changes = TRY(read_list<ParameterChange>(in));
    summary.checkpoints = TRY(read_list<CheckpointMark>(in));
    summary.timeline_switches = TRY(read_list<TimelineSwitch>(in));
    summary.losses = TRY(read_list<LossMarker>(in));
    summary.points = TRY(read_points(in));
    if (!in.at_end()) {
        summary.tablespaces = TRY(read_list<TablespaceMade>(in));
        if (summary.tablespaces.empty()) {
            return corrupt("a list without items");
        }
    }
    return {};
}

}  // namespace

base::Bytes encode_summary(const WalSummary& summary) {
    ByteWriter out;
    out.raw(kMark);
    out.u8(kFormat);
    out.varint(static_cast<std::uint64_t>(summary.major));
    out.varint(summary.before.value);
    out.varint(summary.first.value);
    out.varint(summary.last.value);
    out.varint(summary.end - summary.last);
    out.varint(summary.records);
    out.varint(summary.commits);
    out.varint(summary.aborts);
    out.varint(summary.lowest_xid);
    out.varint(summary.highest_xid);
    const bool timed = summary.earliest_commit && summary.latest_commit;
    out.u8(timed ? 1 : 0);
    if (timed) {
        write_time(out, *summary.earliest_commit);
        write_time(out, *summary.latest_commit);
    }
    out.u8(summary.last_commit ? 1 : 0);
    if (summary.last_commit) {
        write_point(out, *summary.last_commit, {});
    }
    write_list(out, summary.restore_points);
    write_list(out, summary.parameter_changes);
    write_list(out, summary.checkpoints);
    write_list(out, summary.timeline_switches);
    write_list(out, summary.losses);
    write_points(out, summary.points);
    if (!summary.tablespaces.empty()) {
        write_list(out, summary.tablespaces);
    }
    return out.take();
}

Result<WalSummary> decode_summary(base::BytesView bytes) {
    ByteReader in(bytes);
    const base::BytesView mark = TRY(in.raw(kMark.size()));
    if (base::text(mark) != kMark) {
        return Error(Code::Corrupt, "not a WAL summary");
    }
    const std::uint8_t format = TRY(in.u8());
    if (format != kFormat) {
        return Error(Code::Unsupported, "a WAL summary of format " + std::to_string(format));
    }
    WalSummary summary;
    TRY(read_head(in, summary));
    TRY(read_lists(in, summary));
    if (!in.at_end()) {
        return corrupt("more than it should");
    }
    return summary;
}

}  // namespace lifeboat::postgres

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "postgres/lsn.h"
#include "postgres/wal_body.h"
#include "postgres/wal_format.h"

namespace lifeboat::postgres {

// The end of a transaction: a place where recovery can stop.
struct CommitPoint {
    Lsn start;
    Lsn end;
    Timestamp time;
    std::uint32_t xid = 0;  // 0: the transaction had none
    bool aborted = false;   // recovery looks at the times of aborts too

    friend bool operator==(const CommitPoint&, const CommitPoint&) = default;
};

struct RestorePoint {
    Lsn start;
    Lsn end;
    Timestamp time;
    std::string name;

    friend bool operator==(const RestorePoint&, const RestorePoint&) = default;
};

struct ParameterChange {
    Lsn at;
    Parameters now;

    friend bool operator==(const ParameterChange&, const ParameterChange&) = default;
};

struct CheckpointMark {
    Lsn at;
    Lsn redo;
    TimelineId timeline = 0;

    friend bool operator==(const CheckpointMark&, const CheckpointMark&) = default;
};

// The first record of a timeline.
struct TimelineSwitch {
    Lsn at;
    TimelineId from = 0;
    TimelineId to = 0;

    friend bool operator==(const TimelineSwitch&, const TimelineSwitch&) = default;
};

// A moment that somebody may want to go back to just before.
struct LossMarker {
    enum class Kind : std::uint8_t {
        // A commit that removes relation files: DROP, TRUNCATE, a rewrite by VACUUM FULL.
        DropCommitted,
        // TRUNCATE at wal_level logical, before its commit: `oids` are the tables'.
        TableTruncated,
        // A file cut to `blocks`: VACUUM, or TRUNCATE of a table made in the same transaction.
        StorageTruncated,
        DatabaseDropped,
    };
    Kind kind = Kind::DropCommitted;
    Lsn start;
    Lsn end;
    std::uint32_t xid = 0;
    std::optional<Timestamp> time;  // of a commit
    std::uint32_t database = 0;     // 0: see `relations`
    std::uint32_t blocks = 0;
    std::vector<RelationKey> relations;
    std::vector<std::uint32_t> oids;

    friend bool operator==(const LossMarker&, const LossMarker&) = default;
};

// CREATE TABLESPACE with a path.
struct TablespaceMade {
    Lsn at;
    std::uint32_t oid = 0;
    std::string path;

    friend bool operator==(const TablespaceMade&, const TablespaceMade&) = default;
};

// What a range of WAL holds, for recovery planning and for the question "when was that?". Times are
// the server's own clock, which is not monotonic.
struct WalSummary {
    int major = 0;
    Lsn before;  // start of the record before the first
    Lsn first;   // start of the first record
    Lsn last;    // start of the last record
    Lsn end;     // end of the last record
    std::uint64_t records = 0;
    std::uint64_t commits = 0;
    std::uint64_t aborts = 0;
    std::optional<Timestamp> earliest_commit;
    std::optional<Timestamp> latest_commit;
    std::optional<CommitPoint> last_commit;
    // Of the transactions that committed, in the circular order of xids; 0: none.
    std::uint32_t lowest_xid = 0;
    std::uint32_t highest_xid = 0;
    std::vector<RestorePoint> restore_points;
    std::vector<ParameterChange> parameter_changes;
    std::vector<CheckpointMark> checkpoints;
    std::vector<TimelineSwitch> timeline_switches;
    std::vector<LossMarker> losses;
    std::vector<CommitPoint> points;  // commits and aborts, if they are kept
    std::vector<TablespaceMade> tablespaces;

    // Joins the summary of what follows directly. InvalidInput, changing nothing, when a record
    // lies between.
    Result<> append(const WalSummary& later);

    friend bool operator==(const WalSummary&, const WalSummary&) = default;
};

enum class KeepPoints { No, Yes };

// Accumulates a summary, record by record, in the order of the WAL.
class WalSummarizer {
  public:
    explicit WalSummarizer(KeepPoints keep) : keep_(keep) {}

    Result<> add(const WalRecord& record);  // Corrupt

    const WalSummary& summary() const { return summary_; }

    // Hands out what was accumulated and begins anew behind it.
    WalSummary take();

  private:
    Result<> add_transaction_end(const WalRecord& record);
    Result<> add_xlog(const WalRecord& record);
    Result<> add_checkpoint(const WalRecord& record);
    Result<> add_loss(const WalRecord& record);
    Result<> add_tablespace(const WalRecord& record);
    void note_commit(const CommitPoint& point);
    void note_switch(Lsn at, TimelineId from, TimelineId to);

    KeepPoints keep_;
    WalSummary summary_;
};

// Format 1, described in wal_summary_codec.cc. Decoding is bounded by the size of the input.
// Corrupt; Unsupported for a newer format.
base::Bytes encode_summary(const WalSummary& summary);
Result<WalSummary> decode_summary(base::BytesView bytes);

// ---- Where recovery would stop, by PostgreSQL's own rules --------------------------------------
//
// `points` are the ends of transactions from the start of the backup on, in the order of the WAL.

enum class Inclusive { No, Yes };  // recovery_target_inclusive

struct TargetPoint {
    // Recovery applies every record that begins before. Not set: the target lies past the list, and
    // a server would refuse to end recovery there.
    Lsn stop;
    std::optional<CommitPoint> last_applied;   // the last commit that recovery would keep
    std::optional<CommitPoint> first_dropped;  // the first transaction end that it would not
};

// recovery_target_time: recovery stops before the first commit or abort whose time is later than
// `time` (or equal, if not inclusive), even if earlier times follow it in the WAL.
TargetPoint resolve_time(std::span<const CommitPoint> points, Timestamp time,
                         Inclusive inclusive = Inclusive::Yes);

// recovery_target_xid: stops at the end of this very transaction. NotFound when it ended nowhere in
// `points`.
Result<TargetPoint> resolve_xid(std::span<const CommitPoint> points, std::uint32_t xid,
                                Inclusive inclusive = Inclusive::Yes);

// recovery_target_name: stops after the first point of this name. NotFound.
Result<RestorePoint> resolve_name(std::span<const RestorePoint> points, std::string_view name);

}  // namespace lifeboat::postgres

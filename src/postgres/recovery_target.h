#pragma once

#include <optional>
#include <string>

#include "engine/data_engine.h"
#include "postgres/lsn.h"
#include "postgres/wal_format.h"
#include "postgres/wal_summary.h"

namespace lifeboat::postgres {

// Where recovery has to stop, found record by record. Pure.
//
// Every target but Immediate becomes one record: the last that recovery applies. It is pinned by
// the record's own position (recovery_target_lsn, inclusive), which a server can obey whether or
// not anything follows that record.

struct RecordSpan {
    Lsn start;
    Lsn end;

    friend bool operator==(const RecordSpan&, const RecordSpan&) = default;
};

class StopFinder {
  public:
    enum class Verdict {
        Open,     // more records are needed, or the WAL ends here
        Decided,  // stop() will not change
    };

    // `target` is anything but Immediate, an AtPosition that parses (see check_target).
    explicit StopFinder(const engine::Target& target);

    // Records in the order of the WAL, without a gap.
    Result<Verdict> see(const WalRecord& record);

    // The last record to apply, by what was seen so far. Once Decided it is the answer. While Open
    // it is the answer only for targets that mean "everything up to": Latest, AtTime and
    // AtPosition; see needs_match().
    const std::optional<RecordSpan>& stop() const { return stop_; }

    // The last commit at or before stop() among the records seen.
    const std::optional<CommitPoint>& last_commit() const { return last_commit_; }

    // What stop() names: the transaction's end of AtTransaction and BeforeTransaction; what a time
    // target leaves out.
    const std::optional<CommitPoint>& deciding() const { return deciding_; }

    // True while the target is one particular record that was not seen.
    bool needs_match() const { return needs_match_; }

  private:
    Verdict see_end(const WalRecord& record, const CommitPoint& point);
    Verdict apply(const WalRecord& record);
    Verdict stop_before(std::optional<CommitPoint> point);
    bool wants_transaction(std::uint32_t xid) const;
    Result<bool> is_named_point(const WalRecord& record) const;

    engine::Target target_;
    Lsn position_;  // of AtPosition
    std::optional<RecordSpan> stop_;
    std::optional<CommitPoint> last_commit_;
    std::optional<CommitPoint> deciding_;
    bool needs_match_ = false;
};

// InvalidInput for a target that no server could resolve: a malformed LSN, transaction 0, an empty
// name.
Result<> check_target(const engine::Target& target);

// "the time 2026-01-23 14:00:00 UTC", "transaction 7431", for messages.
std::string describe_target(const engine::Target& target);

}  // namespace lifeboat::postgres

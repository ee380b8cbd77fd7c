#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"
#include "postgres/lsn.h"
#include "postgres/wal_receiver_plan.h"
#include "postgres/wal_receiver_ranges.h"
#include "postgres/wal_receiver_upload.h"

namespace lifeboat::postgres {

// Spool -> gathered packs: whole segments, which supersede the pieces that cover them and stay for
// the whole retention.

// Bytes of a gathered pack: four segments, as far as a pack can hold them; of huge segments, a
// part.
std::uint64_t gather_bytes(SegmentSize size);

struct GatherRules {
    SegmentSize size;
    std::optional<WalStart> growing;  // the range that ends or lies there still grows; nothing: the
                                      // last one of all does
    bool at_once = false;  // do not wait for a full group: the spool is full, or what is there has
                           // waited long enough
};

// What to gather next of `held`, the spool's ranges in their order; `done` is gathered already.
// Pure. Nothing: not yet.
std::optional<repo::StreamRange> plan_gather(const std::vector<repo::StreamRange>& held,
                                             const WalRanges& done, const GatherRules& rules);

// True when the server still adds to the end of `range`.
bool is_growing(const repo::StreamRange& range, const WalStart& current);

// Up to where a timeline's spool files can go once everything before `end` is gathered: the file
// before the one that holds `end` stays, for the records that began in it, and to compare with what
// the server sends (S5).
Lsn droppable_before(Lsn end, SegmentSize size);

// What of `held`, a range of the spool, can go when `done` is gathered: only its own beginning, and
// never what lies before it. All of it, when it is gathered whole and the server adds no more to
// it.
repo::StreamRange droppable(const repo::StreamRange& held, const WalRanges& done,
                            const std::optional<WalStart>& current, SegmentSize size);

// Gathers until the share ends. One thread.
class WalGatherer {
  public:
    explicit WalGatherer(const RepositorySide& side);
    Result<> run();

  private:
    Result<bool> step();
    bool has_waited_long(const std::vector<repo::StreamRange>& held,
                         const std::optional<WalStart>& current);
    Result<> gather(const repo::StreamRange& range);
    Result<> put(const repo::StreamPut& put, const repo::StreamWriter::Read& read);
    Result<> drop_gathered();

    RepositorySide side_;
    repo::StreamWriter writer_;
    std::optional<WalFollower> follower_;
    std::optional<repo::StreamRange>
        candidate_;  // what would be gathered if it had waited long enough
    std::chrono::steady_clock::time_point candidate_since_{};
    base::Bytes buffer_;
    std::uint64_t seen_ = 0;
};

}  // namespace lifeboat::postgres

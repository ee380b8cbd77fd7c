#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/stop.h"
#include "base/time.h"
#include "postgres/backup_details.h"
#include "postgres/timeline.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_summary.h"
#include "repo/stream.h"

namespace lifeboat::postgres {

// The way from a backup into the future: which stream objects hold it, how far it goes, and what
// lies on it.

// A part of the way that one stream object holds.
struct WalPiece {
    const repo::StreamCatalog::Entry* entry = nullptr;
    TimelineId timeline = 0;  // of the object: later than the way's own where a timeline begins
                              // inside its first segment
    Lsn from;
    Lsn to;
    base::Timestamp captured;  // all that was durable on the server then lies before the object's
                               // end; no time ({}): nobody can tell
    std::optional<WalSummary> summary;  // nothing where the object has none that can be opened
};

// Pure: covers `way` from `from` on with the fewest objects of the catalog, as far as they go
// without a gap. Objects in `except` are passed over. The bytes of a timeline's first segment that
// lie before its begin are its ancestor's, and count for it.
std::vector<WalPiece> plan_pieces(const repo::StreamCatalog& catalog,
                                  const std::vector<TimelineSpan>& way, Lsn from,
                                  SegmentSize segment,
                                  const std::vector<const repo::StreamCatalog::Entry*>& except);

// Pure: takes the summary from every piece before whose first record another one lies that no
// summary tells of: one that begins in the object before and ends in this one, where each was read
// by itself.
void doubt_broken_links(std::vector<WalPiece>& pieces);

struct WalSurvey {
    std::vector<TimelineSpan>
        way;                       // from the backup's start to the open end of the target timeline
    Lsn begin;                     // where the backup is consistent
    std::vector<WalPiece> pieces;  // contiguous from `begin`
    Lsn end;                       // every byte before it is in the repository
    // Where captured WAL of the way goes on behind a hole at `end`; nothing: `end` is the end of
    // all.
    std::optional<Lsn> goes_on;
    std::vector<std::string>
        passed_over;  // sentences: objects that are of another cluster, unsigned, damaged or gone

    TimelineId timeline_at(Lsn at) const;
};

// An object that turned out to be damaged when it was read.
struct DamagedObject {
    const repo::StreamCatalog::Entry* entry = nullptr;
    std::string what;
};

// Covers the way and reads the label of every object on it, several at a time: an object that is
// not this cluster's, not signed by a pinned writer or not readable is passed over, and the way
// goes around it or ends there (T18), and so is what is `damaged`. Unavailable and Cancelled are
// failures. `map_keys` open the summaries of the hosts that they belong to.
Result<WalSurvey> survey_way(repo::Repository& repository, const repo::StreamCatalog& catalog,
                             const repo::ReaderKeys& keys,
                             const std::vector<base::Key256>& map_keys,
                             const BackupDetails& details, std::vector<TimelineSpan> way,
                             const std::vector<DamagedObject>& damaged,
                             const base::StopToken& stop);

// Reads records of a surveyed way. One thread at a time; what is passed must outlive it.
class WayReader {
  public:
    WayReader(repo::Repository& repository, const repo::StreamCatalog& catalog,
              repo::ReaderKeys& keys, const BackupDetails& details, const WalSurvey& survey,
              const base::StopToken& stop);

    enum class Next { Go, Enough };
    using Each = std::function<Result<Next>(const WalRecord&)>;

    // Calls `each` for every whole record from the piece with index `first` on: from the backup's
    // end where that is 0, else from the first record that begins in the piece. Ends at the end of
    // the way, where the WAL ends before it, or when `each` has Enough. Returns where the last
    // record that was seen ends; the start of the read when there was none.
    Result<Lsn> read(std::size_t first, const Each& each);

    // The index from which to read so that a record that begins before piece `index` and ends in it
    // is seen whole, and some before it: at least `lead` bytes earlier.
    std::size_t lead_in(std::size_t index, std::uint64_t lead) const;

    // What made a read fail with Corrupt, where it was the bytes of one object.
    const std::optional<DamagedObject>& damaged() const { return damaged_; }

  private:
    Result<> fill(Lsn from, base::MutableBytes out);

    const BackupDetails& details_;
    const WalSurvey& survey_;
    const base::StopToken& stop_;
    repo::StreamReader stream_;
    std::optional<DamagedObject> damaged_;
};

}  // namespace lifeboat::postgres

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/mutex.h"
#include "base/time.h"
#include "postgres/lsn.h"
#include "postgres/wal_spool_file.h"
#include "repo/names.h"

namespace lifeboat::postgres {

// Whose WAL a spool or a repository holds: never mixed (T18).
struct ClusterIdentity {
    std::uint64_t system_identifier = 0;
    int major = 0;
    SegmentSize segment_size;

    friend bool operator==(const ClusterIdentity&, const ClusterIdentity&) = default;
};

// Captured WAL on the local disk, between the socket and the repository: docs/format/spool.md.
//
// append() and sync() are for one thread, everything else may be called from any. What append()
// took can be read at once, and survives the process; what sync() returned for survives a power
// cut. After any failure of the two the spool stays usable: the end may then be an earlier one,
// from which the server must send again.
class WalSpool {
  public:
    // The cluster whose WAL lies in `directory`; nothing when there is no spool.
    static Result<std::optional<ClusterIdentity>> identity_of(base::Files& files,
                                                              const std::string& directory);
    // Makes `directory` this cluster's, if it is nobody's yet. Conflict when it is another's.
    static Result<> claim(base::Files& files, const std::string& directory,
                          const ClusterIdentity& cluster);
    // Creates the spool, or opens it and cuts off what a crash tore. Conflict when it is another
    // cluster's.
    static Result<std::unique_ptr<WalSpool>> open(base::Files& files, std::string directory,
                                                  const ClusterIdentity& cluster);
    ~WalSpool();

    const ClusterIdentity& cluster() const { return cluster_; }

    // Bytes from `at` on. Where some are there already they are compared: Conflict when they differ
    // (S4). `captured` is the moment of the server's clock up to which all that it had made durable
    // lies before their end; no time ({}) when none is known. NoSpace when the disk is full: the
    // call may be repeated.
    Result<> append(TimelineId timeline, Lsn at, base::BytesView bytes, base::Timestamp captured);
    Result<> sync();
    // That moment turned out to be a later one for the bytes before `end`, which are here. Kept
    // while the spool is open, and on disk where they are not synced yet. The thread of append().
    void cover(TimelineId timeline, Lsn end, base::Timestamp captured);

    // A timeline's history file, kept until the spool goes: durable before WAL of that timeline is.
    // Conflict when it is of another branch than the one that is here.
    Result<> keep_history(TimelineId timeline, base::BytesView contents);
    Result<std::vector<std::pair<TimelineId, base::Bytes>>> histories() const;

    // Contiguous ranges, by timeline and position.
    std::vector<repo::StreamRange> ranges() const;
    // The last range of a timeline; empty (from == to == 0) when there is none.
    repo::StreamRange last_range(TimelineId timeline) const;
    // The last one that begins at or before `at`: the one that bytes from `at` on may continue.
    std::optional<repo::StreamRange> range_before(TimelineId timeline, Lsn at) const;
    bool holds(const repo::StreamRange& range) const;
    // End of what is durable of the last range of `timeline`.
    Lsn synced_end(TimelineId timeline) const;
    std::uint64_t bytes() const;
    // The latest moment of which is known that all that the server had made durable then lies
    // before `end`.
    std::optional<base::Timestamp> captured_at(TimelineId timeline, Lsn end) const;

    // Fills `out` from `at`. NotFound when a byte is not here.
    Result<> read(TimelineId timeline, Lsn at, base::MutableBytes out) const;

    // Removes the files that lie wholly inside `range`. The caller knows that its bytes are in the
    // repository (S5).
    Result<> drop(const repo::StreamRange& range);

  private:
    struct Mark {
        Lsn end;
        base::Timestamp captured;
    };

    struct Held {  // one file
        Lsn from;
        Lsn to;
        std::vector<Mark> marks;  // ascending
    };

    using Key = std::pair<TimelineId, std::uint64_t>;  // timeline, segment number
    using Index = std::map<Key, Held>;

    WalSpool(base::Files& files, std::string directory, const ClusterIdentity& cluster);
    SpoolPlace place_of(const Key& key) const;
    Result<> load();
    Result<> load_timeline(TimelineId timeline, const std::string& directory);
    Result<> restore_torn(const Key& key, std::vector<SpoolRun>& runs);
    void index_runs(const Key& key, const std::vector<SpoolRun>& runs);
    Result<base::BytesView> compare_known(TimelineId timeline, Lsn at, base::BytesView bytes) const;
    Result<> enter_segment(TimelineId timeline, Lsn at);
    Result<> mark_filling(const Key& key, const SpoolPlace& place);
    Result<> leave_segment();
    static std::vector<Mark> thinned(std::vector<Mark> marks);
    void note(Lsn from, Lsn to, base::Timestamp captured);
    static void mark(Held& held, Lsn end, base::Timestamp captured);
    std::optional<base::Timestamp> mark_before(TimelineId timeline, Lsn end) const
        LB_REQUIRES(mutex_);
    Result<> repair();
    Lsn contiguous_end(TimelineId timeline, Lsn at) const LB_REQUIRES(mutex_);

    base::Files& files_;
    const std::string directory_;
    const ClusterIdentity cluster_;
    std::optional<SpoolFile> active_;
    bool must_repair_ = false;
    std::string filling_;  // the mark beside the active file; empty: nothing comes after it
    mutable base::Mutex mutex_;
    Index index_ LB_GUARDED_BY(mutex_);
    std::optional<std::pair<Key, Lsn>> unsynced_
        LB_GUARDED_BY(mutex_);  // the active file, and how far it is durable
};

}  // namespace lifeboat::postgres

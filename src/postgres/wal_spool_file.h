#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/time.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// One segment file of the spool, and the journal behind its bytes: docs/format/spool.md.

// Which segment a file holds, and where.
struct SpoolPlace {
    std::string path;
    TimelineId timeline = 0;
    Lsn start;
    SegmentSize size;
};

// A run of bytes that was made durable. Offsets are relative to the segment.
struct SpoolRun {
    std::uint32_t from = 0;
    std::uint32_t to = 0;
    base::Timestamp captured;
    std::uint32_t crc = 0;

    friend bool operator==(const SpoolRun&, const SpoolRun&) = default;
};

inline constexpr std::size_t kSpoolEntry = 24;
base::Bytes encode_spool_run(const SpoolRun& run, const SpoolPlace& place);
// Nothing unless `entry` is a valid one of this segment.
std::optional<SpoolRun> decode_spool_run(base::BytesView entry, const SpoolPlace& place);

// What the journal of the file at `place` names; the bytes are not looked at.
Result<std::vector<SpoolRun>> read_spool_journal(base::Files& files, const SpoolPlace& place);
// Keeps the runs of `runs` up to the first whose bytes do not match.
Result<std::vector<SpoolRun>> prove_spool_runs(base::Files& files, const SpoolPlace& place,
                                               std::vector<SpoolRun> runs);
// Writes the file anew, durably, with these runs and nothing else; without runs it is removed (S2,
// S3).
Result<> rewrite_spool_file(base::Files& files, const SpoolPlace& place,
                            const std::vector<SpoolRun>& runs);

// The file that is being written. One thread at a time.
class SpoolFile {
  public:
    // A file whose first byte will be the one at `offset`. Its name is durable after the first
    // sync().
    static Result<SpoolFile> create(base::Files& files, SpoolPlace place, std::uint32_t offset);
    // Goes on behind `runs`, which are all that the file holds.
    static Result<SpoolFile> reopen(base::Files& files, SpoolPlace place,
                                    std::vector<SpoolRun> runs);

    const SpoolPlace& place() const { return place_; }

    Lsn end() const { return place_.start + written_; }

    Lsn synced_end() const { return place_.start + synced_; }

    std::uint64_t room() const { return place_.size.bytes() - written_; }

    bool is_full() const { return room() == 0; }

    const std::vector<SpoolRun>& synced_runs() const { return runs_; }

    // At most room() bytes. After a failure nothing was added.
    Result<> write(base::BytesView bytes, base::Timestamp captured);

    // Of the run that the next sync() writes.
    void cover(base::Timestamp captured) { captured_ = captured; }

    // All that was written survives a power cut. After a failure of the sync itself the file must
    // be written anew; after any other the call may be repeated.
    Result<> sync();

    bool must_be_rewritten() const { return spoilt_; }

    Result<> close();

  private:
    SpoolFile(base::Files& files, SpoolPlace place, std::unique_ptr<base::File> file,
              std::uint32_t offset)
        : files_(&files),
          place_(std::move(place)),
          file_(std::move(file)),
          written_(offset),
          synced_(offset) {}

    base::Files* files_;
    SpoolPlace place_;
    std::unique_ptr<base::File> file_;
    std::vector<SpoolRun> runs_;
    std::uint32_t written_;
    std::uint32_t synced_;
    std::uint32_t crc_ = 0;  // of [synced_, written_)
    base::Timestamp captured_;
    bool name_is_durable_ = false;
    bool spoilt_ = false;
};

}  // namespace lifeboat::postgres

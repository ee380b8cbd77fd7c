#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/files.h"
#include "base/mutex.h"
#include "crypto/fingerprint.h"
#include "repo/file_map.h"
#include "repo/pack_source.h"
#include "restore/apply.h"

namespace lifeboat::restore {

inline constexpr std::uint64_t kRangePages = 512;  // 4 MiB: what one worker assembles at a time

// One file of the tree while its ranges are written by several workers.
struct OutFile {
    repo::FileMap map;
    std::vector<crypto::Fingerprint> prints;  // only when existing bytes are to be compared
    std::string path;                         // absolute
    std::uint64_t existing_size = 0;          // bytes that were there before
    std::vector<std::uint32_t> crcs;          // one for each range
    std::atomic<std::size_t> ranges_left = 0;
    base::Mutex opening;
    std::unique_ptr<base::File> file
        LB_GUARDED_BY(opening);  // by the first worker that comes, until the last one is done
};

struct Range {
    std::shared_ptr<OutFile> out;  // shared: the ranges of one file
    std::size_t number = 0;
    std::size_t first_run = 0;  // of map.runs, with `skip_pages` of it before this range
    std::uint64_t skip_pages = 0;

    std::uint64_t offset() const { return number * kRangePages * repo::kPageSize; }

    std::uint64_t length() const;
};

// The ranges of a file, in order; an empty file has one, of no bytes.
std::vector<Range> ranges_of(const std::shared_ptr<OutFile>& out);
// The part of `runs` that is `pages` pages from `skip` pages behind the start of runs[first].
std::vector<repo::PageRun> slice_runs(const std::vector<repo::PageRun>& runs, std::size_t first,
                                      std::uint64_t skip, std::uint64_t pages);

// A worker's hands: writes ranges. One thread at a time; everything given must outlive it.
class RangeLander {
  public:
    RangeLander(base::Files& files, const ApplyRequest& request, repo::PackSource& source,
                const base::Key256& fingerprint_key, ApplyProgress& progress)
        : files_(files),
          request_(request),
          reader_(source),
          fingerprinter_(fingerprint_key),
          progress_(progress),
          buffer_(kRangePages * repo::kPageSize) {}

    // Writes the range, and compares the file's CRC when it was the last. Counts into `report`
    // (this worker's own).
    Result<> land(const Range& range, ApplyReport& report);

  private:
    Result<base::File*> opened(OutFile& out);
    Result<std::unique_ptr<base::File>> open(const OutFile& out);
    Result<> land_fresh(const Range& range, base::File& file, base::MutableBytes bytes,
                        ApplyReport& report);
    Result<> land_over(const Range& range, base::File& file, base::MutableBytes bytes,
                       ApplyReport& report);
    std::vector<bool> compare(const Range& range, base::BytesView existing);
    Result<> finish(OutFile& out);

    base::Files& files_;
    const ApplyRequest& request_;
    repo::PageReader reader_;
    crypto::Fingerprinter fingerprinter_;
    ApplyProgress& progress_;
    base::AlignedBuffer buffer_;
};

}  // namespace lifeboat::restore

#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "crypto/fingerprint.h"
#include "repo/file_map.h"
#include "repo/pack_source.h"
#include "restore/apply.h"

namespace lifeboat::restore {

inline constexpr std::uint64_t kRangePages = 512;  // 4 MiB: what one worker assembles at a time

// One file of the tree while its ranges are written by several workers.
struct OutFile {
    repo::FileMap map;
    repo::FingerprintList prints;  // only when existing bytes are to be compared
    std::string path;              // absolute
    std::unique_ptr<base::File> file;
    std::uint64_t existing_size = 0;  // bytes that were there before
    std::vector<std::uint32_t> crcs;  // one for each range
    std::atomic<std::size_t> ranges_left = 0;
};

struct Range {
    std::shared_ptr<OutFile> out;  // shared: the ranges of one file
    std::size_t number = 0;
    std::size_t first_run = 0;  // of map.runs, with `skip_pages` of it before this range
    std::uint64_t skip_pages = 0;

    std::uint64_t offset() const { return number * kRangePages * repo::kPageSize; }

    std::uint64_t length() const;
};

// The ranges of a file, in order.
std::vector<Range> ranges_of(const std::shared_ptr<OutFile>& out);
// The part of `runs` that is `pages` pages from `skip` pages behind the start of runs[first].
std::vector<repo::PageRun> slice_runs(const std::vector<repo::PageRun>& runs, std::size_t first,
                                      std::uint64_t skip, std::uint64_t pages);

// A worker's hands: writes ranges. One thread at a time; `source` and `fingerprint_key` must
// outlive it.
class RangeLander {
  public:
    RangeLander(repo::PackSource& source, const base::Key256& fingerprint_key,
                ApplyProgress& progress)
        : reader_(source), fingerprinter_(fingerprint_key), progress_(progress) {}

    // Writes the range, and compares the file's CRC when it was the last. Counts into `report`
    // (this worker's own).
    Result<> land(const Range& range, ApplyReport& report);

  private:
    Result<> land_fresh(const Range& range, base::MutableBytes bytes, ApplyReport& report);
    Result<> land_over(const Range& range, base::MutableBytes bytes, ApplyReport& report);
    std::vector<bool> compare(const Range& range, base::BytesView existing);
    Result<> finish(OutFile& out);

    repo::PageReader reader_;
    crypto::Fingerprinter fingerprinter_;
    ApplyProgress& progress_;
    base::Bytes buffer_;
};

}  // namespace lifeboat::restore

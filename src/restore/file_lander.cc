#include "restore/file_lander.h"

#include <algorithm>

namespace lifeboat::restore {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using repo::kPageSize;
using repo::PageRun;

std::uint64_t Range::length() const {
    return std::min<std::uint64_t>(kRangePages * kPageSize, out->map.size - offset());
}

std::vector<Range> ranges_of(const std::shared_ptr<OutFile>& out) {
    std::vector<Range> ranges;
    const std::uint64_t pages = out->map.pages();
    std::size_t run = 0;
    std::uint64_t skip = 0;
    for (std::uint64_t page = 0; page < pages || ranges.empty(); page += kRangePages) {
        ranges.push_back({out, ranges.size(), run, skip});
        skip += std::min(kRangePages, pages - page);
        while (run < out->map.runs.size() && skip >= out->map.runs[run].pages) {
            skip -= out->map.runs[run++].pages;
        }
    }
    out->crcs.resize(ranges.size());
    out->ranges_left = ranges.size();
    return ranges;
}

std::vector<PageRun> slice_runs(const std::vector<PageRun>& runs, std::size_t first,
                                std::uint64_t skip, std::uint64_t pages) {
    std::vector<PageRun> slice;
    for (; pages > 0 && first < runs.size(); ++first) {
        if (skip >= runs[first].pages) {
            skip -= runs[first].pages;
            continue;
        }
        PageRun part = runs[first];
        part.pages = std::min(pages, part.pages - skip);
        if (!part.at.is_zero()) {
            part.at.offset += static_cast<std::uint32_t>(skip * kPageSize);
        }
        skip = 0;
        pages -= part.pages;
        slice.push_back(part);
    }
    return slice;
}

namespace {

// Smaller files are written back by the kernel, many at a time, sooner than one by one by us.
constexpr std::uint64_t kDirectFrom = base::kMiB;

std::uint64_t pages_in(std::uint64_t bytes) {
    return (bytes + kPageSize - 1) / kPageSize;
}

// The parts of the file that are not holes: (offset, count), in order, none touching the next.
std::vector<std::pair<std::uint64_t, std::uint64_t>> written_spans(const repo::FileMap& map) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> spans;
    std::uint64_t at = 0;
    for (const PageRun& run : map.runs) {
        const std::uint64_t count = std::min<std::uint64_t>(run.pages * kPageSize, map.size - at);
        if (!run.at.is_zero()) {
            if (spans.empty() || spans.back().first + spans.back().second != at) {
                spans.emplace_back(at, 0);
            }
            spans.back().second += count;
        }
        at += count;
    }
    return spans;
}

}  // namespace

Result<> RangeLander::land(const Range& range, ApplyReport& report) {
    OutFile& out = *range.out;
    const auto landing = "restoring '" + out.map.path + "'";
    base::File* file = TRY(opened(out).during(landing));
    const auto bytes = buffer_.first(range.length());
    const bool something_there = range.offset() < out.existing_size && !out.prints.empty();
    TRY((something_there ? land_over(range, *file, bytes, report)
                         : land_fresh(range, *file, bytes, report))
            .during(landing));
    out.crcs[range.number] = base::crc32c(bytes);
    progress_.bytes_done.fetch_add(bytes.size(), std::memory_order_relaxed);
    if (out.ranges_left.fetch_sub(1) == 1) {
        TRY(finish(out).during(landing));
        progress_.files_done.fetch_add(1, std::memory_order_relaxed);
    }
    return {};
}

// Files are created by the workers: a cluster has thousands of small ones, and one thread that made
// them all would keep the others waiting.
Result<base::File*> RangeLander::opened(OutFile& out) {
    const base::Lock lock(out.opening);
    if (!out.file) {
        out.file = TRY(open(out));
    }
    return out.file.get();
}

// Creates the file, or opens what a delta or an interrupted run left, and gives it its size and
// owner at once.
Result<std::unique_ptr<base::File>> RangeLander::open(const OutFile& out) {
    const auto mode =
        out.existing_size > 0 ? base::OpenMode::ReadWrite : base::OpenMode::CreateOrTruncate;
    auto file = TRY(files_.open(out.path, mode, out.map.mode));
    TRY(file->truncate(out.map.size));
    TRY(files_.set_mode(out.path, out.map.mode));
    if (request_.uid && request_.gid) {
        TRY(files_.set_owner(out.path, *request_.uid, *request_.gid));
    }
    if (out.map.size >= kDirectFrom) {
        file->bypass_cache();
        for (const auto& [offset, count] : written_spans(out.map)) {
            file->set_aside(offset, count);
        }
    }
    return file;
}

// A new file: zero runs stay holes, the rest is written run by run of pages that lie together.
Result<> RangeLander::land_fresh(const Range& range, base::File& file, base::MutableBytes bytes,
                                 ApplyReport& report) {
    OutFile& out = *range.out;
    const std::vector<PageRun> runs =
        slice_runs(out.map.runs, range.first_run, range.skip_pages, pages_in(bytes.size()));
    TRY(reader_.read(runs, bytes));
    std::uint64_t at = 0;
    std::uint64_t unwritten = 0;  // start of the bytes that are not zero runs and not written yet
    const auto write_until = [&](std::uint64_t end) -> Result<> {
        return end > unwritten ? file.write_at(range.offset() + unwritten,
                                               bytes.subspan(unwritten, end - unwritten))
                               : Result<>();
    };
    for (const PageRun& run : runs) {
        const std::uint64_t count =
            std::min<std::uint64_t>(run.pages * kPageSize, bytes.size() - at);
        if (run.at.is_zero()) {
            TRY(write_until(at));
            unwritten = at + count;
            report.bytes_zero += count;
        } else {
            report.bytes_fetched += count;
        }
        at += count;
    }
    return write_until(at);
}

std::vector<bool> RangeLander::compare(const Range& range, BytesView existing) {
    const std::uint64_t first = range.offset() / kPageSize;
    std::vector<bool> wanted(pages_in(range.length()), true);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const std::size_t at = i * kPageSize;
        const std::size_t count = std::min<std::size_t>(kPageSize, range.length() - at);
        if (at + count <= existing.size()) {
            wanted[i] =
                fingerprinter_.of(existing.subspan(at, count)) != range.out->prints[first + i];
        }
    }
    return wanted;
}

// Bytes are there already: only pages whose fingerprint differs are fetched and written. `bytes`
// ends up as the range's contents.
Result<> RangeLander::land_over(const Range& range, base::File& file, base::MutableBytes bytes,
                                ApplyReport& report) {
    OutFile& out = *range.out;
    const std::size_t got = TRY(file.read_at(range.offset(), bytes));
    const std::vector<bool> wanted = compare(range, bytes.first(got));
    for (std::size_t i = 0; i < wanted.size();) {
        std::size_t end = i;
        while (end < wanted.size() && wanted[end] == wanted[i]) {
            ++end;
        }
        const std::size_t at = i * kPageSize;
        const std::size_t count = std::min<std::size_t>((end - i) * kPageSize, bytes.size() - at);
        if (wanted[i]) {
            const auto runs =
                slice_runs(out.map.runs, range.first_run, range.skip_pages + i, end - i);
            TRY(reader_.read(runs, bytes.subspan(at, count)));
            TRY(file.write_at(range.offset() + at, bytes.subspan(at, count)));
            report.bytes_fetched += count;
        } else {
            report.bytes_kept += count;
        }
        i = end;
    }
    return {};
}

// The whole file is there: its CRC must be the one taken at capture, whatever path its pages came
// by.
Result<> RangeLander::finish(OutFile& out) {
    std::uint32_t crc = 0;
    for (std::size_t i = 0; i < out.crcs.size(); ++i) {
        const std::uint64_t at = i * kRangePages * kPageSize;
        crc = base::crc32c_combine(
            crc, out.crcs[i], std::min<std::uint64_t>(kRangePages * kPageSize, out.map.size - at));
    }
    if (crc != out.map.crc) {
        return Error(Code::Corrupt, "the file's checksum differs from the one taken at capture")
            .hint("Run 'lifeboat repo check --data' and restore another backup meanwhile.");
    }
    const base::Lock lock(out.opening);
    TRY(out.file->close());
    return files_.set_modified(out.path, out.map.modified);
}

}  // namespace lifeboat::restore

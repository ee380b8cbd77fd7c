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
    for (std::uint64_t page = 0; page < pages; page += kRangePages) {
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

std::uint64_t pages_in(std::uint64_t bytes) {
    return (bytes + kPageSize - 1) / kPageSize;
}

}  // namespace

Result<> RangeLander::land(const Range& range, ApplyReport& report) {
    OutFile& out = *range.out;
    const auto landing = "restoring '" + out.map.path + "'";
    buffer_.resize(range.length());
    const bool something_there = range.offset() < out.existing_size && !out.prints.pages.empty();
    TRY((something_there ? land_over(range, buffer_, report) : land_fresh(range, buffer_, report))
            .during(landing));
    out.crcs[range.number] = base::crc32c(buffer_);
    progress_.bytes_done.fetch_add(buffer_.size(), std::memory_order_relaxed);
    if (out.ranges_left.fetch_sub(1) == 1) {
        TRY(finish(out).during(landing));
        progress_.files_done.fetch_add(1, std::memory_order_relaxed);
    }
    return {};
}

// A new file: zero runs stay holes, the rest is written run by run of pages that lie together.
Result<> RangeLander::land_fresh(const Range& range, base::MutableBytes bytes,
                                 ApplyReport& report) {
    OutFile& out = *range.out;
    const std::vector<PageRun> runs =
        slice_runs(out.map.runs, range.first_run, range.skip_pages, pages_in(bytes.size()));
    TRY(reader_.read(runs, bytes));
    std::uint64_t at = 0;
    std::uint64_t unwritten = 0;  // start of the bytes that are not zero runs and not written yet
    const auto write_until = [&](std::uint64_t end) -> Result<> {
        return end > unwritten ? out.file->write_at(range.offset() + unwritten,
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
            wanted[i] = fingerprinter_.of(existing.subspan(at, count)) !=
                        range.out->prints.pages[first + i];
        }
    }
    return wanted;
}

// Bytes are there already: only pages whose fingerprint differs are fetched and written. `bytes`
// ends up as the range's contents.
Result<> RangeLander::land_over(const Range& range, base::MutableBytes bytes, ApplyReport& report) {
    OutFile& out = *range.out;
    const std::size_t got = TRY(out.file->read_at(range.offset(), bytes));
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
            TRY(out.file->write_at(range.offset() + at, bytes.subspan(at, count)));
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
    return out.file->close();
}

}  // namespace lifeboat::restore

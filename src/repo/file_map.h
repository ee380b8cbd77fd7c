#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "repo/pack.h"

namespace lifeboat::repo {

// Where each page of one captured file lies (docs/format/map.md). A page is kPageSize bytes; the
// last one of a file may be short.

enum class EntryKind : std::uint8_t { File = 1, Directory = 2, Symlink = 3 };

// Where one page lies: byte `offset` of the plain bytes of frame `frame` in the pack with index
// `pack` of the manifest's list.
struct Location {
    static constexpr std::uint32_t kZero =
        0xffffffff;  // as `pack`: the page is all zeros, and stored nowhere
    std::uint32_t pack = kZero;
    std::uint32_t frame = 0;
    std::uint32_t offset = 0;

    bool is_zero() const { return pack == kZero; }

    bool operator==(const Location&) const = default;
};

// Consecutive pages that lie consecutively in one frame, or are all zero.
struct PageRun {
    std::uint64_t pages = 0;
    Location at;
    bool operator==(const PageRun&) const = default;
};

struct FileMap {
    std::string path;  // relative to the captured root, '/' between parts
    EntryKind kind = EntryKind::File;
    std::uint32_t mode = 0600;
    base::Timestamp modified;
    std::uint64_t size = 0;
    std::uint32_t crc = 0;  // CRC-32C of the contents as captured
    std::string target;     // of a symlink
    std::vector<PageRun> runs;

    std::uint64_t pages() const { return (size + kPageSize - 1) / kPageSize; }

    std::uint64_t first_page =
        0;  // of `runs`: a map of more than kPagesPerSlice pages is stored in slices

    void encode(base::ByteWriter& out) const;
    // Checks that the path is safe and that runs cover the slice exactly.
    static Result<FileMap> decode(base::ByteReader& in);
    std::uint64_t slice_pages() const;  // of this slice

    bool is_last_slice() const {
        return first_page + slice_pages() >= pages() || kind != EntryKind::File;
    }
};

// A map and a list of 1 GiB of pages fit a frame in their worst case.
inline constexpr std::uint64_t kPagesPerSlice = 131072;
inline constexpr std::uint64_t kMaxPath = 4096;  // bytes
std::vector<FileMap> slices_of(const FileMap& map);
// Appends the next slice of the same file. Corrupt when it does not follow.
Result<> join_slice(FileMap& map, FileMap slice);

// Joins page locations into runs, and spreads runs over pages again.
std::vector<PageRun> runs_of(const std::vector<Location>& pages);
std::vector<Location> locations_of(const FileMap& map);

// Corrupt unless `path` is relative, has no empty, "." or ".." part, no NUL, and is at most 4096
// bytes: a hostile map cannot leave the target.
Result<> check_relative_path(std::string_view path);

}  // namespace lifeboat::repo

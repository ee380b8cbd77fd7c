#include "repo/file_map.h"

namespace lifeboat::repo {

using base::ByteReader;
using base::ByteWriter;
using base::Code;
using base::Error;

namespace {

constexpr std::uint64_t kMaxFileSize = 1ULL << 50;
constexpr std::uint8_t kSourceZero = 0;
constexpr std::uint8_t kSourcePack = 1;

void encode_run(const PageRun& run, ByteWriter& out) {
    out.varint(run.pages);
    out.u8(run.at.is_zero() ? kSourceZero : kSourcePack);
    if (!run.at.is_zero()) {
        out.varint(run.at.pack);
        out.varint(run.at.frame);
        out.varint(run.at.offset);
    }
}

Result<std::uint32_t> small(ByteReader& in, std::uint64_t limit, const char* what) {
    const std::uint64_t v = TRY(in.varint());
    if (v >= limit) {
        return Error(Code::Corrupt, std::string("a page run has an impossible ") + what);
    }
    return static_cast<std::uint32_t>(v);
}

Result<PageRun> decode_run(ByteReader& in) {
    PageRun run;
    run.pages = TRY(in.varint());
    const std::uint8_t source = TRY(in.u8());
    if (source == kSourcePack) {
        run.at.pack = TRY(small(in, Location::kZero, "pack"));
        run.at.frame = TRY(small(in, Location::kZero, "frame"));
        run.at.offset = TRY(small(in, kMaxFramePlain, "offset"));
    } else if (source != kSourceZero) {
        return Error(Code::Corrupt, "a page run has an unknown source");
    }
    const bool fits_frame =
        run.at.is_zero() ||
        run.pages <= (kMaxFramePlain - run.at.offset + kPageSize - 1) / kPageSize;
    if (run.pages == 0 || run.pages > kMaxFileSize / kPageSize || !fits_frame) {
        return Error(Code::Corrupt, "a page run has an impossible length");
    }
    return run;
}

}  // namespace

Result<> check_relative_path(std::string_view path) {
    const auto unsafe = [&] {
        return Error(Code::Corrupt,
                     "the map holds an unsafe path of " + std::to_string(path.size()) + " bytes");
    };
    if (path.empty() || path.size() > kMaxPath || path.find('\0') != std::string_view::npos) {
        return unsafe();
    }
    for (std::size_t at = 0; at <= path.size();) {
        const std::size_t end = std::min(path.find('/', at), path.size());
        const std::string_view part = path.substr(at, end - at);
        if (part.empty() || part == "." || part == "..") {
            return unsafe();
        }
        at = end + 1;
    }
    return {};
}

void FileMap::encode(ByteWriter& out) const {
    out.sized(path);
    out.u8(static_cast<std::uint8_t>(kind));
    out.varint(mode);
    out.varint(static_cast<std::uint64_t>(base::to_unix_micros(modified)));
    out.varint(size);
    out.u32(crc);
    out.sized(target);
    out.varint(first_page);
    out.varint(runs.size());
    for (const PageRun& run : runs) {
        encode_run(run, out);
    }
}

Result<FileMap> FileMap::decode(ByteReader& in) {
    FileMap map;
    map.path = TRY(in.sized_text(kMaxPath));
    TRY(check_relative_path(map.path));
    const std::uint8_t kind = TRY(in.u8());
    if (kind < 1 || kind > 3) {
        return Error(Code::Corrupt, "the map holds an entry of unknown kind");
    }
    map.kind = static_cast<EntryKind>(kind);
    const std::uint64_t mode = TRY(in.varint());
    map.mode = static_cast<std::uint32_t>(mode & 07777);
    const std::uint64_t modified = TRY(in.varint());
    map.modified = base::from_unix_micros(static_cast<std::int64_t>(modified));
    map.size = TRY(in.varint());
    map.crc = TRY(in.u32());
    map.target = TRY(in.sized_text(kMaxPath));
    map.first_page = TRY(in.varint());
    const std::uint64_t count = TRY(in.varint());
    if (map.size > kMaxFileSize || count > in.remaining() || map.first_page % kPagesPerSlice != 0 ||
        (map.first_page != 0 && map.first_page >= map.pages())) {
        return Error(Code::Corrupt, "the map holds an impossible size");
    }
    std::uint64_t covered = 0;
    map.runs.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
        const PageRun run = TRY(decode_run(in));
        covered += run.pages;
        map.runs.push_back(run);
    }
    if (covered != map.slice_pages()) {
        return Error(Code::Corrupt, "the page runs do not cover their file");
    }
    return map;
}

std::uint64_t FileMap::slice_pages() const {
    return kind == EntryKind::File ? std::min(kPagesPerSlice, pages() - first_page) : 0;
}

std::vector<FileMap> slices_of(const FileMap& map) {
    std::vector<FileMap> slices;
    std::size_t run = 0;
    std::uint64_t used = 0;  // pages of runs[run] that earlier slices took
    do {
        FileMap slice = map;
        slice.runs.clear();
        slice.first_page = slices.size() * kPagesPerSlice;
        for (std::uint64_t left = slice.slice_pages(); left > 0;) {
            const PageRun& whole = map.runs[run];
            PageRun part = whole;
            part.pages = std::min(left, whole.pages - used);
            if (!part.at.is_zero()) {
                part.at.offset += static_cast<std::uint32_t>(used * kPageSize);
            }
            slice.runs.push_back(part);
            left -= part.pages;
            used += part.pages;
            if (used == whole.pages) {
                ++run;
                used = 0;
            }
        }
        slices.push_back(std::move(slice));
    } while (!slices.back().is_last_slice());
    return slices;
}

Result<> join_slice(FileMap& map, FileMap slice) {
    std::uint64_t covered = 0;
    for (const PageRun& run : map.runs) {
        covered += run.pages;
    }
    if (slice.path != map.path || slice.first_page != covered || slice.size != map.size) {
        return Error(Code::Corrupt, "the map of '" + map.path + "' lacks a slice");
    }
    map.runs.insert(map.runs.end(), slice.runs.begin(), slice.runs.end());
    return {};
}

std::vector<PageRun> runs_of(const std::vector<Location>& pages) {
    std::vector<PageRun> runs;
    for (const Location& page : pages) {
        if (!runs.empty()) {
            PageRun& last = runs.back();
            const bool both_zero = last.at.is_zero() && page.is_zero();
            const bool next_in_frame = !page.is_zero() && last.at.pack == page.pack &&
                                       last.at.frame == page.frame &&
                                       last.at.offset + last.pages * kPageSize == page.offset;
            if (both_zero || next_in_frame) {
                ++last.pages;
                continue;
            }
        }
        runs.push_back({1, page});
    }
    return runs;
}

std::vector<Location> locations_of(const FileMap& map) {
    std::uint64_t count = 0;  // of this slice: `size` is only a claim
    for (const PageRun& run : map.runs) {
        count += run.pages;
    }
    std::vector<Location> pages;
    pages.reserve(count);
    for (const PageRun& run : map.runs) {
        for (std::uint64_t i = 0; i < run.pages; ++i) {
            Location at = run.at;
            if (!at.is_zero()) {
                at.offset += static_cast<std::uint32_t>(i * kPageSize);
            }
            pages.push_back(at);
        }
    }
    return pages;
}

}  // namespace lifeboat::repo

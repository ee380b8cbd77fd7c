#include "repo/file_map.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::ok;

namespace {

FileMap sample() {
    FileMap map;
    map.path = "base/16384/2619";
    map.mode = 0600;
    map.modified = base::from_unix_micros(1'769'176'800'123'456);
    map.size = 5 * kPageSize + 100;
    map.crc = 0x12345678;
    map.runs = {{2, {7, 3, 8192}}, {3, {}}, {1, {4294967294U, 4294967294U, 0}}};
    return map;
}

Result<FileMap> again(const FileMap& map) {
    base::ByteWriter out;
    map.encode(out);
    base::ByteReader in(out.bytes());
    FileMap back = TRY(FileMap::decode(in));
    EXPECT_TRUE(in.at_end());
    return back;
}

void expect_same(const FileMap& a, const FileMap& b) {
    EXPECT_EQ(
        std::tie(a.path, a.kind, a.mode, a.modified, a.size, a.crc, a.target, a.runs, a.first_page),
        std::tie(b.path, b.kind, b.mode, b.modified, b.size, b.crc, b.target, b.runs,
                 b.first_page));
}

TEST(FileMap, ComesBackAsItWent) {
    const auto back = again(sample());
    ASSERT_TRUE(ok(back));
    expect_same(*back, sample());
}

TEST(FileMap, TimesBefore1970ComeBack) {
    FileMap map = sample();
    map.modified = base::from_unix_micros(-1);
    const auto back = again(map);
    ASSERT_TRUE(ok(back));
    EXPECT_EQ(back->modified, map.modified);
}

TEST(FileMap, EntriesWithoutPagesComeBack) {
    FileMap link;
    link.path = "pg_wal";
    link.kind = EntryKind::Symlink;
    link.target = "/somewhere/../else";
    FileMap directory;
    directory.path = "base";
    directory.kind = EntryKind::Directory;
    directory.mode = 0700;
    FileMap empty;
    empty.path = "PG_VERSION";
    for (const FileMap& map : {link, directory, empty}) {
        const auto back = again(map);
        ASSERT_TRUE(ok(back)) << map.path;
        expect_same(*back, map);
        EXPECT_TRUE(back->is_last_slice());
    }
}

TEST(FileMap, EveryTruncationIsCorrupt) {
    base::ByteWriter out;
    sample().encode(out);
    for (std::size_t size = 0; size < out.size(); ++size) {
        base::ByteReader in(out.bytes().first(size));
        EXPECT_TRUE(fails(FileMap::decode(in), Code::Corrupt)) << size;
    }
}

// ---- Hostile maps
// -------------------------------------------------------------------------------------------------

TEST(FileMap, HostilePathsAreCorrupt) {
    const std::vector<std::string> hostile = {"",
                                              "/",
                                              "/etc/passwd",
                                              "..",
                                              "../x",
                                              "a/..",
                                              "a/../../x",
                                              ".",
                                              "./a",
                                              "a/.",
                                              "a/./b",
                                              "a//b",
                                              "a/",
                                              std::string("a\0b", 3),
                                              "a/b//",
                                              std::string(4097, 'a')};
    for (const std::string& path : hostile) {
        EXPECT_TRUE(fails(check_relative_path(path), Code::Corrupt)) << path;
        FileMap map = sample();
        map.path = path;
        EXPECT_TRUE(fails(again(map), Code::Corrupt)) << path;
    }
    for (const std::string path : {"a", "...", "..a", "a..", ".a", "a b", "a/b/c", "\xff\xfe"}) {
        EXPECT_TRUE(ok(check_relative_path(path))) << path;
    }
    EXPECT_TRUE(ok(check_relative_path(std::string(4096, 'a'))));
}

struct HostileMap {
    const char* what;
    void (*spoil)(FileMap&);
};

TEST(FileMap, RunsThatDoNotFitTheirFileAreCorrupt) {
    const std::vector<HostileMap> cases = {
        {"a page too few", [](FileMap& m) { m.runs.pop_back(); }},
        {"a page too many", [](FileMap& m) { m.runs.push_back({1, {}}); }},
        {"an empty run", [](FileMap& m) { m.runs.push_back({0, {}}); }},
        {"no runs", [](FileMap& m) { m.runs.clear(); }},
        {"a run that no frame can hold",
         [](FileMap& m) { m.runs[0].at.offset = kMaxFramePlain - 8192; }},
        {"an offset that no frame can hold",
         [](FileMap& m) { m.runs[0].at.offset = kMaxFramePlain; }},
        {"a size beyond everything", [](FileMap& m) { m.size = 1ULL << 60; }},
        {"a size near 2^64", [](FileMap& m) { m.size = ~0ULL; }},
        {"a slice that starts nowhere", [](FileMap& m) { m.first_page = 1; }},
        {"a slice beyond the end", [](FileMap& m) { m.first_page = kPagesPerSlice; }},
        {"a directory with pages", [](FileMap& m) { m.kind = EntryKind::Directory; }},
        {"a kind of tomorrow", [](FileMap& m) { m.kind = static_cast<EntryKind>(4); }},
        {"a kind of nothing", [](FileMap& m) { m.kind = static_cast<EntryKind>(0); }},
    };
    for (const HostileMap& hostile : cases) {
        FileMap map = sample();
        hostile.spoil(map);
        EXPECT_TRUE(fails(again(map), Code::Corrupt)) << hostile.what;
    }
}

// ---- Runs and locations
// -------------------------------------------------------------------------------------------

std::vector<Location> random_locations(base::Random& random, std::size_t count) {
    std::vector<Location> pages;
    while (pages.size() < count) {
        const std::uint64_t dice = random.u64();
        Location at{static_cast<std::uint32_t>(dice % 3), static_cast<std::uint32_t>(dice / 8 % 3),
                    static_cast<std::uint32_t>(dice / 64 % 16 * kPageSize)};
        const std::size_t length = 1 + dice / 1024 % 16;
        for (std::size_t i = 0; i < length && pages.size() < count; ++i) {
            pages.push_back(dice % 5 == 0 ? Location{} : at);
            at.offset += kPageSize;
        }
    }
    return pages;
}

TEST(PageRuns, SpreadOutAgainToTheSameLocations) {
    const auto random = base::seeded_random(21);
    for (int round = 0; round < 300; ++round) {
        const auto pages = random_locations(*random, random->u64() % 200);
        FileMap map;
        map.path = "x";
        map.size = pages.size() * kPageSize;
        map.runs = runs_of(pages);
        EXPECT_EQ(locations_of(map), pages);
        for (std::size_t i = 1; i < map.runs.size();
             ++i) {  // maximal: no two neighbours could be one
            const PageRun& a = map.runs[i - 1];
            const PageRun& b = map.runs[i];
            const bool joins = !a.at.is_zero() && a.at.pack == b.at.pack &&
                               a.at.frame == b.at.frame &&
                               a.at.offset + a.pages * kPageSize == b.at.offset;
            EXPECT_FALSE(joins || (a.at.is_zero() && b.at.is_zero()));
        }
        const auto back = again(map);
        ASSERT_TRUE(ok(back));
        EXPECT_EQ(back->runs, map.runs);
    }
}

// ---- Slices
// -------------------------------------------------------------------------------------------------------

// A file of `pages` pages whose runs are 16 pages long, or all zero: many runs cross a slice's
// edge.
FileMap large(std::uint64_t pages, bool zero, std::uint64_t tail) {
    FileMap map;
    map.path = "large";
    map.size = (pages - 1) * kPageSize + tail;
    if (zero) {
        map.runs = {{pages, {}}};
        return map;
    }
    std::uint64_t at = 0;
    for (std::uint32_t frame = 0; at < pages; ++frame) {
        const std::uint64_t count = std::min<std::uint64_t>(frame == 0 ? 5 : 16, pages - at);
        map.runs.push_back({count, {0, frame, 0}});
        at += count;
    }
    return map;
}

TEST(Slices, JoinAgainToTheSamePages) {
    for (const std::uint64_t pages :
         {std::uint64_t{1}, kPagesPerSlice - 1, kPagesPerSlice, kPagesPerSlice + 1,
          2 * kPagesPerSlice, 3 * kPagesPerSlice - 7}) {
        for (const bool zero : {false, true}) {
            const FileMap map = large(pages, zero, 77);
            const auto slices = slices_of(map);
            EXPECT_EQ(slices.size(), (pages + kPagesPerSlice - 1) / kPagesPerSlice);
            std::optional<FileMap> whole;
            for (const FileMap& slice : slices) {
                EXPECT_EQ(slice.is_last_slice(), &slice == &slices.back());
                auto back = again(slice);
                ASSERT_TRUE(ok(back));
                if (whole) {
                    ASSERT_TRUE(ok(join_slice(*whole, *std::move(back))));
                } else {
                    whole = *std::move(back);
                }
            }
            EXPECT_TRUE(locations_of(*whole) == locations_of(map)) << pages;
        }
    }
}

TEST(Slices, JoinOnlyInOrder) {
    const auto slices = slices_of(large(3 * kPagesPerSlice, false, 1));
    FileMap first = slices[0];
    EXPECT_TRUE(fails(join_slice(first, slices[2]), Code::Corrupt));
    EXPECT_TRUE(fails(join_slice(first, slices[0]), Code::Corrupt));
    FileMap other = slices[1];
    other.path = "other";
    EXPECT_TRUE(fails(join_slice(first, other), Code::Corrupt));
    EXPECT_TRUE(ok(join_slice(first, slices[1])));
    EXPECT_TRUE(ok(join_slice(first, slices[2])));
}

TEST(Slices, TheWorstOfEachFitsAFrame) {
    FileMap map;
    map.path = std::string(4096, 'p');
    map.size = kPagesPerSlice * kPageSize;
    for (std::uint64_t i = 0; i < kPagesPerSlice;
         ++i) {  // no two pages together, numbers as large as they get in a repository of 100 TB
        map.runs.push_back({1,
                            {static_cast<std::uint32_t>(2'000'000 + i % 2),
                             static_cast<std::uint32_t>(i % 2048), 15 * kPageSize}});
    }
    base::ByteWriter out;
    slices_of(map).front().encode(out);
    EXPECT_LE(out.size(), kMaxFramePlain);
}

}  // namespace

}  // namespace lifeboat::repo

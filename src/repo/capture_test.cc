#include "repo/capture.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using base::Json;
using std::chrono::days;
using test::fails;
using test::noise;
using test::ok;

namespace {

// ---- Feeding by hand
// ----------------------------------------------------------------------------------------------

// Feeds a capture as an engine would. What whole trees come to is generations_test.cc's business.
class CaptureTest : public testing::Test {
  protected:
    CaptureTest() {
        request.system = "prod";
        request.engine = "files";
        request.start = world.clock.now();
        request.manifest_expires = policy::backup_expiry(world.clock.now(), days(7));
        request.pack_expires = policy::pack_expiry(world.clock.now(), days(7), days(28));
    }

    Result<std::unique_ptr<Capture>> begin() {
        return Capture::begin(*world.repository, world.keys.host, request, *world.random, stop,
                              progress);
    }

    FileMap meta(const char* path) {
        FileMap map;
        map.path = path;
        return map;
    }

    test::RepoWorld world;
    CaptureRequest request;
    base::StopToken stop;
    CaptureProgress progress;
};

TEST_F(CaptureTest, EntriesComeBackInTheOrderOfTheirCapture) {
    auto capture = begin();
    ASSERT_TRUE(ok(capture));
    FileMap directory = meta("base");
    directory.kind = EntryKind::Directory;
    directory.mode = 0700;
    FileMap link = meta("base/link");
    link.kind = EntryKind::Symlink;
    link.target = "../elsewhere";
    ASSERT_TRUE(ok((*capture)->add_entry(directory)));
    ASSERT_TRUE(ok((*capture)->add_small(0, meta("base/z"), noise(1, 10))));
    ASSERT_TRUE(ok((*capture)->add_entry(link)));
    ASSERT_TRUE(ok((*capture)->add_small(1, meta("base/a"), {})));
    const auto manifest = std::move(**capture).commit(world.clock.now(), Json::object());
    ASSERT_TRUE(ok(manifest));
    const auto opened = world.load(*manifest);
    ASSERT_TRUE(ok(opened));
    const auto maps = MapIndex::open(*world.store, world.repository->id(), *opened);
    ASSERT_TRUE(ok(maps));
    std::vector<std::string> paths;
    ASSERT_TRUE(ok((*maps)->for_each([&](const FileMap& map) -> Result<> {
        paths.push_back(map.path);
        return {};
    })));
    EXPECT_EQ(paths, (std::vector<std::string>{"base", "base/z", "base/link", "base/a"}));
    EXPECT_EQ((*maps)->map("base/link").value().target, "../elsewhere");
    EXPECT_EQ((*maps)->map("base").value().mode, 0700U);
    EXPECT_TRUE(fails((*maps)->map("base/none"), Code::NotFound));
    EXPECT_TRUE(fails((*maps)->fingerprints("base/a"), Code::NotFound));  // an empty file has none
}

TEST_F(CaptureTest, ChunksMayComeInAnyOrder) {
    const Bytes contents = noise(2, 3 * kChunkSize + 77);
    auto capture = begin();
    ASSERT_TRUE(ok(capture));
    const auto file = (*capture)->add(
        meta("f"), contents.size() + 5 * kChunkSize);  // listed longer than it turned out to be
    ASSERT_TRUE(ok(file));
    for (const std::size_t chunk : {3U, 0U, 2U, 1U}) {
        const std::size_t at = chunk * kChunkSize;
        ASSERT_TRUE(ok((*capture)->pages(
            chunk % 2, **file, at,
            BytesView(contents).subspan(at, std::min(kChunkSize, contents.size() - at)))));
    }
    ASSERT_TRUE(ok((*capture)->finish_file(**file, contents.size())));
    const auto manifest = std::move(**capture).commit(world.clock.now(), Json::object());
    ASSERT_TRUE(ok(manifest));
    const auto restored = world.restore(*manifest);
    ASSERT_TRUE(ok(restored));
    EXPECT_TRUE(restored->at("f") == contents);
}

// Silence would restore zeros where bytes were never read.
TEST_F(CaptureTest, AFileWithAMissingChunkIsABug) {
    auto capture = begin();
    ASSERT_TRUE(ok(capture));
    const Bytes chunk = noise(3, kChunkSize);
    const auto file = (*capture)->add(meta("f"), 3 * kChunkSize);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok((*capture)->pages(0, **file, 0, chunk)));
    ASSERT_TRUE(ok((*capture)->pages(0, **file, 2 * kChunkSize, chunk)));
    EXPECT_TRUE(fails((*capture)->finish_file(**file, 3 * kChunkSize), Code::Bug));
}

TEST_F(CaptureTest, AFileThatShrankInsideAChunkMustGiveItAgain) {
    auto capture = begin();
    ASSERT_TRUE(ok(capture));
    const Bytes chunk = noise(4, kChunkSize);
    const auto file = (*capture)->add(meta("f"), kChunkSize);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok((*capture)->pages(0, **file, 0, chunk)));
    EXPECT_TRUE(fails((*capture)->finish_file(**file, 12345), Code::Bug));
    ASSERT_TRUE(ok((*capture)->pages(0, **file, 0, BytesView(chunk).first(12345))));
    ASSERT_TRUE(ok((*capture)->finish_file(**file, 12345)));
    const auto manifest = std::move(**capture).commit(world.clock.now(), Json::object());
    ASSERT_TRUE(ok(manifest));
    const auto restored = world.restore(*manifest);
    ASSERT_TRUE(ok(restored));
    EXPECT_TRUE(restored->at("f") == Bytes(chunk.begin(), chunk.begin() + 12345));
}

TEST_F(CaptureTest, MapsWithoutTheirManifestAreABug) {
    const test::Tree tree{{"a", noise(1, 9000)}};
    const auto manifest = world.capture({.tree = &tree});
    ASSERT_TRUE(ok(manifest));
    const auto opened = world.load(*manifest);
    ASSERT_TRUE(ok(opened));
    const auto maps = MapIndex::open(*world.store, world.repository->id(), *opened);
    ASSERT_TRUE(ok(maps));
    request.previous = maps->get();
    EXPECT_TRUE(fails(begin(), Code::Bug));
    request.previous = nullptr;
    request.previous_manifest = &opened->manifest;
    EXPECT_TRUE(fails(begin(), Code::Bug));
}

TEST_F(CaptureTest, W1_PacksThatExpireBeforeTheirBackupAreABug) {
    request.pack_expires = policy::backup_expiry(world.clock.now(), days(6));
    EXPECT_TRUE(fails(begin(), Code::Bug));
}

TEST_F(CaptureTest, UnsafePathsAreRefusedBeforeTheyAreStored) {
    auto capture = begin();
    ASSERT_TRUE(ok(capture));
    EXPECT_TRUE(fails((*capture)->add(meta("../x"), 10), Code::Corrupt));
    EXPECT_TRUE(fails((*capture)->add_small(0, meta("/x"), noise(1, 4)), Code::Corrupt));
}

TEST_F(CaptureTest, AStopEndsItWithoutAManifest) {
    auto capture = begin();
    ASSERT_TRUE(ok(capture));
    ASSERT_TRUE(ok((*capture)->add_small(0, meta("a"), noise(1, 4000))));
    stop.request();
    EXPECT_TRUE(fails((*capture)->add_small(0, meta("b"), noise(1, 4000)), Code::Cancelled));
    EXPECT_TRUE(
        fails(std::move(**capture).commit(world.clock.now(), Json::object()), Code::Cancelled));
    EXPECT_TRUE(world.names("s/prod/manifest/").empty());
}

TEST_F(CaptureTest, DamageIsRecordedAndStored) {
    auto capture = begin();
    ASSERT_TRUE(ok(capture));
    ASSERT_TRUE(ok((*capture)->add_small(0, meta("a"), noise(1, 4000))));
    (*capture)->report_damage({"a", 0, "bad checksum"});
    const auto manifest = std::move(**capture).commit(world.clock.now(), Json::object());
    ASSERT_TRUE(ok(manifest));
    const auto opened = world.load(*manifest);
    ASSERT_TRUE(ok(opened));
    EXPECT_EQ(opened->manifest.counts.damaged_pages, 1U);
    ASSERT_EQ(opened->manifest.damage.size(), 1U);
    EXPECT_EQ(opened->manifest.damage[0].why, "bad checksum");
}

// A sparse file of 2.5 GiB: three slices, given as zeros but for its ends.
TEST_F(CaptureTest, AFileOfSeveralSlicesComesBack) {
    const std::uint64_t size = (5ULL << 29) + 12345;
    const Bytes zeros(kChunkSize);
    const Bytes head = noise(1, kChunkSize);
    auto run = [&](const OpenedManifest* previous, MapIndex* maps) -> Result<Manifest> {
        request.previous = maps;
        request.previous_manifest = previous == nullptr ? nullptr : &previous->manifest;
        auto capture = TRY(begin());
        const auto file = TRY(capture->add(meta("f"), size));
        for (std::uint64_t at = 0; at < size; at += kChunkSize) {
            const bool data = at == 0 || at / kChunkSize == 1500 || at + kChunkSize >= size;
            TRY(capture->pages(0, *file, at,
                               BytesView(data ? head : zeros)
                                   .first(std::min<std::uint64_t>(kChunkSize, size - at))));
        }
        TRY(capture->finish_file(*file, size));
        world.clock.advance(std::chrono::seconds(1));
        return std::move(*capture).commit(world.clock.now(), Json::object());
    };
    const auto first = run(nullptr, nullptr);
    ASSERT_TRUE(ok(first));
    const auto opened = world.load(*first);
    ASSERT_TRUE(ok(opened));
    const auto maps = MapIndex::open(*world.store, world.repository->id(), *opened);
    ASSERT_TRUE(ok(maps));
    const auto map = (*maps)->map("f");
    ASSERT_TRUE(ok(map));
    EXPECT_EQ(map->size, size);
    EXPECT_EQ((*maps)->fingerprints("f").value().pages.size(), map->pages());
    std::uint64_t pages = 0;
    for (const PageRun& part : map->runs) {
        pages += part.pages;
    }
    EXPECT_EQ(pages, map->pages());
    const std::uint64_t changed = progress.bytes_changed.load();
    ASSERT_TRUE(ok(run(&*opened, maps->get())));
    EXPECT_EQ(progress.bytes_changed.load(), changed);  // nothing changed, in no slice
}

}  // namespace

}  // namespace lifeboat::repo

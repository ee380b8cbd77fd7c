#include "repo/map_index.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::ok;

namespace {

// Map packs by hand: what a writer with a bug, or a stolen one, could sign.
class MapIndexTest : public testing::Test {
  protected:
    MapIndexTest() {
        keys = RepositoryKeys::derive(world.keys.host.secret, world.repository->id());
    }

    FileMap large(std::uint64_t slices) {
        FileMap map;
        map.path = "large";
        map.size = slices * kPagesPerSlice * kPageSize;
        map.runs = {{slices * kPagesPerSlice, {}}};
        return map;
    }

    // A backup with one map pack that holds `maps`, each in a frame of its own.
    Result<std::unique_ptr<MapIndex>> index_of(const std::vector<FileMap>& maps,
                                               PackKind kind = PackKind::Map) {
        const Session session{Id128{}, keys.map, {}, {}};
        PackBuilder builder(world.repository->id(), random_id(*world.random), session, kind, 1);
        for (const FileMap& map : maps) {
            base::ByteWriter out;
            map.encode(out);
            builder.add(FrameKind::FileMaps, out.bytes());
        }
        const Bytes bytes = std::move(builder).finish();
        world.replace("maps", bytes);
        opened.manifest = {};
        opened.host_secret = world.keys.host.secret;
        opened.manifest.maps = {{{"maps", bytes.size(), crypto::sha256(bytes)}, {}, {}}};
        return MapIndex::open(*world.store, world.repository->id(), opened);
    }

    Result<> visit(MapIndex& index) {
        return index.for_each([](const FileMap&) -> Result<> { return {}; });
    }

    test::RepoWorld world;
    RepositoryKeys keys;
    OpenedManifest opened;
};

TEST_F(MapIndexTest, SlicesBecomeOneMap) {
    const auto index = index_of(slices_of(large(3)));
    ASSERT_TRUE(ok(index));
    EXPECT_EQ((*index)->map("large").value().runs.size(), 3U);
    EXPECT_TRUE(ok(visit(**index)));
    EXPECT_EQ((*index)->summaries().at("large").size, large(3).size);
}

struct Order {
    const char* what;
    std::vector<std::size_t> slices;
};

TEST_F(MapIndexTest, MissingOrMixedSlicesAreCorrupt) {
    const auto slices = slices_of(large(3));
    const std::vector<Order> orders = {{"no first", {1, 2}},     {"only the last", {2}},
                                       {"no last", {0, 1}},      {"only the first", {0}},
                                       {"no middle", {0, 2}},    {"twice the first", {0, 0, 1, 2}},
                                       {"backwards", {2, 1, 0}}, {"twice all", {0, 1, 2, 0, 1, 2}}};
    for (const Order& order : orders) {
        std::vector<FileMap> chosen;
        for (const std::size_t i : order.slices) {
            chosen.push_back(slices[i]);
        }
        const auto index = index_of(chosen);
        ASSERT_TRUE(ok(index));
        EXPECT_TRUE(fails((*index)->map("large"), Code::Corrupt)) << order.what;
    }
    EXPECT_TRUE(fails(visit(**index_of({slices[1], slices[2]})), Code::Corrupt));
    EXPECT_TRUE(fails(visit(**index_of({slices[0], slices[1]})), Code::Corrupt));
    EXPECT_TRUE(fails(visit(**index_of({slices[0], slices[2]})), Code::Corrupt));
}

TEST_F(MapIndexTest, AMapPackIsWhatTheManifestSignedOrNothing) {
    ASSERT_TRUE(ok(index_of(slices_of(large(1)))));
    const Bytes good = world.bytes("maps");
    for (std::size_t at = 0; at < good.size(); ++at) {
        Bytes bad = good;
        bad[at] ^= 0x04U;
        world.replace("maps", bad);
        EXPECT_TRUE(
            fails(MapIndex::open(*world.store, world.repository->id(), opened), Code::Corrupt))
            << at;
    }
    world.remove("maps");
    EXPECT_TRUE(
        fails(MapIndex::open(*world.store, world.repository->id(), opened), Code::NotFound));
}

TEST_F(MapIndexTest, OtherPacksAreNoMapPacks) {
    EXPECT_TRUE(fails(index_of({large(1)}, PackKind::Data), Code::Corrupt));
    ASSERT_TRUE(ok(index_of({large(1)})));
    EXPECT_TRUE(fails(MapIndex::open(*world.store, Id128{}, opened), Code::Corrupt));
}

}  // namespace

}  // namespace lifeboat::repo

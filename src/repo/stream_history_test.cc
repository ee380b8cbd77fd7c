#include <gtest/gtest.h>

#include <algorithm>

#include "repo/stream.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::ok;

namespace {

class HistoryTest : public testing::Test {
  protected:
    Key256 map_key() const {
        return RepositoryKeys::derive(world.keys.host.secret, world.repository->id()).map;
    }

    test::RepoWorld world;
    StreamWriter writer{*world.repository, world.keys.host, "prod", world.clock, *world.random};
    const std::string text = "1\t0/3000000\tno recovery target specified\n";
};

TEST_F(HistoryTest, ComesBackAndIsStoredOnce) {
    ASSERT_TRUE(ok(writer.put_history(2, base::view(text))));
    ASSERT_TRUE(ok(writer.put_history(2, base::view(text))));
    const auto catalog = StreamCatalog::load(*world.repository, "prod");
    ASSERT_TRUE(ok(catalog));
    ASSERT_EQ(catalog->histories().size(), 1U);
    const auto history = read_history(*world.repository, catalog->histories()[0], map_key());
    ASSERT_TRUE(ok(history));
    EXPECT_EQ(history->timeline, 2U);
    EXPECT_EQ(base::text(history->contents), text);
}

// The name of an object says nothing of what became of its bytes.
TEST_F(HistoryTest, IsStoredOnceMoreWhereItRotted) {
    ASSERT_TRUE(ok(writer.put_history(2, base::view(text))));
    const std::string rotten = world.only("s/prod/history/");
    world.flip(rotten, world.bytes(rotten).size() / 2);
    ASSERT_TRUE(ok(writer.put_history(2, base::view(text))));
    ASSERT_TRUE(ok(writer.put_history(2, base::view(text)))) << "and twice is once";
    const auto names = world.names("s/prod/history/");
    ASSERT_EQ(names.size(), 2U);
    const std::string& whole = names[0] == rotten ? names[1] : names[0];
    const auto history = read_history(*world.repository, whole, map_key());
    ASSERT_TRUE(ok(history));
    EXPECT_EQ(base::text(history->contents), text);
}

TEST_F(HistoryTest, IsNotStoredWhereEveryCopyRots) {
    for (int copy = 0; copy < 8; ++copy) {
        ASSERT_TRUE(ok(writer.put_history(2, base::view(text))));
        for (const std::string& name : world.names("s/prod/history/")) {
            Bytes bytes = world.bytes(name);
            std::fill(bytes.begin(), bytes.end(), base::Byte{0});
            world.replace(name, bytes);
        }
    }
    EXPECT_TRUE(fails(writer.put_history(2, base::view(text)), Code::Corrupt));
}

TEST_F(HistoryTest, MovedToAnotherTimelineItIsRefused) {
    ASSERT_TRUE(ok(writer.put_history(2, base::view(text))));
    const std::string name = world.only("s/prod/history/");
    std::string moved = name;
    moved.replace(moved.find("00000002"), 8, "00000003");
    world.replace(moved, world.bytes(name));
    EXPECT_TRUE(fails(read_history(*world.repository, moved, map_key()), Code::Corrupt));
}

TEST_F(HistoryTest, EveryFlippedByteIsRefused) {
    ASSERT_TRUE(ok(writer.put_history(2, base::view(text))));
    const std::string name = world.only("s/prod/history/");
    const Bytes good = world.bytes(name);
    std::size_t opened = 0;
    for (std::size_t at = 0; at < good.size(); ++at) {
        Bytes bad = good;
        bad[at] ^= 0x01U;
        world.replace(name, bad);
        const auto history = read_history(*world.repository, name, map_key());
        if (history) {
            EXPECT_EQ(base::text(history->contents), text);
            ++opened;
        }
    }
    EXPECT_LE(opened, 8U);  // the trailer's CRC and magic add nothing to what the tags prove
    EXPECT_TRUE(fails(read_history(*world.repository, name,
                                   RepositoryKeys::derive(world.keys.host.secret, {}).map),
                      Code::Corrupt));
}

}  // namespace

}  // namespace lifeboat::repo

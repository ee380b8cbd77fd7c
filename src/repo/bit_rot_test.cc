// Rot in every object of a small repository: whatever is read is right, or an error. Never other
// bytes.
#include <gtest/gtest.h>

#include <algorithm>

#include "repo/check.h"
#include "repo/stream.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::noise;
using test::ok;
using test::Tree;

namespace {

constexpr std::uint64_t kSource = 5;

class BitRot : public testing::Test {
  protected:
    BitRot() {
        Tree tree{{"base/1", test::table_like(1, 20 * kPageSize + 7)},
                  {"conf", noise(2, 50)},
                  {"empty", {}}};
        trees.push_back(tree);
        manifests.push_back(world.capture({.tree = &tree}).value());
        tree["base/1"][4 * kPageSize] ^= 1U;
        const auto previous = world.load(manifests[0]);
        trees.push_back(tree);
        manifests.push_back(world.capture({.tree = &tree, .previous = &*previous}).value());
        EXPECT_TRUE(ok(world.repository->register_writer(world.keys.host, "host", world.clock)));
        put({1, 0, 2000}, StreamObject::Gathered);
        put({1, 2000, 2900}, StreamObject::Piece);
        EXPECT_TRUE(ok(writer.put_history(2, base::view(history))));
        EXPECT_TRUE(ok(writer.record_gap({1, 2900, 3000}, "why")));
    }

    void put(const StreamRange& range, StreamObject kind) {
        StreamPut put;
        put.kind = kind;
        put.range = range;
        put.expires = policy::ExpiryDay::parse("20260301").value();
        put.source = kSource;
        put.summary = noise(7, 30);
        EXPECT_TRUE(ok(writer.put(put, BytesView(wal).subspan(range.from, range.to - range.from))));
    }

    // Reads all that there is, as a machine that knows nothing yet. Returns how much of it could be
    // read.
    std::size_t read_everything() {
        const auto repository = Repository::open(*world.store);
        if (!repository) {
            return 0;
        }
        ReaderKeys keys = world.keys.reader();
        return restore_backups(**repository, keys) + read_stream(**repository, keys) +
               read_histories(**repository);
    }

    std::size_t restore_backups(Repository& repository, ReaderKeys& keys) {
        std::size_t right = 0;
        for (std::size_t i = 0; i < manifests.size(); ++i) {
            const auto restored = test::restore_tree(repository, world.name_of(manifests[i]), keys);
            EXPECT_TRUE(!restored || *restored == trees[i])
                << "backup " << i << " came back with other bytes";
            EXPECT_TRUE(restored || restored.error().code() != Code::Bug)
                << restored.error().message();
            right += restored ? 1 : 0;
        }
        return right;
    }

    std::size_t read_stream(Repository& repository, ReaderKeys& keys) {
        std::size_t right = 0;
        const auto catalog = StreamCatalog::load(repository, "prod");
        EXPECT_TRUE(ok(catalog));
        StreamReader reader(repository, *catalog, keys, kSource);
        for (std::uint64_t at = 0; at < 2900; at += 100) {
            Bytes out(100);
            const auto got = reader.read(1, at, out);
            EXPECT_TRUE(!got || std::equal(out.begin(), out.end(),
                                           wal.begin() + static_cast<std::ptrdiff_t>(at)))
                << "at " << at;
            EXPECT_TRUE(got || got.error().code() != Code::NotFound)
                << "damage is not absence";  // T13
            right += got ? 1 : 0;
        }
        const Key256 map_key = RepositoryKeys::derive(world.keys.host.secret, repository.id()).map;
        for (const StreamCatalog::Entry& entry : catalog->entries()) {
            const auto label = read_label(repository, entry, keys);
            const auto summary =
                label ? open_summary(*label, map_key) : Result<Bytes>(label.error().clone());
            EXPECT_TRUE(!summary || *summary == noise(7, 30));
            right += summary ? 1 : 0;
        }
        return right;
    }

    std::size_t read_histories(Repository& repository) {
        const Key256 map_key = RepositoryKeys::derive(world.keys.host.secret, repository.id()).map;
        const auto read = read_history(repository, world.only("s/prod/history/"), map_key);
        EXPECT_TRUE(!read || (read->timeline == 2 && base::text(read->contents) == history));
        return read ? 1 : 0;
    }

    test::RepoWorld world;
    StreamWriter writer{*world.repository, world.keys.host, "prod", world.clock, *world.random};
    const Bytes wal = noise(3, 2900);
    const std::string history = "1\t0/B54\tswitch\n";
    std::vector<Tree> trees;
    std::vector<Manifest> manifests;
};

constexpr std::size_t kEverything = 2 + 29 + 2 + 1;

TEST_F(BitRot, NeverBecomesOtherBytes) {
    ASSERT_EQ(read_everything(), kEverything);
    std::size_t harmful = 0;
    std::size_t flips = 0;
    for (const std::string& name : world.names()) {
        const Bytes good = world.bytes(name);
        for (std::size_t at = 0; at < good.size();
             at += std::max<std::size_t>(1, good.size() / 150)) {
            SCOPED_TRACE(name + " at " + std::to_string(at));
            world.flip(name, at);
            harmful += read_everything() < kEverything ? 1 : 0;
            ++flips;
            ASSERT_FALSE(HasFatalFailure());
        }
        world.replace(name, good);
    }
    EXPECT_EQ(read_everything(), kEverything);
    EXPECT_GT(flips, 1000U);
    EXPECT_GT(harmful, flips / 3);
}

TEST_F(BitRot, TruncationNeverBecomesOtherBytes) {
    for (const std::string& name : world.names()) {
        const Bytes good = world.bytes(name);
        for (std::size_t size = 0; size < good.size();
             size += std::max<std::size_t>(1, good.size() / 25)) {
            SCOPED_TRACE(name + " cut to " + std::to_string(size));
            world.replace(name, BytesView(good).first(size));
            read_everything();
        }
        world.replace(name, good);
    }
}

// Any object in any other's place, of the same kind or not.
TEST_F(BitRot, SwappedObjectsNeverBecomeOtherBytes) {
    const auto names = world.names();
    for (const std::string& a : names) {
        for (const std::string& b : names) {
            SCOPED_TRACE(a + " holds " + b);
            const Bytes good = world.bytes(a);
            world.replace(a, world.bytes(b));
            read_everything();
            world.replace(a, good);
        }
    }
    EXPECT_EQ(read_everything(), kEverything);
}

}  // namespace

}  // namespace lifeboat::repo

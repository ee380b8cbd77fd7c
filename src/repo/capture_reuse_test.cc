// What a backup may take from the one before it, and what it must write again: whoever can open the
// new manifest must be able to open all that it names, and all of it must be there.

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {
namespace {

using test::ok;
using test::Tree;

class Reuse : public testing::Test {
  protected:
    Reuse() {
        tree["base/5/1259"] = test::table_like(1, 40 * kPageSize);
        tree["base/5/1260"] = test::noise(2, 30 * kPageSize);
    }

    OpenedManifest first() {
        auto taken = world.capture({.tree = &tree, .pack_target = 100'000});
        EXPECT_TRUE(ok(taken));
        auto opened = world.load(*taken);
        EXPECT_TRUE(ok(opened));
        return std::move(opened).value();
    }

    test::RepoWorld world;
    Tree tree;
};

TEST_F(Reuse, AnUnchangedTreeStoresNoPage) {
    const OpenedManifest before = first();
    const auto second = world.capture({.tree = &tree, .previous = &before});
    ASSERT_TRUE(ok(second));
    EXPECT_EQ(second->counts.changed_bytes, 0U);
}

// P3, P4: after a key was lost and replaced, the next backup depends on the new keys alone.
TEST_F(Reuse, OtherRecipientsMeanThatEverythingIsSealedAnew) {
    const OpenedManifest before = first();
    const auto fresh = crypto::Identity::generate(*world.random);
    const auto other = crypto::Identity::generate(*world.random);
    auto changed = Repository::open(*world.store, {fresh.recipient(), other.recipient()});
    ASSERT_TRUE(ok(changed));
    const auto second =
        test::capture_tree(**changed, world.keys.host, {.tree = &tree, .previous = &before},
                           world.clock, *world.random);
    ASSERT_TRUE(ok(second));
    EXPECT_NE(second->recipients, before.manifest.recipients);
    ReaderKeys keys({fresh}, std::nullopt, {world.keys.host.signing_key().verify_key()});
    const auto restored = test::restore_tree(**changed, world.name_of(*second), keys);
    ASSERT_TRUE(ok(restored));
    EXPECT_EQ(*restored, tree);
    for (const auto& [index, pack] : second->packs) {
        EXPECT_FALSE(before.manifest.packs.contains(index));
    }
}

TEST_F(Reuse, APackThatIsGoneOrCutIsWrittenAgain) {
    const OpenedManifest before = first();
    ASSERT_GE(before.manifest.packs.size(), 2U);
    const std::string gone = before.manifest.packs.begin()->second.object.name;
    const std::string cut = before.manifest.packs.rbegin()->second.object.name;
    world.remove(gone);
    Bytes bytes = world.bytes(cut);
    bytes.pop_back();
    world.replace(cut, bytes);
    const auto second = world.capture({.tree = &tree, .previous = &before});
    ASSERT_TRUE(ok(second));
    EXPECT_GT(second->counts.changed_bytes, 0U);
    const auto restored = world.restore(*second);
    ASSERT_TRUE(ok(restored));
    EXPECT_EQ(*restored, tree);
    EXPECT_TRUE(std::none_of(second->packs.begin(), second->packs.end(), [&](const auto& pack) {
        return pack.second.object.name == gone || pack.second.object.name == cut;
    }));
}

TEST_F(Reuse, TheOrderOfBackupsIsThatOfTheirNamesHoweverSoonTheyFollow) {
    CaptureRequest request;
    request.system = "prod";
    request.engine = "files";
    request.start = world.clock.now();
    request.manifest_expires = policy::backup_expiry(world.clock.now(), std::chrono::days(7));
    request.pack_expires =
        policy::pack_expiry(world.clock.now(), std::chrono::days(7), std::chrono::days(28));
    std::vector<std::string> taken;
    for (int i = 0; i < 5; ++i) {
        const auto there = world.repository->backups("prod");
        ASSERT_TRUE(ok(there));
        request.newest = there->empty() ? std::nullopt : std::optional(there->back().stop);
        const base::StopToken stop;
        CaptureProgress progress;
        auto capture = Capture::begin(*world.repository, world.keys.host, request, *world.random,
                                      stop, progress);
        ASSERT_TRUE(ok(capture));
        const auto manifest = std::move(**capture).commit(world.clock.now(), base::Json::object());
        ASSERT_TRUE(ok(manifest));
        taken.push_back(manifest->backup);
    }
    std::vector<std::string> named;
    const auto all = world.repository->backups("prod");
    ASSERT_TRUE(ok(all));
    for (const ManifestName& name : *all) {
        named.push_back(name.backup);
    }
    EXPECT_EQ(named, taken);
}

}  // namespace
}  // namespace lifeboat::repo

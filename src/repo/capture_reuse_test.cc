// What a backup may take from the one before it, and what it must write again: whoever can open the
// new manifest must be able to open all that it names, and all of it must be there.

#include <gtest/gtest.h>

#include "repo/check.h"
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

// The fingerprints of all pages are 0.2 % of the data: they are written once, and then patched.
TEST_F(Reuse, FingerprintsOfUnchangedPagesAreNotWrittenAgain) {
    tree["base/5/1261"] = test::noise(3, 4000 * kPageSize);
    OpenedManifest last = first();
    for (int generation = 0; generation < 12; ++generation) {
        for (int i = 0; i < 40; ++i) {  // 1 % a time: an eighth is reached and a new list is due
            tree["base/5/1261"]
                [static_cast<std::size_t>((generation * 40 + i) * 7 % 4000) * kPageSize] ^= 1U;
        }
        const auto next = world.capture({.tree = &tree, .previous = &last});
        ASSERT_TRUE(ok(next));
        EXPECT_EQ(next->counts.changed_bytes, 40 * kPageSize);
        std::uint64_t told = 0;  // bytes that tell of pages, written by this backup
        for (const PackRef& map : next->maps) {
            told += map.object.size;
        }
        for (const auto& [index, print] : next->prints) {
            told += last.manifest.prints.contains(index) ? 0 : print.object.size;
        }
        EXPECT_LT(told, 4000 * 16 / 2) << "generation " << generation;
        const auto restored = world.restore(*next);
        ASSERT_TRUE(ok(restored));
        ASSERT_EQ(*restored, tree) << "generation " << generation;
        last = world.load(*next).value();
    }
}

TEST_F(Reuse, LostFingerprintsCostTheNextBackupOnly) {
    const OpenedManifest before = first();
    const std::string lost = before.manifest.prints.begin()->second.object.name;
    world.remove(lost);
    const auto report = check_repository(*world.repository, &world.reader,
                                         {.level = CheckLevel::Data, .workers = 1, .systems = {}},
                                         {}, base::StopToken());
    ASSERT_TRUE(ok(report));
    EXPECT_FALSE(report->is_healthy());
    ASSERT_EQ(report->backups.size(), 1U);
    EXPECT_EQ(report->backups[0].state, BackupState::Whole);
    ASSERT_EQ(report->backups[0].warnings.size(), 1U);
    EXPECT_EQ(report->backups[0].warnings[0].find("'" + lost + "' holds fingerprints only"), 0U);
    EXPECT_EQ(world.restore(before.manifest).value(), tree);
    const auto second = world.capture({.tree = &tree, .previous = &before});
    ASSERT_TRUE(ok(second));
    EXPECT_EQ(world.restore(*second).value(), tree);
    for (const auto& [index, print] : second->prints) {
        EXPECT_NE(print.object.name, lost);
    }
}

// W1: a list that expires before the backup is written anew, whatever it costs.
TEST_F(Reuse, FingerprintsThatWouldExpireFirstAreWrittenAgain) {
    const OpenedManifest before = first();
    world.clock.advance(std::chrono::days(35));
    const auto second = world.capture({.tree = &tree, .previous = &before});
    ASSERT_TRUE(ok(second));
    ASSERT_FALSE(second->prints.empty());
    for (const auto& [index, print] : second->prints) {
        EXPECT_GE(expiry_of(print.object.name).value(), second->expires);
        EXPECT_FALSE(before.manifest.prints.contains(index));
    }
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

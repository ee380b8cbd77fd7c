// What check says a damage costs, against what a restore can really give: page by page, for damage
// everywhere.
#include <gtest/gtest.h>

#include <algorithm>

#include "repo/check.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::noise;
using test::ok;
using test::Tree;

namespace {

using Lost = std::map<std::string, std::vector<PageRange>>;

class CheckCost : public testing::Test {
  protected:
    CheckCost() {
        tree["base/16384/2619"] = noise(1, 130 * kPageSize);
        tree["base/16384/1259"] = noise(2, 3 * kPageSize + 50);
        tree["PG_VERSION"] = noise(3, 3);
        tree["empty"] = {};
        capture();
        tree["base/16384/2619"][7 * kPageSize] ^= 1U;
        tree["base/16384/1259"][3 * kPageSize] ^= 1U;
        capture();
    }

    void capture() {
        test::CaptureJob job{.tree = &tree, .pack_target = 200'000};
        std::optional<OpenedManifest> previous;
        if (!manifests.empty()) {
            previous = world.load(manifests.back()).value();
            job.previous = &*previous;
        }
        auto manifest = world.capture(job);
        ASSERT_TRUE(ok(manifest));
        trees.push_back(tree);
        manifests.push_back(std::move(manifest).value());
    }

    // With fresh keys: what an earlier look remembered of sessions must not help.
    CheckReport check(CheckLevel level) {
        ReaderKeys keys = world.keys.reader();
        return check(level, &keys);
    }

    CheckReport check(CheckLevel level, ReaderKeys* keys) {
        auto report = check_repository(*world.repository, keys,
                                       {.level = level, .workers = 1, .systems = {}}, {}, stop);
        EXPECT_TRUE(ok(report));
        return std::move(report).value();
    }

    // Reads every page of every file on its own, with fresh keys. Wrong bytes are a failure
    // whatever else happens.
    Lost really_lost(std::size_t generation) {
        Lost lost;
        ReaderKeys keys = world.keys.reader();
        const auto opened = world.repository->load(world.name_of(manifests[generation]), keys);
        EXPECT_TRUE(ok(opened));
        const auto maps = MapIndex::open(*world.store, world.repository->id(), *opened);
        EXPECT_TRUE(ok(maps));
        PackSource source(*world.store, world.repository->id(), opened->manifest, keys);
        for (const auto& [path, contents] : trees[generation]) {
            const auto map = (*maps)->map(path);
            EXPECT_TRUE(ok(map));
            std::uint64_t page = 0;
            PageReader reader(source);
            for (const Location& at : locations_of(*map)) {
                Bytes bytes(std::min(kPageSize, contents.size() - page * kPageSize));
                const PageRun run{1, at};
                if (reader.read(std::span(&run, 1), bytes)) {
                    EXPECT_TRUE(std::equal(
                        bytes.begin(), bytes.end(),
                        contents.begin() + static_cast<std::ptrdiff_t>(page * kPageSize)))
                        << "wrong bytes in page " << page << " of " << path;
                } else if (!lost[path].empty() && lost[path].back().last + 1 == page) {
                    lost[path].back().last = page;
                } else {
                    lost[path].push_back({page, page});
                }
                ++page;
            }
        }
        return lost;
    }

    void expect_true_costs(const CheckReport& report) {
        for (std::size_t i = 0; i < manifests.size(); ++i) {
            const BackupCheck& backup = report.backups[i];
            ASSERT_EQ(backup.name.backup, manifests[i].backup);
            Lost said;
            for (const LostFile& file : backup.lost) {
                said[file.path] = file.lost;
            }
            const Lost real = really_lost(i);
            EXPECT_EQ(said, real);
            EXPECT_EQ(backup.state == BackupState::Whole, real.empty());
            EXPECT_TRUE(backup.exact);
            EXPECT_EQ(backup.files, trees[i].size() * (backup.paths_known ? 1 : 0));
        }
    }

    test::RepoWorld world;
    base::StopToken stop;
    Tree tree;
    std::vector<Tree> trees;
    std::vector<Manifest> manifests;
};

TEST_F(CheckCost, IsWhatARestoreCannotGiveForAFlipAnywhereInAPack) {
    std::size_t costly = 0;
    for (const std::string& name : world.names("s/prod/pack/")) {
        const Bytes good = world.bytes(name);
        const std::size_t step = std::max<std::size_t>(1, good.size() / 16);
        for (std::size_t at = 0; at < good.size();
             at += at < 800 || at + 100 > good.size() ? 61 : step) {
            SCOPED_TRACE(name + " at " + std::to_string(at));
            world.flip(name, at);
            const CheckReport report = check(CheckLevel::Objects);
            EXPECT_EQ(report.damaged.size(), 1U);
            expect_true_costs(report);
            costly += report.backups[0].lost.empty() ? 0 : 1;
            world.replace(name, good);
        }
    }
    EXPECT_GT(costly, 20U);
}

TEST_F(CheckCost, IsWhatARestoreCannotGiveForMissingAndTruncatedPacks) {
    for (const std::string& name : world.names("s/prod/pack/")) {
        SCOPED_TRACE(name);
        const Bytes good = world.bytes(name);
        world.remove(name);
        for (const CheckLevel level : {CheckLevel::Names, CheckLevel::Objects, CheckLevel::Data}) {
            expect_true_costs(check(level));
        }
        for (const std::size_t size :
             {std::size_t{0}, std::size_t{100}, good.size() / 2, good.size() - 1}) {
            world.replace(name, BytesView(good).first(size));
            expect_true_costs(check(CheckLevel::Data));
        }
        world.replace(name, good);
    }
}

// Two packs that changed names are both whole by their CRC, and both wrong.
TEST_F(CheckCost, IsWhatARestoreCannotGiveForSwappedPacks) {
    const auto names = world.names("s/prod/pack/");
    ASSERT_GE(names.size(), 2U);
    const Bytes a = world.bytes(names[0]);
    world.replace(names[0], world.bytes(names[1]));
    world.replace(names[1], a);
    const CheckReport report = check(CheckLevel::Data);
    EXPECT_EQ(report.damaged.size(), 2U);
    expect_true_costs(report);
    EXPECT_FALSE(report.backups[0].lost.empty());
}

// The host alone cannot try frames: it says what may be lost, and that covers what is.
TEST_F(CheckCost, WithTheHostSecretAloneItIsAnUpperBound) {
    ReaderKeys host = world.keys.host_reader();
    const std::string name = world.names("s/prod/pack/").front();
    world.flip(name, world.bytes(name).size() / 2);
    const CheckReport report = check(CheckLevel::Objects, &host);
    for (std::size_t i = 0; i < manifests.size(); ++i) {
        const BackupCheck& backup = report.backups[i];
        EXPECT_FALSE(backup.exact && !backup.damaged.empty());
        for (const auto& [path, ranges] : really_lost(i)) {
            const auto said = std::find_if(backup.lost.begin(), backup.lost.end(),
                                           [&](const LostFile& file) { return file.path == path; });
            ASSERT_NE(said, backup.lost.end()) << path;
            for (const PageRange& range : ranges) {
                EXPECT_TRUE(
                    std::any_of(said->lost.begin(), said->lost.end(), [&](const PageRange& whole) {
                        return whole.first <= range.first && range.last <= whole.last;
                    }));
            }
        }
    }
}

// One envelope serves a session: rot in one costs nothing while another pack of the session can be
// read.
TEST_F(CheckCost, ADamagedEnvelopeCostsNothingWhileItsSessionHasAnotherPack) {
    const auto& packs = manifests[0].packs;
    ASSERT_GE(packs.size(), 2U);
    world.flip(packs.begin()->second.object.name, kPackHeaderSize + 60);
    EXPECT_TRUE(really_lost(0).empty());
    const CheckReport report = check(CheckLevel::Data);
    EXPECT_EQ(report.backups[0].state, BackupState::Whole);
    EXPECT_EQ(report.damaged.size(), 1U);
}

// ---- Sentences
// ----------------------------------------------------------------------------------------------------

TEST_F(CheckCost, SentencesNameFilesAndPages) {
    BackupCheck backup;
    backup.name = world.name_of(manifests[0]);
    backup.state = BackupState::Degraded;
    backup.paths_known = true;
    backup.files = 1023;
    backup.lost = {{"base/16384/2619", 40, {{12, 15}}}};
    CheckReport report;
    report.backups = {backup};
    const std::string subject = "backup " + manifests[0].backup + " of prod ";
    EXPECT_EQ(
        describe(report)[0],
        subject + "cannot restore base/16384/2619 (pages 12-15); its other 1,022 files are whole");

    report.backups[0].lost = {
        {"a\nb", 40, {{3, 3}}}, {"c", 2, {{0, 1}}}, {"d", 9000, {{1, 2}, {7, 7}, {4000, 4100}}}};
    report.backups[0].files = 4;
    EXPECT_EQ(describe(report)[0], subject +
                                       "cannot restore a\\x0ab (page 3), c (all of it), d (pages "
                                       "1-2, 7, 4,000-4,100); its other file is whole");

    report.backups[0].lost.resize(1);
    report.backups[0].files = 1;
    report.backups[0].exact = false;
    EXPECT_EQ(describe(report)[0], subject +
                                       "may not be able to restore a\\x0ab (page 3); it has no "
                                       "other file; with an identity the pages are known exactly");
}

TEST_F(CheckCost, SentencesStayShortWhateverIsLost) {
    BackupCheck backup;
    backup.paths_known = true;
    backup.state = BackupState::Degraded;
    backup.files = 50'000;
    for (int i = 0; i < 30'000; ++i) {
        LostFile file{"base/" + std::to_string(i), 100'000, {}};
        for (std::uint64_t page = 0; page < 50; ++page) {
            file.lost.push_back({page * 2, page * 2});
        }
        backup.lost.push_back(std::move(file));
    }
    CheckReport report;
    report.backups = {backup};
    for (int i = 0; i < 500; ++i) {
        report.missing.push_back({"s/prod/pack/x" + std::to_string(i), 1, "it does not exist"});
    }
    const auto lines = describe(report);
    EXPECT_LT(lines.size(), 40U);
    EXPECT_LT(lines[0].size(), 2000U);
    EXPECT_NE(lines[0].find("base/0 (50 pages in 50 places)"), std::string::npos);
    EXPECT_NE(lines[0].find("and 29,980 more files; its other 20,000 files are whole"),
              std::string::npos);
    EXPECT_NE(std::find(lines.begin(), lines.end(), "480 more objects are missing"), lines.end());
}

}  // namespace

}  // namespace lifeboat::repo

#include "restore/apply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "repo/map_index.h"
#include "restore/file_lander.h"
#include "restore/leftovers.h"
#include "tests/support/expect.h"
#include "tests/support/restore_world.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::restore {

using base::Code;
using test::fails;
using test::ok;
using test::RestoreWorld;
using test::SimFiles;
using test::small_cluster;
using test::Tree;
using test::tree_of;
using testing::HasSubstr;

namespace {

void write(base::Files& files, const std::string& path, base::BytesView bytes) {
    ASSERT_TRUE(ok(base::create_directories(files, base::parent_of(path))));
    ASSERT_TRUE(ok(base::write_durably(files, path, bytes, base::Replace::Yes)));
}

}  // namespace

TEST(Apply, RestoresEveryFileToTheByte) {
    RestoreWorld world(small_cluster());
    for (const std::size_t workers : {1U, 3U}) {
        SimFiles files;
        world.request.workers = workers;
        const auto report = world.apply(files);
        ASSERT_TRUE(ok(report));
        EXPECT_EQ(tree_of(files, "/restored"), world.tree);
        EXPECT_EQ(report->files, world.tree.size());
        EXPECT_EQ(report->bytes_kept, 0U);
        EXPECT_FALSE(files.stat("/restored/lifeboat.restore").has_value());
    }
}

TEST(Apply, ZeroPagesStayHoles) {
    Tree tree = small_cluster();
    tree["base/5/16386"] = base::Bytes(600 * 8192);
    RestoreWorld world(tree);
    SimFiles files;
    const auto report = world.apply(files);
    ASSERT_TRUE(ok(report));
    EXPECT_GE(report->bytes_zero, 600U * 8192);
    EXPECT_EQ(tree_of(files, "/restored"), tree);
}

TEST(Apply, RefusesATargetThatIsNotEmptyAndLeavesItAlone) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    write(files, "/restored/precious", base::view("x"));
    const Tree before = tree_of(files, "/restored");
    const auto report = world.apply(files);
    ASSERT_TRUE(fails(report, Code::Refused));
    EXPECT_THAT(report.error().message(), HasSubstr("'/restored' is not empty"));
    EXPECT_THAT(report.error().hint(), HasSubstr("--delta"));
    EXPECT_EQ(tree_of(files, "/restored"), before);
}

TEST(Apply, ADeltaIsRefusedWhereNothingOfTheKindStands) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    write(files, "/restored/precious", base::view("x"));
    const Tree before = tree_of(files, "/restored");
    world.request.existing = Existing::Delta;
    const auto report = world.apply(files);
    ASSERT_TRUE(fails(report, Code::Refused));
    EXPECT_THAT(report.error().message(), HasSubstr("'/restored' holds no 'global/pg_control'"));
    EXPECT_EQ(tree_of(files, "/restored"), before);
}

TEST(Apply, P9_AKillBeforeTheMarkerStandsIsNoObstacle) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    write(files, "/restored/.tmp-0123456789abcdef", base::view("{\"form"));
    write(files, "/restored/lost+found/rescued", base::view("the file system's own"));
    ASSERT_TRUE(ok(world.apply(files)));
    EXPECT_TRUE(files.stat("/restored/lost+found/rescued").has_value());
    ASSERT_TRUE(ok(files.remove("/restored/lost+found/rescued")));
    EXPECT_EQ(tree_of(files, "/restored"), world.tree);
}

TEST(Apply, AnInterruptedRestoreOfAnotherBackupIsNamed) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    write(files, "/restored/lifeboat.restore",
          base::view(R"({"backup": "20260101T000000Z-aaaa"})"));
    const auto report = world.apply(files);
    ASSERT_TRUE(fails(report, Code::Refused));
    EXPECT_THAT(report.error().message(),
                HasSubstr("an interrupted restore of another backup, '20260101T000000Z-aaaa'"));
    EXPECT_THAT(report.error().hint(), HasSubstr("--backup 20260101T000000Z-aaaa"));
    world.request.existing = Existing::Delta;
    ASSERT_TRUE(ok(world.apply(files)));
    EXPECT_EQ(tree_of(files, "/restored"), world.tree);
}

TEST(Apply, RefusesATargetInWhichAServerRunsEvenForADelta) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    write(files, "/restored/postmaster.pid",
          base::view(std::to_string(::getpid()) + "\n/restored\n"));
    world.request.existing = Existing::Delta;
    const auto report = world.apply(files);
    ASSERT_TRUE(fails(report, Code::Refused));
    EXPECT_THAT(report.error().message(), HasSubstr("is at work in '/restored'"));
}

TEST(Apply, RefusesATargetWithoutSpace) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    files.set_capacity(100 * base::kKiB);
    ASSERT_TRUE(fails(world.apply(files), Code::NoSpace));
    EXPECT_FALSE(files.stat("/restored").has_value());
}

// What the system itself will need there before it can open.
TEST(Apply, RefusesATargetWithoutSpaceForTheRecovery) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    files.set_capacity(64 * base::kMiB);
    world.request.landing.recovery_bytes = 64 * base::kMiB;
    const auto report = world.apply(files);
    ASSERT_TRUE(fails(report, Code::NoSpace));
    EXPECT_THAT(report.error().message(), HasSubstr("has 64.0 MiB free, the restore needs "));
    EXPECT_FALSE(files.stat("/restored").has_value());
    world.request.landing.recovery_bytes = 16 * base::kMiB;
    EXPECT_TRUE(ok(world.apply(files)));
}

TEST(Apply, RefusesATargetThatIsOrLiesBelowALinkToNothing) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    ASSERT_TRUE(ok(files.symlink("/gone", "/link")));
    for (const char* target : {"/link", "/link/deep/er"}) {
        world.request.target = target;
        const auto report = world.apply(files);
        ASSERT_TRUE(fails(report, Code::Refused)) << target;
        EXPECT_THAT(report.error().message(), HasSubstr("'/link' is a symbolic link to nothing"));
    }
}

TEST(Apply, ADeltaFetchesOnlyWhatDiffersAndRemovesTheRest) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    ASSERT_TRUE(ok(world.apply(files)));
    {
        auto file = files.open("/restored/base/5/16384", base::OpenMode::ReadWrite, 0600);
        ASSERT_TRUE(ok(file));
        ASSERT_TRUE(ok((*file)->write_at(7 * 8192 + 5, base::view("rot"))));
        ASSERT_TRUE(ok((*file)->truncate(890 * 8192)));
    }
    write(files, "/restored/base/5/99999", base::view("a relation that the backup does not have"));
    write(files, "/restored/pg_wal/000000010000000000000007", base::view("foreign WAL"));
    world.request.existing = Existing::Delta;
    const auto report = world.apply(files);
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(tree_of(files, "/restored"), world.tree);
    EXPECT_LE(report->bytes_fetched, 12U * 8192);
    EXPECT_GT(report->bytes_kept, 900U * 8192);
}

// Fingerprints only spare work: without them a delta fetches all, and leaves nothing of the old
// contents where the backup has zeros.
TEST(Apply, ADeltaWithoutFingerprintsFetchesAll) {
    Tree tree = small_cluster();
    tree["base/5/16387"] = base::Bytes(40 * 8192);
    RestoreWorld world(tree);
    SimFiles files;
    ASSERT_TRUE(ok(world.apply(files)));
    write(files, "/restored/base/5/16387", base::Bytes(40 * 8192, 'x'));
    for (const auto& [index, print] : world.backup.manifest.prints) {
        world.world.remove(print.object.name);
    }
    world.request.existing = Existing::Delta;
    const auto report = world.apply(files);
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(report->bytes_kept, 0U);
    EXPECT_EQ(tree_of(files, "/restored"), tree);
}

// On a real disk, where large files go past the page cache: whole blocks, holes, a short tail.
TEST(Apply, LargeFilesLandOnARealDisk) {
    Tree tree = small_cluster();
    tree["base/5/16388"] = test::table_like(8, (5 << 20) + 12345);
    tree["base/5/16389"] = base::Bytes(3 << 20);
    tree["base/5/16390"] = test::noise(9, 2 << 20);
    for (std::size_t at = 100 * 8192; at < 140 * 8192; ++at) {
        tree["base/5/16390"][at] = 0;
    }
    RestoreWorld world(tree);
    const test::TempDir directory;
    world.request.target = directory / "restored";
    for (const std::size_t workers : {1U, 4U}) {
        world.request.workers = workers;
        ASSERT_TRUE(ok(world.apply(base::real_files())));
        EXPECT_EQ(tree_of(base::real_files(), world.request.target), tree);
        const auto stat = base::real_files().stat(world.request.target + "/base/5/16390");
        const auto maps =
            repo::MapIndex::open(*world.world.store, world.world.repository->id(), world.backup);
        EXPECT_EQ(stat->modified, (*maps)->map("base/5/16390")->modified);
        ASSERT_TRUE(ok(base::remove_tree(base::real_files(), world.request.target)));
    }
}

TEST(Apply, LastIsTakenAwayBeforeADeltaChangesAnything) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    ASSERT_TRUE(ok(world.apply(files)));
    world.request.existing = Existing::Delta;
    files.fail_next(
        [](std::string_view op, const std::string& path) {
            return op == "open" && path.ends_with("base/5/1259");
        },
        EIO);
    ASSERT_FALSE(world.apply(files).has_value());
    EXPECT_FALSE(files.stat("/restored/global/pg_control").has_value());
}

TEST(Apply, ARestoredFileThatDiffersFromWhatWasCapturedIsAnError) {
    RestoreWorld world(small_cluster());
    const std::string pack = world.world.only("s/prod/pack/");
    world.world.flip(pack, world.world.bytes(pack).size() / 2);
    SimFiles files;
    const auto report = world.apply(files);
    ASSERT_TRUE(fails(report, Code::Corrupt));
    EXPECT_THAT(report.error().message(), HasSubstr("pack 's/prod/pack/"));
    EXPECT_FALSE(files.stat("/restored/global/pg_control").has_value());
}

TEST(Apply, ExtraFilesReplaceOrExtendWhatWasCaptured) {
    RestoreWorld world(small_cluster());
    world.request.landing.extra.push_back({"PG_VERSION", {'+'}, 0600, true});
    world.request.landing.extra.push_back({"pg_xact/0000", {'n', 'e', 'w'}, 0640, false});
    world.request.landing.directories = {"pg_wal/archive_status"};
    std::vector<engine::LandedFile> listed;
    world.request.landing.listing =
        [&](const std::vector<engine::LandedFile>& all) -> Result<engine::ExtraFile> {
        listed = all;
        return engine::ExtraFile{"listing", {'l'}, 0600, false};
    };
    SimFiles files;
    ASSERT_TRUE(ok(world.apply(files)));
    Tree expected = world.tree;
    expected["PG_VERSION"].push_back('+');
    expected["pg_xact/0000"] = {'n', 'e', 'w'};
    expected["listing"] = {'l'};
    EXPECT_EQ(tree_of(files, "/restored"), expected);
    EXPECT_EQ(listed.size(), world.tree.size());
    for (const engine::LandedFile& file : listed) {
        EXPECT_EQ(file.crc, base::crc32c(expected[file.path])) << file.path;
    }
    EXPECT_TRUE(ok(files.stat("/restored/pg_wal/archive_status")));
}

TEST(Apply, LinksLeadToTablespacesBeforeTheirContentsLand) {
    Tree tree = small_cluster();
    tree["pg_tblspc/16400/PG_15_202209061/5/16401"] = test::table_like(9, 5 * 8192);
    RestoreWorld world(tree);
    world.request.landing.links = {{"pg_tblspc/16400", "/fast/space", ""}};
    SimFiles files;
    ASSERT_TRUE(ok(world.apply(files)));
    const auto there = base::read_file(files, "/fast/space/PG_15_202209061/5/16401");
    ASSERT_TRUE(ok(there));
    EXPECT_EQ(*there, tree["pg_tblspc/16400/PG_15_202209061/5/16401"]);
    EXPECT_EQ(files.read_link("/restored/pg_tblspc/16400").value(), "/fast/space");
}

TEST(Apply, AStopEndsItAndALaterRunCompletesIt) {
    RestoreWorld world(small_cluster());
    SimFiles files;
    files.fail_next([](std::string_view op,
                       const std::string& path) { return op == "write" && path.ends_with("2619"); },
                    EIO);
    ASSERT_FALSE(world.apply(files).has_value());
    EXPECT_TRUE(ok(files.stat("/restored/lifeboat.restore")));
    const auto report = world.apply(files);  // the marker is consent
    ASSERT_TRUE(ok(report));
    EXPECT_TRUE(report->resumed);
    EXPECT_GT(report->bytes_kept, 0U);
    EXPECT_EQ(tree_of(files, "/restored"), world.tree);
    world.stop.request();
    world.request.target = "/other";
    EXPECT_TRUE(fails(world.apply(files), Code::Cancelled));
}

TEST(SliceRuns, IsTheSameAsCuttingTheListOfPages) {
    std::vector<repo::PageRun> runs = {
        {5, {0, 0, 0}}, {3, {}}, {16, {0, 1, 0}}, {1, {1, 7, 8192}}, {2, {}}};
    repo::FileMap map;
    map.size = 27 * 8192;
    map.runs = runs;
    const auto pages = repo::locations_of(map);
    for (std::size_t first = 0; first < pages.size(); ++first) {
        for (std::size_t count = 1; first + count <= pages.size(); ++count) {
            const auto slice = slice_runs(runs, 0, first, count);
            repo::FileMap part;
            part.size = count * 8192;
            part.runs = slice;
            const std::vector<repo::Location> expected(
                pages.begin() + static_cast<std::ptrdiff_t>(first),
                pages.begin() + static_cast<std::ptrdiff_t>(first + count));
            ASSERT_EQ(repo::locations_of(part), expected) << first << "+" << count;
        }
    }
}

TEST(RemoveLeftovers, KeepsParentsOfKeptPathsAndFollowsNamedLinksOnly) {
    SimFiles files;
    write(files, "/t/keep/a", base::view("1"));
    write(files, "/t/keep/b", base::view("2"));
    write(files, "/t/gone/c/d", base::view("3"));
    write(files, "/elsewhere/x", base::view("4"));
    ASSERT_TRUE(ok(files.symlink("/elsewhere", "/t/keep/link")));
    ASSERT_TRUE(ok(remove_leftovers(files, "/t", {"keep", "keep/a", "keep/link"}, {})));
    EXPECT_EQ(files.list("/t").value(), std::vector<std::string>{"keep"});
    EXPECT_EQ(files.list("/t/keep").value(), (std::vector<std::string>{"a", "link"}));
    EXPECT_TRUE(ok(files.stat("/elsewhere/x")));
}

}  // namespace lifeboat::restore

// Directories outside of the target, which others may use too: tablespaces, and links that an older
// tree has where the backup has directories.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/restore_world.h"

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

constexpr const char* kTable = "pg_tblspc/16400/PG_15_202209061/5/16401";

class Links : public testing::Test {
  protected:
    Links() {
        world.request.landing.links = {{"pg_tblspc/16400", "/fast/space", "PG_15_202209061"}};
        world.request.landing.directories = {"pg_wal"};
    }

    static Tree tree() {
        Tree tree = small_cluster();
        tree[kTable] = test::table_like(9, 5 * 8192);
        return tree;
    }

    void put(const std::string& path, std::string_view text = "of others") {
        ASSERT_TRUE(ok(base::create_directories(files, base::parent_of(path))));
        ASSERT_TRUE(ok(base::write_durably(files, path, base::view(text), base::Replace::Yes)));
    }

    bool there(const std::string& path) { return files.stat(path).has_value(); }

    // Interrupts a restore while it writes `name`.
    void interrupt_at(const std::string& name) {
        files.fail_next(
            [name](std::string_view op, const std::string& path) {
                return op == "write" && path.ends_with(name);
            },
            EIO);
        ASSERT_FALSE(world.apply(files).has_value());
    }

    RestoreWorld world{tree()};
    SimFiles files;
};

TEST_F(Links, T9_FilesThatALostClusterLeftInATablespaceAreNeverMixedIn) {
    put("/fast/space/PG_15_202209061/5/16401.1");
    const auto report = world.apply(files);
    ASSERT_TRUE(fails(report, Code::Refused));
    EXPECT_THAT(report.error().message(),
                HasSubstr("tablespace directory '/fast/space/PG_15_202209061' is not empty"));
    EXPECT_THAT(report.error().hint(), HasSubstr("--tablespace /fast/space="));
    EXPECT_FALSE(there("/restored")) << "a refused restore wrote something";
    EXPECT_TRUE(there("/fast/space/PG_15_202209061/5/16401.1"));
}

TEST_F(Links, ADeltaDoesNotTakeOverADirectoryThatItsOwnLinkDoesNotLeadTo) {
    ASSERT_TRUE(ok(world.apply(files)));
    world.request.existing = Existing::Delta;
    world.request.landing.links = {{"pg_tblspc/16400", "/other", "PG_15_202209061"}};
    put("/other/PG_15_202209061/5/1");
    EXPECT_TRUE(fails(world.apply(files), Code::Refused));
    EXPECT_TRUE(there("/other/PG_15_202209061/5/1"));
}

TEST_F(Links, WhatOthersKeepBesideItStays) {
    put("/fast/space/PG_14_202107181/5/1");
    put("/fast/space/lost+found/rescued");
    put("/fast/space/holiday/photo");
    interrupt_at("2619");
    ASSERT_TRUE(ok(world.apply(files)));
    put("/fast/space/PG_15_202209061/5/leftover");
    world.request.existing = Existing::Delta;
    ASSERT_TRUE(ok(world.apply(files)));
    EXPECT_FALSE(there("/fast/space/PG_15_202209061/5/leftover"));
    EXPECT_TRUE(there("/fast/space/PG_14_202107181/5/1"));
    EXPECT_TRUE(there("/fast/space/lost+found/rescued"));
    EXPECT_TRUE(there("/fast/space/holiday/photo"));
}

TEST_F(Links, P9_AnInterruptedRestoreFindsItsTablespaceAgain) {
    interrupt_at("16401");
    const auto report = world.apply(files);
    ASSERT_TRUE(ok(report));
    EXPECT_TRUE(report->resumed);
    EXPECT_EQ(files.read_link("/restored/pg_tblspc/16400").value(), "/fast/space");
    EXPECT_TRUE(there("/fast/space/PG_15_202209061/5/16401"));
}

TEST_F(Links, T8_ALinkWhereTheBackupHasADirectoryIsReplaced) {
    ASSERT_TRUE(ok(world.apply(files)));
    ASSERT_TRUE(ok(base::remove_tree(files, "/restored/pg_wal")));
    put("/disk/wal/000000010000000000000009");
    ASSERT_TRUE(ok(files.symlink("/disk/wal", "/restored/pg_wal")));
    world.request.existing = Existing::Delta;
    ASSERT_TRUE(ok(world.apply(files)));
    EXPECT_EQ(files.lstat("/restored/pg_wal")->kind, base::FileKind::Directory);
    EXPECT_EQ(files.list("/restored/pg_wal").value(), std::vector<std::string>{});
    EXPECT_TRUE(there("/disk/wal/000000010000000000000009"));
}

}  // namespace
}  // namespace lifeboat::restore

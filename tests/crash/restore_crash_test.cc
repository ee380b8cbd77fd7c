// A restore that loses its power at any instant (P5, P9): what is left never looks complete unless
// it is, and running it again completes it.
#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/restore_world.h"

namespace lifeboat::restore {

using test::CrashMode;
using test::ok;
using test::RestoreWorld;
using test::SimFiles;
using test::Tree;
using test::tree_of;

namespace {

Tree tiny_cluster() {
    Tree tree;
    tree["PG_VERSION"] = {'1', '5', '\n'};
    tree["base/5/1259"] = test::table_like(1, 3 * 8192);
    tree["base/5/2619"] = test::table_like(2, 8192 + 77);
    tree["global/pg_control"] = test::noise(4, 512);
    return tree;
}

// pg_control is there only when everything else is, byte for byte.
void expect_never_looks_complete_unless_it_is(SimFiles& files, const Tree& whole, std::uint64_t n) {
    if (!files.stat("/restored/global/pg_control").has_value()) {
        return;
    }
    EXPECT_EQ(tree_of(files, "/restored"), whole) << "after " << n << " operations";
}

class RestoreCrash : public testing::TestWithParam<CrashMode> {};

TEST_P(RestoreCrash, P5_ControlFileLandsLastAndP9_ASecondRunCompletes) {
    RestoreWorld world(tiny_cluster());
    bool cut = true;
    std::uint64_t n = 0;
    for (; cut; ++n) {
        SimFiles files;
        files.crash_after(n);
        const auto first = world.apply(files);
        cut = files.power_was_cut();
        EXPECT_EQ(first.has_value(), !cut) << n;
        files.power_cycle(GetParam());
        expect_never_looks_complete_unless_it_is(files, world.tree, n);
        if (!cut) {
            break;
        }
        // The marker, an empty directory, or nothing: each may be taken up again. A complete tree
        // without a marker is somebody's cluster.
        const auto second = world.apply(files);
        if (!second.has_value()) {
            ASSERT_EQ(second.error().code(), base::Code::Refused)
                << n << ": " << second.error().message();
            ASSERT_FALSE(files.stat("/restored/lifeboat.restore").has_value()) << n;
        }
        EXPECT_EQ(tree_of(files, "/restored"), world.tree) << n;
    }
    EXPECT_GT(n, 20U) << "operations of a whole restore: less is none";
}

TEST_P(RestoreCrash, ADeltaThatIsCutLeavesNoStartableMixture) {
    RestoreWorld world(tiny_cluster());
    Tree older = tiny_cluster();
    older["base/5/1259"] = test::table_like(77, 3 * 8192);
    older["base/5/4711"] = test::table_like(78, 8192);
    RestoreWorld before(older);
    bool cut = true;
    for (std::uint64_t n = 0; cut; ++n) {
        SimFiles files;
        ASSERT_TRUE(ok(before.apply(files)));
        files.power_cycle(test::kKeepAll);
        world.request.existing = Existing::Delta;
        files.crash_after(n);
        world.apply(files).discard("the power may go");
        cut = files.power_was_cut();
        files.power_cycle(GetParam());
        if (files.stat("/restored/global/pg_control").has_value()) {
            Tree now = tree_of(files, "/restored");
            // What a cut write_durably leaves of the marker: no server reads it.
            std::erase_if(now, [](const auto& file) { return file.first.starts_with(".tmp-"); });
            EXPECT_TRUE(now == older || now == world.tree) << n;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Modes, RestoreCrash,
                         testing::Values(test::kLoseUnsynced, test::kKeepAll,
                                         test::keep_random_subset(1), test::keep_random_subset(2),
                                         test::keep_random_subset(3)));

}  // namespace
}  // namespace lifeboat::restore

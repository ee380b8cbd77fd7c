#pragma once

#include <string>

#include "restore/apply.h"
#include "tests/support/repo_world.h"
#include "tests/support/sim_files.h"

namespace lifeboat::test {

// The contents of every file below `directory`, without the marker of an incomplete restore.
inline base::Result<> read_tree(base::Files& files, const std::string& directory,
                                const std::string& below, Tree& out) {
    const auto names = TRY(files.list(base::join(directory, below)));
    for (const std::string& name : names) {
        const std::string path = below.empty() ? name : base::join(below, name);
        const base::FileStat stat = TRY(files.stat(base::join(directory, path)));
        if (stat.kind == base::FileKind::Directory) {
            TRY(read_tree(files, directory, path, out));
        } else if (name != restore::kMarkerFile) {
            out[path] = TRY(base::read_file(files, base::join(directory, path)));
        }
    }
    return {};
}

inline Tree tree_of(base::Files& files, const std::string& directory) {
    Tree tree;
    read_tree(files, directory, "", tree).discard("what is there is compared; the rest is absent");
    return tree;
}

// A repository with one backup of `tree`, and a file system to restore it into.
struct RestoreWorld {
    explicit RestoreWorld(Tree contents) : tree(std::move(contents)) {
        CaptureJob job;
        job.tree = &tree;
        auto taken = world.capture(job);
        EXPECT_TRUE(taken.has_value());
        auto opened = world.load(*taken);
        EXPECT_TRUE(opened.has_value());
        backup = std::move(opened).value();
        request.target = "/restored";
        request.landing.last = "global/pg_control";
        request.landing.pid_file = "postmaster.pid";
        request.workers = 1;
    }

    base::Result<restore::ApplyReport> apply(base::Files& files) {
        restore::ApplyProgress progress;
        const engine::Context context{files, world.clock, *world.random, stop};
        return restore::apply(*world.repository, world.reader, backup, request, progress, context);
    }

    Tree tree;
    RepoWorld world;
    repo::OpenedManifest backup;
    restore::ApplyRequest request;
    base::StopToken stop;
};

inline Tree small_cluster() {
    Tree tree;
    tree["PG_VERSION"] = {'1', '5', '\n'};
    tree["base/5/1259"] = table_like(1, 40 * 8192);
    tree["base/5/16384"] = table_like(2, 900 * 8192);  // two ranges
    tree["base/5/16385"] = {};
    tree["base/5/2619"] = table_like(3, 3 * 8192 + 100);
    tree["global/pg_control"] = noise(4, 8192);
    tree["pg_xact/0000"] = table_like(5, 8192);
    return tree;
}

}  // namespace lifeboat::test

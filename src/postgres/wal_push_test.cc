#include "postgres/wal_push.h"

#include <gtest/gtest.h>

#include "postgres/backup_details.h"
#include "repo/stream.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wal_forge.h"

namespace lifeboat::postgres {
namespace {

using base::Code;
using test::fails;
using test::ok;

TEST(WalPush, T25_TakesNothingFromACopyThatARestoreMade) {
    test::RepoWorld world;
    const test::TempDir data;
    const std::string marker = data / std::string(kRestoredFile);
    const base::StopToken stop;
    const engine::Context context{base::real_files(), base::system_clock(), base::system_random(),
                                  stop};
    const PushJob job{*world.repository, world.keys.host, "prod", std::chrono::days(7), ""};
    ASSERT_TRUE(ok(base::write_durably(base::real_files(), marker, {}, base::Replace::No)));
    for (const char* name : {"pg_wal/00000002.history", "pg_wal/000000010000000000000001",
                             "pg_wal/000000010000000000000001.partial"}) {
        const auto refused = push_segment(job, context, data / name);
        ASSERT_TRUE(fails(refused, Code::Refused)) << name;
        EXPECT_NE(refused.error().hint().find(kRestoredFile), std::string::npos);
    }
    ASSERT_TRUE(ok(base::real_files().remove(marker)));
    EXPECT_TRUE(fails(push_segment(job, context, data / "pg_wal/00000002.history"), Code::NotFound))
        << "it is looked at again";
}

// A whole segment of one mebibyte in the directory.
std::string forge_segment(const test::TempDir& directory, std::uint64_t system, int major) {
    const SegmentSize size = *SegmentSize::of(base::kMiB);
    WalForge forge(major, size, Lsn{base::kMiB}, 1, system);
    forge.append({});
    forge.switch_segment();
    const std::string path = directory / segment_name(1, 1, size);
    EXPECT_TRUE(
        ok(base::write_durably(base::real_files(), path, forge.bytes(), base::Replace::Yes)));
    return path;
}

// There is a backup, and no stream yet that could tell whose it is.
TEST(WalPush, T18_TakesNothingFromAnotherClusterThanTheNewestBackupIsOf) {
    constexpr std::uint64_t kOwn = 7000000000000000001ULL;
    test::RepoWorld world;
    const test::Tree tree{{"PG_VERSION", base::Bytes(3, 0x31)}};
    BackupDetails details;
    details.system_identifier = kOwn;
    details.version = 150004;
    const base::Json told = details.to_json();
    ASSERT_TRUE(ok(world.capture({.tree = &tree, .details = &told})));
    const test::TempDir data;
    const base::StopToken stop;
    const engine::Context context{base::real_files(), world.clock, base::system_random(), stop};
    for (const std::string& spool : {std::string(), data / "spool"}) {
        const PushJob job{*world.repository, world.keys.host, "prod", std::chrono::days(7), spool};
        const std::pair<std::uint64_t, int> others[] = {{kOwn + 1, 15}, {kOwn, 16}};
        for (const auto& [system, major] : others) {
            const auto refused = push_segment(job, context, forge_segment(data, system, major));
            ASSERT_TRUE(fails(refused, Code::Conflict)) << system << " of " << major;
            EXPECT_NE(refused.error().message().find("the newest backup of this system"),
                      std::string::npos);
            EXPECT_NE(refused.error().hint().find("archive_command"), std::string::npos);
        }
        EXPECT_TRUE(world.names("s/prod/walpack/").empty());
        EXPECT_TRUE(fails(base::real_files().stat(data / "spool"), Code::NotFound));
    }
    const PushJob job{*world.repository, world.keys.host, "prod", std::chrono::days(7),
                      data / "spool"};
    EXPECT_TRUE(ok(push_segment(job, context, forge_segment(data, kOwn, 15))));
    EXPECT_EQ(world.names("s/prod/walpack/").size(), 1U);
}

}  // namespace
}  // namespace lifeboat::postgres

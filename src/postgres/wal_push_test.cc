#include "postgres/wal_push.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/repo_world.h"
#include "tests/support/temp_dir.h"

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

}  // namespace
}  // namespace lifeboat::postgres

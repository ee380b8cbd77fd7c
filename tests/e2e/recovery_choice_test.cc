#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/forged_backup.h"
#include "tests/e2e/recovery_fixture.h"
#include "tests/support/expect.h"

// Which backup a recovery begins with, and what is said of it.

namespace lifeboat::test {
namespace {

using base::Code;
using testing::HasSubstr;
using namespace std::chrono_literals;

TEST_F(RecoveryTest, T23_ABackupIsNotUsedForAMomentBeforeItsVeryEnd) {
    const ForgedBackup later(world(), [&](repo::Manifest& m, postgres::BackupDetails& d) {
        d.start = d.stop = world().at("three").lsn;
        m.stop = std::chrono::floor<std::chrono::seconds>(world().at("six").time) + 900ms;
    });
    Restored restored(world(), "restored");
    const auto used = [&](base::Timestamp at) {
        EXPECT_TRUE(ok(restored.plan(engine::AtTime{at})));
        return restored.recovery ? restored.recovery->backup.manifest.backup : "";
    };
    EXPECT_EQ(used(later.forged.stop - 400ms), later.original.backup) << "the same second";
    EXPECT_EQ(used(later.forged.stop - 1us), later.original.backup);
    EXPECT_EQ(used(later.forged.stop), later.forged.backup);

    const auto early = restored.plan(engine::AtTime{later.original.stop - 1us});
    ASSERT_TRUE(fails(early, Code::Refused));
    EXPECT_THAT(early.error().hint(), HasSubstr(base::human_time(later.original.stop, 6)));
}

TEST_F(RecoveryTest, ABackupWithDamagedPagesIsNotRestoredWithoutAWord) {
    const ForgedBackup rotten(world(), [&](repo::Manifest& m, postgres::BackupDetails&) {
        m.stop += 1s;
        m.damage = {{"base/5/16384", 7, "bad checksum"}, {"base/5/16384", 9, "bad checksum"}};
        m.counts.damaged_pages = 2;
    });
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.plan(engine::Latest{})));
    ASSERT_EQ(restored.recovery->backup.manifest.backup, rotten.forged.backup);
    const std::string said = restored.recovery->sentences.front();
    EXPECT_THAT(said, HasSubstr("page 7 of 'base/5/16384' (bad checksum)"));
    EXPECT_THAT(said, HasSubstr("2 in all"));
    EXPECT_THAT(said, HasSubstr("--backup " + rotten.original.backup));
}

}  // namespace
}  // namespace lifeboat::test

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "crypto/envelope.h"
#include "postgres/backup_details.h"
#include "repo/manifest.h"
#include "repo/names.h"
#include "tests/e2e/recovery_fixture.h"
#include "tests/support/expect.h"

// Which backup a recovery begins with, and what is said of it.

namespace lifeboat::test {
namespace {

using base::Code;
using testing::HasSubstr;
using namespace std::chrono_literals;

// The world's backup once more, under a name of its own and changed; gone with this object. Good
// for plans, not for restores.
class ForgedBackup {
  public:
    using Change = std::function<void(repo::Manifest&, postgres::BackupDetails&)>;

    ForgedBackup(RecoveryWorld& world, const Change& change) : world_(world) {
        const auto names = world.repository->backups("prod");
        EXPECT_TRUE(ok(names));
        const auto opened = world.repository->load(names->front(), *world.reader);
        EXPECT_TRUE(ok(opened));
        original = opened->manifest;
        forged = opened->manifest;
        forged.backup = repo::make_backup_id(forged.start, base::system_random());
        auto details = postgres::BackupDetails::from_json(forged.details);
        EXPECT_TRUE(ok(details));
        change(forged, *details);
        forged.details = details->to_json();
        const base::Bytes envelope = crypto::seal_envelope(
            world.keys.host.secret.reveal(), world.keys.recipients(), base::system_random());
        const auto bytes =
            repo::encode_manifest(forged, world.repository->id(), world.keys.host, envelope);
        EXPECT_TRUE(ok(bytes));
        name_ = repo::ManifestName{"prod", forged.stop, forged.expires, forged.backup}.text();
        EXPECT_TRUE(ok(world.store->put(name_, *bytes)));
    }

    ~ForgedBackup() { EXPECT_TRUE(ok(world_.store->remove(name_))); }

    ForgedBackup(const ForgedBackup&) = delete;
    ForgedBackup& operator=(const ForgedBackup&) = delete;

    repo::Manifest original;
    repo::Manifest forged;

  private:
    RecoveryWorld& world_;
    std::string name_;
};

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

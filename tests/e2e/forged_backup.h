#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "crypto/envelope.h"
#include "postgres/backup_details.h"
#include "repo/manifest.h"
#include "repo/names.h"
#include "tests/e2e/recovery_world.h"
#include "tests/support/expect.h"

namespace lifeboat::test {

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

}  // namespace lifeboat::test

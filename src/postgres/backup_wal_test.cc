#include "postgres/backup_wal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/wal_bodies.h"
#include "tests/support/wal_forge.h"

namespace lifeboat::postgres {
namespace {

using base::Code;
using test::fails;
using test::ok;

class BackupWalTest : public testing::Test {
  protected:
    BackupWalTest() {
        details.version = 150004;
        details.wal_segment_size = 1 << 20;
        details.system_identifier = 7000000000000000001ULL;
        details.settings["max_connections"] = "100";
        forge.append({});  // before the backup
        details.start = forge.end();
    }

    // The segment, as a file: what was not written is zeros.
    Result<> read() {
        base::Bytes segment(forge.bytes().begin(), forge.bytes().end());
        segment.resize(details.wal_segment_size);
        BackupWal wal(details);
        TRY(wal.feed(forge.start(), segment));
        return wal.finish();
    }

    BackupDetails details;
    WalForge forge{15, *SegmentSize::of(1 << 20), Lsn{5 << 20}};
};

TEST_F(BackupWalTest, T9_TellsOfTablespacesThatReplayingItMakes) {
    forge.append(tablespace_create(16400, "/srv/fast"));
    details.stop = forge.end();
    forge.append(tablespace_create(16401, "/srv/later"));
    ASSERT_TRUE(ok(read()));
    ASSERT_EQ(details.created_tablespaces.size(), 1U);
    EXPECT_EQ(details.created_tablespaces[0].oid, 16400U);
    EXPECT_EQ(details.created_tablespaces[0].path, "/srv/fast");
}

TEST_F(BackupWalTest, T10_WalThatEndsBeforeTheBackupIsNoBackup) {
    forge.append({});
    details.stop = forge.end() + 8;
    const auto short_of_it = read();
    ASSERT_TRUE(fails(short_of_it, Code::Corrupt));
    EXPECT_THAT(short_of_it.error().message(), testing::HasSubstr("before the backup does"));
}

TEST_F(BackupWalTest, T18_WalOfAnotherClusterIsNoBackup) {
    forge.append({});
    details.stop = forge.end();
    details.system_identifier += 1;
    EXPECT_TRUE(fails(read(), Code::Corrupt));
}

}  // namespace
}  // namespace lifeboat::postgres

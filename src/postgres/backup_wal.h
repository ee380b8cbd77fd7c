#pragma once

#include "postgres/backup_details.h"
#include "postgres/wal_reader.h"

namespace lifeboat::postgres {

// Reads the WAL that a backup carries, while it is captured: that it is whole from start to stop
// (T10), and what a server does when it replays it, which no file of the backup tells: tablespaces
// that it makes (T9), settings that it must not have less of (T24). One thread.
class BackupWal {
  public:
    // `details` has start, stop and the cluster's facts, and must outlive it; gets
    // created_tablespaces and higher settings.
    explicit BackupWal(BackupDetails& details);

    // The whole segments from that of `start` to that of `stop`, in order. Corrupt when one is no
    // WAL of this cluster at this place.
    Result<> feed(Lsn at, BytesView segment);
    // After the last. Corrupt unless the records reach `stop`.
    Result<> finish() const;

  private:
    Result<> note(const WalRecord& record);

    BackupDetails& details_;
    WalReader reader_;
};

}  // namespace lifeboat::postgres

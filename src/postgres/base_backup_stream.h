#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "postgres/backup_session.h"
#include "postgres/connection.h"
#include "postgres/lsn.h"
#include "postgres/tar_reader.h"

namespace lifeboat::postgres {

// BASE_BACKUP over the wire: a backup for which nobody here can read the server's files. The server
// applies the rules of exclusions.h and verifies page checksums itself. WAL is not included. The
// session is a PhysicalReplication one.

struct BaseBackupOptions {
    std::string label = "lifeboat";
    CheckpointPace checkpoint = CheckpointPace::Fast;
    bool estimate_sizes = false;  // costs the server a walk over all files before it begins
    std::uint32_t max_kib_per_second = 0;  // 32 to 1048576; 0: no limit
};

struct BaseBackupTablespace {
    std::uint32_t oid = 0;  // 0: the data directory itself
    std::string location;
    std::optional<std::uint64_t> estimated_size;
};

struct BaseBackupStart {
    Lsn lsn;
    TimelineId timeline = 0;
    std::vector<BaseBackupTablespace> tablespaces;  // the data directory is one of them
};

// Ends the archive before it.
struct ArchiveBegan {
    std::uint32_t tablespace = 0;  // 0: the data directory
};

struct ArchiveBytes {
    base::BytesView bytes;  // of a tar archive; borrowed until the next call
};

struct BaseBackupEnded {
    Lsn lsn;
    TimelineId timeline = 0;
};

struct BaseBackupQuiet {};  // nothing came before the deadline

using BaseBackupEvent = std::variant<ArchiveBegan, ArchiveBytes, BaseBackupEnded, BaseBackupQuiet>;

// The command as `server_version` wants it; pure.
std::string base_backup_command(const BaseBackupOptions& options, int server_version);

// The archives as they come: before 15 one COPY for each, from 15 on all in one. One thread;
// `connection` must outlive it, is used for nothing else meanwhile, and is best closed after a
// failure.
class BaseBackupStream {
  public:
    // Waits for the checkpoint, up to `limit`.
    static Result<BaseBackupStream> start(Connection& connection, const BaseBackupOptions& options,
                                          base::Duration limit);

    const BaseBackupStart& begun() const { return begun_; }

    // BaseBackupEnded comes last, and only when the server calls the backup good: Corrupt when it
    // found bad page checksums (each is in the connection's notices).
    Result<BaseBackupEvent> next(Deadline deadline);

  private:
    explicit BaseBackupStream(Connection& connection) : connection_(&connection) {}

    Result<> read_header(Deadline deadline);
    Result<> read_tablespaces(const QueryResult& rows);
    Result<std::optional<BaseBackupEvent>> next_archive();
    Result<std::optional<BaseBackupEvent>> read_message(base::BytesView message);
    Result<BaseBackupEvent> finish();

    Connection* connection_;
    BaseBackupStart begun_;
    bool joined_ = false;  // all archives in one COPY: from 15 on
    bool copying_ = false;
    std::size_t archives_ = 0;  // begun so far
    std::optional<CopyMessage> message_;
};

// The same as files: the archives unpacked, names relative to the data directory
// ("pg_tblspc/16400/PG_15_202209061/5/16401"). backup_label and tablespace_map are among them,
// first; global/pg_control is the last of its archive.
struct FileData {
    base::BytesView bytes;  // of the entry last returned; borrowed until the next call
};

using BackupFileEvent = std::variant<TarEntry, FileData, BaseBackupEnded, BaseBackupQuiet>;

class BaseBackupFiles {
  public:
    explicit BaseBackupFiles(BaseBackupStream stream) : stream_(std::move(stream)) {}

    const BaseBackupStart& begun() const { return stream_.begun(); }

    Result<BackupFileEvent> next(Deadline deadline);

  private:
    Result<std::optional<BackupFileEvent>> next_in_chunk();
    Result<std::optional<BackupFileEvent>> take(BaseBackupEvent event);

    BaseBackupStream stream_;
    TarReader tar_;
    bool chunk_open_ = false;
    std::uint32_t tablespace_ = 0;
};

}  // namespace lifeboat::postgres

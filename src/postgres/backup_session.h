#pragma once

#include <string>
#include <string_view>

#include "postgres/connection.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// A backup taken from the files of a running server: between start_backup and stop_backup the
// copied files may be of any moment, and WAL from `start` to `stop` makes one moment of them. The
// server ends the backup when the session ends, so one Connection spans it all, and the label
// exists only in what stop_backup returns (T1, T19).

enum class CheckpointPace { Spread, Fast };

struct BackupStart {
    Lsn lsn;                  // redo point: recovery begins here
    TimelineId timeline = 0;  // of a standby that follows a promotion at this very moment, perhaps
                              // the one before: BackupStop knows
    std::string wal_file;     // the segment that holds `lsn`
    bool from_standby = false;
};

struct BackupStop {
    Lsn lsn;                     // consistent from here on
    TimelineId timeline = 0;     // on which recovery begins, as the label has it
    std::string backup_label;    // byte for byte what a restored data directory needs
    std::string tablespace_map;  // empty: none is needed
};

// What a backup_label says.
struct BackupLabel {
    Lsn start;
    std::string wal_file;
    Lsn checkpoint;
    bool from_standby = false;
    TimelineId timeline = 0;
    std::string label;
};

Result<BackupLabel> parse_backup_label(std::string_view text);  // Corrupt

// Begins a backup; waits for a checkpoint, which with CheckpointPace::Spread takes as long as the
// server's settings say. On a standby it waits for no checkpoint of its own but uses the last
// restartpoint. Denied with a hint when the role may not.
Result<BackupStart> start_backup(Connection& connection, const std::string& label,
                                 CheckpointPace checkpoint, base::Duration limit);

// Ends it, without waiting for the server's own archiving. Conflict when a standby was promoted
// meanwhile, or when the label does not tell of the backup that was started: the copy is then
// worthless. Unavailable when the session was lost: likewise.
Result<BackupStop> stop_backup(Connection& connection, const BackupStart& start,
                               base::Duration limit = Connection::kDefaultLimit);

// Fails as stop_backup would if the session is lost or the standby was promoted: to be asked during
// a long copy.
Result<> check_backup(Connection& connection, const BackupStart& start);

}  // namespace lifeboat::postgres

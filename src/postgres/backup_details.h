#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// What a manifest says about a backup of PostgreSQL: its `details`.
struct TablespaceDetails {
    std::uint32_t oid = 0;
    std::string path;       // where its link pointed; absolute
    bool in_place = false;  // a directory inside pg_tblspc, not a link
};

struct CreatedTablespace {
    std::uint32_t oid = 0;
    std::string path;
};

struct BackupDetails {
    std::uint64_t system_identifier = 0;
    int version = 0;  // 150004

    int major() const { return version / 10000; }

    TimelineId timeline = 0;  // at the start
    Lsn start;                // redo point: recovery begins here
    Lsn stop;                 // consistent from here on
    bool from_standby = false;
    std::string backup_label;  // byte-exact, from the server
    std::string tablespace_map;
    std::uint32_t block_size = 8192;
    std::uint32_t wal_segment_size = 0;
    std::uint32_t relation_segment_size = 0;  // bytes
    bool checksums = false;
    std::string version_directory;  // "PG_15_202209061"
    std::string data_directory;     // where it was
    std::vector<TablespaceDetails> tablespaces;
    // That the backup's own WAL makes: a server which replays it links `path`, wherever it runs.
    std::vector<CreatedTablespace> created_tablespaces;
    std::map<std::string, std::string>
        settings;  // those that matter when it starts elsewhere (T24), and wal_level
    std::vector<std::string> outside_files;  // configuration files that lay outside the data
                                             // directory, captured under "lifeboat.config/"

    base::Json to_json() const;
    static Result<BackupDetails> from_json(const base::Json& json);
};

// Directory in the captured tree that holds configuration files which lay elsewhere (Debian keeps
// them in /etc).
inline constexpr std::string_view kConfigDirectory = "lifeboat.config";

}  // namespace lifeboat::postgres

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "postgres/connection.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// What a server says about itself, by SQL alone: all that a backup, a stream, a restore elsewhere
// or a person's question about them needs to know. A fact that the role may not see is absent, not
// guessed.

struct Setting {
    std::string value;  // in `unit`, as pg_settings has it: "16384" and "8kB"
    std::string unit;
    std::string source;  // "default", "configuration file", "command line", ...
    bool pending_restart = false;
};

struct TablespaceFact {
    std::uint32_t oid = 0;
    std::string name;
    std::string location;   // absolute; of one in place, relative to the data directory
    bool in_place = false;  // a directory inside pg_tblspc instead of a link
};

struct DatabaseFact {
    std::uint32_t oid = 0;
    std::string name;
    std::string encoding;
    std::string collate;
    std::string ctype;
    std::string provider;                          // "c": libc, "i": ICU, "b": builtin
    std::optional<std::string> collation_version;  // with which its indexes were built; from 15 on
    std::optional<std::string> actual_version;     // what the server's libraries have now
    bool accepts_connections = true;
};

struct CollationVersion {
    std::string provider;
    std::string version;
};

struct ExtensionFact {
    std::string name;
    std::string version;
};

struct RoleFacts {
    std::string name;
    bool superuser = false;
    bool replication = false;
    bool reads_all_settings = false;  // or is a superuser
    bool may_back_up = false;  // may call the start and stop functions of this server's version
};

// The server's clock less ours, and how wrong that may be: half the round trip.
struct ClockOffset {
    base::Duration offset{};
    base::Duration bound{};
};

struct ServerFacts {
    int version = 0;  // 150004
    std::uint64_t system_identifier = 0;
    std::uint32_t control_version = 0;
    std::uint32_t catalog_version = 0;
    bool in_recovery = false;
    TimelineId timeline = 0;  // of a standby: the newest that it is known to follow
    std::uint32_t block_size = 0;
    std::uint32_t wal_block_size = 0;
    std::uint32_t blocks_per_segment = 0;  // of a relation's segment file
    SegmentSize wal_segment;
    bool data_checksums = false;
    std::optional<std::string> data_directory;  // these four need pg_read_all_settings
    std::optional<std::string> config_file;
    std::optional<std::string> hba_file;
    std::optional<std::string> ident_file;
    std::map<std::string, Setting>
        settings;  // those of kSettings that this version has and the role may see
    std::vector<TablespaceFact> tablespaces;  // without pg_default and pg_global
    std::vector<DatabaseFact> databases;      // without template0
    std::vector<CollationVersion>
        collation_versions;                 // distinct ones recorded in the connected database
    std::vector<ExtensionFact> extensions;  // of the connected database
    std::string connected_database;
    base::Timestamp started;
    ClockOffset clock;
    RoleFacts role;

    int major() const { return version / 10000; }

    // "PG_15_202209061": this cluster's directory in each tablespace.
    std::string version_directory() const;
    std::string setting(const std::string& name, std::string_view otherwise = "") const;
    // A size setting in bytes, a time setting in microseconds, another in its own unit; nothing
    // when absent or not a number.
    std::optional<std::int64_t> number(const std::string& name) const;
};

inline constexpr int kOldestMajor = 13;
inline constexpr int kNewestMajor = 18;

// Unsupported outside of 13 to 18.
Result<> check_version(int server_version);

// Asks the server. `connection` is an Sql session. Unsupported for other versions; Denied when even
// the public facts are closed.
Result<ServerFacts> gather_facts(Connection& connection, base::Clock& clock);

}  // namespace lifeboat::postgres

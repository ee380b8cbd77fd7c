#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace lifeboat::postgres {

// Which entries of a data directory belong in a backup. Pure: names and kinds in, decisions out;
// nothing is read. Paths are relative to the data directory and use '/'; what lies in a tablespace
// is named through its link, as in "pg_tblspc/16400/PG_15_202209061/5/16401".

inline constexpr std::uint32_t kDefaultTablespace = 1663;  // base/
inline constexpr std::uint32_t kGlobalTablespace = 1664;   // global/

enum class Fork { Main, Fsm, Vm, Init };

struct RelationFile {
    std::uint32_t tablespace = kDefaultTablespace;
    std::uint32_t database = 0;  // 0 in global/
    std::uint32_t number = 0;    // the relfilenode, not the OID of the table
    Fork fork = Fork::Main;
    std::uint32_t segment = 0;             // 0 has no suffix
    std::optional<std::uint32_t> backend;  // set for a temporary relation: t3_16400
};

// Nothing unless `name` is exactly what the server gives to a relation's file: no leading zeros, no
// overflow. Tablespace and database are left as they are.
std::optional<RelationFile> parse_relation_name(std::string_view name);

// The same with the directory understood: base/DB, global, pg_tblspc/OID/PG_MAJOR_CATALOG/DB.
std::optional<RelationFile> parse_relation_path(std::string_view path);

// The inverse. `version_directory` ("PG_15_202209061") matters only outside of base/ and global/.
std::string relation_path(const RelationFile& file, std::string_view version_directory);

enum class Keep {
    Copy,            // a file with its bytes; a directory, whose entries are then judged one by one
    CopyLast,        // global/pg_control: after everything else (T2)
    EmptyDirectory,  // the directory without its contents, even where a symlink stands in its place
                     // (T6, T8)
    TablespaceLink,  // a symlink in pg_tblspc: its target's version directory is copied, judged
                     // through the link (T9)
    ForeignLink,     // any other symlink: the server does not make these, so the caller follows or
                     // reports it
    Skip,
};

struct DirectoryRules {
    std::string version_directory;  // "PG_15_202209061": the only directory of a tablespace that is
                                    // this cluster's
    // stats_temp_directory of servers before 15, relative to the data directory; empty when it lies
    // elsewhere.
    std::string statistics_directory = "pg_stat_tmp";
};

// Judges one entry by its path alone. The rule for unlogged relations needs the whole listing: see
// judge_directory.
Keep judge(std::string_view path, base::FileKind kind, const DirectoryRules& rules);

struct DirectoryEntry {
    std::string name;
    base::FileKind kind = base::FileKind::Other;
};

// Judges a whole directory ("" is the data directory itself); the answers stand in the order of
// `entries`. The forks of an unlogged relation are skipped, except the init fork, from which
// recovery makes it anew (T7).
std::vector<Keep> judge_directory(std::string_view directory,
                                  std::span<const DirectoryEntry> entries,
                                  const DirectoryRules& rules);

// Directories that a restored cluster must have although a backup holds nothing of them; parents
// come first.
std::vector<std::string> required_empty_directories(int major);

}  // namespace lifeboat::postgres

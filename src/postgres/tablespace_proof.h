#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/files.h"
#include "postgres/connection.h"

namespace lifeboat::postgres {

// Whether the tablespaces that we see are those of the server. The data directory may be the
// server's own while a tablespace is not: its file system is not mounted where lifeboat runs, or
// the same path holds something else there.

struct TablespaceSight {
    std::set<std::uint32_t> databases;        // that have files in it
    std::optional<base::Timestamp> modified;  // the version directory, in whole seconds; nothing
                                              // where the role may not ask
};

using TablespaceSights = std::map<std::uint32_t, TablespaceSight>;  // by oid

// Empty when what we found is what the server saw before and after; else a sentence. What came or
// went in between counts for neither side. Pure.
std::string compare_tablespaces(const TablespaceSights& before, const TablespaceSights& found,
                                const TablespaceSights& after);

// Conflict when they are not.
Result<> prove_tablespaces(Connection& session, base::Files& files, const std::string& directory,
                           const std::string& version_directory);

}  // namespace lifeboat::postgres

#include "postgres/tablespace_proof.h"

#include <algorithm>
#include <charconv>
#include <iterator>

// Tested by tablespace_proof_test.cc and tests/e2e/cli_server_test.cc.

namespace lifeboat::postgres {

using base::Code;
using base::Error;
using base::join;

namespace {

std::optional<std::uint32_t> oid_of(const std::string& name) {
    std::uint32_t oid = 0;
    const char* end = name.data() + name.size();
    const auto [stop, failure] = std::from_chars(name.data(), end, oid);
    return failure == std::errc() && stop == end && oid != 0 ? std::optional(oid) : std::nullopt;
}

// Who may not call pg_stat_file may not name it in a query either.
Result<TablespaceSights> seen_by_server(Connection& session, const std::string& version_directory) {
    const QueryResult may =
        TRY(session.query("SELECT has_function_privilege('pg_catalog.pg_stat_file(text,boolean)', "
                          "'execute') AS may"));
    const bool stat = TRY(may.boolean(0, "may"));
    const std::string modified =
        stat ? "coalesce(extract(epoch FROM (pg_stat_file('pg_tblspc/' || t.oid || '/" +
                   version_directory + "', true)).modification)::bigint, 0)"
             : "0";
    const QueryResult answer = TRY(session.query(
        "SELECT t.oid::bigint AS space, coalesce(d.oid, 0)::bigint AS database, (" + modified +
        ")::bigint AS modified FROM pg_tablespace t LEFT JOIN LATERAL "
        "pg_tablespace_databases(t.oid) AS d(oid) ON true "
        "WHERE t.spcname NOT IN ('pg_default', 'pg_global')"));
    TablespaceSights out;
    for (std::size_t row = 0; row < answer.rows.size(); ++row) {
        const std::int64_t space = TRY(answer.integer(row, "space"));
        const std::int64_t database = TRY(answer.integer(row, "database"));
        const std::int64_t seconds = TRY(answer.integer(row, "modified"));
        TablespaceSight& sight = out[static_cast<std::uint32_t>(space)];
        if (database != 0) {
            sight.databases.insert(static_cast<std::uint32_t>(database));
        }
        if (seconds != 0) {
            sight.modified = base::from_unix_micros(seconds * 1'000'000);
        }
    }
    return out;
}

bool is_absent(const Error& error) {
    return error.code() == Code::NotFound;
}

// Empty for a directory that is not there.
Result<std::vector<std::string>> names_in(base::Files& files, const std::string& directory) {
    auto names = files.list(directory);
    if (!names && is_absent(names.error())) {
        return std::vector<std::string>{};
    }
    return names;
}

Result<TablespaceSights> seen_here(base::Files& files, const std::string& directory,
                                   const std::string& version_directory) {
    TablespaceSights out;
    const std::string spaces = join(directory, "pg_tblspc");
    const std::vector<std::string> names = TRY(names_in(files, spaces));
    for (const std::string& name : names) {
        const std::string own = join(join(spaces, name), version_directory);
        const auto stat = files.stat(own);
        const auto oid = oid_of(name);
        if (!oid || (!stat && is_absent(stat.error()))) {
            continue;
        }
        const base::FileStat known = TRY(files.stat(own));
        TablespaceSight& sight = out[*oid];
        sight.modified = std::chrono::floor<std::chrono::seconds>(known.modified);
        const std::vector<std::string> databases = TRY(names_in(files, own));
        for (const std::string& database : databases) {
            const auto number = oid_of(database);
            if (number) {
                const std::vector<std::string> held = TRY(names_in(files, join(own, database)));
                if (!held.empty()) {
                    sight.databases.insert(*number);
                }
            }
        }
    }
    return out;
}

bool same_databases(const TablespaceSight& before, const TablespaceSight& found,
                    const TablespaceSight& after) {
    std::set<std::uint32_t> stayed;
    std::set_intersection(before.databases.begin(), before.databases.end(), after.databases.begin(),
                          after.databases.end(), std::inserter(stayed, stayed.end()));
    std::set<std::uint32_t> ever = before.databases;
    ever.insert(after.databases.begin(), after.databases.end());
    return std::includes(found.databases.begin(), found.databases.end(), stayed.begin(),
                         stayed.end()) &&
           std::includes(ever.begin(), ever.end(), found.databases.begin(), found.databases.end());
}

bool same_time(const TablespaceSight& before, const TablespaceSight& found,
               const TablespaceSight& after) {
    const bool steady = before.modified && before.modified == after.modified;
    return !steady || !found.modified || found.modified == before.modified;
}

}  // namespace

std::string compare_tablespaces(const TablespaceSights& before, const TablespaceSights& found,
                                const TablespaceSights& after) {
    for (const auto& [oid, seen] : before) {
        const auto still = after.find(oid);
        if (still == after.end()) {
            continue;
        }
        const auto here = found.find(oid);
        const std::string name = "tablespace " + std::to_string(oid);
        if (here == found.end()) {
            return name + " is not to be seen from here: its directory is absent, or empty";
        }
        if (!same_databases(seen, here->second, still->second) ||
            !same_time(seen, here->second, still->second)) {
            return name + " is another directory here than the server's";
        }
    }
    return {};
}

Result<> prove_tablespaces(Connection& session, base::Files& files, const std::string& directory,
                           const std::string& version_directory) {
    const TablespaceSights before = TRY(seen_by_server(session, version_directory));
    const TablespaceSights found = TRY(seen_here(files, directory, version_directory));
    const TablespaceSights after = TRY(seen_by_server(session, version_directory));
    const std::string wrong = compare_tablespaces(before, found, after);
    if (!wrong.empty()) {
        return Error(Code::Conflict, wrong)
            .hint(
                "Mount the tablespace where lifeboat runs, at the path that its link in pg_tblspc "
                "names, or set 'data_directory: none' to copy over the wire.");
    }
    return {};
}

}  // namespace lifeboat::postgres

// One query per kind of fact. Tested by server_facts_test.cc and live_backup_test.cc.

#include "postgres/server_facts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace lifeboat::postgres {

namespace {

// What a restore elsewhere (T24, T33), a stream or a backup may stumble over.
constexpr std::array<std::string_view, 46> kSettings = {"archive_command",
                                                        "archive_library",
                                                        "archive_mode",
                                                        "archive_timeout",
                                                        "block_size",
                                                        "checkpoint_timeout",
                                                        "config_file",
                                                        "data_checksums",
                                                        "data_directory",
                                                        "default_table_access_method",
                                                        "dynamic_library_path",
                                                        "external_pid_file",
                                                        "full_page_writes",
                                                        "hba_file",
                                                        "hot_standby",
                                                        "ident_file",
                                                        "idle_replication_slot_timeout",
                                                        "lc_collate",
                                                        "lc_ctype",
                                                        "lc_messages",
                                                        "lc_monetary",
                                                        "lc_numeric",
                                                        "lc_time",
                                                        "max_connections",
                                                        "max_locks_per_transaction",
                                                        "max_prepared_transactions",
                                                        "max_replication_slots",
                                                        "max_slot_wal_keep_size",
                                                        "max_wal_senders",
                                                        "max_wal_size",
                                                        "max_worker_processes",
                                                        "port",
                                                        "segment_size",
                                                        "server_encoding",
                                                        "shared_preload_libraries",
                                                        "stats_temp_directory",
                                                        "summarize_wal",
                                                        "synchronous_commit",
                                                        "synchronous_standby_names",
                                                        "track_commit_timestamp",
                                                        "unix_socket_directories",
                                                        "wal_block_size",
                                                        "wal_keep_size",
                                                        "wal_level",
                                                        "wal_log_hints",
                                                        "wal_segment_size"};

constexpr int kClockSamples = 3;

struct Unit {
    std::string_view name;
    std::int64_t factor;
};

// Sizes to bytes, times to microseconds.
constexpr std::array<Unit, 13> kUnits = {{{"B", 1},
                                          {"kB", 1024},
                                          {"8kB", 8192},
                                          {"4kB", 4096},
                                          {"16kB", 16384},
                                          {"32kB", 32768},
                                          {"MB", 1048576},
                                          {"16MB", 16777216},
                                          {"ms", 1000},
                                          {"s", 1000000},
                                          {"min", 60000000},
                                          {"h", 3600000000},
                                          {"", 1}}};

std::optional<std::int64_t> to_integer(std::string_view digits) {
    std::int64_t value = 0;
    const auto [stop, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return failure == std::errc() && stop == digits.data() + digits.size() ? std::optional(value)
                                                                           : std::nullopt;
}

template <class T>
Result<T> narrow(Result<std::int64_t> wide) {
    const std::int64_t value = TRY(std::move(wide));
    return static_cast<T>(value);
}

Result<> read_control_facts(Connection& connection, ServerFacts& facts) {
    const QueryResult rows = TRY(connection.query(
        "SELECT s.system_identifier, s.pg_control_version, s.catalog_version_no, "
        "pg_is_in_recovery() AS recovery, "
        "pg_postmaster_start_time() AS started_text, (extract(epoch FROM "
        "pg_postmaster_start_time()) * 1000000)::bigint AS started, "
        "current_database() AS database, "
        "CASE WHEN pg_is_in_recovery() THEN greatest(c.timeline_id, "
        "coalesce(r.min_recovery_end_timeline, 0), "
        "coalesce((SELECT max(received_tli) FROM pg_stat_wal_receiver), 0))::bigint "
        "ELSE ('x' || substr(pg_walfile_name(CASE WHEN pg_is_in_recovery() THEN NULL ELSE "
        "pg_current_wal_lsn() END), 1, 8))"
        "::bit(32)::bigint END AS timeline "
        "FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_recovery() r"));
    facts.system_identifier = TRY(narrow<std::uint64_t>(rows.integer(0, "system_identifier")));
    facts.control_version = TRY(narrow<std::uint32_t>(rows.integer(0, "pg_control_version")));
    facts.catalog_version = TRY(narrow<std::uint32_t>(rows.integer(0, "catalog_version_no")));
    facts.in_recovery = TRY(rows.boolean(0, "recovery"));
    facts.timeline = TRY(narrow<TimelineId>(rows.integer(0, "timeline")));
    facts.connected_database = TRY(rows.text(0, "database"));
    const std::int64_t started = TRY(rows.integer(0, "started"));
    facts.started = base::from_unix_micros(started);
    return {};
}

std::string array_literal() {
    std::string list = "{";
    for (const std::string_view setting : kSettings) {
        list += list.size() > 1 ? "," : "";
        list += setting;
    }
    return list + "}";
}

Result<> read_settings(Connection& connection, ServerFacts& facts) {
    const Cell parameters[] = {array_literal()};
    const QueryResult rows =
        TRY(connection.query("SELECT name, setting, coalesce(unit, '') AS unit, source, "
                             "pending_restart FROM pg_settings WHERE name = ANY ($1::text[])",
                             parameters));
    for (std::size_t row = 0; row < rows.rows.size(); ++row) {
        const std::string name = TRY(rows.text(row, "name"));
        const Cell value = TRY(rows.cell(row, "setting"));
        Setting setting;
        setting.value = value.value_or("");
        setting.unit = TRY(rows.text(row, "unit"));
        setting.source = TRY(rows.text(row, "source"));
        setting.pending_restart = TRY(rows.boolean(row, "pending_restart"));
        facts.settings.emplace(name, std::move(setting));
    }
    return {};
}

Result<std::uint32_t> required_number(const ServerFacts& facts, const std::string& name) {
    const auto at = facts.settings.find(name);
    const auto value = at == facts.settings.end() ? std::nullopt : to_integer(at->second.value);
    if (!value || *value <= 0 || *value > INT32_MAX) {
        return Error(Code::Corrupt, "server does not say its '" + name + "'");
    }
    return static_cast<std::uint32_t>(*value);
}

std::optional<std::string> optional_text(const ServerFacts& facts, const std::string& name) {
    const auto at = facts.settings.find(name);
    return at == facts.settings.end() || at->second.value.empty() ? std::nullopt
                                                                  : std::optional(at->second.value);
}

Result<> apply_settings(ServerFacts& facts) {
    facts.block_size = TRY(required_number(facts, "block_size"));
    facts.wal_block_size = TRY(required_number(facts, "wal_block_size"));
    facts.blocks_per_segment =
        TRY(required_number(facts, "segment_size"));  // in blocks, whatever its unit says
    const std::uint32_t wal_segment = TRY(required_number(facts, "wal_segment_size"));
    facts.wal_segment = TRY(SegmentSize::of(wal_segment));
    facts.data_checksums = facts.setting("data_checksums") == "on";
    facts.data_directory = optional_text(facts, "data_directory");
    facts.config_file = optional_text(facts, "config_file");
    facts.hba_file = optional_text(facts, "hba_file");
    facts.ident_file = optional_text(facts, "ident_file");
    return {};
}

Result<> read_tablespaces(Connection& connection, ServerFacts& facts) {
    const QueryResult rows =
        TRY(connection.query("SELECT oid::bigint AS oid, spcname, pg_tablespace_location(oid) AS "
                             "location FROM pg_tablespace "
                             "WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid"));
    for (std::size_t row = 0; row < rows.rows.size(); ++row) {
        TablespaceFact& tablespace = facts.tablespaces.emplace_back();
        tablespace.oid = TRY(narrow<std::uint32_t>(rows.integer(row, "oid")));
        tablespace.name = TRY(rows.text(row, "spcname"));
        tablespace.location = TRY(rows.text(row, "location"));
        tablespace.in_place = !tablespace.location.starts_with('/');
    }
    return {};
}

std::string database_query(int version) {
    const bool versions = version >= 150000;
    return std::string(
               "SELECT oid::bigint AS oid, datname, pg_encoding_to_char(encoding) AS encoding, "
               "datcollate, datctype, ") +
           (versions ? "datlocprovider::text AS provider, datcollversion AS recorded, "
                       "pg_database_collation_actual_version(oid) AS actual, "
                     : "'c' AS provider, NULL::text AS recorded, NULL::text AS actual, ") +
           "datallowconn FROM pg_database WHERE datname <> 'template0' ORDER BY oid";
}

Result<> read_databases(Connection& connection, ServerFacts& facts) {
    const QueryResult rows = TRY(connection.query(database_query(facts.version)));
    for (std::size_t row = 0; row < rows.rows.size(); ++row) {
        DatabaseFact& database = facts.databases.emplace_back();
        database.oid = TRY(narrow<std::uint32_t>(rows.integer(row, "oid")));
        database.name = TRY(rows.text(row, "datname"));
        database.encoding = TRY(rows.text(row, "encoding"));
        database.collate = TRY(rows.text(row, "datcollate"));
        database.ctype = TRY(rows.text(row, "datctype"));
        database.provider = TRY(rows.text(row, "provider"));
        database.collation_version = TRY(rows.cell(row, "recorded"));
        database.actual_version = TRY(rows.cell(row, "actual"));
        database.accepts_connections = TRY(rows.boolean(row, "datallowconn"));
    }
    return {};
}

Result<> read_libraries(Connection& connection, ServerFacts& facts) {
    const QueryResult collations =
        TRY(connection.query("SELECT DISTINCT collprovider::text AS provider, collversion AS "
                             "version FROM pg_collation WHERE collversion IS NOT NULL "
                             "ORDER BY 1, 2"));
    for (std::size_t row = 0; row < collations.rows.size(); ++row) {
        CollationVersion& collation = facts.collation_versions.emplace_back();
        collation.provider = TRY(collations.text(row, "provider"));
        collation.version = TRY(collations.text(row, "version"));
    }
    const QueryResult extensions =
        TRY(connection.query("SELECT extname, extversion FROM pg_extension ORDER BY 1"));
    for (std::size_t row = 0; row < extensions.rows.size(); ++row) {
        ExtensionFact& extension = facts.extensions.emplace_back();
        extension.name = TRY(extensions.text(row, "extname"));
        extension.version = TRY(extensions.text(row, "extversion"));
    }
    return {};
}

Result<> read_role(Connection& connection, ServerFacts& facts) {
    const bool renamed = facts.version >= 150000;
    const Cell parameters[] = {
        renamed ? "pg_backup_start(text, boolean)" : "pg_start_backup(text, boolean, boolean)",
        renamed ? "pg_backup_stop(boolean)" : "pg_stop_backup(boolean, boolean)"};
    const QueryResult rows =
        TRY(connection.query("SELECT rolname, rolsuper, rolreplication, pg_has_role(current_user, "
                             "'pg_read_all_settings', 'USAGE') AS reads, "
                             "has_function_privilege($1, 'EXECUTE') AND has_function_privilege($2, "
                             "'EXECUTE') AS backs_up "
                             "FROM pg_roles WHERE rolname = current_user",
                             parameters));
    facts.role.name = TRY(rows.text(0, "rolname"));
    facts.role.superuser = TRY(rows.boolean(0, "rolsuper"));
    facts.role.replication = TRY(rows.boolean(0, "rolreplication"));
    facts.role.reads_all_settings = TRY(rows.boolean(0, "reads"));
    facts.role.may_back_up = TRY(rows.boolean(0, "backs_up"));
    return {};
}

// The quickest of a few round trips tells most.
Result<ClockOffset> compare_clocks(Connection& connection, base::Clock& clock) {
    std::optional<ClockOffset> best;
    for (int sample = 0; sample < kClockSamples; ++sample) {
        const auto sent = clock.steady();
        const base::Timestamp ours = clock.now();
        const QueryResult rows = TRY(connection.query(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now"));
        const auto half = std::chrono::duration_cast<base::Duration>(clock.steady() - sent) / 2;
        const std::int64_t theirs = TRY(rows.integer(0, "now"));
        if (!best || half < best->bound) {
            best = ClockOffset{base::from_unix_micros(theirs) - (ours + half), half};
        }
    }
    return *best;
}

}  // namespace

std::string ServerFacts::version_directory() const {
    return "PG_" + std::to_string(major()) + "_" + std::to_string(catalog_version);
}

std::string ServerFacts::setting(const std::string& name, std::string_view otherwise) const {
    const auto at = settings.find(name);
    return at == settings.end() ? std::string(otherwise) : at->second.value;
}

std::optional<std::int64_t> ServerFacts::number(const std::string& name) const {
    const auto at = settings.find(name);
    const auto value = at == settings.end() ? std::nullopt : to_integer(at->second.value);
    if (!value) {
        return std::nullopt;
    }
    const auto* const unit = std::find_if(kUnits.begin(), kUnits.end(),
                                          [&](const Unit& u) { return u.name == at->second.unit; });
    if (*value < 0) {
        return value;  // -1 means "no limit" or "by itself", in any unit
    }
    std::int64_t scaled = 0;
    const bool too_large =
        unit == kUnits.end() || __builtin_mul_overflow(*value, unit->factor, &scaled);
    return too_large ? std::nullopt : std::optional(scaled);
}

Result<> check_version(int server_version) {
    const int major = server_version / 10000;
    if (major < kOldestMajor || major > kNewestMajor) {
        return Error(Code::Unsupported, "PostgreSQL " + std::to_string(major) + " is not supported")
            .hint("Versions " + std::to_string(kOldestMajor) + " to " +
                  std::to_string(kNewestMajor) + " are.");
    }
    return {};
}

Result<ServerFacts> gather_facts(Connection& connection, base::Clock& clock) {
    ServerFacts facts;
    facts.version = connection.server_version();
    TRY(check_version(facts.version));
    TRY(read_control_facts(connection, facts).during("asking the server about its cluster"));
    TRY(read_settings(connection, facts).during("asking the server for its settings"));
    TRY(apply_settings(facts));
    TRY(read_tablespaces(connection, facts).during("asking the server for its tablespaces"));
    TRY(read_databases(connection, facts).during("asking the server for its databases"));
    TRY(read_libraries(connection, facts)
            .during("asking the server for collations and extensions"));
    TRY(read_role(connection, facts).during("asking the server about our role"));
    facts.clock = TRY(compare_clocks(connection, clock).during("comparing clocks"));
    return facts;
}

}  // namespace lifeboat::postgres

#include "postgres/doctor.h"

#include <array>

#include "postgres/pg_control.h"
#include "postgres/replication.h"

// The questions. Tested by doctor_test.cc against a real server; the judgements are in
// doctor_judge.cc.

namespace lifeboat::postgres {

namespace {

constexpr auto kTimeout = std::chrono::seconds(10);

ConnectOptions options(const PostgresConfig& config, SessionKind kind) {
    return {config.connection, config.password, "lifeboat doctor", kind, kTimeout};
}

Result<> read_use(Connection& connection, DoctorProbe& probe) {
    const QueryResult rows = TRY(
        connection.query("SELECT current_setting('fsync') = 'on' AS fsync, "
                         "(SELECT count(*) FROM pg_replication_slots) AS slots, "
                         "(SELECT count(*) FROM pg_stat_replication) AS senders, "
                         "(SELECT count(*) FROM pg_class WHERE relpersistence = 'u' AND relkind = "
                         "'r') AS unlogged"));
    probe.fsync = TRY(rows.boolean(0, "fsync"));
    probe.slots_used = TRY(rows.integer(0, "slots"));
    probe.senders_used = TRY(rows.integer(0, "senders"));
    probe.unlogged_tables = TRY(rows.integer(0, "unlogged"));
    return {};
}

Result<> read_archiver(Connection& connection, DoctorProbe& probe) {
    const QueryResult rows = TRY(connection.query(
        "SELECT failed_count, coalesce(last_failed_wal, '') AS file, last_failed_time IS NOT NULL "
        "AND (last_archived_time IS NULL OR last_failed_time > last_archived_time) AS failing "
        "FROM pg_stat_archiver"));
    probe.archiver.failures = TRY(rows.integer(0, "failed_count"));
    probe.archiver.last_failed_file = TRY(rows.text(0, "file"));
    probe.archiver.failing = TRY(rows.boolean(0, "failing"));
    return {};
}

Result<> read_extensions(Connection& connection, DoctorProbe& probe) {
    const QueryResult rows = TRY(connection.query(
        "SELECT wanted FROM unnest(ARRAY['amcheck', 'pg_visibility']) AS wanted "
        "WHERE wanted NOT IN (SELECT name FROM pg_available_extensions) ORDER BY 1"));
    for (std::size_t row = 0; row < rows.rows.size(); ++row) {
        const std::string name = TRY(rows.text(row, "wanted"));
        probe.missing_extensions.push_back(name);
    }
    return {};
}

// The only way to know what pg_hba.conf says of us is to try.
std::string try_replication(const PostgresConfig& config, const engine::Context& context) {
    auto session =
        Connection::open(options(config, SessionKind::PhysicalReplication), context.stop);
    if (!session) {
        return session.error().message();
    }
    const auto identity = identify_system(*session);
    return identity ? "" : identity.error().message();
}

std::string try_directory(const PostgresConfig& config, const engine::Context& context,
                          const ServerFacts& facts) {
    const std::string directory =
        !config.data_directory.empty() ? config.data_directory : facts.data_directory.value_or("");
    if (directory.empty()) {
        return "the role may not see where they are";
    }
    const auto control =
        read_control(context.files, base::join(directory, kControlFile), context.clock);
    if (!control) {
        return control.error().message();
    }
    const bool same = control->data.system_identifier == facts.system_identifier;
    return same ? "" : "'" + directory + "' holds another cluster";
}

bool has_binaries(const PostgresConfig& config, base::Files& files, int major) {
    const std::string version = std::to_string(major);
    const std::array<std::string, 4> places = {
        config.bin_directory, "/usr/lib/postgresql/" + version + "/bin",
        "/usr/pgsql-" + version + "/bin", "/usr/local/pgsql/bin"};
    for (const std::string& place : places) {
        if (!place.empty() && files.stat(base::join(place, "postgres"))) {
            return true;
        }
    }
    return false;
}

}  // namespace

Result<DoctorProbe> probe_server(const PostgresConfig& config, const engine::Context& context) {
    Connection session = TRY(Connection::open(options(config, SessionKind::Sql), context.stop));
    DoctorProbe probe;
    probe.host = session.peer();
    probe.facts = TRY(gather_facts(session, context.clock));
    TRY(read_use(session, probe).during("asking the server about its slots"));
    TRY(read_archiver(session, probe).during("asking the server about its archiver"));
    TRY(read_extensions(session, probe).during("asking the server about its extensions"));
    if (!config.slot.empty()) {
        probe.slot = TRY(read_slot(session, config.slot));
    }
    probe.replication_refused = try_replication(config, context);
    probe.directory_trouble = try_directory(config, context, probe.facts);
    probe.binaries = has_binaries(config, context.files, probe.facts.major());
    return probe;
}

Result<std::vector<engine::Finding>> diagnose_server(const PostgresConfig& config,
                                                     const engine::Context& context) {
    const DoctorProbe probe = TRY(probe_server(config, context));
    return judge_server(config, probe);
}

}  // namespace lifeboat::postgres

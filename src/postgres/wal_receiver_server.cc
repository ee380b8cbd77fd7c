#include "postgres/wal_receiver_server.h"

#include <algorithm>
#include <utility>

#include "postgres/server_error.h"
#include "postgres/server_facts.h"
#include "postgres/wal_receiver_upload.h"

namespace lifeboat::postgres {

namespace {

constexpr base::Duration kLongestStatusInterval = std::chrono::seconds(10);
constexpr base::Duration kConnectLimit = std::chrono::seconds(10);
constexpr base::Duration kQuestionLimit = std::chrono::seconds(2);

Result<Connection> connect(const PostgresConfig& config, SessionKind kind,
                           const base::StopToken& stop, base::Duration limit) {
    ConnectOptions options;
    options.conninfo = config.connection;
    options.password = config.password;
    // synchronous_standby_names goes by this name: one that is configured must stand.
    if (config.connection.find("application_name") != std::string::npos) {
        options.application_name.clear();
    }
    options.kind = kind;
    options.timeout = limit;
    return Connection::open(options, stop);
}

Result<std::int64_t> setting(Connection& sql, const std::string& name) {
    const Cell parameters[] = {name};
    const auto rows =
        TRY(sql.query("SELECT setting::bigint AS value FROM pg_settings WHERE name = $1",
                      parameters, kQuestionLimit));
    return rows.integer(0, "value");
}

Result<bool> is_primary(Connection& sql) {
    const auto rows =
        TRY(sql.query("SELECT NOT pg_is_in_recovery() AS is_primary", {}, kQuestionLimit));
    return rows.boolean(0, "is_primary");
}

// The moment is asked for before the end.
Result<> read_end(Connection& sql, ReplicationFacts& facts) {
    const auto rows = TRY(sql.query(
        "SELECT (extract(epoch FROM CASE WHEN pg_is_in_recovery() THEN "
        "pg_last_xact_replay_timestamp() ELSE clock_timestamp() END) * 1000000)::bigint AS moment, "
        "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE "
        "pg_current_wal_flush_lsn() END AS wal_end",
        {}, kQuestionLimit));
    const Cell moment = TRY(rows.cell(0, "moment"));
    const Cell end = TRY(rows.cell(0, "wal_end"));
    if (moment && end) {
        const std::int64_t micros = TRY(rows.integer(0, "moment"));
        facts.moment = base::from_unix_micros(micros);
        facts.end = TRY(parse_lsn(*end));
    }
    return {};
}

Result<SlotFound> make_slot(Connection& sql, const std::string& name, std::string lost) {
    TRY(create_slot(sql, name, SlotLife::Permanent));
    auto state = TRY(read_slot(sql, name));
    if (!state || !state->restart) {
        return Error(Code::Unavailable, "slot '" + name + "' was made and reserves no WAL");
    }
    return SlotFound{*std::move(state), true, std::move(lost)};
}

std::string slot_trouble(const SlotState& slot, std::int64_t keep_megabytes) {
    if (slot.wal == SlotWal::Lost || slot.wal == SlotWal::Unreserved) {
        return "slot '" + slot.name + "' is " + std::string(name(slot.wal)) +
               ": the server may remove WAL before it is captured";
    }
    if (keep_megabytes < 0) {
        return "slot '" + slot.name +
               "' is not bounded: with max_slot_wal_keep_size = -1 a stopped capture fills the "
               "server's disk";
    }
    return "";
}

}  // namespace

bool is_hopeless(const Error& error) {
    return is_hopeless(error.code()) && sqlstate_of(error.message()).empty();
}

Result<Connection> open_sql(const PostgresConfig& config, const base::StopToken& stop,
                            base::Duration limit) {
    return connect(config, SessionKind::Sql, stop, limit);
}

std::string slot_name(const PostgresConfig& config) {
    return config.slot.empty() ? "lifeboat" : config.slot;
}

Result<ServerVisit> visit_server(const PostgresConfig& config, const base::StopToken& stop) {
    Connection replication =
        TRY(connect(config, SessionKind::PhysicalReplication, stop, kConnectLimit));
    Connection sql = TRY(connect(config, SessionKind::Sql, stop, kConnectLimit));
    TRY(check_version(replication.server_version()));
    ServerVisit visit{std::move(replication), std::move(sql), {},   {}, {},
                      kLongestStatusInterval, &stop,          false};
    visit.primary = TRY(is_primary(*visit.sql));  // before the question on which timeline it is
    visit.identity = TRY(identify_system(visit.replication));
    const std::int64_t segment = TRY(setting(*visit.sql, "wal_segment_size"));
    const std::int64_t timeout = TRY(setting(*visit.sql, "wal_sender_timeout"));
    visit.cluster.system_identifier = visit.identity.system_identifier;
    visit.cluster.major = visit.replication.server_version() / 10000;
    visit.cluster.segment_size = TRY(SegmentSize::of(static_cast<std::uint64_t>(segment)));
    if (timeout > 0) {
        visit.status_interval =
            std::min<base::Duration>(visit.status_interval, std::chrono::milliseconds(timeout) / 3);
    }
    visit.history.timeline = visit.identity.timeline;
    return visit;
}

Result<std::vector<HistoryToStore>> fetch_ancestry(Connection& replication, TimelineId timeline) {
    std::vector<HistoryToStore> files;
    if (timeline <= 1) {
        return files;
    }
    auto own = TRY(fetch_history(replication, timeline));
    const TimelineHistory history = TRY(parse_history(timeline, base::text(own.contents)));
    for (const Departure& ancestor : history.ancestors) {
        auto file = ancestor.timeline > 1
                        ? fetch_history(replication, ancestor.timeline)
                        : Result<HistoryFile>(Error(Code::NotFound, "timeline 1 has no history"));
        if (file) {
            files.push_back({ancestor.timeline, std::move(file->contents)});
        } else if (file.error().code() != Code::NotFound) {
            return std::move(file).error();
        }
    }
    files.push_back({timeline, std::move(own.contents)});
    return files;
}

Result<SlotFound> ensure_slot(Connection& sql, const std::string& name, OldSlot old) {
    auto slot = TRY(read_slot(sql, name));
    if (!slot) {
        return make_slot(sql, name, "");
    }
    if (!slot->physical || slot->temporary) {
        return Error(Code::InvalidInput, "slot '" + name + "' is not a permanent physical one")
            .hint("Name another slot in lifeboat.yaml; lifeboat creates it.");
    }
    if (slot->active) {
        return Error(Code::Unavailable, "slot '" + name + "' is in use by server process " +
                                            std::to_string(slot->active_pid))
            .hint(
                "Another capture streams from this slot: give each its own, or wait until the "
                "server notices that the old one is gone.");
    }
    if (slot->wal != SlotWal::Lost && slot->restart && old == OldSlot::Keep) {
        return SlotFound{*std::move(slot), false, ""};
    }
    std::string lost =
        "slot '" + name + "' was " +
        (slot->restart ? std::string(lifeboat::postgres::name(slot->wal)) : "empty") +
        (slot->invalidation.empty() ? "" : " (" + slot->invalidation + ")");
    TRY(drop_slot(sql, name));
    return make_slot(sql, name, std::move(lost));
}

Result<ReplicationFacts> read_replication_facts(Connection& sql, const std::string& slot) {
    const auto state = TRY(read_slot(sql, slot));
    const std::int64_t keep = TRY(setting(sql, "max_slot_wal_keep_size"));
    const Cell parameters[] = {slot};
    // A role that may not see sync_state takes the presence of any synchronous standby for its own.
    const auto rows = TRY(
        sql.query("SELECT coalesce((SELECT coalesce(r.sync_state, CASE WHEN "
                  "current_setting('synchronous_standby_names') = '' THEN 'async' ELSE 'sync' END) "
                  "FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid "
                  "WHERE s.slot_name = $1), '') AS sync_state",
                  parameters, kQuestionLimit));
    const std::string sync_state = TRY(rows.text(0, "sync_state"));
    ReplicationFacts facts;
    facts.synchronous = sync_state == "sync" || sync_state == "quorum" || sync_state == "potential";
    TRY(read_end(sql, facts));
    facts.trouble = state ? slot_trouble(*state, keep) : "slot '" + slot + "' is gone";
    return facts;
}

}  // namespace lifeboat::postgres

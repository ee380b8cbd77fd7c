// Replication slots. Tested by slots_test.cc and live_wire_test.cc.

#include "postgres/slots.h"

#include <algorithm>
#include <array>
#include <utility>

#include "postgres/server_error.h"

namespace lifeboat::postgres {

namespace {

constexpr std::size_t kMaxName = 63;
constexpr std::string_view kAdminShutdown = "57P01";

struct WalName {
    std::string_view text;
    SlotWal wal;
};

constexpr std::array<WalName, 4> kWalNames = {{{"reserved", SlotWal::Reserved},
                                               {"extended", SlotWal::Extended},
                                               {"unreserved", SlotWal::Unreserved},
                                               {"lost", SlotWal::Lost}}};

SlotWal parse_wal(std::string_view text) {
    const auto* const at = std::find_if(kWalNames.begin(), kWalNames.end(),
                                        [&](const WalName& n) { return n.text == text; });
    return at == kWalNames.end() ? SlotWal::None : at->wal;
}

std::string state_query(int server_version) {
    const std::string reason = server_version >= 170000 ? "invalidation_reason" : "NULL::text";
    return "SELECT slot_type, temporary, active, active_pid, restart_lsn, wal_status, "
           "safe_wal_size, " +
           reason + " AS invalidation FROM pg_replication_slots WHERE slot_name = $1";
}

Result<std::optional<std::int64_t>> optional_integer(const QueryResult& rows,
                                                     std::string_view column) {
    const Cell cell = TRY(rows.cell(0, column));
    if (!cell) {
        return std::optional<std::int64_t>();
    }
    const std::int64_t value = TRY(rows.integer(0, column));
    return std::optional(value);
}

Error full_house(Error error) {
    if (error.code() != Code::Refused) {
        return error;
    }
    return std::move(error).hint(
        "Raise max_replication_slots on the server, or drop a slot that nobody uses.");
}

}  // namespace

std::string_view name(SlotWal wal) {
    const auto* const at = std::find_if(kWalNames.begin(), kWalNames.end(),
                                        [&](const WalName& n) { return n.wal == wal; });
    return at == kWalNames.end() ? "none" : at->text;
}

Result<> check_slot_name(std::string_view name) {
    const bool legal = !name.empty() && name.size() <= kMaxName &&
                       std::all_of(name.begin(), name.end(), [](char c) {
                           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
                       });
    if (!legal) {
        return Error(Code::InvalidInput, "slot name '" + std::string(name) + "' is not legal")
            .hint("Use 1 to 63 lower case letters, digits and underscores.");
    }
    return {};
}

Result<> create_slot(Connection& connection, const std::string& name, SlotLife life) {
    TRY(check_slot_name(name));
    const bool temporary = life != SlotLife::Permanent;
    const bool reserves = life != SlotLife::Mark;
    const std::string command =
        connection.kind() == SessionKind::PhysicalReplication
            ? "CREATE_REPLICATION_SLOT " + quote_identifier(name) +
                  (temporary ? " TEMPORARY" : "") + " PHYSICAL" + (reserves ? " RESERVE_WAL" : "")
            : "SELECT pg_create_physical_replication_slot(" + quote_literal(name) +
                  (reserves ? ", true, " : ", false, ") + (temporary ? "true" : "false") + ")";
    Result<QueryResult> made = connection.query(command).during("creating slot '" + name + "'");
    if (!made.has_value()) {
        return full_house(std::move(made).error());
    }
    return {};
}

Result<> drop_slot(Connection& connection, const std::string& name) {
    TRY(check_slot_name(name));
    const std::string command =
        connection.kind() == SessionKind::PhysicalReplication
            ? "DROP_REPLICATION_SLOT " + quote_identifier(name)
            : "SELECT pg_drop_replication_slot(" + quote_literal(name) + ")";
    TRY(connection.query(command).during("dropping slot '" + name + "'"));
    return {};
}

Error explain_ended_session(Error error) {
    if (sqlstate_of(error.message()) != kAdminShutdown) {
        return error;
    }
    return std::move(error).hint(
        "If nobody stopped the server or ended the session, max_slot_wal_keep_size is too small: "
        "the server ends a session whose slot needs more WAL than that. Raise it beyond what is "
        "written during a backup, and take the backup again.");
}

Result<std::optional<SlotState>> read_slot(Connection& connection, const std::string& name) {
    const Cell parameters[] = {name};
    const QueryResult rows =
        TRY(connection.query(state_query(connection.server_version()), parameters));
    if (rows.rows.empty()) {
        return std::optional<SlotState>();
    }
    SlotState state;
    state.name = name;
    const std::string type = TRY(rows.text(0, "slot_type"));
    state.physical = type == "physical";
    state.temporary = TRY(rows.boolean(0, "temporary"));
    state.active = TRY(rows.boolean(0, "active"));
    const std::optional<std::int64_t> pid = TRY(optional_integer(rows, "active_pid"));
    state.active_pid = pid.value_or(0);
    const Cell restart = TRY(rows.cell(0, "restart_lsn"));
    if (restart) {
        state.restart = TRY(rows.lsn(0, "restart_lsn"));
    }
    const Cell wal = TRY(rows.cell(0, "wal_status"));
    state.wal = parse_wal(wal.value_or(""));
    state.safe_wal_bytes = TRY(optional_integer(rows, "safe_wal_size"));
    const Cell invalidation = TRY(rows.cell(0, "invalidation"));
    state.invalidation = invalidation.value_or("");
    return std::optional(std::move(state));
}

}  // namespace lifeboat::postgres

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "postgres/connection.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// Physical replication slots: how a server knows which WAL it must keep for us (T17).

enum class SlotLife {
    Permanent,
    Temporary,  // gone with the session that made it, and usable by that session only
    Mark,       // as Temporary, and keeps no WAL: shows whose the slots of a directory are
};

// How far a slot's WAL is from being removed.
enum class SlotWal {
    None,        // nothing is reserved
    Reserved,    // within max_wal_size
    Extended,    // beyond it, still kept
    Unreserved,  // the next checkpoint may remove it
    Lost,        // removed: a gap, unless it is elsewhere
};

struct SlotState {
    std::string name;
    bool physical = true;
    bool temporary = false;
    bool active = false;
    std::int64_t active_pid = 0;
    std::optional<Lsn> restart;  // the oldest WAL that is kept for it
    SlotWal wal = SlotWal::None;
    std::optional<std::int64_t>
        safe_wal_bytes;  // WAL that may be written before it is in danger; nothing: no limit is set
    std::string invalidation;  // why it was invalidated, from 17 on: "wal_removed", "idle_timeout"
};

std::string_view name(SlotWal wal);

// Lower case letters, digits and underscores, 1 to 63 of them; InvalidInput.
Result<> check_slot_name(std::string_view name);

// Reserves WAL from the last checkpoint on, unless it is a mark. A server with
// max_slot_wal_keep_size ends the session that uses a slot which needs more than that. A temporary
// slot for a stream must be made on the stream's own PhysicalReplication session. Conflict when the
// name is taken; Refused when max_replication_slots is reached.
Result<> create_slot(Connection& connection, const std::string& name, SlotLife life);

// NotFound when it does not exist; Conflict while someone uses it.
Result<> drop_slot(Connection& connection, const std::string& name);

// `error` of a session that a slot may have ended: says which setting allows more.
Error explain_ended_session(Error error);

// Nothing when it does not exist. `connection` is an Sql session.
Result<std::optional<SlotState>> read_slot(Connection& connection, const std::string& name);

}  // namespace lifeboat::postgres

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "base/bytes.h"
#include "base/time.h"
#include "postgres/connection.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// The client of physical replication. All functions want a PhysicalReplication session.

struct SystemIdentity {
    std::uint64_t system_identifier = 0;
    TimelineId timeline = 0;
    Lsn flushed;  // end of the WAL that the server has on disk
};

Result<SystemIdentity> identify_system(Connection& connection);

struct HistoryFile {
    std::string name;  // "00000002.history"
    base::Bytes contents;
};

// NotFound when the server does not have it. Timeline 1 has none.
Result<HistoryFile> fetch_history(Connection& connection, TimelineId timeline);

// ---- Messages: pure
// --------------------------------------------------------------------------------------------------

struct WalData {
    Lsn start;
    Lsn server_end;        // end of WAL on the server when it sent this
    base::Timestamp sent;  // by the server's clock
    base::BytesView bytes;
};

struct Keepalive {
    Lsn server_end;
    base::Timestamp sent;
    bool reply_requested = false;  // answer at once, or be disconnected
};

// Borrows from `message`. Corrupt when it is neither of the two.
Result<std::variant<WalData, Keepalive>> decode_stream_message(base::BytesView message);

struct StandbyStatus {
    Lsn written;
    Lsn flushed;  // durable here (T16): what the server may forget, and what a synchronous commit
                  // waits for
    Lsn applied;  // where nothing is applied: the same as flushed, or a commit with remote_apply
                  // would wait for ever
    base::Timestamp time;
    bool reply_requested = false;
};

base::Bytes encode_status(const StandbyStatus& status);

// Microseconds since 2000-01-01, as the protocol counts.
base::Timestamp from_server_micros(std::int64_t micros);
std::int64_t to_server_micros(base::Timestamp t);

// ---- The stream
// --------------------------------------------------------------------------------------------------------

// The server has sent all of this timeline. Stream `next` from the start of the segment that holds
// `switched_at`: that may be before the last byte received, and `next` need not be the following
// number (T15).
struct EndOfTimeline {
    TimelineId next = 0;
    Lsn switched_at;
};

struct StreamQuiet {};  // nothing came before the deadline

using StreamEvent = std::variant<WalData, Keepalive, EndOfTimeline, StreamQuiet>;

struct StreamStart {
    Lsn from;
    TimelineId timeline = 0;
    std::string slot;  // empty: none, and the server may remove WAL before it is read
};

// WAL of one timeline from one position on, without a hole: data that does not continue what came
// before is Corrupt. One thread. `connection` must outlive the stream; between start() and
// EndOfTimeline it is used for nothing else. After EndOfTimeline, and after stop(), it takes
// commands again; after a failure it is best closed.
class ReplicationStream {
  public:
    // NotFound when the server no longer has that WAL, or the slot does not exist; Conflict while
    // the slot is in use.
    static Result<ReplicationStream> start(Connection& connection, const StreamStart& request,
                                           base::Duration limit = Connection::kDefaultLimit);

    // The bytes of WalData are borrowed until the next call. Unavailable when the server ends the
    // stream: it shuts down.
    Result<StreamEvent> next(Deadline deadline);

    Result<> report(const StandbyStatus& status, Deadline deadline);

    // Ends the stream in good order. What the server still sends is dropped.
    Result<> stop(Deadline deadline);

    Lsn position() const { return position_; }  // end of what next() has returned

  private:
    ReplicationStream(Connection& connection, Lsn from)
        : connection_(&connection), position_(from) {}

    Result<StreamEvent> finish(Deadline deadline);
    Result<> drain(Deadline deadline);

    Connection* connection_;
    Lsn position_;
    std::optional<CopyMessage> message_;
    std::optional<EndOfTimeline> ended_;
};

}  // namespace lifeboat::postgres

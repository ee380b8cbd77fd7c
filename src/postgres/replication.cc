// Physical replication. Tested by replication_test.cc and live_wire_test.cc.
//
//     start --CopyBoth--> streaming --CopyDone from the server, answered--> rows (next timeline)
//     --> ended start --rows (next timeline)--> ended:   the position asked for is the very end of
//     an old timeline

#include "postgres/replication.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace lifeboat::postgres {

namespace {

using base::Byte;
using base::Bytes;
using base::BytesView;

constexpr std::size_t kDataHeader = 1 + 8 + 8 + 8;
constexpr std::size_t kKeepaliveSize = 1 + 8 + 8 + 1;
constexpr std::int64_t kServerEpoch =
    946684800LL * 1000000;  // 2000-01-01 in microseconds since 1970

// The protocol's integers are big-endian.
std::uint64_t big_endian(BytesView bytes) {
    std::uint64_t value = 0;
    for (const Byte byte : bytes.first(8)) {
        value = value << 8 | byte;
    }
    return value;
}

void put_big_endian(Bytes& out, std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) {
        out.push_back(static_cast<Byte>(value >> shift));
    }
}

base::Timestamp time_at(BytesView bytes) {
    return from_server_micros(static_cast<std::int64_t>(big_endian(bytes)));
}

Result<std::uint64_t> unsigned_cell(const QueryResult& rows, std::string_view column) {
    const std::string digits = TRY(rows.text(0, column));
    std::uint64_t value = 0;
    const auto [stop, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failure != std::errc() || stop != digits.data() + digits.size()) {
        return Error(Code::Corrupt, "the server's answer has no whole number in column '" +
                                        std::string(column) + "'");
    }
    return value;
}

Result<EndOfTimeline> read_end(const QueryResult& rows) {
    EndOfTimeline end;
    const std::int64_t next = TRY(rows.integer(0, "next_tli"));
    end.next = static_cast<TimelineId>(next);
    end.switched_at = TRY(rows.lsn(0, "next_tli_startpos"));
    return end;
}

std::string start_command(const StreamStart& request) {
    const std::string slot =
        request.slot.empty() ? "" : "SLOT " + quote_identifier(request.slot) + " ";
    return "START_REPLICATION " + slot + "PHYSICAL " + format_lsn(request.from) + " TIMELINE " +
           std::to_string(request.timeline);
}

}  // namespace

base::Timestamp from_server_micros(std::int64_t micros) {
    constexpr std::int64_t kBound = std::int64_t{1} << 62;  // hostile bytes stay representable
    return base::from_unix_micros(std::clamp(micros, -kBound, kBound) + kServerEpoch);
}

std::int64_t to_server_micros(base::Timestamp t) {
    return base::to_unix_micros(t) - kServerEpoch;
}

Result<SystemIdentity> identify_system(Connection& connection) {
    const QueryResult rows = TRY(connection.query("IDENTIFY_SYSTEM"));
    SystemIdentity identity;
    identity.system_identifier = TRY(unsigned_cell(rows, "systemid"));
    const std::int64_t timeline = TRY(rows.integer(0, "timeline"));
    identity.timeline = static_cast<TimelineId>(timeline);
    identity.flushed = TRY(rows.lsn(0, "xlogpos"));
    return identity;
}

Result<HistoryFile> fetch_history(Connection& connection, TimelineId timeline) {
    const QueryResult rows =
        TRY(connection.query("TIMELINE_HISTORY " + std::to_string(timeline))
                .during("fetching the history of timeline " + std::to_string(timeline)));
    HistoryFile file;
    file.name = TRY(rows.text(0, "filename"));
    const std::string contents = TRY(rows.text(0, "content"));
    file.contents.assign(contents.begin(), contents.end());
    if (file.name != history_name(timeline)) {
        return Error(Code::Corrupt, "the server answered with history file '" + file.name +
                                        "' for timeline " + std::to_string(timeline));
    }
    return file;
}

Result<std::variant<WalData, Keepalive>> decode_stream_message(BytesView message) {
    using Message = std::variant<WalData, Keepalive>;
    if (!message.empty() && message[0] == 'w' && message.size() > kDataHeader) {
        const WalData data = {Lsn{big_endian(message.subspan(1))},
                              Lsn{big_endian(message.subspan(9))}, time_at(message.subspan(17)),
                              message.subspan(kDataHeader)};
        return Message(data);
    }
    if (!message.empty() && message[0] == 'k' && message.size() == kKeepaliveSize) {
        const Keepalive keepalive = {Lsn{big_endian(message.subspan(1))},
                                     time_at(message.subspan(9)), message[17] != 0};
        return Message(keepalive);
    }
    return Error(Code::Corrupt, "the server sent a replication message that cannot be read");
}

Bytes encode_status(const StandbyStatus& status) {
    Bytes out = {'r'};
    put_big_endian(out, status.written.value);
    put_big_endian(out, status.flushed.value);
    put_big_endian(out, status.applied.value);
    put_big_endian(out, static_cast<std::uint64_t>(to_server_micros(status.time)));
    out.push_back(status.reply_requested ? 1 : 0);
    return out;
}

Result<ReplicationStream> ReplicationStream::start(Connection& connection,
                                                   const StreamStart& request,
                                                   base::Duration limit) {
    const Deadline deadline = deadline_in(limit);
    const std::string step = "streaming from " + format_lsn(request.from) + " on timeline " +
                             std::to_string(request.timeline);
    ReplicationStream stream(connection, request.from);
    TRY(connection.start(start_command(request)));
    Result<Reply> reply = connection.next_reply(deadline).during(step);
    if (!reply.has_value()) {
        while (connection.is_open()) {  // so that another command may follow
            const Result<Reply> rest = connection.next_reply(deadline);
            if (rest.has_value() && rest->kind == Reply::Kind::End) {
                break;
            }
        }
        return std::move(reply).error();
    }
    if (reply->kind == Reply::Kind::Rows) {
        const EndOfTimeline end = TRY(read_end(reply->rows));
        stream.ended_ = end;
        TRY(stream.drain(deadline));
    } else if (reply->kind != Reply::Kind::CopyBoth) {
        return Error(Code::Corrupt, "the server did not begin to stream").during(step);
    }
    return stream;
}

Result<StreamEvent> ReplicationStream::next(Deadline deadline) {
    if (ended_) {
        return StreamEvent(*ended_);
    }
    CopyRead read = TRY(connection_->receive(deadline));
    if (std::holds_alternative<CopyIdle>(read)) {
        return StreamEvent(StreamQuiet{});
    }
    if (std::holds_alternative<CopyEnded>(read)) {
        return finish(deadline_in(Connection::kDefaultLimit));
    }
    message_ = std::move(std::get<CopyMessage>(read));
    const std::variant<WalData, Keepalive> decoded = TRY(decode_stream_message(message_->view()));
    if (const auto* keepalive = std::get_if<Keepalive>(&decoded)) {
        return StreamEvent(*keepalive);
    }
    const auto& data = std::get<WalData>(decoded);
    if (data.start != position_) {
        return Error(Code::Corrupt, "the server sent WAL of " + format_lsn(data.start) + " where " +
                                        format_lsn(position_) + " was due");
    }
    position_ = position_ + data.bytes.size();
    return StreamEvent(data);
}

// The server has sent its last: answer in kind, and hear why.
Result<StreamEvent> ReplicationStream::finish(Deadline deadline) {
    Reply reply = TRY(connection_->next_reply(deadline));
    if (reply.kind == Reply::Kind::CopyIn) {
        TRY(connection_->end_copy(deadline));
        Reply after = TRY(connection_->next_reply(deadline));
        reply = std::move(after);
    }
    if (reply.kind != Reply::Kind::Rows) {
        connection_->close();
        return Error(Code::Unavailable, "the server ended the stream at " + format_lsn(position_))
            .hint("It is shutting down or restarting; the stream continues when it is back.");
    }
    const EndOfTimeline end = TRY(read_end(reply.rows));
    ended_ = end;
    TRY(drain(deadline));
    return StreamEvent(end);
}

Result<> ReplicationStream::drain(Deadline deadline) {
    while (true) {
        const Reply reply = TRY(connection_->next_reply(deadline));
        if (reply.kind == Reply::Kind::End) {
            return {};
        }
    }
}

Result<> ReplicationStream::report(const StandbyStatus& status, Deadline deadline) {
    if (ended_) {
        return {};
    }
    return connection_->send(encode_status(status), deadline);
}

Result<> ReplicationStream::stop(Deadline deadline) {
    if (ended_) {
        return {};
    }
    TRY(connection_->end_copy(deadline));
    while (true) {
        const CopyRead read = TRY(connection_->receive(deadline));
        if (std::holds_alternative<CopyEnded>(read)) {
            return drain(deadline);
        }
        if (std::holds_alternative<CopyIdle>(read)) {
            connection_->close();
            return Error(Code::Unavailable, "the server did not end the stream in time");
        }
    }
}

}  // namespace lifeboat::postgres

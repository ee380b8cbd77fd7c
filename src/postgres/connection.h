#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/secret.h"
#include "base/stop.h"
#include "base/time.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

using Deadline = std::chrono::steady_clock::time_point;

inline Deadline deadline_in(base::Duration d) {
    return std::chrono::steady_clock::now() + d;
}

enum class SessionKind {
    Sql,
    PhysicalReplication,  // replication commands only, in the simple protocol
};

struct ConnectOptions {
    // libpq keywords or a URI. Several hosts are tried in their order, each with the whole timeout.
    std::string conninfo;
    base::Secret
        password;  // wins over the one in conninfo, PGPASSWORD and the password file, unless empty
    std::string application_name = "lifeboat";
    SessionKind kind = SessionKind::Sql;
    base::Duration timeout = std::chrono::seconds(10);
};

using Cell = std::optional<std::string>;  // nothing: NULL

struct QueryResult {
    std::vector<std::string> columns;
    std::vector<std::vector<Cell>> rows;

    // Corrupt when the row or column is absent, or the value is NULL or of another kind.
    Result<std::string> text(std::size_t row, std::string_view column) const;
    Result<std::int64_t> integer(std::size_t row, std::string_view column) const;
    Result<bool> boolean(std::size_t row, std::string_view column) const;
    Result<Lsn> lsn(std::size_t row, std::string_view column) const;
    // NULL is nothing.
    Result<Cell> cell(std::size_t row, std::string_view column) const;
};

// One answer of several to one command.
struct Reply {
    enum class Kind { Rows, Done, CopyOut, CopyBoth, CopyIn, End };
    Kind kind = Kind::End;
    QueryResult rows;
};

// One message of a COPY stream, in libpq's own buffer.
class CopyMessage {
  public:
    CopyMessage(char* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

    base::BytesView view() const { return base::view(std::string_view(bytes_.get(), size_)); }

  private:
    struct Free {
        void operator()(char* bytes) const;
    };

    std::unique_ptr<char, Free> bytes_;
    std::size_t size_;
};

struct CopyIdle {};  // nothing came before the deadline

struct CopyEnded {};  // next_reply() says how it went

using CopyRead = std::variant<CopyMessage, CopyIdle, CopyEnded>;

// A session with one server. One thread at a time; the StopToken given to open() must outlive it.
//
// No call waits without bound: each has a limit or a deadline, and ends with Cancelled within 200
// ms of a stop. The one exception is the lookup of a host name, which the system's resolver bounds.
// A session whose command timed out or was cancelled is closed, since its answer may still come;
// what it asked for may have happened. Failures: Unavailable (unreachable, lost, timed out), Denied
// (authentication, privileges), or by SQLSTATE, which stays in the message; sqlstate_of() in
// server_error.h finds it. No message holds a password.
//
// Text travels as the server's own bytes (client_encoding SQL_ASCII), so paths and labels stay
// exact.
class Connection {
  public:
    static Result<Connection> open(const ConnectOptions& options, const base::StopToken& stop);
    Connection(Connection&& other) noexcept;
    Connection& operator=(Connection&& other) noexcept;
    ~Connection();

    SessionKind kind() const;
    int server_version() const;  // 150004
    std::string peer() const;    // "127.0.0.1:5432", "/run/postgresql:5432"
    bool is_open() const;
    void close();

    static constexpr base::Duration kDefaultLimit = std::chrono::seconds(30);

    // One statement; `parameters` are $1, $2, ... as text. A replication session takes none.
    Result<QueryResult> query(const std::string& sql, std::span<const Cell> parameters = {},
                              base::Duration limit = kDefaultLimit);
    // Any number of statements, their rows unread.
    Result<> exec(const std::string& sql, base::Duration limit = kDefaultLimit);

    // The same in steps, for commands with several answers: start, then next_reply until Kind::End,
    // also after a failed one.
    Result<> start(const std::string& command);
    Result<Reply> next_reply(Deadline deadline);

    // COPY in either direction, between Reply::Kind::Copy* and CopyEnded.
    Result<CopyRead> receive(Deadline deadline);
    Result<> send(base::BytesView message,
                  Deadline deadline);      // returns once the kernel has all of it
    Result<> end_copy(Deadline deadline);  // our side is done sending

    // Warnings and notices since the last call, oldest first; at most kMaxNotices are kept.
    static constexpr std::size_t kMaxNotices = 1000;
    std::vector<std::string> take_notices();

  private:
    struct Impl;
    explicit Connection(std::unique_ptr<Impl> impl);
    static Result<std::unique_ptr<Impl>> connect(const ConnectOptions& options,
                                                 const base::StopToken& stop);
    Result<> prepare_session();
    Result<QueryResult> collect(Deadline deadline);

    std::unique_ptr<Impl> impl_;
};

std::string quote_literal(std::string_view text);     // 'it''s'
std::string quote_identifier(std::string_view text);  // "my ""slot"""

}  // namespace lifeboat::postgres

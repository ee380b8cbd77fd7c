// A session over libpq, without its blocking calls. Tested by live_connection_test.cc and, with a
// scripted peer, by connection_test.cc.
//
// Every wait is poll() in slices of 100 ms: between two slices the StopToken is read, and libpq is
// asked to read whatever has come, even when the socket looks quiet: with TLS, decrypted bytes may
// sit in a buffer that poll() knows nothing of.

#include "postgres/connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "postgres/conninfo.h"
#include "postgres/server_error.h"

namespace lifeboat::postgres {

namespace {

using base::Duration;
using base::StopToken;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kSlice(100);

// Waits for one slice at most. False: nothing happened.
Result<bool> poll_slice(int socket, short events, Deadline deadline) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    pollfd entry = {socket, events, 0};
    const int ready =
        ::poll(&entry, 1, static_cast<int>(std::clamp(left, milliseconds(0), kSlice).count()));
    if (ready < 0 && errno != EINTR) {
        return base::os_failure("waiting for the server", errno);
    }
    return ready > 0;
}

std::string field_of(const PGresult* result, int field) {
    const char* text = PQresultErrorField(result, field);
    return text == nullptr ? std::string() : std::string(text);
}

QueryResult read_rows(const PGresult* result) {
    QueryResult out;
    const int columns = PQnfields(result);
    for (int column = 0; column < columns; ++column) {
        out.columns.emplace_back(PQfname(result, column));
    }
    for (int row = 0; row < PQntuples(result); ++row) {
        std::vector<Cell>& cells = out.rows.emplace_back();
        for (int column = 0; column < columns; ++column) {
            if (PQgetisnull(result, row, column) != 0) {
                cells.emplace_back(std::nullopt);
            } else {
                cells.emplace_back(
                    std::string(PQgetvalue(result, row, column),
                                static_cast<std::size_t>(PQgetlength(result, row, column))));
            }
        }
    }
    return out;
}

struct ResultDeleter {
    void operator()(PGresult* result) const { PQclear(result); }
};

}  // namespace

struct Connection::Impl {
    Impl(const StopToken& stop_token, SessionKind session_kind)
        : stop(stop_token), kind(session_kind) {}

    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    ~Impl() { close(); }

    void close() {
        PQfinish(conn);
        conn = nullptr;
    }

    Result<> attempt(const Conninfo& options, Duration timeout);
    Result<> finish_connecting(Deadline deadline, Duration timeout, const base::Secret& password);
    Result<> check_open() const;
    Result<bool> pump(short events, Deadline deadline);
    Result<> flush(Deadline deadline);
    Result<> await_reply(Deadline deadline);
    Error lost();
    Error failure(const PGresult* result);
    static void keep_notice(void* self, const char* text);

    const StopToken& stop;
    const SessionKind kind;
    PGconn* conn = nullptr;
    std::string peer;
    std::vector<std::string> notices;
};

void Connection::Impl::keep_notice(void* self, const char* text) {
    auto& notices = static_cast<Impl*>(self)->notices;
    if (notices.size() < kMaxNotices) {
        notices.push_back(one_line(text));
    }
}

Result<> Connection::Impl::attempt(const Conninfo& options, Duration timeout) {
    std::vector<const char*> keys;
    std::vector<const char*> values;
    base::Secret password;
    for (const auto& [key, value] : options) {
        keys.push_back(key.c_str());
        values.push_back(value.c_str());
        if (key == "password") {
            password = base::Secret(value);
        }
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    close();
    const Deadline deadline = deadline_in(timeout);
    conn = PQconnectStartParams(keys.data(), values.data(), 0);
    if (conn == nullptr) {
        return Error(Code::Unavailable, "no memory for a connection");
    }
    PQsetNoticeProcessor(conn, keep_notice, this);
    PQsetErrorVerbosity(
        conn, PQERRORS_VERBOSE);  // the only way to learn the SQLSTATE of a refused connection
    TRY(finish_connecting(deadline, timeout, password));
    PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
    PQsetnonblocking(conn, 1);
    peer = std::string(PQhost(conn)) + ":" + PQport(conn);
    return {};
}

Result<> Connection::Impl::finish_connecting(Deadline deadline, Duration timeout,
                                             const base::Secret& password) {
    PostgresPollingStatusType status =
        PQstatus(conn) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (status != PGRES_POLLING_OK) {
        if (status == PGRES_POLLING_FAILED) {
            return connect_failure(PQerrorMessage(conn), password);
        }
        TRY(stop.check());
        const bool ready = TRY(poll_slice(
            PQsocket(conn), status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline));
        if (ready) {
            status = PQconnectPoll(conn);
        } else if (steady_clock::now() >= deadline) {
            const char* host = PQhost(conn);
            return connect_failure("server at '" + std::string(host == nullptr ? "" : host) +
                                       "' did not answer within " + base::human_duration(timeout),
                                   password);
        }
    }
    return {};
}

Result<> Connection::Impl::check_open() const {
    if (conn == nullptr) {
        return Error(Code::Unavailable, "connection to '" + peer + "' is closed");
    }
    return {};
}

Error Connection::Impl::lost() {
    const std::string why = one_line(PQerrorMessage(conn));
    close();
    return {Code::Unavailable,
            "connection to '" + peer + "' was lost" + (why.empty() ? "" : ": " + why)};
}

Error Connection::Impl::failure(const PGresult* result) {
    const ServerMessage message = {
        field_of(result, PG_DIAG_SQLSTATE), field_of(result, PG_DIAG_MESSAGE_PRIMARY),
        field_of(result, PG_DIAG_MESSAGE_DETAIL), field_of(result, PG_DIAG_MESSAGE_HINT)};
    if (message.sqlstate.empty() || PQstatus(conn) == CONNECTION_BAD) {
        Error error = message.sqlstate.empty() ? lost() : server_failure(message);
        close();
        return error;
    }
    return server_failure(message);
}

// Waits for one slice and takes in what has come. False once the deadline has passed and nothing
// came.
Result<bool> Connection::Impl::pump(short events, Deadline deadline) {
    TRY(stop.check());
    const bool ready = TRY(poll_slice(PQsocket(conn), events, deadline));
    if (PQconsumeInput(conn) == 0) {
        return lost();
    }
    return ready || steady_clock::now() < deadline;
}

Result<> Connection::Impl::flush(Deadline deadline) {
    while (true) {
        const int state = PQflush(conn);
        if (state == 0) {
            return {};
        }
        if (state < 0) {
            return lost();
        }
        const bool in_time = TRY(pump(POLLIN | POLLOUT, deadline));
        if (!in_time) {
            return Error(Code::Unavailable, "server '" + peer + "' does not take what it is sent");
        }
    }
}

// Until PQgetResult will not block.
Result<> Connection::Impl::await_reply(Deadline deadline) {
    TRY(flush(deadline));
    while (PQisBusy(conn) != 0) {
        const bool in_time = TRY(pump(POLLIN, deadline));
        if (!in_time) {
            return Error(Code::Unavailable, "server '" + peer + "' did not answer in time");
        }
    }
    return {};
}

// ---- Connection
// ---------------------------------------------------------------------------------------------------------

void CopyMessage::Free::operator()(char* bytes) const {
    PQfreemem(bytes);
}

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Connection::Connection(Connection&& other) noexcept = default;
Connection& Connection::operator=(Connection&& other) noexcept = default;
Connection::~Connection() = default;

Result<std::unique_ptr<Connection::Impl>> Connection::connect(const ConnectOptions& wanted,
                                                              const StopToken& stop) {
    const std::vector<Conninfo> attempts = TRY(plan_attempts(wanted));
    auto impl = std::make_unique<Impl>(stop, wanted.kind);
    std::optional<Error> first;
    for (const Conninfo& attempt : attempts) {
        Result<> made = impl->attempt(attempt, wanted.timeout);
        if (made.has_value()) {
            return impl;
        }
        Error error = std::move(made).error();
        const bool hopeless = error.code() == Code::Cancelled;
        // A host that refuses us says more than one that is down.
        if (!first || hopeless ||
            (first->code() == Code::Unavailable && error.code() != Code::Unavailable)) {
            first = std::move(error);
        }
        if (hopeless) {
            break;
        }
    }
    const std::string step = attempts.size() > 1
                                 ? "trying " + std::to_string(attempts.size()) + " hosts"
                                 : "connecting to the server";
    return (*std::move(first)).during(step);
}

Result<Connection> Connection::open(const ConnectOptions& options, const StopToken& stop) {
    std::unique_ptr<Impl> impl = TRY(connect(options, stop));
    Connection connection(std::move(impl));
    if (options.kind == SessionKind::Sql) {
        TRY(connection.prepare_session().during("preparing the session"));
    }
    return connection;
}

// Settings of the role or the database must change neither the meaning of our statements nor how
// long the session may sit.
Result<> Connection::prepare_session() {
    std::string sql =
        "SET search_path = pg_catalog; SET statement_timeout = 0; SET lock_timeout = 0; SET "
        "idle_in_transaction_session_timeout = 0; "
        "SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET bytea_output = 'hex'; SET "
        "default_transaction_read_only = off";
    if (server_version() >= 140000) {
        sql += "; SET idle_session_timeout = 0";
    }
    if (server_version() >= 170000) {
        sql += "; SET transaction_timeout = 0";
    }
    return exec(sql);
}

SessionKind Connection::kind() const {
    return impl_->kind;
}

int Connection::server_version() const {
    return PQserverVersion(impl_->conn);
}

std::string Connection::peer() const {
    return impl_->peer;
}

bool Connection::is_open() const {
    return impl_->conn != nullptr;
}

void Connection::close() {
    impl_->close();
}

std::vector<std::string> Connection::take_notices() {
    return std::exchange(impl_->notices, {});
}

Result<> Connection::start(const std::string& command) {
    TRY(impl_->check_open());
    if (PQsendQuery(impl_->conn, command.c_str()) == 0) {
        return impl_->lost();
    }
    return {};
}

Result<Reply> Connection::next_reply(Deadline deadline) {
    TRY(impl_->check_open());
    Result<> ready = impl_->await_reply(deadline);
    if (!ready.has_value()) {
        impl_->close();  // the answer may still come, and would be taken for another's
        return std::move(ready).error();
    }
    const std::unique_ptr<PGresult, ResultDeleter> result(PQgetResult(impl_->conn));
    if (result == nullptr) {
        return Reply{Reply::Kind::End, {}};
    }
    switch (PQresultStatus(result.get())) {
        case PGRES_TUPLES_OK:
            return Reply{Reply::Kind::Rows, read_rows(result.get())};
        case PGRES_COMMAND_OK:
        case PGRES_EMPTY_QUERY:
            return Reply{Reply::Kind::Done, {}};
        case PGRES_COPY_OUT:
            return Reply{Reply::Kind::CopyOut, {}};
        case PGRES_COPY_BOTH:
            return Reply{Reply::Kind::CopyBoth, {}};
        case PGRES_COPY_IN:
            return Reply{Reply::Kind::CopyIn, {}};
        default:
            return impl_->failure(result.get());
    }
}

Result<QueryResult> Connection::query(const std::string& sql, std::span<const Cell> parameters,
                                      Duration limit) {
    const Deadline deadline = deadline_in(limit);
    if (parameters.empty()) {
        TRY(start(sql));
    } else {
        TRY(impl_->check_open());
        std::vector<const char*> values;
        for (const Cell& parameter : parameters) {
            values.push_back(parameter ? parameter->c_str() : nullptr);
        }
        if (PQsendQueryParams(impl_->conn, sql.c_str(), static_cast<int>(values.size()), nullptr,
                              values.data(), nullptr, nullptr, 0) == 0) {
            return impl_->lost();
        }
    }
    return collect(deadline);
}

// The rows of the last statement that gave some; the first failure, after the rest has been read
// past.
Result<QueryResult> Connection::collect(Deadline deadline) {
    QueryResult rows;
    std::optional<Error> failure;
    while (true) {
        Result<Reply> reply = next_reply(deadline);
        if (!reply.has_value()) {
            failure = failure ? std::move(failure) : std::move(reply).error();
            if (!is_open()) {
                break;
            }
        } else if (reply->kind == Reply::Kind::End) {
            break;
        } else if (reply->kind == Reply::Kind::Rows) {
            rows = std::move(reply->rows);
        } else if (reply->kind != Reply::Kind::Done) {
            close();
            return Error(Code::Bug, "a query began a COPY");
        }
    }
    if (failure) {
        return *std::move(failure);
    }
    return rows;
}

Result<> Connection::exec(const std::string& sql, Duration limit) {
    TRY(query(sql, {}, limit));
    return {};
}

Result<CopyRead> Connection::receive(Deadline deadline) {
    TRY(impl_->check_open());
    bool looked = false;
    bool in_time = true;
    while (true) {
        char* bytes = nullptr;
        const int size = PQgetCopyData(impl_->conn, &bytes, 1);
        if (size > 0) {
            return CopyRead(CopyMessage(bytes, static_cast<std::size_t>(size)));
        }
        if (size == -1) {
            return CopyRead(CopyEnded{});
        }
        if (size == -2) {
            return impl_->lost();
        }
        if (!looked) {  // what has come already needs no poll
            looked = true;
            if (PQconsumeInput(impl_->conn) == 0) {
                return impl_->lost();
            }
            continue;
        }
        if (!in_time) {
            return CopyRead(CopyIdle{});
        }
        const bool waiting = TRY(impl_->pump(POLLIN, deadline));
        in_time = waiting;
    }
}

Result<> Connection::send(base::BytesView message, Deadline deadline) {
    TRY(impl_->check_open());
    while (true) {
        const int taken = PQputCopyData(impl_->conn, reinterpret_cast<const char*>(message.data()),
                                        static_cast<int>(message.size()));
        if (taken > 0) {
            return impl_->flush(deadline);
        }
        if (taken < 0) {
            return impl_->lost();
        }
        TRY(impl_->flush(deadline));
    }
}

Result<> Connection::end_copy(Deadline deadline) {
    TRY(impl_->check_open());
    while (true) {
        const int taken = PQputCopyEnd(impl_->conn, nullptr);
        if (taken > 0) {
            return impl_->flush(deadline);
        }
        if (taken < 0) {
            return impl_->lost();
        }
        TRY(impl_->flush(deadline));
    }
}

}  // namespace lifeboat::postgres

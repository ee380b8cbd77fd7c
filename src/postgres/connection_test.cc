#include "postgres/connection.h"

#include <gtest/gtest.h>

#include <thread>

#include "postgres/server_error.h"
#include "tests/support/expect.h"
#include "tests/support/fake_postgres.h"

namespace lifeboat::postgres {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::fails;
using test::FakePostgres;
using test::ok;
namespace wire = test::wire;

std::optional<std::string> silence(const std::string& /*query*/) {
    return std::string();
}

ConnectOptions to(const FakePostgres& server, SessionKind kind = SessionKind::Sql) {
    ConnectOptions options;
    options.conninfo = server.conninfo();
    options.kind = kind;
    options.timeout = std::chrono::seconds(5);
    return options;
}

Result<QueryResult> ask(const FakePostgres& server, const std::string& sql) {
    const base::StopToken stop;
    Connection connection = TRY(Connection::open(to(server), stop));
    return connection.query(sql);
}

TEST(Connection, ReadsRowsWithNullsAndExactBytes) {
    const std::string bytes("\xff\x00'\n", 4);
    const FakePostgres server("15.4", [&](const std::string&) {
        return wire::rows({"a", "b"}, {{bytes, std::nullopt}, {"", "2"}}) + wire::ready();
    });
    const Result<QueryResult> rows = ask(server, "SELECT");
    ASSERT_TRUE(ok(rows));
    EXPECT_EQ(rows->columns, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(rows->rows, (std::vector<std::vector<Cell>>{{bytes, std::nullopt}, {"", "2"}}));
}

TEST(Connection, AFailedStatementLeavesTheSessionUsable) {
    const FakePostgres server("15.4", [](const std::string& query) {
        return (query == "bad" ? wire::error("42710", "taken") : wire::rows({"x"}, {{"1"}})) +
               wire::ready();
    });
    const base::StopToken stop;
    Result<Connection> connection = Connection::open(to(server), stop);
    ASSERT_TRUE(ok(connection));
    const Result<QueryResult> bad = connection->query("bad");
    EXPECT_TRUE(fails(bad, Code::Conflict));
    EXPECT_EQ(sqlstate_of(bad.error().message()), "42710");
    EXPECT_TRUE(ok(connection->query("good")));
}

TEST(Connection, AServerThatNeverAnswersIsLeftAfterTheLimit) {
    const FakePostgres server("15.4", silence);
    const base::StopToken stop;
    Result<Connection> connection = Connection::open(to(server), stop);
    ASSERT_TRUE(ok(connection));
    EXPECT_TRUE(fails(connection->query("SELECT", {}, milliseconds(5)), Code::Unavailable));
    EXPECT_FALSE(connection->is_open());
    EXPECT_TRUE(fails(connection->query("SELECT"), Code::Unavailable));
}

TEST(Connection, AStopEndsAWaitSoon) {
    base::StopToken stop;
    const FakePostgres server("15.4", [&](const std::string&) {
        stop.request();
        return std::string();
    });
    Result<Connection> connection = Connection::open(to(server), stop);
    ASSERT_TRUE(ok(connection));
    const auto begun = steady_clock::now();
    EXPECT_TRUE(fails(connection->query("SELECT"), Code::Cancelled));
    EXPECT_LT(steady_clock::now() - begun, std::chrono::seconds(5));
}

TEST(Connection, AHangUpIsALostConnection) {
    const FakePostgres server("15.4", [](const std::string&) { return std::nullopt; });
    const Result<QueryResult> rows = ask(server, "SELECT");
    ASSERT_TRUE(fails(rows, Code::Unavailable));
    EXPECT_NE(rows.error().message().find("was lost"), std::string::npos) << rows.error().message();
}

TEST(Connection, AServerThatDoesNotWelcomeIsLeftAfterTheTimeout) {
    // A listening socket that nobody serves accepts connections all the same.
    FakePostgres server("15.4", silence);
    server.refuse_with(std::string(1, 'R'));  // the beginning of a message, and no more
    ConnectOptions options = to(server);
    options.timeout = milliseconds(20);
    const base::StopToken stop;
    EXPECT_TRUE(fails(Connection::open(options, stop), Code::Unavailable));
}

TEST(Connection, ARefusalKeepsItsState) {
    FakePostgres server("15.4", silence);
    server.refuse_with(wire::error("53300", "sorry, too many clients already"));
    const base::StopToken stop;
    const auto connection = Connection::open(to(server), stop);
    ASSERT_TRUE(fails(connection, Code::Unavailable));
    EXPECT_EQ(sqlstate_of(connection.error().message()), "53300");
}

TEST(Connection, AMalformedStringIsNotQuoted) {
    const base::StopToken stop;
    for (const char* conninfo : {"host=x password=open sesame", "postgresql://u:open%zzsesame@h/",
                                 "password='open sesame"}) {
        ConnectOptions options;
        options.conninfo = conninfo;
        const auto connection = Connection::open(options, stop);
        ASSERT_TRUE(fails(connection, Code::InvalidInput)) << conninfo;
        EXPECT_EQ(connection.error().message().find("sesame"), std::string::npos);
        EXPECT_EQ(connection.error().hint().find("sesame"), std::string::npos);
    }
}

TEST(Connection, TriesTheNextHost) {
    const FakePostgres server(
        "15.4", [](const std::string&) { return wire::rows({"x"}, {{"1"}}) + wire::ready(); });
    const std::string socket_directory =
        server.conninfo().substr(5, server.conninfo().find(' ') - 5);
    ConnectOptions options;
    options.conninfo = "host=/nonexistent," + socket_directory + " port=5432 user=test dbname=test";
    const base::StopToken stop;
    Result<Connection> connection = Connection::open(options, stop);
    ASSERT_TRUE(ok(connection));
    EXPECT_EQ(connection->peer(), socket_directory + ":5432");
}

TEST(Connection, OfSeveralHostsTheOneThatRefusedUsIsReported) {
    FakePostgres server("15.4", silence);
    server.refuse_with(wire::error("28P01", "password authentication failed"));
    const std::string socket_directory =
        server.conninfo().substr(5, server.conninfo().find(' ') - 5);
    ConnectOptions options;
    options.conninfo =
        "host=/nonexistent," + socket_directory + ",/nonexistent port=5432 user=test";
    const base::StopToken stop;
    const auto connection = Connection::open(options, stop);
    ASSERT_TRUE(fails(connection, Code::Denied));
    EXPECT_NE(connection.error().message().find("trying 3 hosts"), std::string::npos)
        << connection.error().message();
}

TEST(Connection, CollectsNotices) {
    const FakePostgres server("15.4", [](const std::string&) {
        return wire::notice("look out") + wire::done() + wire::ready();
    });
    const base::StopToken stop;
    Result<Connection> connection = Connection::open(to(server), stop);
    ASSERT_TRUE(ok(connection));
    ASSERT_TRUE(ok(connection->exec("DO")));
    EXPECT_EQ(connection->take_notices(), std::vector<std::string>{"WARNING: look out"});
    EXPECT_TRUE(connection->take_notices().empty());
}

TEST(Connection, ReadsACopyInPieces) {
    const FakePostgres server("15.4", [](const std::string&) {
        return wire::copy_out() + wire::copy_data("one") + wire::copy_data("two") +
               wire::copy_done() + wire::done() + wire::ready();
    });
    const base::StopToken stop;
    Result<Connection> connection =
        Connection::open(to(server, SessionKind::PhysicalReplication), stop);
    ASSERT_TRUE(ok(connection));
    const Deadline deadline = deadline_in(std::chrono::seconds(5));
    ASSERT_TRUE(ok(connection->start("COPY")));
    ASSERT_TRUE(connection->next_reply(deadline)->kind == Reply::Kind::CopyOut);
    std::string all;
    while (true) {
        Result<CopyRead> read = connection->receive(deadline);
        ASSERT_TRUE(ok(read));
        if (!std::holds_alternative<CopyMessage>(*read)) {
            EXPECT_TRUE(std::holds_alternative<CopyEnded>(*read));
            break;
        }
        all += base::text(std::get<CopyMessage>(*read).view());
    }
    EXPECT_EQ(all, "onetwo");
    EXPECT_EQ(connection->next_reply(deadline)->kind, Reply::Kind::Done);
    EXPECT_EQ(connection->next_reply(deadline)->kind, Reply::Kind::End);
}

TEST(Connection, AQuietCopyIsIdleAtTheDeadlineAndStaysUsable) {
    const FakePostgres server("15.4", [](const std::string&) { return wire::copy_both(); });
    const base::StopToken stop;
    Result<Connection> connection =
        Connection::open(to(server, SessionKind::PhysicalReplication), stop);
    ASSERT_TRUE(ok(connection));
    ASSERT_TRUE(ok(connection->start("STREAM")));
    ASSERT_EQ(connection->next_reply(deadline_in(std::chrono::seconds(5)))->kind,
              Reply::Kind::CopyBoth);
    for (int i = 0; i < 2; ++i) {
        Result<CopyRead> read = connection->receive(steady_clock::now());
        ASSERT_TRUE(ok(read));
        EXPECT_TRUE(std::holds_alternative<CopyIdle>(*read));
    }
    EXPECT_TRUE(connection->is_open());
}

TEST(QueryResult, SaysWhatIsWrongWithAValue) {
    const QueryResult rows = {{"n", "b", "l", "null"}, {{"12x", "yes", "0/zz", std::nullopt}}};
    EXPECT_TRUE(fails(rows.integer(0, "n"), Code::Corrupt));
    EXPECT_TRUE(fails(rows.boolean(0, "b"), Code::Corrupt));
    EXPECT_TRUE(fails(rows.lsn(0, "l"), Code::Corrupt));
    EXPECT_TRUE(fails(rows.text(0, "null"), Code::Corrupt));
    EXPECT_TRUE(fails(rows.text(1, "n"), Code::Corrupt));
    EXPECT_TRUE(fails(rows.text(0, "absent"), Code::Corrupt));
    EXPECT_TRUE(ok(rows.cell(0, "null")));
}

TEST(Quote, DoublesTheQuote) {
    EXPECT_EQ(quote_literal("it's"), "'it''s'");
    EXPECT_EQ(quote_identifier("a\"b"), "\"a\"\"b\"");
}

}  // namespace
}  // namespace lifeboat::postgres

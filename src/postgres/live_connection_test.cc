// Sessions with real servers: what they say, and how they refuse.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <thread>

#include "postgres/backup_session.h"
#include "postgres/server_error.h"
#include "tests/support/expect.h"
#include "tests/support/pg_session.h"

namespace lifeboat::postgres {
namespace {

using std::chrono::steady_clock;
using test::fails;
using test::ok;

class LiveConnection : public testing::TestWithParam<PgServer> {
  protected:
    void SetUp() override {
        if (const std::string missing = GetParam().missing(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
        std::unique_ptr<PgCluster>& shared = shared_clusters()[GetParam().major];
        if (shared == nullptr) {  // one for all tests: each leaves it running
            shared = std::make_unique<PgCluster>(GetParam());
            shared->create("");
            shared->start();
        }
        cluster_ = shared.get();
    }

    static void TearDownTestSuite() { shared_clusters().clear(); }

    static std::map<int, std::unique_ptr<PgCluster>>& shared_clusters() {
        static std::map<int, std::unique_ptr<PgCluster>> clusters;
        return clusters;
    }

    Result<Connection> open(const ConnectOptions& options) {
        return Connection::open(options, stop_);
    }

    Connection superuser() {
        auto connection = open(session_options(*cluster_));
        EXPECT_TRUE(ok(connection));
        return std::move(connection).value();
    }

    base::StopToken stop_;
    PgCluster* cluster_ = nullptr;
};

TEST_P(LiveConnection, AnswersAndRefusesAsTheServerDoes) {
    Connection connection = superuser();
    EXPECT_EQ(connection.server_version() / 10000, GetParam().major);
    const Cell parameters[] = {"it's \xff", std::nullopt, "41"};
    const auto rows = connection.query(
        "SELECT convert_from('\\x6869', 'UTF8') AS t, $2::text IS NULL AS n, $3::int + 1 AS i, "
        "'0/28'::pg_lsn AS l, octet_length($1::bytea) AS o",
        parameters);
    EXPECT_TRUE(fails(rows, Code::InvalidInput));  // \xff is not UTF-8, and the server says so
    const Cell valid[] = {std::nullopt, "41"};
    const auto answer = connection.query(
        "SELECT 'caf\xc3\xa9' AS t, $1::text IS NULL AS n, $2::int + 1 AS i, '0/28'::pg_lsn AS l",
        valid);
    ASSERT_TRUE(ok(answer));
    EXPECT_EQ(*answer->text(0, "t"), "caf\xc3\xa9");
    EXPECT_TRUE(*answer->boolean(0, "n"));
    EXPECT_EQ(*answer->integer(0, "i"), 42);
    EXPECT_EQ(*answer->lsn(0, "l"), Lsn{0x28});

    const auto absent = connection.query("SELECT * FROM absent");
    ASSERT_TRUE(fails(absent, Code::NotFound));
    EXPECT_EQ(sqlstate_of(absent.error().message()), "42P01");
    EXPECT_TRUE(fails(connection.query("SELEKT"), Code::InvalidInput));
    EXPECT_TRUE(fails(connection.query("COPY (SELECT 1) TO STDOUT"), Code::Bug));
    EXPECT_FALSE(connection.is_open());
}

TEST_P(LiveConnection, SettingsOfTheRoleDoNotReachUs) {
    cluster_->script({"CREATE ROLE hasty LOGIN", "ALTER ROLE hasty SET statement_timeout = '1ms'",
                      "ALTER ROLE hasty SET lock_timeout = '1ms'",
                      "ALTER ROLE hasty SET search_path = public",
                      "ALTER ROLE hasty SET DateStyle = 'German'",
                      "ALTER ROLE hasty SET default_transaction_read_only = on",
                      "ALTER ROLE hasty SET bytea_output = 'escape'"});
    auto connection = open(session_options(*cluster_, SessionKind::Sql, "hasty"));
    ASSERT_TRUE(ok(connection));
    EXPECT_TRUE(ok(connection->query("SELECT pg_sleep(0.02)")));
    const auto shown = connection->query(
        "SELECT '2026-01-23'::date::text AS d, '\\x00'::bytea::text AS b, "
        "current_setting('search_path') AS s, "
        "current_setting('TimeZone') AS z");
    ASSERT_TRUE(ok(shown));
    EXPECT_EQ(shown->rows[0], (std::vector<Cell>{"2026-01-23", "\\x00", "pg_catalog", "UTC"}));
}

TEST_P(LiveConnection, P10_AWrongPasswordIsDeniedAndNotRepeated) {
    cluster_->script({"CREATE ROLE locked LOGIN REPLICATION PASSWORD 'open sesame'"});
    cluster_->run({"/bin/sed", "-i", "1i local all locked scram-sha-256",
                   cluster_->inside("data/pg_hba.conf")});
    cluster_->script({"SELECT pg_reload_conf()"});
    ConnectOptions options = session_options(*cluster_, SessionKind::Sql, "locked");
    options.password = base::Secret("open sesame");
    EXPECT_TRUE(ok(open(options)));
    options.password = base::Secret("open barley");
    const auto wrong = open(options);
    ASSERT_TRUE(fails(wrong, Code::Denied));
    EXPECT_EQ(sqlstate_of(wrong.error().message()), "28P01");
    EXPECT_EQ(wrong.error().message().find("barley"), std::string::npos);
    EXPECT_NE(wrong.error().hint().find("Correct the system's 'password'"), std::string::npos);
    options.password = base::Secret();
    const auto silent = open(options);
    ASSERT_TRUE(fails(silent, Code::Denied));
    EXPECT_NE(silent.error().hint().find("the password"), std::string::npos);

    ConnectOptions elsewhere = session_options(*cluster_);
    elsewhere.conninfo += " dbname=nowhere";
    EXPECT_TRUE(fails(open(elsewhere), Code::NotFound));
    EXPECT_TRUE(fails(open(session_options(*cluster_, SessionKind::PhysicalReplication, "nobody")),
                      Code::Denied));
}

TEST_P(LiveConnection, AStoppedServerIsUnavailableBeforeAndAfter) {
    Connection connection = superuser();
    cluster_->stop("immediate");
    EXPECT_TRUE(fails(connection.query("SELECT 1"), Code::Unavailable));
    EXPECT_FALSE(connection.is_open());
    const auto refused = open(session_options(*cluster_));
    ASSERT_TRUE(fails(refused, Code::Unavailable));
    EXPECT_NE(refused.error().hint(), "");
    cluster_->start();
}

TEST_P(LiveConnection, ATerminatedSessionIsLost) {
    Connection victim = superuser();
    const auto pid = victim.query("SELECT pg_backend_pid() AS pid");
    ASSERT_TRUE(ok(pid));
    Connection killer = superuser();
    ASSERT_TRUE(
        ok(killer.query("SELECT pg_terminate_backend(" + *pid->text(0, "pid") + ", 5000)")));
    EXPECT_TRUE(fails(victim.query("SELECT 1"), Code::Unavailable));
    EXPECT_FALSE(victim.is_open());
}

TEST_P(LiveConnection, ALongStatementEndsAtItsLimitOrAtAStop) {
    Connection patient = superuser();
    const auto begun = steady_clock::now();
    EXPECT_TRUE(fails(patient.query("SELECT pg_sleep(60)", {}, std::chrono::milliseconds(50)),
                      Code::Unavailable));
    Connection other = superuser();
    std::thread stopper([this] { stop_.request(); });
    EXPECT_TRUE(fails(other.query("SELECT pg_sleep(60)"), Code::Cancelled));
    stopper.join();
    EXPECT_LT(steady_clock::now() - begun, std::chrono::seconds(20));
}

TEST_P(LiveConnection, ARoleThatMayNotBackUpLearnsWhatItLacks) {
    cluster_->script({"CREATE ROLE plain LOGIN"});
    auto connection = open(session_options(*cluster_, SessionKind::Sql, "plain"));
    ASSERT_TRUE(ok(connection));
    const auto started =
        start_backup(*connection, "test", CheckpointPace::Fast, std::chrono::seconds(30));
    ASSERT_TRUE(fails(started, Code::Denied));
    EXPECT_NE(started.error().hint().find("GRANT EXECUTE"), std::string::npos)
        << started.error().hint();
    cluster_->script(
        {"GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO "
         "plain"});
    EXPECT_TRUE(
        ok(start_backup(*connection, "test", CheckpointPace::Fast, std::chrono::seconds(30))));
}

INSTANTIATE_TEST_SUITE_P(Servers, LiveConnection, testing::ValuesIn(kLiveServers));

}  // namespace
}  // namespace lifeboat::postgres

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "base/fd.h"
#include "tests/e2e/cli_fixture.h"

// Servers that do not answer, refuse, or are not the one that is meant.

namespace lifeboat {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

using CliServers = CliServer;

std::string host_of(const std::string& config) {
    const std::size_t from = config.find("host=");
    return config.substr(from, config.find(' ', from) - from);
}

TEST_F(CliServers, ThoseThatDoNotAnswerAreNamedAndNothingIsStored) {
    const std::string host = host_of(cli().read("lifeboat.yaml"));
    const std::size_t before = backups();
    const std::vector<std::pair<std::string, std::string>> changes[] = {
        {{"port=5432", "port=5999"}},
        {{host, "host=127.0.0.1"}, {"port=5432", "port=1"}},
        {{host, "host=no-such-host.invalid"}},
    };
    for (const auto& change : changes) {
        const std::string config = cli().variant("away.yaml", change);
        expect_refusal(
            cli().run({"--config", config, "backup"}), 1,
            "backing up 'main': connecting to the server: ", "Check that the server runs");
    }
    EXPECT_EQ(backups(), before);
}

struct Refusing {
    std::vector<std::pair<std::string, std::string>> changes;
    const char* message;
    const char* hint;
};

TEST_F(CliServers, ThatRefuseAreAnsweredWithWhatToChange) {
    cluster().script({"CREATE ROLE plain LOGIN",
                      "CREATE ROLE sealed LOGIN REPLICATION PASSWORD 'x'",
                      "CREATE ROLE crowded LOGIN REPLICATION CONNECTION LIMIT 0"});
    const std::string hba = cluster().read("data/pg_hba.conf");
    cluster().run(
        {"/bin/sh", "-c",
         "sed -i '1i local all sealed scram-sha-256\\nlocal replication postgres reject' \"$0\"",
         cluster().inside("data/pg_hba.conf")});
    cluster().sql("SELECT pg_reload_conf()");
    const std::string secret = cli().write("wrong.pass", "guess");
    const Refusing cases[] = {
        {{{"user=postgres", "user=plain"}}, "must be superuser or replication role", "REPLICATION"},
        {{{"user=postgres", "user=ghost"}}, "role \"ghost\" does not exist", "Check the user"},
        {{{"dbname=postgres", "dbname=nodb"}}, "database \"nodb\" does not exist", "'dbname'"},
        {{{"user=postgres", "user=sealed"}},
         "no password supplied",
         "Check the user, the password"},
        {{{"user=postgres", "user=sealed"},
          {"# password: \"${file:/etc/lifeboat/main.pass}\"",
           "password: \"${file:" + secret + "}\""}},
         "password authentication failed for user \"sealed\"",
         "'password'"},
        {{{"user=postgres", "user=sealed"},
          {"# password: \"${file:/etc/lifeboat/main.pass}\"", "password: \"${env:NOT_SET}\""}},
         "environment variable 'NOT_SET' is not set",
         "${file:PATH}"},
        {{{"user=postgres", "user=crowded"}}, "too many connections for role", "CONNECTION LIMIT"},
        {{{"# data_directory: auto", "data_directory: none"}},
         "pg_hba.conf rejects replication connection",
         "pg_hba.conf; replication needs a line of its own"},
    };
    const std::size_t before = backups();
    for (const Refusing& c : cases) {
        const std::string config = cli().variant("refused.yaml", c.changes);
        const base::Finished done = cli().run({"--config", config, "backup"});
        expect_refusal(done, 1, c.message, c.hint);
        EXPECT_THAT(done.output, testing::Not(HasSubstr("guess")));
    }
    EXPECT_EQ(backups(), before);
    cluster().run({"/bin/sh", "-c", "cat > \"$0\" <<'END'\n" + hba + "END\n",
                   cluster().inside("data/pg_hba.conf")});
    cluster().sql("SELECT pg_reload_conf()");
}

// Waiting cures no port that is none.
TEST_F(CliServers, APortThatIsNoneIsUsageWhateverTheVerb) {
    const std::string config = cli().variant("port.yaml", {{"port=5432", "port=99999999"}});
    for (const char* verb : {"backup", "stream"}) {
        expect_refusal(cli().shell("timeout 20 \"$LB\" --quiet --config " + config + " " + verb), 2,
                       "invalid port number", "Correct 'port'");
    }
}

TEST_F(CliServers, AStreamWaitsForAServerThatRefusesAndSaysSoOnce) {
    const std::string config = cli().variant("waiting.yaml", {{"port=5432", "port=5999"}});
    const base::Finished done =
        cli().shell("timeout -s INT 5 \"$LB\" --config " + config + " stream");
    EXPECT_EQ(done.exit_status, 124);  // timeout's own: the stream itself had to be told
    const std::size_t first = done.output.find("Check that the server runs");
    ASSERT_NE(first, std::string::npos) << done.output;
    EXPECT_EQ(done.output.find("Check that the server runs", first + 1), std::string::npos)
        << done.output;
    EXPECT_THAT(done.output, HasSubstr("stopped"));
}

// B1: a standby, a retired primary or a copy has the same identifier, and its files may lag.
TEST_F(CliServers, T18_FilesOfAnotherMemberOfTheClusterAreNotReadInTheServersPlace) {
    cluster().tool("pg_basebackup", {"-h", cluster().inside(""), "-U", "postgres", "-D",
                                     cluster().inside("member"), "-X", "none", "-c", "fast"});
    const std::size_t before = backups();
    const std::string config = cli().variant(
        "member.yaml", {{"    connection:",
                         "    data_directory: " + cluster().host("member") + "\n    connection:"}});
    expect_refusal(cli().run({"--config", config, "backup"}), 1,
                   "belongs to another server of this cluster than the one that answers",
                   "data_directory: none");
    EXPECT_EQ(backups(), before);
}

// B1: the data directory is the server's, and a tablespace of it is not mounted here.
TEST_F(CliServers, T9_ATablespaceThatIsElsewhereIsNotTakenForAnEmptyOne) {
    cluster().run({"/bin/mkdir", cluster().inside("space")});
    cluster().sql("CREATE TABLESPACE space LOCATION '" + cluster().inside("space") + "'");
    cluster().sql("CREATE TABLE far (n int) TABLESPACE space");
    const std::string directories[] = {"empty", "clone"};
    cluster().run(
        {"/bin/sh", "-c",
         "cd \"$0\" && mkdir empty && cp -r space clone && sleep 1 && touch clone/PG_* && "
         "for d in empty clone; do mkdir view_$d && ln -s \"$0\"/data/* view_$d/ && "
         "rm view_$d/pg_tblspc && mkdir view_$d/pg_tblspc && "
         "ln -s \"$0\"/$d view_$d/pg_tblspc/$(ls data/pg_tblspc); done",
         cluster().inside("")});
    const std::size_t before = backups();
    for (const std::string& directory : directories) {
        const std::string config = cli().variant(
            "view.yaml",
            {{"    connection:",
              "    data_directory: " + cluster().host("view_" + directory) + "\n    connection:"}});
        expect_refusal(cli().run({"--config", config, "backup"}), 1, "tablespace ",
                       "Mount the tablespace where lifeboat runs");
    }
    EXPECT_EQ(backups(), before);
    cluster().script({"DROP TABLE far", "DROP TABLESPACE space"});
}

// T18: a connection that leads elsewhere by mistake must not become the newest state of a system.
TEST_F(CliServers, AnotherClusterIsNotStoredUnderThisSystemsName) {
    const std::string host = host_of(cli().read("lifeboat.yaml"));
    const std::size_t before = backups();
    for (const postgres::PgServer& server : {kServer, postgres::PgServer{17, 1, true}}) {
        if (!server.missing().empty()) {
            continue;  // the other version is tested where it is installed
        }
        postgres::PgCluster other(server);
        other.create("wal_level=replica\narchive_mode=off\nshared_buffers=16MB\n");
        other.start();
        const std::string config = cli().variant(
            "other.yaml", {{host, "host=" + other.host("")}, {"/state", "/state-other"}});
        cli().shell("mkdir -p state-other && cp -r state/keys state-other/");
        for (const char* how : {"--quiet", "--full"}) {
            expect_refusal(cli().run({"--config", config, "backup", how}), 1,
                           "; the server is cluster ", "give this server a system of its own");
        }
        // Nor is its WAL, although there is no stream yet that could tell whose it is.
        expect_refusal(cli().shell("timeout 30 \"$LB\" --quiet --config " + config + " stream"), 1,
                       "; the server is cluster ", "give this server a system of its own");
        EXPECT_EQ(other.list("data/pg_replslot").size(), 0U);
        const std::string segment =
            other.run({"/bin/sh", "-c", "cd \"$0\" && ls | grep -m 1 -E '^[0-9A-F]{24}$'",
                       other.inside("data/pg_wal")});
        expect_refusal(cli().run({"--config", config, "wal-push", "main",
                                  other.host("data/pg_wal/" + segment.substr(0, 24))}),
                       1, "; the server is cluster ", "give this server a system of its own");
    }
    EXPECT_EQ(backups(), before);
}

// What was written before the backup, since the last checkpoint, is none of its business.
TEST_F(CliServers, T17_ABackupNeedsNoMoreWalThanItWrites) {
    cluster().sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    cluster().sql("SELECT pg_reload_conf()");
    const std::size_t before = backups();
    const std::string wire =
        cli().variant("wire.yaml", {{"# data_directory: auto", "data_directory: none"}});
    for (const std::string& config : {cli().path("lifeboat.yaml"), wire}) {
        cluster().script({"CHECKPOINT", "SELECT pg_switch_wal()",
                          "CREATE TABLE bulk AS SELECT repeat(md5(i::text), 30) AS filler FROM "
                          "generate_series(1, 8000) i",
                          "DROP TABLE bulk"});
        const base::Finished done = cli().run({"--config", config, "backup", "--quiet"});
        EXPECT_EQ(done.exit_status, 0) << done.output;
    }
    EXPECT_EQ(backups(), before + 2);
    cluster().sql("ALTER SYSTEM RESET max_slot_wal_keep_size");
    cluster().sql("SELECT pg_reload_conf()");
}

TEST_F(CliServers, TwoBackupsAtOnceAreOneTooMany) {
    const base::Fd lock(::open(cli().path("state/locks/main.backup").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(lock.is_open());
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    expect_refusal(cli().run({"backup"}), 1, "a backup of 'main' is running (pid ",
                   "'lifeboat status' says when it has");
}

// False when `done` does not come true in time.
template <class Done>
bool eventually(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(20ms);
    }
    return true;
}

bool is_streaming(const Cli& cli) {
    return cli.read("state/status/main.json").find("\"streaming\"") != std::string::npos;
}

// Starts a stream, and ends it once it has stored something.
void stream_a_little(const Cli& cli, const postgres::PgCluster& cluster) {
    const auto stored = [&] {
        return cli.shell("find repo/s -type f ! -name '*.gap' 2> /dev/null | wc -l").output;
    };
    const std::string before = stored();
    auto stream = base::Child::start(cli.command({"stream", "--quiet"}));
    ASSERT_TRUE(test::ok(stream));
    cluster.sql("CREATE TABLE seen AS SELECT 1 AS n");
    cluster.sql("DROP TABLE seen");
    EXPECT_TRUE(eventually([&] { return stored() != before; }));
    EXPECT_EQ(stream->stop(SIGTERM, 30s), 0);
}

// The slot is lost, a person takes a backup, and only then does capture go on.
TEST_F(CliServers, T17_WhatLiesBetweenAStreamAndABackupByHandIsARecordedGap) {
    stream_a_little(cli(), cluster());
    cluster().script({"SELECT pg_drop_replication_slot('lifeboat_main')",
                      "CREATE TABLE lost AS SELECT i FROM generate_series(1, 100000) i",
                      "SELECT pg_switch_wal()", "CHECKPOINT"});
    EXPECT_EQ(cli().run({"backup", "--quiet"}).exit_status, 0);
    stream_a_little(cli(), cluster());
    EXPECT_EQ(cli().shell("find repo -name '*.gap' | wc -l").output, "1\n");
    const base::Finished checked = cli().run({"repo", "check"});
    EXPECT_EQ(checked.exit_status, 0) << checked.output;
}

TEST_F(CliServers, TwoStreamsAtOnceAreOneTooMany) {
    cli().shell("rm -f state/status/main.json");
    auto stream = base::Child::start(cli().command({"stream", "--quiet"}));
    ASSERT_TRUE(test::ok(stream));
    EXPECT_TRUE(eventually([] { return is_streaming(cli()); }));
    expect_refusal(cli().run({"stream", "--quiet"}), 1, "another lifeboat captures into spool",
                   "One process captures a system at a time");
    expect_refusal(cli().run({"stream", "--drain", "--quiet"}), 1,
                   "another lifeboat captures into spool", "stop the other one");
    EXPECT_TRUE(stream->running());
    EXPECT_EQ(stream->stop(SIGTERM, 30s), 0);
}

}  // namespace
}  // namespace lifeboat

#include "tests/e2e/property_world.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <sstream>

#include "tests/e2e/stream_world.h"
#include "tests/support/expect.h"

// LB_PROGRAM is the path of the program.

namespace lifeboat::test {

using namespace std::chrono_literals;
using base::Json;
using postgres::MayFail;

namespace {

constexpr int kHandPort = 5439;  // of sockets in directories of their own: no port is taken

std::string trimmed(std::string text) {
    while (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

// What two servers at the same point have in common, of one database. Rows in the order of their
// own digests; a second count of each table through its indexes, which sees what a visibility map
// that is wrong hides from the first.
constexpr const char* kDigest = R"(\set ON_ERROR_STOP on
SET client_min_messages = error;
SELECT 'prepared', gid, owner, database FROM pg_prepared_xacts ORDER BY gid;
SELECT 'catalog', count(*), md5(string_agg(c.oid || ' ' || relname || ' ' || relfilenode || ' ' || relkind::text || relpersistence::text || ' ' ||
  coalesce(spcname, '') || ' ' || relnatts, ',' ORDER BY c.oid))
  FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = reltablespace WHERE NOT relisshared;
SELECT 'relation', relname, relfilenode, relkind, relpersistence, coalesce(spcname, ''),
  (SELECT string_agg(attname || ':' || atttypid || ':' || attisdropped, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)
  FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = reltablespace WHERE relnamespace = 'public'::regnamespace ORDER BY relname;
SELECT 'index', indexrelid::regclass, indisvalid, indisready, pg_get_indexdef(indexrelid) FROM pg_index
  JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = 'public'::regnamespace ORDER BY 2;
SELECT format('SELECT %L, %L, count(*), md5(coalesce(string_agg(md5(t::text), %L ORDER BY md5(t::text)), %L)) FROM %s t', 'rows', c.oid::regclass, ',', '', c.oid::regclass)
  FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname
\gexec
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT format('SELECT %L, %L, count(*), coalesce(sum(k), 0) FROM %s WHERE k > 5', 'by index', c.oid::regclass, c.oid::regclass)
  FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'k' AND NOT attisdropped) ORDER BY relname
\gexec
SELECT format('SELECT %L, %L, last_value, is_called FROM %s', 'sequence', c.oid::regclass, c.oid::regclass)
  FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' ORDER BY relname
\gexec
SELECT 'large', loid, md5(string_agg(md5(data), '' ORDER BY pageno)) FROM pg_largeobject GROUP BY loid ORDER BY loid;
)";

constexpr const char* kDatabases =
    "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY datname";

}  // namespace

PropertyWorld::PropertyWorld(const postgres::PgServer& server, const Options& options)
    : server_(server), cluster_(server) {
    cluster_.create(
        "wal_keep_size=0\nmax_wal_size=48MB\nmin_wal_size=4MB\nmax_wal_senders=8\n"
        "max_replication_slots=8\nmax_prepared_transactions=60\ntrack_commit_timestamp=on\n"
        "shared_buffers=4MB\nautovacuum_naptime=1s\nautovacuum_vacuum_threshold=5\n"
        "allow_in_place_tablespaces=on\nmax_slot_wal_keep_size=2GB\n"
        "log_min_messages=fatal\n" +
        options.settings);
    if (!options.checksums) {
        cluster_.tool("pg_checksums", {"--disable", "-N", "-D", cluster_.inside("data")});
    }
    struct stat owner = {};
    EXPECT_EQ(::stat(cluster_.host("data").c_str(), &owner), 0);
    uid_ = owner.st_uid;
    gid_ = owner.st_gid;
    cluster_.run(
        {"/bin/mkdir", cluster_.inside("away"), cluster_.inside("bin"), cluster_.inside("lib")});
    cluster_.append("digest.sql", kDigest);
    cluster_.start();
    ask("CREATE TABLESPACE away LOCATION '" + cluster_.inside("away") + "'");
    ask("CREATE TABLE points (n int)");
    space_ = ask("SELECT oid FROM pg_tablespace WHERE spcname = 'away'");
    cluster_.tool("pg_basebackup",
                  {"-D", cluster_.inside("base"), "-h", cluster_.inside(""), "-X", "fetch", "-c",
                   "fast", "-T", cluster_.inside("away") + "=" + cluster_.inside("base_away")});
    install();
    std::vector<std::string> init = {
        "init",
        "--repository",
        "file://" + cluster_.inside("repo"),
        "--state",
        cluster_.inside("state"),
        "--keys-directory",
        cluster_.inside(""),
        "--site",
        "test",
        "--system",
        "main",
        "--connection",
        "host=" + cluster_.inside("") + " port=5432 user=postgres dbname=postgres"};
    if (options.over_the_wire) {
        init.insert(init.end(), {"--data-directory", "none"});
    }
    lifeboat(std::move(init));
}

PropertyWorld::~PropertyWorld() {
    stream_.reset();
    for (const std::string& directory : std::vector<std::string>(running_)) {
        end_server(directory);
    }
}

// The program, where the server's user may run it; in the other tree with the libraries that are
// missing there.
void PropertyWorld::install() {
    base::Command copy;
    copy.argv = {"/bin/sh",
                 "-c",
                 "cp \"$0\" \"$1/bin/lifeboat\" && chmod 755 \"$1/bin/lifeboat\" && "
                 "if [ -n \"$2\" ]; then ldd \"$0\" | awk '$2 == \"=>\" { print $3 }' | "
                 "while read -r so; do [ -e \"$2$so\" ] || cp \"$so\" \"$1/lib/\"; done; fi",
                 LB_PROGRAM,
                 cluster_.host("").substr(0, cluster_.host("").size() - 1),
                 server_.root()};
    const auto done = base::run(copy, 60s);
    ASSERT_TRUE(ok(done));
    ASSERT_EQ(done->exit_status, 0) << done->output;
}

std::vector<std::string> PropertyWorld::program(std::vector<std::string> words) const {
    std::vector<std::string> argv = {"/usr/bin/env",
                                     "LD_LIBRARY_PATH=" + cluster_.inside("lib"),
                                     cluster_.inside("bin/lifeboat"),
                                     "--config",
                                     cluster_.inside("lifeboat.yaml"),
                                     "--json"};
    argv.insert(argv.end(), words.begin(), words.end());
    return argv;
}

base::Command PropertyWorld::command(std::vector<std::string> argv) const {
    base::Command command;
    if (server_.in_trixie) {
        command.argv = {"chroot", "--userspec=postgres:postgres", server_.root()};
    } else {
        command.uid = uid_;
        command.gid = gid_;
    }
    command.argv.insert(command.argv.end(), argv.begin(), argv.end());
    command.environment = {{"TZ", "UTC"}, {"LC_ALL", "C"}};
    command.directory = "/";
    return command;
}

std::string PropertyWorld::shell(const std::string& script) {
    return cluster_.run({"/bin/sh", "-ec", "cd \"$0\"\n" + script, cluster_.inside("")});
}

void PropertyWorld::remove(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        EXPECT_TRUE(ok(base::remove_tree(base::real_files(), cluster_.host(name))));
    }
}

std::string PropertyWorld::ask(const std::string& sql) {
    return ask({cluster_.inside(""), 5432, {}}, sql);
}

std::string PropertyWorld::ask(const Running& server, const std::string& sql) {
    return trimmed(
        cluster_.tool("psql", {"-XAtq", "-v", "ON_ERROR_STOP=1", "-h", server.host, "-p",
                               std::to_string(server.port), "-d", "postgres", "-c", sql}));
}

void PropertyWorld::crash() {
    cluster_.stop("immediate");
    cluster_.start();
}

base::Finished PropertyWorld::run_lifeboat(std::vector<std::string> words) {
    const auto done = base::run(command(program(std::move(words))), 180s);
    EXPECT_TRUE(ok(done));
    return done ? *done : base::Finished{-1, ""};
}

Json PropertyWorld::lifeboat(std::vector<std::string> words, int exit_status) {
    const std::string what = testing::PrintToString(words);
    const base::Finished done = run_lifeboat(std::move(words));
    EXPECT_EQ(done.exit_status, exit_status) << what << "\n" << done.output;
    const auto document = Json::parse(done.output);
    const Json* result = document ? document->find("result") : nullptr;
    return result != nullptr ? *result : Json::object();
}

void PropertyWorld::connect_to(const std::string& host, int port) {
    shell("sed -i 's#host=[^ ]* port=[0-9]*#host=" + host + " port=" + std::to_string(port) +
          "#' lifeboat.yaml");
}

void PropertyWorld::drop_tablespace() {
    ask("DROP TABLESPACE away");
    space_.clear();
}

// ---- The stream
// -----------------------------------------------------------------------------------------------

void PropertyWorld::start_stream() {
    base::Command stream = command(program({"stream"}));
    stream.log_file = cluster_.host("stream.log");
    auto started = base::Child::start(stream);
    ASSERT_TRUE(ok(started));
    stream_.emplace(std::move(started).value());
}

void PropertyWorld::kill_stream() {
    stream_->stop(9, 5s);
}

void PropertyWorld::wait_for_stream() {
    wait_for_stream({cluster_.inside(""), 5432, {}});
}

void PropertyWorld::wait_for_stream(const Running& primary) {
    const auto written = postgres::parse_lsn(ask(primary, "SELECT pg_current_wal_flush_lsn()"));
    ASSERT_TRUE(ok(written));
    const bool came = eventually(
        [&] {
            const auto bytes =
                base::read_file(base::real_files(), cluster_.host("state/status/main.json"));
            const auto status =
                bytes ? Json::parse(base::text(*bytes)) : base::Result<Json>(Json::object());
            const Json* field = status ? status->find("position") : nullptr;
            const std::string position = field != nullptr ? field->as_text() : "";
            const auto at = postgres::parse_lsn(position.substr(0, position.find(' ')));
            return at && *at >= *written;
        },
        60s);
    ASSERT_TRUE(came) << cluster_.read("state/status/main.json") << cluster_.read("stream.log");
}

void PropertyWorld::end_stream() {
    EXPECT_EQ(stream_->stop(SIGTERM, 30s), 0) << cluster_.read("stream.log");
}

// ---- Two ways to the same point
// -----------------------------------------------------------------------------------------------

bool PropertyWorld::wait_until_open(const std::string& host, int port) {
    return eventually(
        [&] {
            return trimmed(cluster_.tool("psql",
                                         {"-XAtq", "-h", host, "-p", std::to_string(port), "-d",
                                          "postgres", "-c", "SELECT pg_is_in_recovery()"},
                                         MayFail::Yes)) == "f";
        },
        90s);
}

void PropertyWorld::configure_by_hand(const std::string& directory) {
    cluster_.append(directory + "/postgresql.auto.conf",
                    "port=" + std::to_string(kHandPort) + "\nunix_socket_directories='" +
                        cluster_.inside(directory) + "'\narchive_mode=off\nautovacuum=off");
}

void PropertyWorld::start_by_hand(const std::string& directory) {
    running_.push_back(directory);
    // The server's restore_command is the program, which looks for its libraries as install() left
    // them.
    cluster_.run({"/usr/bin/env", "LD_LIBRARY_PATH=" + cluster_.inside("lib"),
                  server_.program("pg_ctl"), "start", "-w", "-t", "90", "-D",
                  cluster_.inside(directory), "-l", cluster_.inside(directory + ".log")});
}

PropertyWorld::Running PropertyWorld::start_standby(const std::string& directory) {
    cluster_.tool(
        "pg_basebackup",
        {"-D", cluster_.inside(directory), "-h", cluster_.inside(""), "-R", "-X", "stream", "-c",
         "fast", "-T", cluster_.inside("away") + "=" + cluster_.inside(directory + "_away")});
    configure_by_hand(directory);
    start_by_hand(directory);
    return {cluster_.inside(directory), kHandPort, {}};
}

PropertyWorld::Running PropertyWorld::fail_over(const Running& primary, int number) {
    const std::string name = "node" + std::to_string(number);
    const int port = kHandPort + number;
    cluster_.tool("pg_basebackup",
                  {"-D", cluster_.inside(name), "-h", primary.host, "-p",
                   std::to_string(primary.port), "-R", "-X", "stream", "-c", "fast"});
    cluster_.append(name + "/postgresql.auto.conf",
                    "port=" + std::to_string(port) + "\nunix_socket_directories='" +
                        cluster_.inside(name) + "'\narchive_mode=off");
    start_by_hand(name);
    const Running next{cluster_.inside(name), port, {}};
    const std::string sent = ask(primary, "SELECT pg_current_wal_flush_lsn()");
    EXPECT_TRUE(eventually([&] {
        return ask(next, "SELECT pg_last_wal_replay_lsn() >= '" + sent + "'::pg_lsn") == "t";
    }));
    if (number == 1) {
        cluster_.stop("immediate");
    } else {
        end_server("node" + std::to_string(number - 1));
    }
    cluster_.tool("pg_ctl", {"promote", "-w", "-D", cluster_.inside(name)});
    return next;
}

void PropertyWorld::end_server(const std::string& directory) {
    cluster_.tool("pg_ctl", {"stop", "-w", "-m", "immediate", "-D", cluster_.inside(directory)},
                  MayFail::Yes);
    std::erase(running_, directory);
}

std::string PropertyWorld::replayed(const Point& point) {
    shell(
        "cp -a base replay; cp -a base_away replay_away; ln -sfn \"$PWD/replay_away\" "
        "replay/pg_tblspc/" +
        space_ + "; touch replay/recovery.signal");
    std::string settings = "restore_command='cp " + cluster_.inside("archive") +
                           "/%f \"%p\"'\nrecovery_target_action=promote\nhot_standby=off\n";
    for (const std::string& setting : point.settings) {
        settings += setting + "\n";
    }
    cluster_.append("replay/postgresql.auto.conf", settings);
    configure_by_hand("replay");
    start_by_hand("replay");
    EXPECT_TRUE(wait_until_open(cluster_.inside("replay"), kHandPort))
        << cluster_.read("replay.log");
    std::string held = digest("replay", cluster_.inside("replay"), kHandPort);
    end_server("replay");
    remove({"replay", "replay_away"});
    return held;
}

std::string PropertyWorld::restored(const Point& point, Start start) {
    const Running running = start_restored(point.words, start);
    if (running.port == 0) {
        return "";
    }
    std::string held = digest("restored", running.host, running.port);
    end_restored();
    return held;
}

PropertyWorld::Running PropertyWorld::start_restored(const std::vector<std::string>& more,
                                                     Start start) {
    std::vector<std::string> words = {"restore",    "main",
                                      "--target",   cluster_.inside("restored"),
                                      "--identity", cluster_.inside("recovery-1.key")};
    if (!space_.empty() && std::find(more.begin(), more.end(), "--tablespace") == more.end()) {
        words.insert(words.end(), {"--tablespace", cluster_.inside("away") + "=" +
                                                       cluster_.inside("restored_away")});
    }
    words.insert(words.end(), more.begin(), more.end());
    Running running;
    if (start == Start::ByHand) {
        running.report = lifeboat(words);
        const std::string said =
            cluster_.tool("pg_verifybackup", {"-n", cluster_.inside("restored")});
        EXPECT_NE(said.find("backup successfully verified"), std::string::npos) << said;
        configure_by_hand("restored");
        start_by_hand("restored");
        running.host = cluster_.inside("restored");
        running.port = wait_until_open(running.host, kHandPort) ? kHandPort : 0;
        EXPECT_EQ(running.port, kHandPort) << cluster_.read("restored.log");
        return running;
    }
    words.insert(words.end(), {"--start", "--check-pages", "--check-structure"});
    running.report = lifeboat(words);
    const Json* started = running.report.find("started");
    EXPECT_NE(started, nullptr);
    if (started == nullptr) {
        return running;
    }
    running_.emplace_back("restored");
    const Json* findings = started->find("findings");
    EXPECT_TRUE(findings == nullptr || findings->items().empty()) << findings->dump();
    // The fourth line is the port, the fifth the directory of the socket.
    std::istringstream lines(cluster_.read("restored/postmaster.pid"));
    std::string line;
    for (int i = 0; i < 4; ++i) {
        std::getline(lines, line);
    }
    running.port = std::atoi(line.c_str());
    std::getline(lines, running.host);
    return running;
}

void PropertyWorld::end_restored() {
    end_server("restored");
    remove({"restored", "restored_away"});
}

std::string PropertyWorld::digest(const std::string& directory, const std::string& host, int port) {
    const std::vector<std::string> to = {"-XAtq", "-h", host, "-p", std::to_string(port)};
    const auto psql = [&](const std::string& database, std::vector<std::string> more) {
        std::vector<std::string> words = to;
        words.insert(words.end(), {"-d", database});
        words.insert(words.end(), more.begin(), more.end());
        return cluster_.tool("psql", words);
    };
    std::string held =
        psql("postgres",
             {"-c",
              "SELECT 'database', datname, d.oid, spcname, datconnlimit FROM pg_database d JOIN "
              "pg_tablespace s ON s.oid = dattablespace ORDER BY 2",
              "-c", "SELECT 'tablespace', oid, spcname FROM pg_tablespace ORDER BY 2"});
    std::istringstream names(psql("postgres", {"-c", kDatabases}));
    for (std::string name; std::getline(names, name);) {
        held += "in " + name + "\n" + psql(name, {"-f", cluster_.inside("digest.sql")});
    }
    EXPECT_NE(held.find("rows|points"), std::string::npos) << directory << ":\n" << held;
    return held;
}

}  // namespace lifeboat::test

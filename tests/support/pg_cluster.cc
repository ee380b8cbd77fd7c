#include "tests/support/pg_cluster.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ostream>
#include <sstream>
#include <tuple>
#include <utility>

#include "base/files.h"
#include "base/process.h"

namespace lifeboat::postgres {

namespace {

using namespace std::chrono_literals;

std::string trixie() {
    const char* root = std::getenv("LIFEBOAT_TRIXIE");
    return root != nullptr ? root : "/var/tmp/lifeboat-trixie";
}

// Of the user postgres, as /etc/passwd of the tree at `root` says.
std::pair<std::uint32_t, std::uint32_t> ids_in(const std::string& root) {
    const auto passwd = base::read_file(base::real_files(), root + "/etc/passwd");
    std::istringstream lines(passwd ? std::string(base::text(*passwd)) : "");
    for (std::string line; std::getline(lines, line);) {
        unsigned uid = 0;
        unsigned gid = 0;
        if (std::sscanf(line.c_str(), "postgres:%*[^:]:%u:%u:", &uid, &gid) == 2) {
            return {uid, gid};
        }
    }
    return {};
}

}  // namespace

std::string PgServer::root() const {
    return in_trixie ? trixie() : "";
}

std::string PgServer::program(const std::string& name) const {
    return "/usr/lib/postgresql/" + std::to_string(major) + "/bin/" + name;
}

std::string PgServer::missing() const {
    if (geteuid() != 0) {
        return "only root can become the user postgres";
    }
    if (access((root() + program("postgres")).c_str(), X_OK) != 0) {
        EXPECT_TRUE(in_trixie) << "PostgreSQL " << major << " is not installed";
        return "no PostgreSQL " + std::to_string(major) + " in '" + root() + "'";
    }
    return "";
}

void PrintTo(const PgServer& server, std::ostream* out) {
    *out << "PostgreSQL " << server.major << ", segments of " << server.segment_mib << " MiB";
}

PgCluster::PgCluster(const PgServer& server) : server_(server) {
    std::tie(uid_, gid_) = ids_in(server.root());
    std::string path = server.root() + "/tmp/lb-wal-XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    dir_ = path.substr(server.root().size());
    EXPECT_EQ(chown(path.c_str(), uid_, gid_), 0);
}

PgCluster::~PgCluster() {
    if (running_) {
        stop("immediate");
    }
    EXPECT_TRUE(base::remove_tree(base::real_files(), host("")));
}

std::string PgCluster::run(std::vector<std::string> argv, MayFail may_fail,
                           const std::string& log) const {
    base::Command command;
    if (server_.in_trixie) {
        command.argv = {"chroot", "--userspec=postgres:postgres", server_.root()};
    } else {
        command.uid = uid_;
        command.gid = gid_;
    }
    command.argv.insert(command.argv.end(), argv.begin(), argv.end());
    command.environment = {{"TZ", "UTC"}, {"LC_ALL", "C"}, {"PGTZ", "UTC"}};
    command.directory = "/";
    command.log_file = log;
    const auto done = base::run(command, 120s);
    EXPECT_TRUE(done) << (done ? "" : done.error().message());
    if (!done) {
        return "";
    }
    EXPECT_TRUE(may_fail == MayFail::Yes || done->exit_status == 0)
        << argv[0] << " " << argv[1] << ": " << done->output;
    return done->output;
}

std::string PgCluster::tool(const std::string& name, std::vector<std::string> arguments,
                            MayFail may_fail, const std::string& log) const {
    arguments.insert(arguments.begin(), server_.program(name));
    return run(std::move(arguments), may_fail, log);
}

void PgCluster::create(const std::string& settings) {
    tool("initdb", {"-D", inside("data"), "-A", "trust", "-k", "-N", "--no-locale", "-E", "UTF8",
                    "--wal-segsize=" + std::to_string(server_.segment_mib)});
    run({"/bin/mkdir", inside("archive")});
    append("data/postgresql.conf",
           "listen_addresses=''\nunix_socket_directories='" + dir_ +
               "'\nfsync=off\nmax_wal_size=2GB\n"
               "wal_keep_size=2GB\nlog_line_prefix=''\narchive_mode=on\narchive_command='cp %p " +
               inside("archive") + "/%f'\n" + settings);
}

void PgCluster::append(const std::string& name, const std::string& text) const {
    run({"/bin/sh", "-c", "cat >> \"$0\" <<'END'\n" + text + "\nEND\n", inside(name)});
}

void PgCluster::start() {
    tool("pg_ctl", {"start", "-w", "-D", inside("data"), "-l", inside("data.log")});
    running_ = true;
}

void PgCluster::stop(const std::string& mode) {
    tool("pg_ctl", {"stop", "-w", "-m", mode, "-D", inside("data")});
    running_ = false;
}

void PgCluster::sql(const std::string& statement) const {
    script({statement});
}

void PgCluster::script(const std::vector<std::string>& statements) const {
    std::vector<std::string> arguments = {"-X", "-q", "-v", "ON_ERROR_STOP=1",
                                          "-h", dir_, "-d", "postgres"};
    for (const std::string& statement : statements) {
        arguments.push_back("-c");
        arguments.push_back(statement);
    }
    tool("psql", arguments);
}

std::string PgCluster::read(const std::string& name) const {
    const auto bytes = base::read_file(base::real_files(), host(name), base::kGiB);
    EXPECT_TRUE(bytes) << name;
    return bytes ? std::string(base::text(*bytes)) : "";
}

std::vector<std::string> PgCluster::list(const std::string& name) const {
    auto names = base::real_files().list(host(name));
    EXPECT_TRUE(names);
    return names ? *std::move(names) : std::vector<std::string>{};
}

SegmentSize PgCluster::segment_size() const {
    return SegmentSize::of(static_cast<std::uint64_t>(server_.segment_mib) << 20).value();
}

}  // namespace lifeboat::postgres

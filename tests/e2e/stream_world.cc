#include "tests/e2e/stream_world.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/expect.h"

namespace lifeboat::test {

using base::Bytes;
using namespace std::chrono_literals;

namespace {

constexpr const char* kBin = "/usr/lib/postgresql/15/bin/";
int next_port = 21000 + static_cast<int>(::getpid() % 5000);

const passwd& server_user() {
    static const passwd* const user = ::getpwnam("postgres");
    return *user;
}

std::string text_of(const std::string& path) {
    const auto bytes = base::read_file(base::real_files(), path);
    return bytes ? std::string(base::text(*bytes)) : "";
}

// Processes whose command line names `needle`.
bool any_process_of(const std::string& needle) {
    DIR* const proc = ::opendir("/proc");
    bool found = false;
    while (const dirent* entry = ::readdir(proc)) {
        char link[4096] = {};
        const std::string path = std::string("/proc/") + entry->d_name + "/cwd";
        const ssize_t size = ::readlink(path.c_str(), link, sizeof link - 1);
        found = found || (size > 0 && needle == link);
    }
    ::closedir(proc);
    return found;
}

}  // namespace

OpenDirectory::OpenDirectory() : path_("/tmp/lb-stream-XXXXXX") {
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
    EXPECT_EQ(::chmod(path_.c_str(), 0755), 0);
}

OpenDirectory::~OpenDirectory() {
    if (std::getenv("LB_KEEP") == nullptr) {
        base::remove_tree(base::real_files(), path_).discard("a leftover in /tmp harms nobody");
    }
}

// ---- Server -----------------------------------------------------------------------------------

PgServer::PgServer(std::string directory, int segment_mib)
    : directory_(std::move(directory)), segment_mib_(segment_mib), port_(next_port++) {
    EXPECT_EQ(::mkdir(directory_.c_str(), 0700), 0);
    EXPECT_EQ(::chown(directory_.c_str(), server_user().pw_uid, server_user().pw_gid), 0);
}

PgServer::~PgServer() {
    if (process_) {
        kill();
    }
}

base::Command PgServer::command(const std::string& name, std::vector<std::string> arguments) const {
    base::Command command;
    command.argv = std::move(arguments);
    command.argv.insert(command.argv.begin(), name.starts_with('/') ? name : kBin + name);
    command.environment = {{"PGHOST", directory_}, {"PGPORT", std::to_string(port_)},
                           {"PGUSER", "postgres"}, {"PGDATABASE", "postgres"},
                           {"LC_ALL", "C"},        {"TZ", "UTC"}};
    command.directory = directory_;
    command.uid = server_user().pw_uid;
    command.gid = server_user().pw_gid;
    return command;
}

std::string PgServer::tool(const std::string& name, std::vector<std::string> arguments,
                           bool may_fail) const {
    const auto done = base::run(command(name, std::move(arguments)), 120s);
    EXPECT_TRUE(ok(done));
    EXPECT_TRUE(!done || may_fail || done->exit_status == 0) << name << ": " << done->output;
    return done ? done->output : "";
}

void PgServer::init(const std::string& text) {
    tool("initdb", {"-D", data(), "-A", "trust", "-U", "postgres", "-N", "--no-locale", "-E",
                    "UTF8", "--wal-segsize=" + std::to_string(segment_mib_)});
    settings("listen_addresses=''\nunix_socket_directories='" + directory_ +
             "'\nport=" + std::to_string(port_) +
             "\nfsync=off\nwal_level=replica\nmax_wal_senders=10\nautovacuum=off\nmax_wal_size="
             "4GB\nwal_recycle=off\n" +
             text);
}

void PgServer::settings(const std::string& text) {
    const base::Command append =
        command("/bin/sh",
                {"-c", "cat >> \"$0\" <<'END'\n" + text + "\nEND\n", data() + "/postgresql.conf"});
    EXPECT_TRUE(ok(base::run(append, 10s)));
}

void PgServer::start() {
    base::Command postgres = command("postgres", {"-D", data()});
    postgres.log_file = directory_ + "/log";
    auto child = base::Child::start(postgres);
    ASSERT_TRUE(ok(child));
    process_.emplace(std::move(child).value());
    ASSERT_TRUE(eventually([this] { return is_up(); }, 60s)) << text_of(directory_ + "/log");
}

bool PgServer::is_up() {
    const auto done = base::run(command("pg_isready", {"-q"}), 5s);
    return done && done->exit_status == 0;
}

void PgServer::stop(const std::string& mode) {
    tool("pg_ctl", {"stop", "-w", "-m", mode, "-D", data()});
    eventually([this] { return !process_->running(); });
    process_.reset();
}

void PgServer::kill() {
    process_->stop(9, 5s);
    process_.reset();
    EXPECT_TRUE(eventually([this] { return !any_process_of(data()); }));
}

void PgServer::init_standby_of(const PgServer& primary) {
    tool("pg_basebackup",
         {"-D", data(), "-d", primary.conninfo(), "-X", "stream", "-c", "fast", "-R"});
    settings("unix_socket_directories='" + directory_ + "'\nport=" + std::to_string(port_));
}

void PgServer::promote() {
    tool("pg_ctl", {"promote", "-w", "-D", data()});
}

std::string PgServer::sql(const std::string& text, bool may_fail) const {
    std::string out = tool("psql", {"-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text}, may_fail);
    while (out.ends_with('\n')) {
        out.pop_back();
    }
    return out;
}

postgres::Lsn PgServer::lsn(const std::string& expression) const {
    const auto lsn = postgres::parse_lsn(sql("SELECT " + expression));
    EXPECT_TRUE(ok(lsn));
    return lsn ? *lsn : postgres::Lsn{};
}

std::string PgServer::conninfo() const {
    return "host=" + directory_ + " port=" + std::to_string(port_) +
           " user=postgres dbname=postgres";
}

postgres::SegmentSize PgServer::segment_size() const {
    return *postgres::SegmentSize::of(static_cast<std::uint64_t>(segment_mib_) << 20);
}

// ---- Receiver ---------------------------------------------------------------------------------

ReceiverProcess::ReceiverProcess(ReceiverOptions wanted) : options(std::move(wanted)) {
    ::mkdir(options.control.c_str(), 0700);
}

void ReceiverProcess::start() {
    base::Command command;
    command.argv = {LB_STREAM_RECEIVER,
                    options.conninfo,
                    options.slot,
                    options.repository,
                    options.spool,
                    options.control,
                    std::to_string(options.spool_limit),
                    options.acknowledge_repository ? "repository" : "spool",
                    std::to_string(options.interval_ms)};
    command.log_file = options.control + "/log";
    auto child = base::Child::start(command);
    ASSERT_TRUE(ok(child));
    child_.emplace(std::move(child).value());
}

base::Json ReceiverProcess::state() const {
    auto json = base::Json::parse(text_of(options.control + "/state.json"));
    return json ? std::move(json).value() : base::Json::object();
}

std::string ReceiverProcess::bases() const {
    return text_of(options.control + "/bases");
}

std::string ReceiverProcess::log() const {
    return text_of(options.control + "/log");
}

void ReceiverProcess::fail(bool on) {
    const std::string path = options.control + "/fail";
    if (on) {
        EXPECT_TRUE(ok(base::write_durably(base::real_files(), path, {}, base::Replace::Yes)));
    } else {
        EXPECT_TRUE(ok(base::real_files().remove(path)));
    }
}

// ---- Repository -------------------------------------------------------------------------------

StreamRepository::StreamRepository(const std::string& directory) {
    auto opened = store::LocalStore::open(base::real_files(), base::system_clock(), directory,
                                          store::LocalStore::Create::Yes);
    EXPECT_TRUE(ok(opened));
    store = std::move(opened).value();
    auto there = repo::Repository::open(*store, keys.recipients());
    if (!there) {
        there = repo::Repository::create(*store, keys.recipients(), base::system_clock(),
                                         base::system_random());
    }
    EXPECT_TRUE(ok(there));
    repository = std::move(there).value();
}

repo::StreamCatalog StreamRepository::catalog() const {
    auto catalog = repo::StreamCatalog::load(*repository, "prod");
    EXPECT_TRUE(ok(catalog));
    return std::move(catalog).value();
}

Bytes StreamRepository::read(std::uint32_t timeline, std::uint64_t from, std::uint64_t to,
                             std::uint64_t source) const {
    const auto all = catalog();
    auto reader_keys = keys.reader();
    repo::StreamReader reader(*repository, all, reader_keys, source);
    Bytes out(to - from);
    EXPECT_TRUE(ok(reader.read(timeline, from, out)));
    return out;
}

}  // namespace lifeboat::test

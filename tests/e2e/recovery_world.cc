#include "tests/e2e/recovery_world.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postgres/backup.h"
#include "postgres/recovery_landing.h"
#include "postgres/recovery_plan.h"
#include "postgres/server_process.h"
#include "postgres/timeline.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_summary.h"
#include "repo/stream.h"
#include "store/local_store.h"
#include "tests/support/expect.h"

namespace lifeboat::test {

using base::Bytes;
using postgres::Lsn;
using postgres::PgCluster;
using postgres::SegmentSize;

namespace {

constexpr const char* kSystem = "prod";
constexpr std::uint64_t kPieces[] = {4096,    70'000,    1'000'000, 8192,
                                     333'333, 2'500'000, 100,       20'000};

std::string trimmed(std::string text) {
    while (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

Lsn lsn_of(const std::string& text) {
    const auto lsn = postgres::parse_lsn(text);
    EXPECT_TRUE(ok(lsn)) << text;
    return lsn ? *lsn : Lsn{};
}

std::string own_program() {
    std::string path(4096, '\0');
    const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
    path.resize(static_cast<std::size_t>(size));
    return path;
}

// What a receiver would say of these bytes.
Bytes summary_of(const std::vector<std::pair<Lsn, base::BytesView>>& runs, int major) {
    postgres::WalReader reader({.major = major});
    postgres::WalSummarizer summarizer(postgres::KeepPoints::No);
    for (const auto& [at, bytes] : runs) {
        if (!reader.feed(at, bytes)) {
            return {};
        }
        while (reader.next() == postgres::WalStep::Record) {
            EXPECT_TRUE(ok(summarizer.add(reader.record())));
        }
    }
    return summarizer.summary().records == 0 ? Bytes{}
                                             : postgres::encode_summary(summarizer.summary());
}

}  // namespace

RecoveryWorld::RecoveryWorld()
    : cluster_(std::make_unique<PgCluster>(postgres::PgServer{15, 1, false})) {
    live();
}

RecoveryWorld::~RecoveryWorld() {
    cluster_->tool("pg_ctl", {"stop", "-w", "-m", "immediate", "-D", cluster_->inside("two")},
                   postgres::MayFail::Yes);
}

std::string RecoveryWorld::ask(const std::string& sql) const {
    return trimmed(
        cluster_->tool("psql", {"-XAtq", "-v", "ON_ERROR_STOP=1", "-h", cluster_->inside(""), "-p",
                                std::to_string(port_), "-d", "postgres", "-c", sql}));
}

Moment RecoveryWorld::note(const std::string& name, std::uint64_t xid) {
    Moment moment;
    moment.xid = xid;
    moment.rows = ask("SELECT string_agg(n::text, ',' ORDER BY n) FROM t");
    moment.lsn = lsn_of(ask("SELECT pg_current_wal_insert_lsn()"));
    if (xid != 0) {
        const std::string micros = ask("SELECT (extract(epoch FROM pg_xact_commit_timestamp('" +
                                       std::to_string(xid) + "'::xid)) * 1000000)::bigint");
        moment.time = base::from_unix_micros(std::stoll(micros));
    }
    moments_[name] = moment;
    return moment;
}

Moment RecoveryWorld::insert(const std::string& name, int n) {
    const std::string xid =
        ask("INSERT INTO t VALUES (" + std::to_string(n) + ") RETURNING txid_current()");
    return note(name, std::stoull(xid));
}

void RecoveryWorld::live() {
    cluster_->create(
        "track_commit_timestamp=on\nmax_prepared_transactions=4\nmax_connections=20\nautovacuum="
        "off\nwal_level=replica\nmax_wal_senders=4\nwal_keep_size=500MB");
    cluster_->run({"/bin/mkdir", cluster_->inside("space")});
    cluster_->start();
    ask("CREATE TABLE t (n int PRIMARY KEY, fill text DEFAULT repeat('x', 500))");
    ask("CREATE TABLE victim AS SELECT g AS n FROM generate_series(1, 1000) g");
    ask("CREATE TABLESPACE space LOCATION '" + cluster_->inside("space") + "'");
    ask("CREATE TABLE elsewhere (n int) TABLESPACE space");
    ask("INSERT INTO elsewhere VALUES (42)");
    insert("before backup", 1);
    system_identifier_ = std::stoull(ask("SELECT system_identifier FROM pg_control_system()"));

    auto opened =
        store::LocalStore::open(base::real_files(), base::system_clock(),
                                cluster_->host("repository"), store::LocalStore::Create::Yes);
    ASSERT_TRUE(ok(opened));
    store = store::with_faults(std::move(opened).value(),
                               [this](store::Operation operation, const std::string& name) {
                                   return faults_ ? faults_(operation, name) : store::Fault::None;
                               });
    auto created = repo::Repository::create(*store, keys.recipients(), base::system_clock(),
                                            base::system_random());
    ASSERT_TRUE(ok(created));
    repository = std::move(created).value();
    reader.reset(new repo::ReaderKeys(keys.reader()));  // it cannot be moved

    begin_ = lsn_of(ask("SELECT pg_current_wal_lsn()"));
    take_backup();
    live_on_timeline_one();
    live_on_timeline_two();
    store_wal();
}

void RecoveryWorld::take_backup() {
    postgres::PostgresConfig config;
    config.system = kSystem;
    config.connection = "host=" + cluster_->inside("") + " dbname=postgres user=postgres";
    repo::CaptureProgress progress;
    std::vector<std::string> notes;
    engine::BackupJob job{*repository, keys.host, {}, {}, progress, notes};
    const auto taken = postgres::take_backup(config, job, context());
    ASSERT_TRUE(ok(taken));
    backup_ = taken->backup;
}

void RecoveryWorld::live_on_timeline_one() {
    insert("two", 2);
    insert("three", 3);
    ask("SELECT pg_create_restore_point('before upgrade')");
    note("named", 0);
    insert("four", 4);
    ask("INSERT INTO t SELECT g FROM generate_series(1000, 3000) g; DELETE FROM t WHERE n >= 1000");
    ask("BEGIN; INSERT INTO t VALUES (5); PREPARE TRANSACTION 'both'");
    note("prepared", 0);
    ask("SELECT pg_switch_wal()");
    const std::string aborted = ask(
        "BEGIN; INSERT INTO t VALUES (99); SELECT txid_current()");  // psql leaves it: rolled back
    moments_["aborted"] = {{}, std::stoull(aborted), {}, note("after abort", 0).rows};
    const std::string prepared = ask("SELECT transaction FROM pg_prepared_xacts");
    ask("COMMIT PREPARED 'both'");
    note("five", std::stoull(prepared));
    const std::string drop = ask("BEGIN; DROP TABLE victim; SELECT txid_current(); COMMIT");
    note("dropped", std::stoull(drop));
    cluster_->append("data/postgresql.conf", "max_connections=60");
    cluster_->stop();
    cluster_->start();
    insert("six", 6);
}

// A standby takes over while the old primary goes on for a while.
void RecoveryWorld::live_on_timeline_two() {
    cluster_->tool("pg_basebackup",
                   {"-D", cluster_->inside("two"), "-h", cluster_->inside(""), "-d",
                    "dbname=postgres", "-X", "stream", "-c", "fast", "-R", "-T",
                    cluster_->inside("space") + "=" + cluster_->inside("space2")});
    cluster_->append("two/postgresql.conf", "port=5433\narchive_mode=off");
    cluster_->tool("pg_ctl", {"start", "-w", "-D", cluster_->inside("two"), "-l",
                              cluster_->inside("two.log")});
    cluster_->tool("pg_ctl", {"promote", "-w", "-D", cluster_->inside("two")});
    insert("seven on one", 7);
    ask("SELECT pg_switch_wal()");
    insert("eight on one", 8);
    one_ends_ = at("eight on one").lsn;
    cluster_->stop();

    port_ = 5433;
    const std::string file = cluster_->read("two/pg_wal/00000002.history");
    const auto history = postgres::parse_history(2, file);
    ASSERT_TRUE(ok(history));
    switched_ = history->ancestors.back().at;
    insert("seventy", 70);
    ask("INSERT INTO t SELECT g FROM generate_series(4000, 6000) g; DELETE FROM t WHERE n >= 4000");
    insert("seventy-one", 71);
    // The capture ends with the page that holds a switch of segments: before its padding.
    constexpr std::uint64_t kPage = 8192;
    const Lsn switch_ends = lsn_of(ask("SELECT pg_switch_wal()"));
    two_ends_ = Lsn{(switch_ends.value + kPage - 1) / kPage * kPage};
    cluster_->tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", cluster_->inside("two")});
}

void RecoveryWorld::store_wal() {
    store_segments("data", 1, begin_, one_ends_);
    const SegmentSize size = cluster_->segment_size();
    store_segments("two", 2, size.start_of(size.number_at(switched_)), two_ends_);
    store_history();
}

void RecoveryWorld::store_segments(const std::string& directory, std::uint32_t timeline, Lsn from,
                                   Lsn to) {
    const SegmentSize size = cluster_->segment_size();
    from = size.start_of(size.number_at(from));
    Bytes all;
    for (std::uint64_t n = size.number_at(from); n <= size.number_before(to); ++n) {
        const std::string text =
            cluster_->read(directory + "/pg_wal/" + postgres::segment_name(timeline, n, size));
        all.insert(all.end(), text.begin(), text.end());
    }
    ASSERT_GE(all.size(), to - from);
    all.resize(to - from);
    repo::StreamWriter writer(*repository, keys.host, kSystem, base::system_clock(),
                              base::system_random());
    // A piece's time is that of the first moment behind it: the server's clock when it was sent can
    // have been no later.
    for (std::size_t at = 0, i = 0; at < all.size(); ++i) {
        const std::size_t count =
            std::min<std::size_t>(kPieces[i % std::size(kPieces)], all.size() - at);
        const base::BytesView bytes(all.data() + at, count);
        const Lsn end = from + (at + count);
        repo::StreamPut put;
        put.kind = count > 500'000 ? repo::StreamObject::Gathered : repo::StreamObject::Piece;
        put.range = {timeline, (from + at).value, end.value};
        put.expires = policy::ExpiryDay::of(base::system_clock().now() + std::chrono::hours(240));
        put.source = system_identifier_;
        put.segment_size = static_cast<std::uint32_t>(size.bytes());
        put.major = 15;
        put.captured = base::system_clock().now();
        for (const auto& [name, moment] : moments_) {
            if (moment.xid != 0 && moment.lsn >= end && moment.time != base::Timestamp{}) {
                put.captured = std::min(put.captured, moment.time);
            }
        }
        put.summary = i % 3 == 0 ? Bytes{} : summary_of({{from + at, bytes}}, 15);
        ASSERT_TRUE(ok(writer.put(put, bytes)));
        at += count;
    }
}

void RecoveryWorld::store_history() {
    repo::StreamWriter writer(*repository, keys.host, kSystem, base::system_clock(),
                              base::system_random());
    ASSERT_TRUE(
        ok(writer.put_history(2, base::view(cluster_->read("two/pg_wal/00000002.history")))));
}

// ---- Restored
// -------------------------------------------------------------------------------------------------------

Restored::Restored(RecoveryWorld& world, std::string name)
    : directory(world.directory(name)), world_(world) {}

Restored::~Restored() {
    stop_server();
    for (const std::string& tree : {directory, directory + ".space"}) {
        base::remove_tree(base::real_files(), tree)
            .discard("the world's destructor removes it with everything else");
    }
}

base::Result<> Restored::plan(const engine::Target& target, std::optional<std::uint32_t> timeline) {
    recovery = TRY(postgres::plan_recovery(kSystem, *world_.repository, *world_.reader,
                                           {target, {}, timeline}, world_.context()));
    return {};
}

base::Result<> Restored::apply(const std::vector<std::pair<std::string, std::string>>& remap) {
    auto moves = remap;
    if (moves.empty()) {
        moves.emplace_back(world_.directory("space"), directory + ".space");
    }
    restore::ApplyRequest request;
    request.target = directory;
    request.landing = TRY(postgres::recovery_landing(
        *recovery, {directory, moves,
                    "'" + own_program() + "' wal-fetch '" + world_.directory("repository") + "'"}));
    const base::FileStat owner = TRY(base::real_files().stat(world_.cluster().host("data")));
    request.uid = owner.uid;
    request.gid = owner.gid;
    restore::ApplyProgress progress;
    TRY(restore::apply(*world_.repository, *world_.reader, recovery->backup, request, progress,
                       world_.context()));
    return {};
}

base::Result<> Restored::start(engine::StartRequest request) {
    request.target = directory;
    request.limit = std::chrono::minutes(2);
    const engine::Context context = world_.context();
    report = TRY(postgres::start_recovered(*world_.repository, *world_.reader,
                                           {*recovery, request, "", context}));
    return {};
}

base::Result<> Restored::all(const engine::Target& target, std::optional<std::uint32_t> timeline) {
    TRY(plan(target, timeline));
    TRY(apply());
    return start();
}

std::string Restored::ask(const std::string& sql, int port) const {
    const std::string conninfo = port == 0 ? report.connection
                                           : "host=" + directory + " port=" + std::to_string(port) +
                                                 " dbname=postgres user=postgres";
    return trimmed(world_.cluster().tool("psql", {"-XAtq", "-d", conninfo, "-c", sql}));
}

std::string Restored::rows() const {
    return ask("SELECT string_agg(n::text, ',' ORDER BY n) FROM t");
}

void Restored::stop_server() {
    if (report.pid > 0) {
        ::kill(report.pid, SIGQUIT);
        ::waitpid(report.pid, nullptr, 0);
        report.pid = 0;
    }
}

bool Restored::exists(const std::string& name) const {
    const auto there = base::exists(base::real_files(), base::join(directory, name));
    return there && *there;
}

std::string Restored::read(const std::string& name) const {
    const auto bytes = base::read_file(base::real_files(), base::join(directory, name));
    return bytes ? std::string(base::text(*bytes)) : "";
}

}  // namespace lifeboat::test

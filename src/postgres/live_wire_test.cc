// The replication protocol with real servers: base backups that start, WAL without holes, timelines
// that end.

#include <gtest/gtest.h>

#include "postgres/base_backup_stream.h"
#include "postgres/pg_control.h"
#include "postgres/replication.h"
#include "postgres/slots.h"
#include "tests/support/expect.h"
#include "tests/support/pg_session.h"

namespace lifeboat::postgres {
namespace {

using std::chrono::seconds;
using test::fails;
using test::ok;

class LiveWire : public testing::TestWithParam<PgServer> {
  protected:
    void SetUp() override {
        if (const std::string missing = GetParam().missing(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
    }

    Connection open(const PgCluster& cluster, SessionKind kind = SessionKind::PhysicalReplication) {
        auto connection = Connection::open(session_options(cluster, kind), stop_);
        EXPECT_TRUE(ok(connection));
        return std::move(connection).value();
    }

    base::StopToken stop_;
};

// Lays a base backup out as a data directory, owned as its parent is. Its one tablespace goes to
// "restored_space": a server takes only links for tablespaces.
class Landing {
  public:
    explicit Landing(const PgCluster& cluster)
        : cluster_(cluster), owner_(*base::real_files().stat(cluster.host(""))) {
        make_directory("restored");
        make_directory("restored_space");
    }

    Result<> take(const TarEntry& entry) {
        file_.reset();
        const std::string path = place_of(entry.name);
        if (entry.kind == TarKind::Directory) {
            make_directory(path);
        } else if (entry.kind == TarKind::File) {
            make_parents(path);
            file_ = TRY(base::real_files().open(cluster_.host(path), base::OpenMode::CreateNew));
            TRY(own(path));
            offset_ = 0;
        }
        return {};
    }

    Result<> take(base::BytesView bytes) {
        TRY(file_->write_at(offset_, bytes));
        offset_ += bytes.size();
        return {};
    }

    Result<> write(const std::string& path, base::BytesView bytes) {
        TRY(base::write_durably(base::real_files(), cluster_.host(path), bytes,
                                base::Replace::Yes));
        return own(path);
    }

  private:
    static std::string place_of(const std::string& name) {
        const std::string spaces = "pg_tblspc/";
        const std::size_t inside = name.find('/', spaces.size());
        return name.starts_with(spaces) && inside != std::string::npos
                   ? "restored_space" + name.substr(inside)
                   : "restored/" + name;
    }

    void make_parents(const std::string& path) {
        for (std::size_t at = path.find('/'); at != std::string::npos;
             at = path.find('/', at + 1)) {
            make_directory(path.substr(0, at));
        }
    }

    void make_directory(const std::string& path) {
        if (base::real_files().create_directory(cluster_.host(path))) {
            EXPECT_TRUE(ok(own(path)));
        }
    }

    Result<> own(const std::string& path) {
        return base::real_files().set_owner(cluster_.host(path), owner_.uid, owner_.gid);
    }

    const PgCluster& cluster_;
    base::FileStat owner_;
    std::unique_ptr<base::File> file_;
    std::uint64_t offset_ = 0;
};

Result<Lsn> land(BaseBackupFiles& files, Landing& landing) {
    while (true) {
        const BackupFileEvent event = TRY(files.next(soon()));
        if (const auto* entry = std::get_if<TarEntry>(&event)) {
            TRY(landing.take(*entry));
        } else if (const auto* data = std::get_if<FileData>(&event)) {
            TRY(landing.take(data->bytes));
        } else if (const auto* ended = std::get_if<BaseBackupEnded>(&event)) {
            return ended->lsn;
        } else {
            return Error(Code::Unavailable, "quiet");
        }
    }
}

// WAL from `from`, a segment's start, until `until` is behind us.
Result<base::Bytes> read_wal(Connection& connection, Lsn from, Lsn until, const std::string& slot) {
    ReplicationStream stream = TRY(ReplicationStream::start(connection, {from, 1, slot}));
    base::Bytes wal;
    while (from + wal.size() < until) {
        const StreamEvent event = TRY(stream.next(soon()));
        if (const auto* data = std::get_if<WalData>(&event)) {
            wal.insert(wal.end(), data->bytes.begin(), data->bytes.end());
        } else if (!std::holds_alternative<Keepalive>(event)) {
            return Error(Code::Unavailable, "no more data");
        }
    }
    TRY(stream.stop(soon()));
    return wal;
}

TEST_P(LiveWire, ABackupOverTheWireWithItsWalIsACluster) {
    PgCluster cluster(GetParam());
    cluster.create("");
    cluster.start();
    cluster.run({"/bin/mkdir", cluster.inside("space")});
    cluster.script({"CREATE TABLESPACE away LOCATION '" + cluster.inside("space") + "'",
                    "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 9) AS v FROM "
                    "generate_series(1, 30000) i",
                    "CREATE TABLE far TABLESPACE away AS SELECT i FROM generate_series(1, 5000) i",
                    "CREATE UNLOGGED TABLE fast TABLESPACE away AS SELECT 1 AS x"});
    Connection wal_session = open(cluster);
    ASSERT_TRUE(ok(create_slot(wal_session, "boat", SlotLife::Temporary)));
    Connection session = open(cluster);
    BaseBackupOptions options;
    options.estimate_sizes = true;
    auto stream = BaseBackupStream::start(session, options, seconds(60));
    ASSERT_TRUE(ok(stream));
    EXPECT_EQ(stream->begun().timeline, 1U);
    ASSERT_EQ(stream->begun().tablespaces.size(), 2U);
    EXPECT_EQ(stream->begun().tablespaces[0].location, cluster.inside("space"));
    EXPECT_GT(stream->begun().tablespaces[1].estimated_size.value_or(0), 1000000U);
    cluster.sql("UPDATE t SET v = '' WHERE i % 2 = 0");
    BaseBackupFiles files(std::move(stream).value());
    Landing landing(cluster);
    const auto end = land(files, landing);
    ASSERT_TRUE(ok(end));
    EXPECT_TRUE(parse_control(base::view(cluster.read("restored/global/pg_control"))));
    EXPECT_EQ(cluster.list("restored_space"), cluster.list("space"));

    const SegmentSize size = cluster.segment_size();
    const Lsn from = size.start_of(size.number_at(files.begun().lsn));
    auto wal = read_wal(wal_session, from, *end, "boat");
    ASSERT_TRUE(ok(wal));
    wal->resize((wal->size() + size.bytes() - 1) / size.bytes() * size.bytes());
    for (std::uint64_t i = 0; i * size.bytes() < wal->size(); ++i) {
        const auto segment = base::BytesView(*wal).subspan(i * size.bytes(), size.bytes());
        ASSERT_TRUE(ok(landing.write(
            "restored/pg_wal/" + segment_name(1, size.number_at(from) + i, size), segment)));
    }
    // The cluster itself keeps its tablespace: from this map the server makes the copy's link.
    const std::string oid = std::to_string(files.begun().tablespaces[0].oid);
    EXPECT_EQ(cluster.read("restored/tablespace_map"), oid + " " + cluster.inside("space") + "\n");
    const std::string map = oid + " " + cluster.inside("restored_space") + "\n";
    ASSERT_TRUE(ok(landing.write("restored/tablespace_map", base::view(map))));
    cluster.stop();
    cluster.tool("pg_ctl", {"start", "-w", "-D", cluster.inside("restored"), "-l",
                            cluster.inside("restored.log")});
    cluster.sql(
        "DO $$ BEGIN ASSERT (SELECT count(*) FROM t) = 30000; ASSERT (SELECT count(*) FROM t WHERE "
        "v = '') = 15000; "
        "ASSERT (SELECT sum(i) FROM far) = 12502500; ASSERT (SELECT count(*) FROM fast) = 0; END "
        "$$");
    cluster.tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", cluster.inside("restored")});
}

TEST_P(LiveWire, T3_DamageOnTheServerMakesTheBackupCorrupt) {
    PgCluster cluster(GetParam());
    cluster.create("");
    cluster.start();
    cluster.script({"CREATE TABLE t AS SELECT i FROM generate_series(1, 5000) i", "CHECKPOINT"});
    Connection sql = open(cluster, SessionKind::Sql);
    const auto path = sql.query("SELECT pg_relation_filepath('public.t') AS path");
    ASSERT_TRUE(ok(path));
    auto file = base::real_files().open(cluster.host("data/" + *path->text(0, "path")),
                                        base::OpenMode::ReadWrite);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok((*file)->write_at(8192 + 5000, base::view("damage"))));
    Connection session = open(cluster);
    auto stream = BaseBackupStream::start(session, {}, seconds(60));
    ASSERT_TRUE(ok(stream));
    BaseBackupFiles files(std::move(stream).value());
    Landing landing(cluster);
    EXPECT_TRUE(fails(land(files, landing), Code::Corrupt));
    const std::vector<std::string> notices = session.take_notices();
    ASSERT_FALSE(notices.empty());
    EXPECT_NE(notices[0].find(*path->text(0, "path")), std::string::npos) << notices[0];
}

TEST_P(LiveWire, T16_WhatWeReportIsWhatTheSlotForgets) {
    PgCluster cluster(GetParam());
    cluster.create("");
    cluster.start();
    Connection sql = open(cluster, SessionKind::Sql);
    Connection session = open(cluster);
    const auto identity = identify_system(session);
    ASSERT_TRUE(ok(identity));
    ASSERT_TRUE(ok(create_slot(session, "boat", SlotLife::Permanent)));
    const auto slot = read_slot(sql, "boat");
    ASSERT_TRUE(ok(slot));
    const SegmentSize size = cluster.segment_size();
    const Lsn from = size.start_of(size.number_at(*(*slot)->restart));
    {
        auto stream = ReplicationStream::start(session, {from, identity->timeline, "boat"});
        ASSERT_TRUE(ok(stream));
        Connection rival = open(cluster);
        EXPECT_TRUE(fails(ReplicationStream::start(rival, {from, 1, "boat"}), Code::Conflict));
        EXPECT_TRUE(ok(identify_system(rival)));
        cluster.sql("SELECT pg_logical_emit_message(true, 'x', 'tail')");
        const auto written = sql.query("SELECT pg_current_wal_flush_lsn() AS lsn");
        ASSERT_TRUE(ok(written));
        while (stream->position() < *written->lsn(0, "lsn")) {
            ASSERT_TRUE(ok(stream->next(soon())));
        }
        const Lsn reached = stream->position();
        ASSERT_TRUE(ok(
            stream->report({reached, reached, reached, base::system_clock().now(), true}, soon())));
        while (true) {  // the reply that was asked for: by then our report has been taken in
            const auto event = stream->next(soon());
            ASSERT_TRUE(ok(event));
            ASSERT_FALSE(std::holds_alternative<StreamQuiet>(*event));
            if (const auto* keepalive = std::get_if<Keepalive>(&*event)) {
                EXPECT_GE(keepalive->server_end, reached);
                EXPECT_LT(std::chrono::abs(keepalive->sent - base::system_clock().now()),
                          std::chrono::hours(1));
                break;
            }
        }
        const auto after = read_slot(sql, "boat");
        ASSERT_TRUE(ok(after));
        EXPECT_TRUE((*after)->active);
        EXPECT_GE(*(*after)->restart, reached);
        ASSERT_TRUE(ok(stream->stop(soon())));
    }
    EXPECT_TRUE(ok(identify_system(session)));  // the session takes commands again
    EXPECT_TRUE(ok(drop_slot(session, "boat")));
    EXPECT_TRUE(fails(ReplicationStream::start(session, {from, 1, "boat"}), Code::NotFound));
    EXPECT_TRUE(fails(fetch_history(session, 7), Code::NotFound));
}

TEST_P(LiveWire, WalThatIsGoneIsNotFound) {
    PgCluster cluster(GetParam());
    cluster.create("wal_keep_size=0\narchive_mode=off\n");
    cluster.start();
    cluster.script({"SELECT pg_logical_emit_message(false, 'x', 'y')", "SELECT pg_switch_wal()",
                    "CHECKPOINT", "SELECT pg_logical_emit_message(false, 'x', 'y')",
                    "SELECT pg_switch_wal()", "CHECKPOINT"});
    Connection session = open(cluster);
    auto stream = ReplicationStream::start(session, {cluster.segment_size().start_of(1), 1, ""});
    if (stream) {  // the server may notice only when it reads
        EXPECT_TRUE(fails(stream->next(soon()), Code::NotFound));
    } else {
        EXPECT_EQ(stream.error().code(), Code::NotFound);
    }
}

TEST_P(LiveWire, T15_APromotionEndsTheTimelineAndNamesTheNext) {
    PgCluster primary(GetParam());
    primary.create("");
    primary.start();
    PgCluster standby(GetParam());
    standby.tool("pg_basebackup", {"-N", "-h", primary.inside(""), "-D", standby.inside("data"),
                                   "-R", "-X", "stream", "-c", "fast"});
    standby.append("data/postgresql.conf", "unix_socket_directories='" + standby.inside("") + "'");
    standby.start();
    const SegmentSize size = standby.segment_size();
    Connection session = open(standby);
    const auto identity = identify_system(session);
    ASSERT_TRUE(ok(identity));
    EXPECT_EQ(identity->timeline, 1U);
    const Lsn from = size.start_of(size.number_at(identity->flushed));
    auto stream = ReplicationStream::start(session, {from, 1, ""});
    ASSERT_TRUE(ok(stream));
    primary.stop();
    standby.sql("SELECT pg_promote()");
    standby.sql("CREATE TABLE after_promotion (x int)");
    std::optional<EndOfTimeline> end;
    while (!end) {
        const auto event = stream->next(soon());
        ASSERT_TRUE(ok(event));
        ASSERT_FALSE(std::holds_alternative<StreamQuiet>(*event));
        if (const auto* ended = std::get_if<EndOfTimeline>(&*event)) {
            end = *ended;
        }
    }
    EXPECT_EQ(end->next, 2U);
    EXPECT_EQ(stream->position(), end->switched_at);

    const auto history = fetch_history(session, end->next);
    ASSERT_TRUE(ok(history));
    EXPECT_EQ(history->name, "00000002.history");
    EXPECT_NE(base::text(history->contents).find(format_lsn(end->switched_at)),
              std::string_view::npos);
    const auto again = identify_system(session);
    ASSERT_TRUE(ok(again));
    EXPECT_EQ(again->timeline, 2U);

    auto old = ReplicationStream::start(session, {end->switched_at, 1, ""});  // at its very end
    ASSERT_TRUE(ok(old));
    const auto at_once = old->next(soon());
    ASSERT_TRUE(ok(at_once));
    EXPECT_EQ(std::get<EndOfTimeline>(*at_once).next, 2U);
    auto next =
        ReplicationStream::start(session, {size.start_of(size.number_at(end->switched_at)), 2, ""});
    ASSERT_TRUE(ok(next));
    while (next->position() <= end->switched_at) {
        ASSERT_TRUE(ok(next->next(soon())));
    }
    EXPECT_TRUE(ok(next->stop(soon())));
}

TEST_P(LiveWire, AServerThatStopsEndsTheStreamForNow) {
    PgCluster cluster(GetParam());
    cluster.create("");
    cluster.start();
    Connection session = open(cluster);
    const auto identity = identify_system(session);
    ASSERT_TRUE(ok(identity));
    const SegmentSize size = cluster.segment_size();
    // Small segments are recycled by initdb itself: only the newest is sure to be there.
    const Lsn from = size.start_of(size.number_at(identity->flushed));
    auto stream = ReplicationStream::start(session, {from, 1, ""});
    ASSERT_TRUE(ok(stream));
    cluster.stop("immediate");
    auto event = stream->next(soon());
    while (event && !std::holds_alternative<StreamQuiet>(*event)) {
        event = stream->next(soon());
    }
    EXPECT_TRUE(fails(event, Code::Unavailable));
}

INSTANTIATE_TEST_SUITE_P(Servers, LiveWire, testing::ValuesIn(kLiveServers));

}  // namespace
}  // namespace lifeboat::postgres

#include "postgres/replication.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/fake_postgres.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using std::chrono::seconds;
using test::fails;
using test::FakePostgres;
using test::ok;
namespace wire = test::wire;

const base::Timestamp kTime = *base::parse_rfc3339("2026-01-23T14:00:00.25Z");

std::string data(std::uint64_t start, std::string_view bytes) {
    return wire::copy_data("w" + wire::u64(start) + wire::u64(start + 100) + wire::u64(0) +
                           std::string(bytes));
}

std::string timeline_end() {
    return wire::copy_done();
}

std::string next_timeline(const char* next, const char* position) {
    return wire::rows({"next_tli", "next_tli_startpos"}, {{next, position}}) +
           wire::done("START_STREAMING") + wire::ready();
}

struct Session {
    explicit Session(FakePostgres::Answer answer) : server("15.4", std::move(answer)) {
        ConnectOptions options;
        options.conninfo = server.conninfo();
        options.kind = SessionKind::PhysicalReplication;
        Result<Connection> opened = Connection::open(options, stop);
        EXPECT_TRUE(ok(opened));
        connection.emplace(std::move(opened).value());
    }

    Result<ReplicationStream> start(StreamStart request = {Lsn{0x1000000}, 1, "boat"}) {
        return ReplicationStream::start(*connection, request);
    }

    base::StopToken stop;
    FakePostgres server;
    std::optional<Connection> connection;
};

Deadline soon() {
    return deadline_in(seconds(5));
}

TEST(StreamMessage, DecodesData) {
    const std::string bytes = "w" + wire::u64(0x100000028) + wire::u64(0x200000000) +
                              wire::u64(static_cast<std::uint64_t>(to_server_micros(kTime))) +
                              "wal";
    const auto message = decode_stream_message(base::view(bytes));
    ASSERT_TRUE(ok(message));
    const auto& decoded = std::get<WalData>(*message);
    EXPECT_EQ(format_lsn(decoded.start), "1/28");
    EXPECT_EQ(format_lsn(decoded.server_end), "2/0");
    EXPECT_EQ(decoded.sent, kTime);
    EXPECT_EQ(base::text(decoded.bytes), "wal");
}

TEST(StreamMessage, DecodesKeepalive) {
    const std::string bytes = "k" + wire::u64(0x28) + wire::u64(0) + "\1";
    const auto message = decode_stream_message(base::view(bytes));
    ASSERT_TRUE(ok(message));
    const auto& decoded = std::get<Keepalive>(*message);
    EXPECT_EQ(decoded.server_end, Lsn{0x28});
    EXPECT_EQ(base::format_time(decoded.sent), "2000-01-01T00:00:00Z");
    EXPECT_TRUE(decoded.reply_requested);
}

TEST(StreamMessage, RefusesWhatIsNeither) {
    for (const std::string& bytes :
         {std::string(), std::string("w"), "w" + std::string(24, 'x'), "k" + std::string(16, 'x'),
          "k" + std::string(18, 'x'), std::string("x") + std::string(30, 'x')}) {
        EXPECT_TRUE(fails(decode_stream_message(base::view(bytes)), Code::Corrupt)) << bytes.size();
    }
}

TEST(StreamMessage, HostileTimesStayRepresentable) {
    EXPECT_GT(from_server_micros(INT64_MAX), kTime);
    EXPECT_LT(from_server_micros(INT64_MIN), kTime);
}

TEST(StandbyStatus, IsEncodedInNetworkOrder) {
    const Bytes bytes =
        encode_status({Lsn{0x0102030405060708}, Lsn{2}, Lsn{3}, from_server_micros(4), true});
    EXPECT_EQ(base::hex(bytes),
              "72"
              "0102030405060708"
              "0000000000000002"
              "0000000000000003"
              "0000000000000004"
              "01");
}

TEST(ReplicationStream, AsksForSlotPositionAndTimeline) {
    std::string asked;
    Session session([&](const std::string& query) {
        asked = query;
        return wire::copy_both();
    });
    ASSERT_TRUE(ok(session.start({Lsn{0x10000000A0}, 3, "boat"})));
    EXPECT_EQ(asked, "START_REPLICATION SLOT \"boat\" PHYSICAL 10/A0 TIMELINE 3");
    Session without([&](const std::string& query) {
        asked = query;
        return wire::copy_both();
    });
    ASSERT_TRUE(ok(without.start({Lsn{0x10000000A0}, 3, ""})));
    EXPECT_EQ(asked, "START_REPLICATION PHYSICAL 10/A0 TIMELINE 3");
}

TEST(ReplicationStream, YieldsDataInOrderThenQuiet) {
    Session session([](const std::string&) {
        return wire::copy_both() + data(0x1000000, "abc") + data(0x1000003, "d");
    });
    auto stream = session.start();
    ASSERT_TRUE(ok(stream));
    auto first = stream->next(soon());
    ASSERT_TRUE(ok(first));
    EXPECT_EQ(base::text(std::get<WalData>(*first).bytes), "abc");
    auto second = stream->next(soon());
    ASSERT_TRUE(ok(second));
    EXPECT_EQ(base::text(std::get<WalData>(*second).bytes), "d");
    EXPECT_EQ(stream->position(), Lsn{0x1000004});
    auto quiet = stream->next(std::chrono::steady_clock::now());
    ASSERT_TRUE(ok(quiet));
    EXPECT_TRUE(std::holds_alternative<StreamQuiet>(*quiet));
}

TEST(ReplicationStream, AHoleInTheDataIsCorrupt) {
    Session session([](const std::string&) {
        return wire::copy_both() + data(0x1000000, "abc") + data(0x1000004, "d");
    });
    auto stream = session.start();
    ASSERT_TRUE(ok(stream));
    EXPECT_TRUE(ok(stream->next(soon())));
    EXPECT_TRUE(fails(stream->next(soon()), Code::Corrupt));
}

TEST(ReplicationStream, T15_TheServerSaysWhichTimelineIsNext) {
    Session session([](const std::string& query) {
        return query == "<copy done>" ? next_timeline("5", "0/1000001")
                                      : wire::copy_both() + data(0x1000000, "abc") + timeline_end();
    });
    auto stream = session.start();
    ASSERT_TRUE(ok(stream));
    EXPECT_TRUE(ok(stream->next(soon())));
    for (int i = 0; i < 2; ++i) {  // the answer stays the same
        auto end = stream->next(soon());
        ASSERT_TRUE(ok(end));
        const auto& ended = std::get<EndOfTimeline>(*end);
        EXPECT_EQ(ended.next, 5U);                     // 2, 3 and 4 never were
        EXPECT_EQ(ended.switched_at, Lsn{0x1000001});  // before what was received
    }
    EXPECT_TRUE(ok(stream->stop(soon())));
}

TEST(ReplicationStream, T15_StartingAtTheEndOfATimelineEndsAtOnce) {
    Session session([](const std::string&) { return next_timeline("2", "0/1000000"); });
    auto stream = session.start();
    ASSERT_TRUE(ok(stream));
    auto end = stream->next(soon());
    ASSERT_TRUE(ok(end));
    EXPECT_EQ(std::get<EndOfTimeline>(*end).next, 2U);
}

TEST(ReplicationStream, AServerThatShutsDownIsUnavailable) {
    Session session([](const std::string& query) {
        return query == "<copy done>" ? wire::done("COPY 0") + wire::ready()
                                      : wire::copy_both() + wire::copy_done();
    });
    auto stream = session.start();
    ASSERT_TRUE(ok(stream));
    EXPECT_TRUE(fails(stream->next(soon()), Code::Unavailable));
}

TEST(ReplicationStream, ARefusalLeavesTheSessionUsable) {
    Session session([](const std::string& query) {
        return query.starts_with("START")
                   ? wire::error("58P01", "requested WAL segment has already been removed") +
                         wire::ready()
                   : wire::rows({"systemid", "timeline", "xlogpos", "dbname"},
                                {{"18446744073709551615", "7", "0/28", std::nullopt}}) +
                         wire::ready();
    });
    EXPECT_TRUE(fails(session.start(), Code::NotFound));
    const auto identity = identify_system(*session.connection);
    ASSERT_TRUE(ok(identity));
    EXPECT_EQ(identity->system_identifier, UINT64_MAX);
    EXPECT_EQ(identity->timeline, 7U);
    EXPECT_EQ(identity->flushed, Lsn{0x28});
}

TEST(ReplicationStream, ReportsReachTheServer) {
    Session session([](const std::string& query) {
        return query == "<copy done>" ? wire::copy_done() + wire::done("COPY 0") + wire::ready()
                                      : wire::copy_both();
    });
    auto stream = session.start();
    ASSERT_TRUE(ok(stream));
    const StandbyStatus status = {Lsn{3}, Lsn{2}, Lsn{2}, kTime, false};
    ASSERT_TRUE(ok(stream->report(status, soon())));
    ASSERT_TRUE(ok(stream->stop(soon())));
    ASSERT_EQ(session.server.copied().size(), 1U);
    EXPECT_EQ(session.server.copied()[0], base::text(encode_status(status)));
}

TEST(FetchHistory, ChecksTheNameOfTheFile) {
    const auto answer = [](const char* name) {
        return [name](const std::string&) {
            return std::optional(
                wire::rows({"filename", "content"}, {{name, "1\t0/28\tno recovery target\n"}}) +
                wire::ready());
        };
    };
    Session right(answer("00000002.history"));
    const auto file = fetch_history(*right.connection, 2);
    ASSERT_TRUE(ok(file));
    EXPECT_EQ(base::text(file->contents), "1\t0/28\tno recovery target\n");
    Session wrong(answer("00000003.history"));
    EXPECT_TRUE(fails(fetch_history(*wrong.connection, 2), Code::Corrupt));
}

}  // namespace
}  // namespace lifeboat::postgres

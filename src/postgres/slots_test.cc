#include "postgres/slots.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/fake_postgres.h"

namespace lifeboat::postgres {
namespace {

using test::fails;
using test::FakePostgres;
using test::ok;
namespace wire = test::wire;

TEST(SlotName, IsWhatTheServerTakes) {
    for (const char* good : {"a", "lifeboat_1", "0", "______"}) {
        EXPECT_TRUE(ok(check_slot_name(good))) << good;
    }
    EXPECT_TRUE(ok(check_slot_name(std::string(63, 'a'))));
    for (const char* bad : {"", "A", "a-b", "a b", "a'b", "\xc3\xa4"}) {
        EXPECT_TRUE(fails(check_slot_name(bad), Code::InvalidInput)) << bad;
    }
    EXPECT_TRUE(fails(check_slot_name(std::string(64, 'a')), Code::InvalidInput));
}

struct Case {
    SessionKind kind;
    SlotLife life;
    const char* command;
};

TEST(CreateSlot, T17_ReservesWalAtOnceUnlessItIsAMark) {
    const Case table[] = {
        {SessionKind::Sql, SlotLife::Permanent,
         "SELECT pg_create_physical_replication_slot('boat', true, false)"},
        {SessionKind::Sql, SlotLife::Temporary,
         "SELECT pg_create_physical_replication_slot('boat', true, true)"},
        {SessionKind::Sql, SlotLife::Mark,
         "SELECT pg_create_physical_replication_slot('boat', false, true)"},
        {SessionKind::PhysicalReplication, SlotLife::Permanent,
         "CREATE_REPLICATION_SLOT \"boat\" PHYSICAL RESERVE_WAL"},
        {SessionKind::PhysicalReplication, SlotLife::Temporary,
         "CREATE_REPLICATION_SLOT \"boat\" TEMPORARY PHYSICAL RESERVE_WAL"},
        {SessionKind::PhysicalReplication, SlotLife::Mark,
         "CREATE_REPLICATION_SLOT \"boat\" TEMPORARY PHYSICAL"},
    };
    for (const Case& c : table) {
        std::string asked;
        const FakePostgres server("15.4", [&](const std::string& query) {
            asked = query;
            return wire::done() + wire::ready();
        });
        const base::StopToken stop;
        ConnectOptions options;
        options.conninfo = server.conninfo();
        options.kind = c.kind;
        auto connection = Connection::open(options, stop);
        ASSERT_TRUE(ok(connection));
        EXPECT_TRUE(ok(create_slot(*connection, "boat", c.life)));
        EXPECT_EQ(asked, c.command);
    }
}

TEST(ExplainEndedSession, T17_NamesTheSettingThatBoundsSlots) {
    const Error ended = explain_ended_session(
        Error(Code::Unavailable, "server: terminating connection (SQLSTATE 57P01)"));
    EXPECT_NE(ended.hint().find("max_slot_wal_keep_size"), std::string::npos);
    EXPECT_EQ(explain_ended_session(Error(Code::Unavailable, "gone (SQLSTATE 57P02)")).hint(), "");
}

TEST(CreateSlot, SaysHowToMakeRoomForMore) {
    const FakePostgres server("15.4", [](const std::string&) {
        return wire::error("53400", "all replication slots are in use") + wire::ready();
    });
    const base::StopToken stop;
    ConnectOptions options;
    options.conninfo = server.conninfo();
    auto connection = Connection::open(options, stop);
    ASSERT_TRUE(ok(connection));
    const auto made = create_slot(*connection, "boat", SlotLife::Permanent);
    ASSERT_TRUE(fails(made, Code::Refused));
    EXPECT_NE(made.error().hint().find("max_replication_slots"), std::string::npos);
}

}  // namespace
}  // namespace lifeboat::postgres

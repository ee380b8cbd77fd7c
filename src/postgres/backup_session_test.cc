#include "postgres/backup_session.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/fake_postgres.h"

namespace lifeboat::postgres {
namespace {

using test::fails;
using test::FakePostgres;
using test::ok;
namespace wire = test::wire;

constexpr const char* kLabel =
    "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"
    "CHECKPOINT LOCATION: 0/2000060\n"
    "BACKUP METHOD: streamed\n"
    "BACKUP FROM: primary\n"
    "START TIME: 2026-01-23 14:00:00 UTC\n"
    "LABEL: my label: odd\n"
    "START TIMELINE: 1\n";

std::string without(std::string text, std::string_view line) {
    const std::size_t at = text.find(line);
    return text.erase(at, text.find('\n', at) + 1 - at);
}

TEST(BackupLabel, IsReadWhole) {
    const auto label = parse_backup_label(kLabel);
    ASSERT_TRUE(ok(label));
    EXPECT_EQ(format_lsn(label->start), "0/2000028");
    EXPECT_EQ(label->wal_file, "000000010000000000000002");
    EXPECT_EQ(format_lsn(label->checkpoint), "0/2000060");
    EXPECT_FALSE(label->from_standby);
    EXPECT_EQ(label->timeline, 1U);
    EXPECT_EQ(label->label, "my label: odd");
}

TEST(BackupLabel, LacksNothing) {
    for (const char* line : {"START WAL", "CHECKPOINT", "BACKUP FROM", "LABEL", "START TIMELINE"}) {
        EXPECT_TRUE(fails(parse_backup_label(without(kLabel, line)), Code::Corrupt)) << line;
    }
    EXPECT_TRUE(fails(parse_backup_label(""), Code::Corrupt));
    EXPECT_TRUE(
        fails(parse_backup_label("START WAL LOCATION: 0/zz (file x)\nCHECKPOINT LOCATION: 0/1\n"),
              Code::Corrupt));
    EXPECT_TRUE(fails(parse_backup_label("START WAL LOCATION: 0/1\n"), Code::Corrupt));
}

struct Script {
    std::string version = "15.4";
    bool recovery_at_start = false;
    bool recovery_at_stop = false;
    std::string start_lsn = "0/2000028";
    std::string label = kLabel;
    std::string stop_error = {};
};

// Plays the server's side of a backup; the stop comes as extended query messages nowhere, so a
// simple query is enough.
class Scripted {
  public:
    explicit Scripted(Script script)
        : script_(std::move(script)),
          server_(script_.version, [this](const std::string& q) { return answer(q); }) {
        ConnectOptions options;
        options.conninfo = server_.conninfo();
        auto opened = Connection::open(options, stop_);
        EXPECT_TRUE(ok(opened));
        connection_.emplace(std::move(opened).value());
    }

    Result<BackupStop> stop() {
        const BackupStart start = {Lsn{0x2000028}, 1, "000000010000000000000002",
                                   script_.recovery_at_start};
        return stop_backup(*connection_, start);
    }

    const std::string& stop_command() const { return stop_command_; }

  private:
    std::optional<std::string> answer(const std::string& query) {
        if (query.find("pg_is_in_recovery") != std::string::npos) {
            return wire::rows({"recovery"}, {{script_.recovery_at_stop ? "t" : "f"}}) +
                   wire::ready();
        }
        stop_command_ = query;
        if (!script_.stop_error.empty()) {
            return wire::error(script_.stop_error, "no") + wire::ready();
        }
        return wire::rows({"lsn", "labelfile", "spcmapfile"},
                          {{"0/3000100", script_.label, std::nullopt}}) +
               wire::ready();
    }

    Script script_;
    std::string stop_command_;
    base::StopToken stop_;
    FakePostgres server_;
    std::optional<Connection> connection_;
};

TEST(StopBackup, T19_SpeaksTheDialectOfTheServer) {
    const std::pair<const char*, const char*> table[] = {
        {"13.9", "SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)"},
        {"14.9", "SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)"},
        {"15.4",
         "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(wait_for_archive => false)"},
        {"18.1",
         "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(wait_for_archive => false)"},
    };
    for (const auto& [version, command] : table) {
        Scripted scripted({.version = version});
        EXPECT_TRUE(ok(scripted.stop())) << version;
        EXPECT_EQ(scripted.stop_command(), command) << version;
    }
}

TEST(StopBackup, T1_ReturnsTheLabelByteForByte) {
    Scripted scripted({});
    const auto stop = scripted.stop();
    ASSERT_TRUE(ok(stop));
    EXPECT_EQ(stop->backup_label, kLabel);
    EXPECT_EQ(stop->tablespace_map, "");
    EXPECT_EQ(format_lsn(stop->lsn), "0/3000100");
    EXPECT_EQ(stop->timeline, 1U);
}

TEST(StopBackup, T19_APromotionMakesTheCopyWorthless) {
    Scripted scripted({.recovery_at_start = true, .recovery_at_stop = false});
    const auto stop = scripted.stop();
    ASSERT_TRUE(fails(stop, Code::Conflict));
    EXPECT_NE(stop.error().message().find("promoted"), std::string::npos);
    EXPECT_EQ(scripted.stop_command(), "");
}

TEST(StopBackup, RefusesTheLabelOfAnotherBackup) {
    std::string other = kLabel;
    other.replace(other.find("0/2000028"), 9, "0/9000028");
    Scripted wrong_start({.label = other});
    EXPECT_TRUE(fails(wrong_start.stop(), Code::Conflict));
    std::string later = kLabel;
    later.replace(later.find("TIMELINE: 1"), 11, "TIMELINE: 2");
    Scripted wrong_timeline({.label = later});
    EXPECT_TRUE(fails(wrong_timeline.stop(), Code::Conflict));
}

TEST(StopBackup, TheServersRefusalIsAConflict) {
    Scripted scripted({.stop_error = "55000"});
    EXPECT_TRUE(fails(scripted.stop(), Code::Conflict));
}

}  // namespace
}  // namespace lifeboat::postgres

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <set>

#include "tests/e2e/property_workload.h"
#include "tests/e2e/property_world.h"
#include "tests/support/expect.h"

// Clients do everything that changes files while backups are taken, the stream is killed and the
// server crashes; every moment that was noted meanwhile must come back exactly, whichever way it is
// named. What "exactly" is, the server's own replay of its own base backup says.
//
// LB_PROPERTY_SEED repeats a run; LB_PROPERTY_ROUNDS makes more of them, with seeds that follow.

namespace lifeboat::test {
namespace {

using namespace std::chrono_literals;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// The lines that only one of two digests has.
std::string difference(const std::string& expected, const std::string& got) {
    const auto lines = [](const std::string& text) {
        std::multiset<std::string> out;
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) {
            out.insert(line);
        }
        return out;
    };
    const auto a = lines(expected);
    const auto b = lines(got);
    std::vector<std::string> lost;
    std::vector<std::string> extra;
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(lost));
    std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(extra));
    std::string text;
    for (const std::string& line : lost) {
        text += "- " + line + "\n";
    }
    for (const std::string& line : extra) {
        text += "+ " + line + "\n";
    }
    return text;
}

class Round {
  public:
    Round(const postgres::PgServer& server, std::uint64_t seed)
        : dice_(seed), world_(server, options()) {
        clients_.push_back(std::make_unique<Client>(world_.cluster(), 1, dice_.seed()));
        clients_.push_back(std::make_unique<Client>(world_.cluster(), 2, dice_.seed()));
    }

    void live(int points);
    void compare();

  private:
    PropertyWorld::Options options() {
        PropertyWorld::Options options;
        options.checksums = dice_.one_in(2);
        options.over_the_wire = dice_.one_in(4);
        options.settings = dice_.one_in(3) ? "wal_level=logical\n" : "wal_level=replica\n";
        options.settings += dice_.one_in(3) ? "wal_compression=on\n" : "";
        return options;
    }

    void pause() { base::system_clock().sleep_for(std::chrono::milliseconds(dice_.roll(700))); }

    void back_up(bool full) {
        std::vector<std::string> words = {"backup"};
        if (full) {
            words.emplace_back("--full");
        }
        world_.lifeboat(words);
    }

    void note_point();
    Point position();
    Point name();
    Point transaction();
    Point time();

    Dice dice_;
    PropertyWorld world_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<Point> points_;
    int named_ = 0;
};

void Round::live(int points) {
    world_.start_stream();
    pause();
    back_up(true);
    enum class Act { Point, Backup, KillStream, Crash };
    std::vector<Act> acts(static_cast<std::size_t>(points), Act::Point);
    acts.insert(acts.end(), {Act::Backup, Act::Backup});
    if (dice_.one_in(2)) {
        acts.push_back(Act::KillStream);
    }
    if (dice_.one_in(2)) {
        acts.push_back(Act::Crash);
    }
    for (std::size_t i = acts.size(); i > 1; --i) {
        std::swap(acts[i - 1], acts[static_cast<std::size_t>(dice_.roll(static_cast<int>(i)))]);
    }
    for (const Act act : acts) {
        pause();
        switch (act) {
            case Act::Point:
                note_point();
                break;
            case Act::Backup:
                back_up(dice_.one_in(4));
                break;
            case Act::KillStream:
                world_.kill_stream();
                pause();
                world_.start_stream();
                break;
            case Act::Crash:
                world_.crash();
                break;
        }
    }
    pause();
    std::uint64_t done = 0;
    for (const auto& client : clients_) {
        client->stop();
        done += client->done();
    }
    EXPECT_GT(done, 20U) << "the clients were hardly there";
    // A time is reached where a later end of a transaction was seen.
    world_.ask("INSERT INTO points VALUES (-1)");
    points_.push_back({{}, {}});
    world_.wait_for_stream();
    world_.ask("SELECT pg_switch_wal()");
    world_.end_stream();
    world_.cluster().stop();
}

void Round::note_point() {
    switch (dice_.roll(4)) {
        case 0:
            return points_.push_back(position());
        case 1:
            return points_.push_back(name());
        case 2:
            return points_.push_back(transaction());
        default:
            return points_.push_back(time());
    }
}

// Every record that begins at or before it: for the server, up to and without what begins a byte
// later or beyond.
Point Round::position() {
    const std::string lsn = world_.ask(dice_.one_in(2) ? "SELECT pg_current_wal_insert_lsn()"
                                                       : "SELECT pg_current_wal_flush_lsn()");
    const auto parsed = postgres::parse_lsn(lsn);
    EXPECT_TRUE(ok(parsed)) << lsn;
    return {{"--lsn", lsn},
            {"recovery_target_lsn='" + postgres::format_lsn(*parsed + 1) + "'",
             "recovery_target_inclusive=off"}};
}

Point Round::name() {
    const std::string name = "point " + std::to_string(++named_);
    world_.ask("SELECT pg_create_restore_point('" + name + "')");
    return {{"--name", name}, {"recovery_target_name='" + name + "'"}};
}

Point Round::transaction() {
    const bool prepared = dice_.one_in(3);
    const std::string xid = world_.ask(
        prepared ? "BEGIN; INSERT INTO points VALUES (1); SELECT txid_current(); PREPARE "
                   "TRANSACTION 'noted'"
                 : "INSERT INTO points VALUES (2) RETURNING txid_current()");
    if (prepared) {
        pause();
        world_.ask(dice_.one_in(2) ? "COMMIT PREPARED 'noted'" : "ROLLBACK PREPARED 'noted'");
    }
    const bool without = dice_.one_in(2);
    return {{without ? "--before-xid" : "--xid", xid},
            {"recovery_target_xid='" + xid + "'",
             std::string("recovery_target_inclusive=") + (without ? "off" : "on")}};
}

Point Round::time() {
    const std::string expression =
        dice_.one_in(2) ? "clock_timestamp()" : "(SELECT timestamp FROM pg_last_committed_xact())";
    const std::string time = world_.ask("SELECT to_char(" + expression +
                                        " AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')");
    return {{"--at", time + " UTC"}, {"recovery_target_time='" + time + " UTC'"}};
}

void Round::compare() {
    for (const Point& point : points_) {
        const std::string what = testing::PrintToString(point.words);
        const auto start =
            dice_.one_in(3) ? PropertyWorld::Start::ByHand : PropertyWorld::Start::ByLifeboat;
        const std::string expected = world_.replayed(point);
        const std::string got = world_.restored(point, start);
        EXPECT_EQ(difference(expected, got), "") << what;
    }
}

class Property : public testing::TestWithParam<postgres::PgServer> {};

TEST_P(Property, EveryNotedMomentComesBackExactly) {
    const std::string missing = GetParam().missing();
    if (!missing.empty()) {
        GTEST_SKIP() << missing;
    }
    const std::uint64_t first = number_from(
        "LB_PROPERTY_SEED",
        static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()));
    const std::uint64_t rounds = number_from("LB_PROPERTY_ROUNDS", 0);
    for (std::uint64_t i = 0; i < std::max<std::uint64_t>(rounds, 1) && !HasFailure(); ++i) {
        SCOPED_TRACE("LB_PROPERTY_SEED=" + std::to_string(first + i));
        std::cout << "LB_PROPERTY_SEED=" << first + i << std::endl;
        Round round(GetParam(), first + i);
        round.live(rounds == 0 ? 2 : 6);
        if (!HasFailure()) {
            round.compare();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Servers, Property,
                         testing::Values(postgres::PgServer{15, 1, false},
                                         postgres::PgServer{17, 1, true}),
                         [](const auto& server) {
                             return "Postgres" + std::to_string(server.param.major);
                         });

}  // namespace
}  // namespace lifeboat::test

#include "postgres/wal_receiver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "policy/expiry.h"
#include "postgres/backup_details.h"
#include "postgres/lsn.h"
#include "postgres/replication.h"
#include "postgres/wal_spool.h"
#include "repo/stream.h"
#include "tests/support/expect.h"
#include "tests/support/fake_postgres.h"
#include "tests/support/repo_world.h"
#include "tests/support/sim_files.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::postgres {
namespace {

using base::kMiB;
using test::FakePostgres;
using test::ok;
using namespace std::chrono_literals;
namespace wire = test::wire;

constexpr std::uint64_t kSystem = 7000000000000000001ULL;
constexpr Lsn kStart{0x1000000};

std::uint64_t read_u64(const std::string& bytes, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = at; i < at + 8; ++i) {
        value = value << 8 | static_cast<unsigned char>(bytes.at(i));
    }
    return value;
}

// What the receiver said in a status message.
struct Said {
    Lsn written;
    Lsn flushed;
};

// A primary whose WAL is noise, and that sends what its script says for each status it hears.
class ScriptedPrimary {
  public:
    using Script = std::function<std::string(const Said&)>;

    // Its WAL and its slot begin at `at`.
    explicit ScriptedPrimary(Script script, Lsn at = kStart)
        : script_(std::move(script)),
          at_(at),
          server_(
              "15.4", [this](const std::string& query) { return answer(query); },
              [this](const std::string& message) { return hear(message); }) {}

    // A message with `size` more bytes of WAL, as of a server whose WAL ends `ahead` bytes behind
    // them.
    std::string data(std::size_t size, base::Timestamp sent, std::uint64_t ahead = 0) {
        const base::Bytes bytes = test::noise(end_.value, size);
        const Lsn from = end_;
        end_ = end_ + size;
        return wire::copy_data("w" + wire::u64(from.value) + wire::u64(end_.value + ahead) +
                               wire::u64(static_cast<std::uint64_t>(to_server_micros(sent))) +
                               std::string(base::text(bytes)));
    }

    // What it says when it is asked: at `moment` its WAL ended at `end`.
    void say(base::Timestamp moment, Lsn end) {
        const std::lock_guard<std::mutex> lock(mutex_);
        moment_ = moment;
        wal_end_ = end;
    }

    std::string conninfo() const { return server_.conninfo(); }

    bool slot_asked() const { return slot_asked_; }

    Said last() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return last_;
    }

  private:
    std::optional<std::string> hear(const std::string& message) {
        if (!message.starts_with("r")) {
            return "";
        }
        const Said said{Lsn{read_u64(message, 1)}, Lsn{read_u64(message, 9)}};
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            last_ = said;
        }
        return script_(said);
    }

    std::optional<std::string> answer(const std::string& query) {
        const auto has = [&](std::string_view part) {
            return query.find(part) != std::string::npos;
        };
        const auto row = [](const std::vector<std::string>& columns,
                            const std::vector<wire::Cell>& cells) {
            return wire::rows(columns, {cells}) + wire::ready();
        };
        if (query == "IDENTIFY_SYSTEM") {
            return row({"systemid", "timeline", "xlogpos", "dbname"},
                       {std::to_string(kSystem), "1", format_lsn(at_), std::nullopt});
        }
        if (query.starts_with("START_REPLICATION")) {
            return wire::copy_both();
        }
        if (query == "<copy done>") {
            return wire::copy_done() + wire::done("COPY 0") + wire::ready();
        }
        if (has("FROM pg_settings")) {
            const bool segment = has("'wal_segment_size'");
            return row({"value"}, {segment                       ? "1048576"
                                   : has("'wal_sender_timeout'") ? "60"
                                                                 : "-1"});
        }
        if (has("AS is_primary")) {
            return row({"is_primary"}, {"t"});
        }
        if (has("AS wal_end")) {
            const std::lock_guard<std::mutex> lock(mutex_);
            return row({"moment", "wal_end"},
                       {moment_ ? wire::Cell(std::to_string(base::to_unix_micros(*moment_)))
                                : std::nullopt,
                        moment_ ? wire::Cell(format_lsn(wal_end_)) : std::nullopt});
        }
        if (has("AS sync_state")) {
            return row({"sync_state"}, {"async"});
        }
        if (has("FROM pg_replication_slots")) {
            slot_asked_ = true;
            return row({"slot_type", "temporary", "active", "active_pid", "restart_lsn",
                        "wal_status", "safe_wal_size", "invalidation"},
                       {"physical", "f", "f", std::nullopt, format_lsn(at_), "reserved",
                        std::nullopt, std::nullopt});
        }
        ADD_FAILURE() << "asked: " << query;
        return std::nullopt;
    }

    Script script_;
    const Lsn at_;
    std::atomic<bool> slot_asked_ = false;
    mutable std::mutex mutex_;
    Said last_;
    std::optional<base::Timestamp> moment_;
    Lsn wal_end_;
    Lsn end_ = at_;
    FakePostgres server_;
};

class Receiver : public testing::Test {
  protected:
    Receiver() { EXPECT_TRUE(ok(base::create_directories(files_, dir_.path()))); }

    Result<> run(const ScriptedPrimary& primary, base::Duration interval) {
        PostgresConfig config;
        config.system = "prod";
        config.connection = primary.conninfo();
        engine::StreamJob job{.repository = *world_.repository,
                              .host = world_.keys.host,
                              .spool = dir_.path(),
                              .interval = interval,
                              .report =
                                  [this](const engine::StreamState& state) {
                                      const std::lock_guard<std::mutex> lock(mutex_);
                                      state_ = state;
                                  },
                              .need_base = [](const engine::BaseNeed&) {}};
        const engine::Context context{files_, world_.clock, base::system_random(), stop_};
        return stream_wal(config, job, context);
    }

    // A backup of this cluster, or of another.
    void back_up(Lsn stop, std::uint64_t system = kSystem) {
        BackupDetails details;
        details.system_identifier = system;
        details.version = 150004;
        details.timeline = 1;
        details.start = details.stop = stop;
        const base::Json told = details.to_json();
        const test::Tree tree{{"PG_VERSION", base::Bytes(3, 0x31)}};
        ASSERT_TRUE(ok(world_.capture({.tree = &tree, .details = &told})));
    }

    // What an earlier run of this host, or a stranger, stored.
    void store(const repo::HostKeys& host, std::uint64_t seed, Lsn from, std::size_t size) {
        repo::StreamWriter writer(*world_.repository, host, "prod", world_.clock, *world_.random);
        repo::StreamPut put;
        put.range = {1, from.value, from.value + size};
        put.expires = policy::wal_expiry(world_.clock.now(), std::chrono::days(2));
        put.source = kSystem;
        put.segment_size = kMiB;
        put.major = 15;
        ASSERT_TRUE(ok(writer.put(put, test::noise(seed, size))));
    }

    template <class Done>
    static bool wait_for(Done done) {
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (!done()) {
            if (std::chrono::steady_clock::now() > until) {
                return false;
            }
            base::system_clock().sleep_for(10ms);
        }
        return true;
    }

    // What the last object of the stream says that it covers.
    base::Timestamp last_label() {
        const auto catalog = repo::StreamCatalog::load(*world_.repository, "prod");
        EXPECT_TRUE(ok(catalog));
        const auto keys = world_.keys.host_reader();
        if (catalog->entries().empty()) {
            ADD_FAILURE() << "nothing is stored";
            return {};
        }
        const auto label = repo::read_label(*world_.repository, catalog->entries().back(), keys);
        EXPECT_TRUE(ok(label));
        return label->label.captured;
    }

    std::string trouble() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return state_.phase + ": " + state_.trouble;
    }

    Lsn stored_to() {
        const auto catalog = repo::StreamCatalog::load(*world_.repository, "prod");
        EXPECT_TRUE(ok(catalog));
        return Lsn{catalog->covered_to(1, kStart.value)};
    }

    test::TempDir dir_;
    test::SimFiles files_;
    test::RepoWorld world_;
    base::StopToken stop_;
    std::mutex mutex_;
    engine::StreamState state_;
};

// The bytes that a last sync could not make durable are nowhere: the server must keep them.
TEST_F(Receiver, T16_AStopWhoseSyncFailsAcknowledgesOnlyWhatIsStored) {
    std::atomic<int> failed = 0;
    files_.set_fault([&](std::string_view operation, const std::string&) {
        const bool now = operation == "sync" && stop_.requested() && failed++ == 0;
        return now ? std::optional(EIO) : std::nullopt;
    });
    ScriptedPrimary primary([&, step = 0](const Said& said) mutable -> std::string {
        const base::Timestamp now = world_.clock.now();
        if (step == 0) {
            ++step;
            return primary.data(1000, now);
        }
        if (step == 1 && said.flushed == kStart + 1000) {  // the interval is long from now on
            ++step;
            return primary.data(500, now);
        }
        if (step == 2 && said.written == kStart + 1500) {
            ++step;
            stop_.request();
        }
        return "";
    });
    ASSERT_TRUE(ok(run(primary, 1h)));
    EXPECT_GT(failed, 0);
    EXPECT_EQ(stored_to(), kStart + 1000);
    EXPECT_EQ(primary.last().flushed, kStart + 1000);
    EXPECT_EQ(primary.last().written, kStart + 1000);
}

// Whoever can write to the store can guess the name of the next object.
TEST_F(Receiver, P4_AnObjectOfAnotherSignerDoesNotStopTheStream) {
    const test::RepoKeys other(99);
    store(other.host, 77, kStart, 1000);
    ScriptedPrimary primary([&, step = 0](const Said& said) mutable -> std::string {
        if (step == 0) {
            ++step;
            return primary.data(1000, world_.clock.now());
        }
        if (step == 1 && said.flushed == kStart + 1000) {
            ++step;
            stop_.request();
        }
        return "";
    });
    ASSERT_TRUE(ok(run(primary, 1h)));
    const auto catalog = repo::StreamCatalog::load(*world_.repository, "prod");
    ASSERT_TRUE(ok(catalog));
    repo::StreamReader reader(*world_.repository, *catalog, world_.reader, kSystem);
    base::Bytes got(1000);
    ASSERT_TRUE(ok(reader.read(1, kStart.value, got)));
    EXPECT_EQ(got, test::noise(kStart.value, 1000));
}

// There is a backup, and no stream yet that could tell whose it is: nothing is made, here or there.
TEST_F(Receiver, T18_AnotherClusterThanTheNewestBackupIsOfIsRefusedBeforeItsSlotIsMade) {
    back_up(kStart, kSystem + 1);
    ScriptedPrimary primary([](const Said&) { return ""; });
    const auto refused = run(primary, 1ms);
    ASSERT_TRUE(test::fails(refused, Code::Conflict));
    EXPECT_NE(refused.error().message().find("the newest backup of this system"),
              std::string::npos);
    EXPECT_NE(refused.error().hint(), "");
    EXPECT_FALSE(primary.slot_asked());
    EXPECT_TRUE(world_.names("s/prod/wal/").empty());
    EXPECT_TRUE(test::fails(files_.stat(dir_ / "spool.json"), Code::NotFound));
}

// Claimed before there was a backup.
TEST_F(Receiver, T18_ASpoolOfAnotherClusterThanTheNewestBackupIsOfIsNotStored) {
    const ClusterIdentity own{kSystem, 15, *SegmentSize::of(kMiB)};
    ASSERT_TRUE(ok(WalSpool::claim(files_, dir_.path(), own)));
    back_up(kStart, kSystem + 1);
    ScriptedPrimary primary([&](const Said&) { return primary.data(1000, world_.clock.now()); });
    ASSERT_TRUE(test::fails(run(primary, 1ms), Code::Conflict));
    EXPECT_TRUE(world_.names("s/prod/wal/").empty());
}

// The slot was lost, and somebody took a backup before capture went on.
TEST_F(Receiver, T17_WhatLiesBetweenTheStreamAndABackupByHandIsARecordedGap) {
    const Lsn behind = kStart + 3 * kMiB;
    store(world_.keys.host, kStart.value, kStart, 1000);
    back_up(behind + 500);
    ScriptedPrimary primary(
        [&, step = 0](const Said& said) mutable -> std::string {
            if (step == 0) {
                ++step;
                return primary.data(1000, world_.clock.now());
            }
            if (step == 1 && said.flushed == behind + 1000) {
                ++step;
                stop_.request();
            }
            return "";
        },
        behind);
    ASSERT_TRUE(ok(run(primary, 1h)));
    const auto catalog = repo::StreamCatalog::load(*world_.repository, "prod");
    ASSERT_TRUE(ok(catalog));
    const repo::StreamRange gap{1, kStart.value + 1000, behind.value};
    EXPECT_EQ(catalog->gaps(), std::vector<repo::StreamRange>{gap});
    EXPECT_EQ(catalog->covered_to(1, behind.value), behind.value + 1000);
    const std::lock_guard<std::mutex> lock(mutex_);
    EXPECT_EQ(state_.gaps, 1U);
}

// A server that is two hours ahead stamps all it sends with its clock: nothing of these two hours
// is covered until the rest has come.
TEST_F(Receiver, T23_WhatIsSentLateDoesNotCoverTheTimeOfSending) {
    const base::Timestamp now = world_.clock.now();
    const base::Timestamp before = now - 2h;
    constexpr std::uint64_t kAhead = 100000;
    std::atomic<bool> caught_up = false;
    ScriptedPrimary primary([&, step = 0](const Said& said) mutable -> std::string {
        if (step == 0) {
            ++step;
            std::string late = primary.data(1000, now, kAhead + 1000);
            late += primary.data(500, now, kAhead + 500);
            return late + primary.data(500, now, kAhead);
        }
        if (step == 1 && said.flushed == kStart + 2000 && caught_up) {
            ++step;
            const std::string rest = primary.data(kAhead, now + 1s);
            return rest + primary.data(100, now + 2s);
        }
        return "";
    });
    primary.say(before, kStart + 800);
    std::thread receiving([&] { EXPECT_TRUE(ok(run(primary, 1ms))); });
    const auto captured = [&] {
        const std::lock_guard<std::mutex> lock(mutex_);
        return state_.captured;
    };
    EXPECT_TRUE(wait_for([&] { return stored_to() == kStart + 2000 && captured(); }))
        << format_lsn(stored_to()) << ": " << trouble();
    EXPECT_EQ(captured(), before);
    EXPECT_LE(last_label(), before);
    caught_up = true;
    EXPECT_TRUE(wait_for([&] { return captured() == now + 1s; }));
    EXPECT_EQ(stored_to(), kStart + 2000 + kAhead + 100);
    EXPECT_EQ(last_label(), now + 1s);
    primary.say(now + 1h, kStart + 2000 + kAhead + 100);  // nothing is written, and nothing is sent
    EXPECT_TRUE(wait_for([&] { return captured() == now + 1h; }));
    stop_.request();
    receiving.join();
}

}  // namespace
}  // namespace lifeboat::postgres

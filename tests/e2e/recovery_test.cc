#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/process.h"
#include "postgres/pg_control.h"
#include "postgres/recovery_landing.h"
#include "postgres/recovery_plan.h"
#include "postgres/recovery_windows.h"
#include "postgres/wal_feeder.h"
#include "postgres/wal_fetch_client.h"
#include "repo/stream.h"
#include "store/local_store.h"
#include "tests/e2e/recovery_fixture.h"
#include "tests/support/expect.h"

// Restores of a real cluster, each compared with what the cluster held at that moment.

namespace lifeboat::test {
namespace {

using base::Code;
using namespace std::chrono_literals;

void expect_rows(RecoveryWorld& world, const char* what, const engine::Target& target,
                 const std::string& rows, std::optional<std::uint32_t> timeline = std::nullopt) {
    Restored restored(world, "restored");
    const auto done = restored.all(target, timeline);
    ASSERT_TRUE(ok(done)) << what;
    EXPECT_EQ(restored.rows(), rows) << what << ": " << restored.recovery->point;
    EXPECT_TRUE(restored.report.reached) << what;
    EXPECT_EQ(restored.ask("SELECT pg_is_in_recovery()"), "f") << what;
}

TEST_F(RecoveryTest, T14_TheNewestPointFollowsTheNewestTimeline) {
    expect_rows(world(), "latest", engine::Latest{}, world().at("seventy-one").rows);
}

TEST_F(RecoveryTest, ABackupAloneHoldsWhatWasThereAtItsEnd) {
    expect_rows(world(), "immediate", engine::Immediate{}, world().at("before backup").rows);
}

TEST_F(RecoveryTest, T23_ATimeHoldsWhatWasCommittedThen) {
    const Moment& three = world().at("three");
    expect_rows(world(), "at the commit", engine::AtTime{three.time}, three.rows);
    expect_rows(world(), "just before it", engine::AtTime{three.time - 1us},
                world().at("two").rows);
    expect_rows(world(), "on the new timeline", engine::AtTime{world().at("seventy").time},
                world().at("seventy").rows);
}

TEST_F(RecoveryTest, T23_ATransactionIsIncludedOrNot) {
    const Moment& five = world().at("five");
    expect_rows(world(), "a prepared one", engine::AtTransaction{five.xid}, five.rows);
    expect_rows(world(), "without it", engine::BeforeTransaction{five.xid},
                world().at("after abort").rows);
    expect_rows(world(), "an aborted one", engine::AtTransaction{world().at("aborted").xid},
                world().at("aborted").rows);
}

TEST_F(RecoveryTest, TheMomentBeforeADropHasTheTable) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.all(engine::BeforeTransaction{world().at("dropped").xid})));
    EXPECT_EQ(restored.ask("SELECT count(*) FROM victim"), "1000");
}

TEST_F(RecoveryTest, APreparedTransactionIsStillPrepared) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(
        ok(restored.all(engine::AtPosition{postgres::format_lsn(world().at("prepared").lsn - 1)})));
    EXPECT_EQ(restored.ask("SELECT gid FROM pg_prepared_xacts"), "both");
    EXPECT_EQ(restored.rows(), world().at("prepared").rows);
}

TEST_F(RecoveryTest, ARestorePointIsFoundByItsName) {
    expect_rows(world(), "by name", engine::AtName{"before upgrade"}, world().at("named").rows);
}

TEST_F(RecoveryTest, T14_ATimelineThatWasLeftIsReachedByItsNumber) {
    expect_rows(world(), "latest of 1", engine::Latest{}, world().at("eight on one").rows, 1);
}

// ---- What cannot be reached is refused before anything is written
// ---------------------------------------------------

TEST_F(RecoveryTest, T23_RefusesWhatCannotBeReached) {
    const base::Timestamp now = base::system_clock().now();

    const struct {
        const char* what;
        engine::Target target;
        std::optional<std::uint32_t> timeline;
        Code code;
        const char* says;
        const char* hints;
    } cases[] = {
        {"the future",
         engine::AtTime{now + 1h},
         {},
         Code::Refused,
         "lies in the future",
         "The newest point is"},
        {"before everything",
         engine::AtTime{world().at("before backup").time - 1h},
         {},
         Code::Refused,
         "lies before the end of the oldest backup",
         "--immediate"},
        {"a position behind the end",
         engine::AtPosition{"7/0"},
         {},
         Code::Refused,
         "lies after everything",
         "The newest point is"},
        {"a position before the backup",
         engine::AtPosition{"0/100028"},
         {},
         Code::Refused,
         "lies before the end of the oldest backup",
         "--immediate"},
        {"an unknown transaction",
         engine::AtTransaction{4'000'000},
         {},
         Code::NotFound,
         "is not in the WAL",
         "lifeboat list"},
        {"an unknown name",
         engine::AtName{"nobody"},
         {},
         Code::NotFound,
         "restore point 'nobody' is not in the WAL",
         "lifeboat list"},
        {"an unknown timeline", engine::Latest{}, 9U, Code::NotFound,
         "nothing here is of timeline 9", "lifeboat list"},
        {"a malformed position",
         engine::AtPosition{"nowhere"},
         {},
         Code::InvalidInput,
         "no WAL position",
         "slash"},
        {"another timeline's transaction",
         engine::AtTransaction{world().at("eight on one").xid + 1000}, 1U, Code::NotFound,
         "not in the WAL", ""},
    };

    for (const auto& c : cases) {
        Restored restored(world(), "restored");
        const auto planned = restored.plan(c.target, c.timeline);
        ASSERT_TRUE(fails(planned, c.code)) << c.what;
        EXPECT_NE(planned.error().message().find(c.says), std::string::npos)
            << c.what << ": " << planned.error().message();
        EXPECT_NE(planned.error().hint().find(c.hints), std::string::npos)
            << c.what << ": " << planned.error().hint();
    }
}

TEST_F(RecoveryTest, NeedsAnIdentity) {
    auto host = world().keys.host_reader();
    const auto planned = postgres::plan_recovery("prod", *world().repository, host,
                                                 {engine::Latest{}, {}, {}}, world().context());
    EXPECT_TRUE(fails(planned, Code::Denied));
    const auto windows = postgres::recovery_windows("prod", *world().repository, host);
    ASSERT_TRUE(ok(windows)) << "the host sees what can be recovered";
    ASSERT_EQ(windows->size(), 2U);
    EXPECT_EQ((*windows)[0].to, postgres::format_lsn(world().captured_to()));
    EXPECT_EQ((*windows)[1].to, postgres::format_lsn(world().at("eight on one").lsn))
        << (*windows)[1].note;
}

// ---- The directory
// --------------------------------------------------------------------------------------------------

TEST_F(RecoveryTest, PostgreSqlItselfVerifiesWhatLanded) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.plan(engine::Latest{})));
    ASSERT_TRUE(ok(restored.apply()));
    const std::string said = world().cluster().tool("pg_verifybackup", {restored.directory});
    EXPECT_NE(said.find("backup successfully verified"), std::string::npos) << said;
    EXPECT_TRUE(restored.exists("pg_wal/archive_status"));
    ASSERT_TRUE(ok(restored.start()));
    EXPECT_EQ(restored.ask("SELECT n FROM elsewhere"), "42") << "the tablespace followed";
    EXPECT_FALSE(restored.exists("pg_wal/lifeboat.feed")) << "the feeder takes its directory away";
}

TEST_F(RecoveryTest, ALandingAsksForRoomForTheWalThatItsRecoveryKeepsReady) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.plan(engine::Latest{})));
    const auto landing = postgres::recovery_landing(
        *restored.recovery,
        {restored.directory, {{world().directory("space"), restored.directory + ".space"}}, "x"});
    ASSERT_TRUE(ok(landing));
    EXPECT_GE(landing->recovery_bytes, 2 * base::kMiB);
}

TEST_F(RecoveryTest, T9_ATablespaceNeverLandsOnTheOriginal) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.plan(engine::Immediate{})));
    const auto landing = restored.apply({{"/nowhere", "/x"}});
    EXPECT_TRUE(fails(landing, Code::InvalidInput));
}

TEST_F(RecoveryTest, ChecksPagesAndStructureAndFindsDamage) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.plan(engine::Latest{})));
    ASSERT_TRUE(ok(restored.apply()));
    engine::StartRequest request;
    request.check_pages = request.check_structure = true;
    request.validate = {"SELECT count(*) FROM t", "SELECT nonsense"};
    ASSERT_TRUE(ok(restored.start(request)));
    ASSERT_EQ(restored.report.answers.size(), 1U);
    ASSERT_EQ(restored.report.findings.size(), 1U) << restored.report.findings[1];
    EXPECT_NE(restored.report.findings[0].find("nonsense"), std::string::npos);
    EXPECT_EQ(
        restored.ask(
            "SELECT count(*) FROM pg_extension WHERE extname IN ('amcheck', 'pg_visibility')"),
        "0")
        << "nothing of the check stays";
}

TEST_F(RecoveryTest, T24_NoSettingIsSmallerThanAnyServerOnTheWayHad) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.all(engine::Latest{})));
    EXPECT_EQ(restored.ask("SHOW max_connections"), "60") << "raised behind the backup";
    Restored early(world(), "early");
    ASSERT_TRUE(ok(early.plan(engine::AtTransaction{world().at("two").xid})));
    ASSERT_TRUE(ok(early.apply()));
    EXPECT_NE(early.read("postgresql.auto.conf").find("max_connections = '20'"), std::string::npos);
}

// ---- Failures of the repository
// -------------------------------------------------------------------------------------

TEST_F(RecoveryTest, T13_P5_AFailingRepositoryAbortsRecoveryAndNeverPromotes) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.plan(engine::Latest{})));
    ASSERT_TRUE(ok(restored.apply()));
    int reads = 0;
    world().set_faults([&reads](store::Operation operation, const std::string& name) {
        const bool wal = name.find("/wal") != std::string::npos;
        return wal && operation == store::Operation::GetRange && ++reads > 12 ? store::Fault::Fail
                                                                              : store::Fault::None;
    });
    const auto started = restored.start();
    ASSERT_FALSE(started.has_value());
    EXPECT_NE(started.error().message().find("its WAL:"), std::string::npos)
        << started.error().message();
    EXPECT_TRUE(restored.exists("recovery.signal")) << "it did not open";
    EXPECT_FALSE(restored.exists("pg_wal/00000003.history")) << "it did not promote";

    world().set_faults(nullptr);
    ASSERT_TRUE(ok(restored.start())) << "and goes on once the repository is back (P9)";
    EXPECT_EQ(restored.rows(), world().at("seventy-one").rows);
}

TEST_F(RecoveryTest, T10_ALostObjectIsAHoleThatIsFoundBeforehand) {
    const auto catalog = repo::StreamCatalog::load(*world().repository, "prod");
    ASSERT_TRUE(ok(catalog));
    std::string lost;
    for (const auto& entry : catalog->entries()) {
        const bool behind =
            entry.name.range.timeline == 1 && entry.name.range.from > world().at("four").lsn.value;
        lost = lost.empty() && behind ? entry.name.text() : lost;
    }
    world().set_faults([&lost](store::Operation operation, const std::string& name) {
        return operation == store::Operation::GetRange && name == lost ? store::Fault::FlipBit
                                                                       : store::Fault::None;
    });
    Restored restored(world(), "restored");
    const auto planned = restored.plan(engine::AtTransaction{world().at("six").xid});
    ASSERT_FALSE(planned.has_value());
    const auto early = restored.plan(engine::AtTransaction{world().at("two").xid});
    EXPECT_TRUE(ok(early)) << "what lies before the hole can be reached";
    const auto late =
        restored.plan(engine::AtPosition{postgres::format_lsn(world().at("six").lsn)});
    ASSERT_TRUE(fails(late, Code::Refused));
    EXPECT_NE(late.error().hint().find(lost), std::string::npos) << late.error().hint();
}

// The newest point is everything that was captured, or nothing.
TEST_F(RecoveryTest, T10_T23_TheNewestPointIsNotTheFirstHoleInSilence) {
    const auto catalog = repo::StreamCatalog::load(*world().repository, "prod");
    ASSERT_TRUE(ok(catalog));
    const std::uint64_t four = world().at("four").lsn.value;
    const auto& entries = catalog->entries();
    const auto lost = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
        return entry.name.range.timeline == 1 && entry.name.range.from > four;
    });
    ASSERT_NE(lost, entries.end());
    const postgres::Lsn hole{lost->name.range.from};
    const std::string object = base::join(world().directory("repository"), lost->name.text());
    base::Files& files = base::real_files();

    ASSERT_TRUE(ok(files.rename(object, object + ".away", base::Replace::No)));
    Restored restored(world(), "restored");
    const auto gone = restored.plan(engine::Latest{});
    ASSERT_TRUE(ok(files.rename(object + ".away", object, base::Replace::No)));
    world().set_faults([&](store::Operation operation, const std::string& name) {
        return operation == store::Operation::GetRange && name == lost->name.text()
                   ? store::Fault::FlipBit
                   : store::Fault::None;
    });
    const auto damaged = restored.plan(engine::Latest{});
    world().set_faults(nullptr);

    for (const auto* planned : {&gone, &damaged}) {
        ASSERT_TRUE(fails(*planned, Code::Refused));
        const std::string said = planned->error().message() + " " + planned->error().hint();
        EXPECT_NE(said.find("WAL is missing from " + postgres::format_lsn(hole)), std::string::npos)
            << said;
        EXPECT_NE(said.find("goes on at"), std::string::npos) << said;
        const std::size_t at = said.find("--lsn ");
        ASSERT_NE(at, std::string::npos) << said;
        const std::string lsn = said.substr(at + 6, said.find_first_of(" ;.", at + 6) - at - 6);
        ASSERT_TRUE(ok(restored.plan(engine::AtPosition{lsn}))) << "the hint leads somewhere";
        EXPECT_LT(postgres::parse_lsn(lsn).value(), hole);
    }
}

// Without it nobody can tell that timeline 2 left timeline 1, and where.
TEST_F(RecoveryTest, T14_ALaterTimelineWhoseHistoryIsLostIsNotPassedOverInSilence) {
    world().set_faults([](store::Operation operation, const std::string& name) {
        const bool history = name.find("history") != std::string::npos;
        return history && operation != store::Operation::List ? store::Fault::FlipBit
                                                              : store::Fault::None;
    });
    Restored restored(world(), "restored");
    const auto planned = restored.plan(engine::Latest{});
    ASSERT_TRUE(fails(planned, Code::Refused));
    EXPECT_NE(planned.error().message().find("timeline 2"), std::string::npos)
        << planned.error().message();
    ASSERT_TRUE(ok(restored.plan(engine::Latest{}, 1U)));
}

// ---- Started by hand
// ------------------------------------------------------------------------------------------------

TEST_F(RecoveryTest, AServerThatAPersonStartsFindsItsFeeder) {
    Restored restored(world(), "restored");
    ASSERT_TRUE(ok(restored.plan(engine::AtTransaction{world().at("six").xid})));
    ASSERT_TRUE(ok(restored.apply()));
    const auto& cluster = world().cluster();
    // The feeder is the server's child, and reads the repository as the server's user.
    base::Command give;
    give.argv = {"/bin/chown", "-R", "--reference=" + cluster.host("data"),
                 cluster.host("repository")};
    ASSERT_TRUE(ok(base::run(give, 10s)));
    cluster.run({"/bin/sh", "-c",
                 "printf \"port=5440\\nunix_socket_directories='%s'\\n\" \"$0\" >> "
                 "\"$0/postgresql.auto.conf\"",
                 restored.directory});
    cluster.tool("pg_ctl", {"start", "-w", "-t", "60", "-D", restored.directory, "-l",
                            restored.directory + ".log"});
    std::string state = "t";
    for (int i = 0; i < 600 && state == "t"; ++i) {
        state = restored.ask("SELECT pg_is_in_recovery()", 5440);
        base::system_clock().sleep_for(100ms);
    }
    EXPECT_EQ(restored.ask("SELECT string_agg(n::text, ',' ORDER BY n) FROM t", 5440),
              world().at("six").rows);
    cluster.tool("pg_ctl", {"stop", "-w", "-m", "immediate", "-D", restored.directory});
}

}  // namespace
}  // namespace lifeboat::test

// The resident feeder of the test above: `wal-feed REPOSITORY`, in the data directory.
namespace {

int feed_main(const char* directory) {
    using namespace lifeboat;
    auto store = store::LocalStore::open(base::real_files(), base::system_clock(), directory,
                                         store::LocalStore::Create::No);
    if (!store) {
        return 1;
    }
    auto repository = repo::Repository::open(**store);
    const test::RepoKeys keys;
    auto reader = keys.reader();
    std::string cwd(4096, '\0');
    cwd = ::getcwd(cwd.data(), cwd.size());
    base::StopToken stop;
    const auto done = repository ? postgres::run_resident_feeder(
                                       {cwd, std::chrono::seconds(60)}, **repository, reader,
                                       base::real_files(), base::system_clock(), stop)
                                 : base::Result<>(std::move(repository).error());
    if (!done) {
        std::fprintf(stderr, "%s\n", done.error().message().c_str());
    }
    return done ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::strcmp(argv[1], "wal-fetch") == 0) {
        return lifeboat::postgres::wal_fetch_main(argc, argv);
    }
    if (argc > 2 && std::strcmp(argv[1], "wal-feed") == 0) {
        return feed_main(argv[2]);
    }
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}

#include "service/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/backup.h"
#include "service/status.h"
#include "tests/support/expect.h"
#include "tests/support/service_world.h"

namespace lifeboat::service {
namespace {

using base::Code;
using policy::Verdict;
using std::chrono::hours;
using std::chrono::minutes;
using test::fails;
using test::ok;
using testing::HasSubstr;

class VerifyTest : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(ok(world_.init())); }

    void take_backup() {
        Installation installation = world_.open();
        const auto taken =
            backup(installation, {}, [](const std::string&, const repo::CaptureProgress*) {});
        ASSERT_TRUE(ok(taken));
    }

    // A backup reaches what the stream captured.
    void reached() {
        world_.script.windows = {{"0/1", "0/5000000", {}, world_.clock.now() - hours(1), "", ""}};
    }

    // What a stream that runs here wrote `ago`.
    void stream_said(base::Duration ago, const std::string& trouble = "") {
        StreamStatus status;
        status.state.phase = "streaming";
        status.state.position = "0/5000000";
        status.state.captured = world_.clock.now() - ago;
        status.state.updated = world_.clock.now() - ago;
        status.state.trouble = trouble;
        reached();
        ASSERT_TRUE(ok(base::create_directories(base::real_files(), world_.dir / "state/status")));
        world_.write("state/status/main.json", status.to_json().dump());
    }

    void captured_to(base::Duration ago) {
        world_.script.windows = {{"0/1", "0/2", {}, world_.clock.now() - ago, "", ""}};
    }

    Result<VerifyReport> run(bool data = false) {
        Installation installation = world_.open();
        VerifyRequest request;
        request.data = data;
        request.identity = data ? world_.dir / "keys/recovery-1.key" : "";
        return verify(installation, request, {});
    }

    // Exit code, or -1 when it failed.
    int exit_code(bool data = false) {
        const auto report = run(data);
        EXPECT_TRUE(ok(report));
        return report ? report->exit_code() : -1;
    }

    std::string find_object(const std::string& part) {
        std::string found;
        EXPECT_TRUE(ok(world_.objects().list("s/main/", [&](const store::ObjectInfo& info) {
            found = info.name.find(part) != std::string::npos ? info.name : found;
            return Result<>();
        })));
        return found;
    }

    test::ServiceWorld world_;
};

TEST_F(VerifyTest, DamagedPagesInTheNewestBackupAreAMissUntilOneHasNone) {
    world_.script.damaged = {"main"};
    take_backup();
    stream_said(std::chrono::seconds(2));
    EXPECT_EQ(exit_code(), base::exit_code(Code::ObjectiveMissed));
    Installation installation = world_.open();
    const auto seen = status(installation, "");
    ASSERT_TRUE(ok(seen));
    EXPECT_EQ(seen->systems.front().standing.damaged_pages, 1U);
    EXPECT_EQ(seen->systems.front().standing.verdict(), Verdict::Missed);
    world_.script.damaged = {};
    take_backup();
    stream_said(std::chrono::seconds(0));
    EXPECT_EQ(exit_code(), 0);
}

TEST_F(VerifyTest, AllIsWellWithAFreshBackupAndAStreamThatRuns) {
    take_backup();
    stream_said(std::chrono::seconds(2));
    const auto report = run();
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(report->systems.front().whole, 1U);
    EXPECT_EQ(report->systems.front().standing->verdict(), Verdict::Met);
    EXPECT_EQ(report->exit_code(), 0);
}

TEST_F(VerifyTest, NoBackupMissesEveryObjective) {
    const auto report = run();
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(report->systems.front().standing->backup_age.reason, "there is no backup");
    EXPECT_EQ(report->exit_code(), 5);
}

TEST_F(VerifyTest, MoreLossThanTheTierAllowsIsMissed) {
    take_backup();
    captured_to(minutes(4));
    EXPECT_EQ(exit_code(), 0);
    captured_to(minutes(6));
    EXPECT_EQ(exit_code(), 5);
}

TEST_F(VerifyTest, ABackupThatItsStreamWillSoonOutliveIsMissed) {
    take_backup();
    world_.clock.advance(hours(83));
    captured_to(minutes(1));
    EXPECT_EQ(exit_code(), 0);
    world_.clock.advance(hours(2));
    captured_to(minutes(1));
    EXPECT_EQ(exit_code(), 5);
}

TEST_F(VerifyTest, WhatIsNotKnownIsNeitherMetNorMissed) {
    take_backup();
    world_.script.windows_error = base::Error(Code::Unavailable, "no answer");
    const auto report = run();
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(report->systems.front().standing->rpo.verdict, Verdict::Unknown);
    EXPECT_EQ(report->systems.front().standing->rpo.reason, "no answer");
    EXPECT_EQ(report->exit_code(), 3);
}

TEST_F(VerifyTest, AMissingPackIsLoss) {
    take_backup();
    stream_said(std::chrono::seconds(2));
    ASSERT_TRUE(ok(world_.objects().remove(find_object(".pack"))));
    const auto report = run();
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(report->systems.front().degraded, 1U);
    EXPECT_EQ(report->exit_code(), 1);
}

// The headline and the exit code are one judgement.
TEST_F(VerifyTest, AHoleInTheStreamIsDamageOfItsSystem) {
    take_backup();
    stream_said(std::chrono::seconds(2));
    const auto expires = policy::ExpiryDay::parse("20360101");
    ASSERT_TRUE(ok(expires));
    for (const repo::StreamRange range : {repo::StreamRange{1, 0, 100}, {1, 200, 300}}) {
        const repo::StreamName name{repo::StreamObject::Piece, "main", *expires, range};
        ASSERT_TRUE(ok(world_.objects().put(name.text(), base::view("x"))));
    }
    const auto report = run();
    ASSERT_TRUE(ok(report));
    const VerifiedSystem& system = report->systems.front();
    EXPECT_EQ(system.degraded, 0U);
    EXPECT_EQ(system.stream_losses, 1U);
    EXPECT_EQ(system.state(), SystemState::Damaged);
    EXPECT_EQ(report->exit_code(), 1);
    const base::Json json = report->to_json();
    EXPECT_EQ(json.find("systems")->items().front().find("state")->as_text(), "damaged");
}

TEST_F(VerifyTest, RotThatNamesDoNotShowIsFoundInTheData) {
    take_backup();
    stream_said(std::chrono::seconds(2));
    const std::string name = find_object(".pack");
    auto bytes = world_.objects().get(name);
    ASSERT_TRUE(ok(bytes));
    (*bytes)[bytes->size() / 2] ^= 1;
    ASSERT_TRUE(ok(world_.objects().remove(name)));
    ASSERT_TRUE(ok(world_.objects().put(name, *bytes)));
    EXPECT_EQ(exit_code(), 0);
    EXPECT_EQ(exit_code(true), 1);
}

TEST_F(VerifyTest, CheckingTheDataNeedsAnIdentity) {
    take_backup();
    Installation installation = world_.open();
    VerifyRequest request;
    request.data = true;
    EXPECT_TRUE(fails(verify(installation, request, {}), Code::Denied));
}

TEST_F(VerifyTest, ABackupOfHalfTheUsualSizeIsOdd) {
    for (int i = 0; i < 3; ++i) {
        take_backup();
    }
    world_.script.tree["base/5/1259"].resize(10 * 8192);
    take_backup();
    stream_said(std::chrono::seconds(2));
    const auto report = run();
    ASSERT_TRUE(ok(report));
    EXPECT_THAT(report->systems.front().size_trouble, HasSubstr("the earlier ones are about"));
    EXPECT_EQ(report->exit_code(), 5);
}

TEST_F(VerifyTest, AStreamThatStoppedIsNamedInTheStatus) {
    take_backup();
    stream_said(minutes(3));
    captured_to(minutes(3));
    Installation installation = world_.open();
    const auto report = status(installation, "");
    ASSERT_TRUE(ok(report));
    const Standing& standing = report->systems.front().standing;
    EXPECT_THAT(standing.stream_trouble, HasSubstr("it stopped 3 min"));
    EXPECT_EQ(standing.rpo.measured, base::Duration(minutes(3)));
}

TEST_F(VerifyTest, AStreamCoversWhatItCapturedAndNoMore) {
    take_backup();

    struct Case {
        const char* phase;
        std::uint64_t lag;
        const char* trouble;
        const char* stream_trouble;
    };

    const Case cases[] = {
        {"streaming", 0, "", ""},  // level with what it was sent, as far as it knows
        {"streaming", 0, "the slot has no limit", ""},  // a complaint, and it protects
        {"streaming", 17, "the repository does not answer", ""},
        {"waiting", 0, "the server is gone", "it is waiting: the server is gone"},
        {"connecting", 0, "", "it is connecting"},
    };
    reached();
    for (const Case& c : cases) {
        StreamStatus status;
        status.state.phase = c.phase;
        status.state.position = "0/5000000";
        status.state.captured = world_.clock.now() - minutes(1);
        status.state.updated = world_.clock.now() - std::chrono::seconds(2);
        status.state.lag_bytes = c.lag;
        status.state.trouble = c.trouble;
        ASSERT_TRUE(ok(base::create_directories(base::real_files(), world_.dir / "state/status")));
        world_.write("state/status/main.json", status.to_json().dump());
        const auto report = run();
        ASSERT_TRUE(ok(report));
        const Standing& standing = *report->systems.front().standing;
        EXPECT_EQ(standing.rpo.measured, base::Duration(minutes(1))) << c.phase << c.lag;
        EXPECT_EQ(standing.stream_trouble, c.stream_trouble);
    }
}

// All seems well: there is a young backup, and the stream runs. But no backup begins behind the
// hole in it, and a disaster would lose all that was written since.
TEST_F(VerifyTest, T17_AStreamBehindAGapThatNoBackupReachesIsMissed) {
    take_backup();
    stream_said(std::chrono::seconds(2));
    captured_to(hours(3));  // where the window of the last backup ends
    const auto report = run();
    ASSERT_TRUE(ok(report));
    const Standing& standing = *report->systems.front().standing;
    EXPECT_EQ(standing.rpo.measured, base::Duration(hours(3)));
    EXPECT_EQ(standing.stream_trouble, "no backup reaches what it captures");
    EXPECT_EQ(report->exit_code(), 5);
    stream_said(std::chrono::seconds(2));  // a new backup was taken
    EXPECT_EQ(exit_code(), 0);
}

// Whoever can write to the store can add names, and backups rot.
TEST_F(VerifyTest, ABackupThatDoesNotOpenIsNotTheNewest) {
    take_backup();
    const base::Timestamp stop = world_.clock.now();
    stream_said(std::chrono::seconds(2));
    {
        Installation installation = world_.open();
        auto repository = installation.repository("");
        ASSERT_TRUE(ok(repository));
        const auto names = (*repository)->repository->backups("main");
        ASSERT_TRUE(ok(names));
        repo::ManifestName claim = names->back();
        claim.stop = stop + std::chrono::days(365);
        ASSERT_TRUE(ok((*repository)->store->put(claim.text(), base::Bytes(100))));
    }
    world_.clock.advance(hours(90));
    stream_said(std::chrono::seconds(2));
    const auto report = run();
    ASSERT_TRUE(ok(report));
    const Standing& standing = *report->systems.front().standing;
    ASSERT_TRUE(standing.newest);
    EXPECT_EQ(standing.newest->stop, stop);
    EXPECT_EQ(standing.backup_age.verdict, policy::Verdict::Missed);
}

TEST_F(VerifyTest, TheStatusCountsWhatIsStored) {
    take_backup();
    Installation installation = world_.open();
    const auto report = status(installation, "");
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(report->systems.front().objects, 4U);  // a pack, a map, fingerprints, the manifest
    EXPECT_GT(report->systems.front().bytes, 10000U);
    EXPECT_EQ(report->systems.front().running, "");
}

TEST(JudgeSize, TheBandIsHalfToTwiceTheMedian) {
    struct Case {
        std::vector<std::uint64_t> earlier;
        std::uint64_t newest;
        bool odd;
    };

    const Case cases[] = {
        {{}, 0, false},
        {{100, 100}, 1, false},  // two say nothing
        {{100, 100, 100}, 50, false},
        {{100, 100, 100}, 49, true},
        {{100, 100, 100}, 201, false},
        {{100, 100, 100}, 202, true},
        {{1, 100, 1000}, 100, false},  // one odd one does not move the median
        {{100, 100, 100}, 0, true},
        {{0, 0, 0}, 0, false},
        {{0, 0, 0}, 2, true},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(!judge_size(c.earlier, c.newest).empty(), c.odd)
            << c.earlier.size() << " " << c.newest;
    }
}

TEST(VerifiedSystem, ItsStateIsTheWorstOfWhatIsKnown) {
    VerifiedSystem system;
    EXPECT_EQ(system.state(), SystemState::Unknown) << "nothing says how it stands";
    system.standing.emplace();
    EXPECT_EQ(system.state(), SystemState::Unjudged) << "it has no objective";
    system.standing->rpo = policy::assess(base::Duration(10), base::Duration(5));
    EXPECT_EQ(system.state(), SystemState::Ok);
    system.unread_objects = 1;
    EXPECT_EQ(system.state(), SystemState::Unknown);
    system.standing->rpo = policy::assess(base::Duration(10), base::Duration(11));
    EXPECT_EQ(system.state(), SystemState::Late);
    system.size_trouble = "it is small";
    EXPECT_EQ(system.state(), SystemState::OddSize);
    system.lost_objects = 1;
    EXPECT_EQ(system.state(), SystemState::Damaged);
}

TEST(BackupAgeLimit, ComesFromTheStreamOrTheTier) {
    config::Config config;
    config.tiers = {{"critical", {hours(1), minutes(5)}}};
    config::System system;
    system.tier = "critical";
    EXPECT_EQ(backup_age_limit(config, system), base::Duration(hours(84)));
    system.stream.enabled = false;
    EXPECT_EQ(backup_age_limit(config, system), base::Duration(minutes(5)));
    system.tier.clear();
    EXPECT_FALSE(backup_age_limit(config, system));
}

TEST(Standing, OnlyObjectivesThatAreSetAreJudged) {
    Standing standing;
    EXPECT_EQ(standing.verdict(), Verdict::Unknown);
    standing.backup_age = policy::assess(base::Duration(10), base::Duration(5));
    EXPECT_EQ(standing.verdict(), Verdict::Met);
    standing.rpo = policy::assess(base::Duration(10), std::nullopt);
    EXPECT_EQ(standing.verdict(), Verdict::Unknown);
    standing.rpo = policy::assess(base::Duration(10), base::Duration(11));
    EXPECT_EQ(standing.verdict(), Verdict::Missed);
}

}  // namespace
}  // namespace lifeboat::service

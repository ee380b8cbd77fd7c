#include "service/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/list.h"
#include "service/lock.h"
#include "tests/support/expect.h"
#include "tests/support/service_world.h"

namespace lifeboat::service {
namespace {

using base::Code;
using test::fails;
using test::ok;
using testing::HasSubstr;

class BackupTest : public testing::Test {
  protected:
    Result<BackupReport> take(const BackupRequest& request = {}) {
        Installation installation = world_.open();
        return backup(installation, request,
                      [](const std::string&, const repo::CaptureProgress*) {});
    }

    test::ServiceWorld world_;
};

TEST_F(BackupTest, TheSecondOneBuildsOnTheFirst) {
    ASSERT_TRUE(ok(world_.init()));
    const auto first = take();
    ASSERT_TRUE(ok(first));
    ASSERT_TRUE(first->outcomes.front().manifest);
    const auto second = take();
    ASSERT_TRUE(ok(second));
    EXPECT_EQ(second->exit_code(), 0);
    const std::vector<std::string> parents = {"", first->outcomes.front().manifest->backup};
    EXPECT_EQ(world_.script.parents, parents);
    EXPECT_EQ(second->outcomes.front().manifest->counts.changed_bytes, 0U);
}

TEST_F(BackupTest, AFullOneBuildsOnNothing) {
    ASSERT_TRUE(ok(world_.init()));
    ASSERT_TRUE(ok(take()));
    ASSERT_TRUE(ok(take({{}, "", true})));
    EXPECT_EQ(world_.script.parents.back(), "");
}

TEST_F(BackupTest, AnUnreadablePredecessorIsNoReasonToHaveNone) {
    ASSERT_TRUE(ok(world_.init()));
    ASSERT_TRUE(ok(take()));
    std::string name;
    ASSERT_TRUE(ok(world_.objects().list("s/main/manifest/", [&](const store::ObjectInfo& info) {
        name = info.name;
        return Result<>();
    })));
    ASSERT_TRUE(ok(world_.objects().remove(name)));
    ASSERT_TRUE(ok(world_.objects().put(name, base::view("rot"))));
    const auto report = take();
    ASSERT_TRUE(ok(report));
    ASSERT_TRUE(report->outcomes.front().manifest);
    EXPECT_THAT(report->outcomes.front().notes.front(), HasSubstr("Taking a full backup"));
}

TEST_F(BackupTest, OneFailureOfTwoIsPartialAndKeepsTheOther) {
    ASSERT_TRUE(ok(world_.init({"alpha", "beta"})));
    world_.script.failing = {"alpha"};
    const auto report = take();
    ASSERT_TRUE(ok(report));
    ASSERT_EQ(report->outcomes.size(), 2U);
    EXPECT_EQ(report->outcomes[0].error->code(), Code::Unavailable);
    EXPECT_THAT(report->outcomes[0].error->message(), HasSubstr("backing up 'alpha'"));
    EXPECT_TRUE(report->outcomes[1].manifest);
    EXPECT_EQ(report->exit_code(), 3);
}

TEST_F(BackupTest, WhenAllFailTheExitCodeIsTheFailures) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.failing = {"main"};
    const auto report = take();
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(report->exit_code(), 1);
}

TEST_F(BackupTest, DamagedPagesArePartial) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.damaged = {"main"};
    const auto report = take();
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(report->exit_code(), 3);
}

TEST_F(BackupTest, OneAtATimePerSystem) {
    ASSERT_TRUE(ok(world_.init()));
    const auto held =
        SystemLock::take(base::real_files(), world_.dir / "state", "main", world_.clock);
    ASSERT_TRUE(ok(held));
    const auto report = take();
    ASSERT_TRUE(ok(report));
    ASSERT_TRUE(report->outcomes.front().error);
    EXPECT_EQ(report->outcomes.front().error->code(), Code::Conflict);
    EXPECT_THAT(report->outcomes.front().error->message(),
                HasSubstr("pid " + std::to_string(::getpid()) + " since 2026-01-23"));
    EXPECT_EQ(world_.script.backups, 0);
}

TEST_F(BackupTest, RefusesWhileTheClocksDisagree) {
    base::ManualClock other(world_.clock.now() + std::chrono::hours(2));
    world_.stores[world_.url()] = store::memory_store(other);
    ASSERT_TRUE(ok(world_.init()));
    EXPECT_TRUE(fails(take(), Code::Refused));
    EXPECT_EQ(world_.script.backups, 0);
    world_.stores.clear();
}

TEST_F(BackupTest, NamesTheNearestSystem) {
    ASSERT_TRUE(ok(world_.init()));
    const auto report = take({{"mian"}, "", false});
    ASSERT_TRUE(fails(report, Code::InvalidInput));
    EXPECT_THAT(report.error().hint(), HasSubstr("main"));
}

TEST_F(BackupTest, WithoutAHostKeyItSaysWhereItShouldBe) {
    ASSERT_TRUE(ok(world_.init()));
    ASSERT_TRUE(ok(base::real_files().remove(world_.dir / "state/keys/host.key")));
    const auto report = take();
    ASSERT_TRUE(fails(report, Code::NotFound));
    EXPECT_THAT(report.error().message(), HasSubstr("state/keys/host.key"));
    EXPECT_FALSE(report.error().hint().empty());
}

TEST_F(BackupTest, RefusesAHostKeyThatOthersCanRead) {
    ASSERT_TRUE(ok(world_.init()));
    ASSERT_TRUE(ok(base::real_files().set_mode(world_.dir / "state/keys/host.key", 0644)));
    const auto report = take();
    ASSERT_TRUE(fails(report, Code::Refused));
    EXPECT_THAT(report.error().hint(), HasSubstr("chmod 600"));
}

// Whoever can write to the store can add a name of any year.
TEST_F(BackupTest, P4_ANameAloneIsNoBackup) {
    ASSERT_TRUE(ok(world_.init()));
    ASSERT_TRUE(ok(take()));
    Installation installation = world_.open();
    auto repository = installation.repository("");
    ASSERT_TRUE(ok(repository));
    const auto names = (*repository)->repository->backups("main");
    ASSERT_TRUE(ok(names));
    repo::ManifestName claim = names->back();
    claim.stop += std::chrono::days(365);
    ASSERT_TRUE(ok((*repository)->store->put(claim.text(), base::Bytes(100))));
    world_.clock.advance(std::chrono::hours(1));
    const auto report = take();
    ASSERT_TRUE(ok(report));
    EXPECT_FALSE(report->outcomes.front().error) << report->outcomes.front().error->message();
    EXPECT_EQ(world_.script.parents.back(), names->back().backup) << "the newest that opens";
}

TEST_F(BackupTest, AListShowsWhatWasTaken) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.windows = {{"0/1", "0/2", {}, {}, "", ""}};
    ASSERT_TRUE(ok(take()));
    Installation installation = world_.open();
    const auto report = list(installation, {"", ""});
    ASSERT_TRUE(ok(report));
    ASSERT_EQ(report->systems.front().backups.size(), 1U);
    EXPECT_TRUE(report->systems.front().backups.front().manifest);
    EXPECT_EQ(report->systems.front().windows.size(), 1U);
}

TEST(SystemLock, IsFreeAgainWhenItsHolderIsGone) {
    test::ServiceWorld world;
    {
        const auto held =
            SystemLock::take(base::real_files(), world.dir.path(), "main", world.clock);
        ASSERT_TRUE(ok(held));
        EXPECT_THAT(SystemLock::holder(world.dir.path(), "main").value_or(""), HasSubstr("pid "));
    }
    EXPECT_FALSE(SystemLock::holder(world.dir.path(), "main"));
    EXPECT_TRUE(ok(SystemLock::take(base::real_files(), world.dir.path(), "main", world.clock)));
}

TEST(SystemLock, NobodyHoldsOneThatWasNeverTaken) {
    test::ServiceWorld world;
    EXPECT_FALSE(SystemLock::holder(world.dir.path(), "main"));
}

}  // namespace
}  // namespace lifeboat::service

#include "service/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/backup.h"
#include "tests/support/expect.h"
#include "tests/support/service_world.h"

namespace lifeboat::service {
namespace {

using test::ok;

CheckOutcome outcome_with(repo::CheckReport report) {
    CheckOutcome outcome;
    outcome.report = std::move(report);
    return outcome;
}

TEST(CheckOutcome, TheExitCodeTellsLossFromDoubt) {
    EXPECT_EQ(outcome_with({}).exit_code(), 0);
    repo::CheckReport missing;
    missing.missing.push_back({"s/x", 1, "gone"});
    EXPECT_EQ(outcome_with(missing).exit_code(), 1);
    repo::CheckReport damaged;
    damaged.damaged.push_back({"s/x", 1, "rot"});
    EXPECT_EQ(outcome_with(damaged).exit_code(), 1);
    repo::CheckReport unread;
    unread.unread.push_back({"s/x", 1, "no answer"});
    EXPECT_EQ(outcome_with(unread).exit_code(), 3);
    repo::CheckReport unreferenced;
    unreferenced.unreferenced.push_back({"s/x", 1, ""});
    EXPECT_EQ(outcome_with(unreferenced).exit_code(), 0);
}

TEST(CheckOutcome, AGapThatWasRecordedIsNoNewLoss) {
    repo::CheckReport recorded;
    recorded.streams.push_back({"main", {}, {{{1, 0, 1}, repo::StreamLossKind::Recorded}}, {}});
    EXPECT_EQ(outcome_with(recorded).exit_code(), 0);
    recorded.streams.front().lost.front().kind = repo::StreamLossKind::Hole;
    EXPECT_EQ(outcome_with(recorded).exit_code(), 1);
}

TEST(Check, WithoutAnyKeyItStillChecksObjects) {
    test::ServiceWorld world;
    ASSERT_TRUE(ok(world.init()));
    {
        Installation installation = world.open();
        ASSERT_TRUE(
            ok(backup(installation, {}, [](const std::string&, const repo::CaptureProgress*) {})));
    }
    // A machine that has only the repository's address.
    ASSERT_TRUE(ok(base::real_files().remove(world.dir / "state/keys/host.key")));
    std::string text = world.read("lifeboat.yaml");
    const std::size_t at = text.find("signers:");
    ASSERT_NE(at, std::string::npos);
    const std::size_t end = text.find(']', at);
    text.replace(at, end + 1 - at, "signers: []");
    world.write("lifeboat.yaml", text, 0640);
    Installation installation = world.open();
    CheckRequest request;
    request.level = repo::CheckLevel::Objects;
    const auto outcome = check(installation, request, {});
    ASSERT_TRUE(ok(outcome));
    EXPECT_FALSE(outcome->keyed);
    EXPECT_EQ(outcome->exit_code(), 0);
    EXPECT_GT(outcome->report.objects, 3U);
}

}  // namespace
}  // namespace lifeboat::service

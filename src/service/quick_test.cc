#include "service/quick.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/service_world.h"

namespace lifeboat::service {
namespace {

using base::Code;
using base::Error;
using test::fails;
using test::ok;
using testing::ElementsAre;
using testing::HasSubstr;

class QuickTest : public testing::Test {
  protected:
    void SetUp() override {
        world_.discover = [](const std::string& connection) -> Result<engine::Discovered> {
            return engine::Discovered{
                connection.empty() ? "host=/found" : connection, "a server", "none", {}};
        };
    }

    Result<QuickReport> run() {
        InitRequest request;
        request.config_file = world_.config();
        request.state = world_.dir / "state";
        request.repository_url = world_.url();
        request.keys_directory = world_.dir / "keys";
        request.site = "test";
        QuickWatch watch;
        watch.found = [this](const engine::Discovered& found) { said_.push_back(found.about); };
        watch.ready = [this](const InitReport&) { said_.emplace_back("ready"); };
        watch.backup = [this](const std::string& system, const repo::CaptureProgress* progress) {
            if (progress != nullptr) {
                said_.push_back("backup of " + system);
            }
        };
        return init_quick(world_.world, request, watch);
    }

    bool has_config() { return base::real_files().stat(world_.config()).has_value(); }

    test::ServiceWorld world_;
    std::vector<std::string> said_;
};

TEST_F(QuickTest, GoesFromNothingToABackup) {
    const auto report = run();
    ASSERT_TRUE(ok(report));
    EXPECT_THAT(said_, ElementsAre("a server", "ready", "backup of main"));
    EXPECT_TRUE(report->backup.outcomes.front().manifest);
    const Installation installation = world_.open();
    EXPECT_EQ(installation.config().systems.front().connection, "host=/found");
    EXPECT_EQ(installation.config().systems.front().data_directory.kind,
              config::DataDirectory::Kind::None);
}

TEST_F(QuickTest, WhereNothingIsFoundNothingIsMade) {
    world_.discover = [](const std::string&) -> Result<engine::Discovered> {
        return Error(Code::NotFound, "no server").hint("Start it.");
    };
    EXPECT_TRUE(fails(run(), Code::NotFound));
    EXPECT_FALSE(has_config());
    EXPECT_TRUE(world_.stores.empty());
    EXPECT_FALSE(base::real_files().stat(world_.dir / "keys"));
}

TEST_F(QuickTest, ABackupThatFailedIsTakenByTheNextRun) {
    world_.script.failing = {"main"};
    const auto failed = run();
    ASSERT_TRUE(fails(failed, Code::Unavailable));
    EXPECT_EQ(failed.error().hint(), "Start it.");  // the innermost hint knows most
    EXPECT_TRUE(has_config());
    world_.script.failing.clear();
    said_.clear();
    const auto resumed = run();
    ASSERT_TRUE(ok(resumed));
    EXPECT_FALSE(resumed->init);
    EXPECT_THAT(said_, ElementsAre("backup of main"));
}

TEST_F(QuickTest, OneThatWasFinishedIsLeftAlone) {
    ASSERT_TRUE(ok(run()));
    const auto again = run();
    ASSERT_TRUE(fails(again, Code::Conflict));
    EXPECT_THAT(again.error().hint(), HasSubstr("lifeboat backup"));
    EXPECT_EQ(world_.script.backups, 1);
}

}  // namespace
}  // namespace lifeboat::service

#include "service/restore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/backup.h"
#include "tests/support/expect.h"
#include "tests/support/restore_world.h"
#include "tests/support/service_world.h"

namespace lifeboat::service {
namespace {

using base::Code;
using test::fails;
using test::ok;
using testing::HasSubstr;

class RestoreTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(ok(world_.init()));
        Installation installation = world_.open();
        ASSERT_TRUE(
            ok(backup(installation, {}, [](const std::string&, const repo::CaptureProgress*) {})));
    }

    RestoreRequest request() {
        RestoreRequest request;
        request.system = "main";
        request.target = world_.dir / "restored";
        request.identity = world_.dir / "keys/recovery-1.key";
        return request;
    }

    Result<RestoreReport> run(const RestoreRequest& request) {
        Installation installation = world_.open();
        RestoreWatch watch;
        watch.planned = [this](const engine::RecoveryPlan& plan) {
            said_.push_back(plan.point);
            return stop_at_plan_ ? Result<>(base::Error(Code::Cancelled, "no")) : Result<>();
        };
        watch.applying = [](const restore::ApplyProgress*) {};
        watch.starting = [this] { said_.emplace_back("starting"); };
        return restore(installation, request, watch);
    }

    bool target_is_there() { return base::real_files().stat(request().target).has_value(); }

    test::ServiceWorld world_;
    std::vector<std::string> said_;
    bool stop_at_plan_ = false;
};

TEST_F(RestoreTest, BringsBackWhatWasBackedUp) {
    const auto report = run(request());
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(test::tree_of(base::real_files(), request().target), world_.script.tree);
    EXPECT_FALSE(report->started);
    EXPECT_THAT(said_, testing::ElementsAre("the end"));
}

TEST_F(RestoreTest, OneThatHoldsDamagedPagesIsNotAPlainSuccess) {
    const auto sound = run(request());
    ASSERT_TRUE(ok(sound));
    EXPECT_EQ(sound->exit_code(), 0);
    world_.script.damaged = {"main"};
    Installation installation = world_.open();
    ASSERT_TRUE(
        ok(backup(installation, {}, [](const std::string&, const repo::CaptureProgress*) {})));
    RestoreRequest other = request();
    other.target = world_.dir / "damaged";
    const auto damaged = run(other);
    ASSERT_TRUE(ok(damaged));
    EXPECT_EQ(damaged->exit_code(), base::exit_code(Code::Partial));
}

TEST_F(RestoreTest, ADryRunWritesNothing) {
    RestoreRequest dry = request();
    dry.dry_run = true;
    const auto report = run(dry);
    ASSERT_TRUE(ok(report));
    EXPECT_TRUE(report->dry_run);
    EXPECT_FALSE(report->applied);
    EXPECT_FALSE(target_is_there());
}

TEST_F(RestoreTest, AnAnswerOfNoStopsItBeforeAByteIsWritten) {
    stop_at_plan_ = true;
    EXPECT_TRUE(fails(run(request()), Code::Cancelled));
    EXPECT_FALSE(target_is_there());
}

TEST_F(RestoreTest, APointThatCannotBeReachedStopsItBeforeAByteIsWritten) {
    world_.script.silence = base::Error(Code::NotFound, "WAL is missing");
    EXPECT_TRUE(fails(run(request()), Code::NotFound));
    EXPECT_FALSE(target_is_there());
}

TEST_F(RestoreTest, RefusesATargetThatIsNotEmpty) {
    ASSERT_TRUE(ok(base::create_directories(base::real_files(), request().target)));
    world_.write("restored/precious", "data");
    const auto refused = run(request());
    ASSERT_TRUE(fails(refused, Code::Refused));
    EXPECT_EQ(world_.read("restored/precious"), "data");
    EXPECT_FALSE(refused.error().hint().empty());
}

TEST_F(RestoreTest, WithoutAnIdentityItSaysHowToNameOne) {
    RestoreRequest blind = request();
    blind.identity.clear();
    const auto refused = run(blind);
    ASSERT_TRUE(fails(refused, Code::Denied));
    EXPECT_THAT(refused.error().hint(), HasSubstr("--identity"));
}

TEST_F(RestoreTest, AnIdentityOfAnotherRepositoryIsNamedBeforeAnythingFails) {
    std::string text = world_.read("keys/recovery-1.key");
    const std::size_t at = text.find("# repository: ") + 14;
    text[at] = text[at] == '0' ? '1' : '0';
    RestoreRequest other = request();
    other.identity = world_.write("other.key", text);
    const auto refused = run(other);
    ASSERT_TRUE(fails(refused, Code::Denied));
    EXPECT_THAT(refused.error().message(), HasSubstr("the identity file is for repository"));
}

TEST_F(RestoreTest, AStrangersIdentityFitsNothing) {
    RestoreRequest other = request();
    const auto stranger = crypto::Identity::generate(*world_.random);
    other.identity = world_.write("stranger.key", stranger.text().reveal() + "\n");
    const auto refused = run(other);
    ASSERT_TRUE(fails(refused, Code::Denied));
    EXPECT_THAT(refused.error().message(), HasSubstr("is a recipient of this repository"));
}

TEST_F(RestoreTest, RefusesATargetOnAFileSystemThatHoldsNoFiles) {
    RestoreRequest other = request();
    other.target = "/proc/restored";
    const auto refused = run(other);
    ASSERT_TRUE(fails(refused, Code::Refused));
    EXPECT_THAT(refused.error().message(), HasSubstr("the file system of '/proc'"));
}

// Whoever follows a hint to the letter must not take /dev/null away from everybody.
TEST_F(RestoreTest, WhatIsNoRegularFileIsNoKeyAndItsModeIsNobodysBusiness) {
    for (const std::string& path : {std::string("/dev/null"), world_.dir.path()}) {
        RestoreRequest other = request();
        other.identity = path;
        const auto refused = run(other);
        ASSERT_TRUE(fails(refused, Code::InvalidInput)) << path;
        EXPECT_THAT(refused.error().message(), HasSubstr("'" + path + "' is not a regular file"));
        EXPECT_THAT(refused.error().hint(), testing::Not(HasSubstr("chmod")));
    }
}

TEST_F(RestoreTest, AHostKeyThatIsPassedAsAnIdentityIsCalledOne) {
    RestoreRequest other = request();
    other.identity = world_.dir / "state/keys/host.key";
    const auto refused = run(other);
    ASSERT_TRUE(fails(refused, Code::InvalidInput));
    EXPECT_THAT(refused.error().message(), HasSubstr("is a host key, which opens no data"));
    EXPECT_THAT(refused.error().hint(), HasSubstr("pass one of the recovery keys"));
}

// No verb can open the repository without it, so none may be named as the way out.
TEST_F(RestoreTest, ARepositoryWhoseFirstObjectIsRottenSaysHowToWriteItAnew) {
    const auto whole = world_.objects().get("lifeboat.json");
    ASSERT_TRUE(ok(whole));
    const std::string rotten[] = {std::string(base::text(*whole)).substr(0, 20), "{}", "\1\2\3",
                                  "{\"format\": 1, \"repository\": \"x\"}"};
    for (const std::string& text : rotten) {
        ASSERT_TRUE(ok(world_.objects().remove("lifeboat.json")));
        ASSERT_TRUE(ok(world_.objects().put("lifeboat.json", base::view(text))));
        const auto failed = run(request());
        ASSERT_TRUE(fails(failed, Code::Corrupt)) << text;
        EXPECT_THAT(failed.error().hint(), HasSubstr("{\"format\": 1, \"repository\": \"ID\""));
        EXPECT_THAT(failed.error().hint(), testing::Not(HasSubstr("repo check")));
    }
    // What the hint says is enough.
    const std::string key = world_.read("keys/recovery-1.key");
    const std::size_t at = key.find("# repository: ") + 14;
    const std::size_t age = key.find("age1");
    const std::string recipient = key.substr(age, key.find('\n', age) - age);
    ASSERT_TRUE(ok(world_.objects().remove("lifeboat.json")));
    ASSERT_TRUE(ok(world_.objects().put(
        "lifeboat.json", base::view("{\"format\": 1, \"repository\": \"" + key.substr(at, 32) +
                                    "\", \"recipients\": [\"" + recipient + "\"]}"))));
    EXPECT_TRUE(ok(run(request())));
}

TEST_F(RestoreTest, TheChmodToTypeIsQuotedWhereItMustBe) {
    RestoreRequest open = request();
    open.identity = world_.write("my $key", world_.read("keys/recovery-1.key"), 0644);
    const auto refused = run(open);
    ASSERT_TRUE(fails(refused, Code::Refused));
    EXPECT_EQ(refused.error().hint(), "Type: chmod 600 '" + open.identity + "'");
    open.identity = world_.write("my.key", world_.read("keys/recovery-1.key"), 0644);
    EXPECT_EQ(run(open).error().hint(), "Type: chmod 600 " + open.identity);
}

TEST_F(RestoreTest, StartsWithTheQueriesOfTheConfigurationAndOfTheCommand) {
    world_.append_config("    restore: {validate: [SELECT 1]}\n");
    world_.script.started.reached = true;
    RestoreRequest start = request();
    start.start = true;
    start.port = 5555;
    start.validate = {"SELECT 2"};
    const auto report = run(start);
    ASSERT_TRUE(ok(report));
    ASSERT_TRUE(report->started);
    ASSERT_EQ(world_.script.starts.size(), 1U);
    EXPECT_THAT(world_.script.starts.front().validate,
                testing::ElementsAre("SELECT 1", "SELECT 2"));
    EXPECT_EQ(world_.script.starts.front().port, 5555);
    EXPECT_THAT(said_, testing::ElementsAre("the end", "starting"));
}

// The same command would be refused now: the target is not empty, and it is complete.
TEST_F(RestoreTest, AStartThatFailsSaysThatTheTargetIsCompleteAndHowToGoOn) {
    RestoreRequest start = request();
    start.start = true;

    struct {
        base::Error error;
        std::string before;
    } cases[] = {
        {base::Error(Code::Cancelled, "stopped on request"), ""},
        {base::Error(Code::NoSpace, "the server gave up").hint("Free some space."),
         "Free some space. "},
    };

    for (auto& c : cases) {
        world_.script.start_error = c.error.clone();
        const auto failed = run(start);
        ASSERT_TRUE(fails(failed, c.error.code()));
        EXPECT_EQ(failed.error().hint(),
                  c.before + "What was restored to '" + start.target +
                      "' is complete: start the server on it, or repeat the restore with --delta, "
                      "which fetches nothing that is right already.");
        start.delta = true;  // as the hint says
    }
    world_.script.start_error =
        base::Error(Code::Bug, "recovery went past the target").hint("Do not use this directory.");
    EXPECT_EQ(run(start).error().hint(), "Do not use this directory.");
}

TEST_F(RestoreTest, ChecksThatAreStoppedAreNoFindingAndTheServerThatStaysUpIsNamed) {
    RestoreRequest start = request();
    start.start = true;
    world_.script.started.reached = true;
    world_.script.started.stopped = true;
    world_.script.started.pid = 4711;
    world_.script.started.connection = "host=/restored port=5555";
    const auto stopped = run(start);
    ASSERT_TRUE(fails(stopped, Code::Cancelled));
    EXPECT_THAT(stopped.error().message(), HasSubstr("(pid 4711)"));
    EXPECT_THAT(stopped.error().hint(), HasSubstr("stays up: psql 'host=/restored port=5555'"));
    EXPECT_THAT(stopped.error().hint(), HasSubstr("kill -INT 4711"));
}

TEST_F(RestoreTest, TellsTheServerHowToFetchItsStream) {
    ASSERT_TRUE(ok(run(request())));
    EXPECT_THAT(world_.script.landed.front().fetch_command,
                testing::StartsWith("'/usr/bin/lifeboat' wal-fetch --config '"));
}

}  // namespace
}  // namespace lifeboat::service

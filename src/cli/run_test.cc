#include "cli/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "service/backup.h"
#include "tests/support/expect.h"
#include "tests/support/service_world.h"

// Whole verbs over a store in memory: what a person and a program get to read.

namespace lifeboat::cli {
namespace {

using base::Code;
using base::Json;
using test::ok;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Said {
    int exit_code = -1;
    std::string out;
    std::string err;
};

class RunTest : public testing::Test {
  protected:
    void SetUp() override {
        world_.script.tree = {{"PG_VERSION", {'1', '5', '\n'}}};
        world_.script.windows = {{"0/2000028", "0/3000000", world_.clock.now(),
                                  world_.clock.now() + std::chrono::seconds(1), "", ""}};
    }

    Said say(std::vector<std::string> words) {
        words.insert(words.begin(), {"lifeboat", "--config", world_.config()});
        std::vector<const char*> argv;
        for (const std::string& word : words) {
            argv.push_back(word.c_str());
        }
        testing::internal::CaptureStdout();
        testing::internal::CaptureStderr();
        Said said;
        said.exit_code = run(static_cast<int>(argv.size()), argv.data(), world_.world);
        std::fflush(stdout);
        said.out = testing::internal::GetCapturedStdout();
        said.err = testing::internal::GetCapturedStderr();
        return said;
    }

    Json json(std::vector<std::string> words) {
        words.emplace_back("--json");
        const Said said = say(std::move(words));
        auto document = Json::parse(said.out);
        EXPECT_TRUE(ok(document)) << said.out;
        EXPECT_EQ(said.err, "");
        Json result = document ? std::move(document).value() : Json::object();
        EXPECT_EQ(result.find("lifeboat")->as_integer(), 1);
        EXPECT_EQ(result.find("exit")->as_integer(), said.exit_code);
        return result;
    }

    std::string key() { return world_.dir / "keys/recovery-1.key"; }

    test::ServiceWorld world_;
};

TEST_F(RunTest, ABackupSaysWhatItStoredAndWhenItExpires) {
    ASSERT_TRUE(ok(world_.init()));
    const Said said = say({"backup"});
    EXPECT_EQ(said.exit_code, 0);
    EXPECT_THAT(said.out, StartsWith("done  main  full backup 20260123T140000Z-"));
    EXPECT_THAT(said.out, HasSubstr("3 B in 1 files; 3 B changed"));
    EXPECT_THAT(said.out, HasSubstr("expires after 20260130"));
    EXPECT_EQ(said.err, "note: main: The script was followed.\n");
    EXPECT_THAT(say({"backup"}).out, HasSubstr("incremental backup"));
    EXPECT_EQ(say({"backup", "--quiet"}).err, "");
}

TEST_F(RunTest, AFailureIsAMessageAndAHint) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.failing = {"main"};
    const Said said = say({"backup"});
    EXPECT_EQ(said.exit_code, 1);
    EXPECT_EQ(said.out, "");
    EXPECT_EQ(said.err,
              "lifeboat: backing up 'main': server of 'main' does not answer\nhint: Start it.\n");
    EXPECT_EQ(say({"backup", "--quiet"}).err, said.err);
}

TEST_F(RunTest, OneFailureOfTwoShowsBoth) {
    ASSERT_TRUE(ok(world_.init({"alpha", "beta"})));
    world_.script.failing = {"alpha"};
    const Said said = say({"backup", "--quiet"});
    EXPECT_EQ(said.exit_code, 3);
    EXPECT_THAT(said.out, AllOf(HasSubstr("FAILED  alpha"), HasSubstr("done  beta")));
    EXPECT_THAT(said.err, HasSubstr("lifeboat: backing up 'alpha'"));
}

TEST_F(RunTest, AnErrorInJsonHasItsTrail) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.failing = {"main"};
    const Json document = json({"backup"});
    const Json* error = document.find("error");
    ASSERT_NE(error, nullptr);
    EXPECT_EQ(error->find("code")->as_text(), "unavailable");
    EXPECT_EQ(error->find("hint")->as_text(), "Start it.");
    EXPECT_EQ(error->find("trail")->items().front().as_text(), "backing up 'main'");
    EXPECT_EQ(document.find("verb")->as_text(), "backup");
}

TEST_F(RunTest, WrongWordsInJsonAreOneObjectToo) {
    const Json document = json({"backup", "--ful"});
    EXPECT_EQ(document.find("exit")->as_integer(), 2);
    EXPECT_THAT(document.find("error")->find("hint")->as_text(), HasSubstr("--full"));
}

TEST_F(RunTest, HelpAndVersionInJsonAreOneObjectToo) {
    for (const auto& [words, verb] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"--version"}, ""}, {{"--help"}, ""}, {{"repo", "check", "--help"}, "repo check"}}) {
        const Json document = json(words);
        EXPECT_EQ(document.find("exit")->as_integer(), 0);
        EXPECT_EQ(document.find("verb")->as_text(), verb);
        EXPECT_THAT(document.find("result")->find("text")->as_text(), HasSubstr("ifeboat"));
    }
    EXPECT_THAT(say({"--version"}).out, StartsWith("lifeboat "));
}

TEST_F(RunTest, WrongWordsInJsonSayOfWhichVerb) {
    EXPECT_EQ(json({"backup", "--ful"}).find("verb")->as_text(), "backup");
    EXPECT_EQ(json({"repo", "check", "more"}).find("verb")->as_text(), "repo check");
    EXPECT_EQ(json({"bakcup"}).find("verb")->as_text(), "");
}

TEST_F(RunTest, WithoutAConfigurationItSaysHowToGetOne) {
    const Said said = say({"status"});
    EXPECT_EQ(said.exit_code, 1);
    EXPECT_THAT(said.err, AllOf(StartsWith("lifeboat: "), HasSubstr("hint: ")));
}

TEST_F(RunTest, AListHasAHeadAndAWindow) {
    ASSERT_TRUE(ok(world_.init()));
    EXPECT_THAT(say({"list"}).out,
                HasSubstr("no backup yet; take one with 'lifeboat backup main'"));
    say({"backup"});
    const Said said = say({"list"});
    EXPECT_THAT(said.out, ContainsRegex("backup +kind +took +size +stored +expires +state"));
    EXPECT_THAT(said.out, ContainsRegex("20260123T140000Z-[0-9a-f]{4} +full +1.0 s +3 B"));
    EXPECT_THAT(said.out, HasSubstr("recoverable  2026-01-23 14:00:00.000000 UTC (0/2000028)"));
}

TEST_F(RunTest, AStatusIsReadInOneLook) {
    ASSERT_TRUE(ok(world_.init()));
    say({"backup"});
    const Said said = say({"status"});
    EXPECT_EQ(said.exit_code, 0);
    EXPECT_THAT(said.out, HasSubstr("repository 'local' at mem://one\n"
                                    "main  ok  (tier critical)\n"
                                    "  newest       20260123T140000Z-"));
    EXPECT_THAT(said.out, HasSubstr("ended 2026-01-23 14:00:01 UTC, of 1\n"
                                    "  recoverable  to 2026-01-23 14:00:01.000 UTC\n"
                                    "  backup age   ok  0 ms of 3 d 12 h\n"
                                    "  data loss    ok  0 ms of 5 min 0 s\n"
                                    "  recovery     unknown  no drill has measured it\n"
                                    "  stream       not protecting  it has never run on this "
                                    "host\n"
                                    "  stored       "));
}

TEST_F(RunTest, AStatusWithoutABackupIsLate) {
    ASSERT_TRUE(ok(world_.init()));
    const Said said = say({"status"});
    EXPECT_EQ(said.exit_code, 0);
    EXPECT_THAT(said.out, HasSubstr("main  LATE"));
    EXPECT_THAT(said.out, HasSubstr("there is no recovery point: everything would be lost"));
    EXPECT_EQ(say({"verify"}).exit_code, 5);
}

TEST_F(RunTest, AVerifyOfAllTheDataSaysHowMuchItRead) {
    ASSERT_TRUE(ok(world_.init()));
    say({"backup"});
    const Said said = say({"verify", "--data", "--identity", key()});
    EXPECT_EQ(said.exit_code, 0);
    EXPECT_THAT(said.out, HasSubstr("main  ok\n  backups      1 whole\n"));
    EXPECT_THAT(said.out, ContainsRegex("checked .* of data decrypted; .*/s"));
}

TEST_F(RunTest, AVerifyThatEndsBadlySaysWhyInItsHeadlines) {
    ASSERT_TRUE(ok(world_.init()));
    say({"backup"});
    const auto expires = policy::ExpiryDay::parse("20360101");
    ASSERT_TRUE(ok(expires));
    for (const char* system : {"main", "other"}) {
        for (const repo::StreamRange range : {repo::StreamRange{1, 0, 100}, {1, 200, 300}}) {
            const repo::StreamName name{repo::StreamObject::Piece, system, *expires, range};
            ASSERT_TRUE(ok(world_.objects().put(name.text(), base::view("x"))));
        }
        const Said said = say({"verify"});
        EXPECT_EQ(said.exit_code, 1);
        EXPECT_THAT(said.out, StartsWith("main  DAMAGED\n"));
        EXPECT_THAT(said.out, HasSubstr("  stream       has lost WAL in 1 place\n"));
        EXPECT_THAT(said.out, HasSubstr("the stream of main lacks "));
    }
    std::vector<std::string> names;
    ASSERT_TRUE(ok(world_.objects().list("s/main/", [&](const store::ObjectInfo& info) {
        names.push_back(info.name);
        return base::Result<>();
    })));
    for (const std::string& name : names) {
        if (repo::StreamName::parse(name)) {
            ASSERT_TRUE(ok(world_.objects().remove(name)));
        }
    }
    const Said said = say({"verify"});
    EXPECT_EQ(said.exit_code, 1) << "another system's loss counts";
    EXPECT_THAT(said.out, StartsWith("main  ok\n"));
    EXPECT_THAT(said.out, HasSubstr("\nrepository 'local'  DAMAGED\n"));
}

TEST_F(RunTest, ACheckOfAWholeRepositoryIsHealthy) {
    ASSERT_TRUE(ok(world_.init()));
    say({"backup"});
    const Said said = say({"repo", "check"});
    EXPECT_EQ(said.exit_code, 0);
    EXPECT_THAT(said.out, StartsWith("healthy  repository 'local'\n"));
    EXPECT_EQ(json({"repo", "check"}).find("verb")->as_text(), "repo check");
}

TEST_F(RunTest, ACheckOfADamagedOneSaysWhatItCosts) {
    ASSERT_TRUE(ok(world_.init()));
    say({"backup"});
    std::string pack;
    ASSERT_TRUE(ok(world_.objects().list("s/main/pack/", [&](const store::ObjectInfo& info) {
        pack = info.name;
        return base::Result<>();
    })));
    ASSERT_TRUE(ok(world_.objects().remove(pack)));
    const Said said = say({"repo", "check"});
    EXPECT_EQ(said.exit_code, 1);
    EXPECT_THAT(said.out, StartsWith("DAMAGED  repository 'local'\n"));
    EXPECT_THAT(said.out, HasSubstr("PG_VERSION"));
}

TEST_F(RunTest, TheDoctorGivesTheLineToType) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.findings = {
        {engine::Severity::Warn, "wal_level", "It is minimal.", "In psql: set it."}};
    const Said said = say({"doctor"});
    EXPECT_EQ(said.exit_code, 1);
    EXPECT_THAT(said.out, StartsWith("this host\n  ok     nothing was found\n"));
    EXPECT_THAT(said.out, HasSubstr("system 'main'\n"
                                    "  error  backups: There is none: a disaster now would lose "
                                    "everything.\n"
                                    "         -> lifeboat backup main\n"));
    EXPECT_THAT(said.out, HasSubstr("  warn   wal_level: It is minimal.\n"
                                    "         -> In psql: set it.\n"));
    EXPECT_THAT(said.out, HasSubstr("1 error, 2 warnings\n"));
}

TEST_F(RunTest, ARestoreSaysThePointBeforeAndAfter) {
    ASSERT_TRUE(ok(world_.init()));
    say({"backup"});
    const std::string target = world_.dir / "restored";
    const Said dry = say({"restore", "main", "--target", target, "--identity", key(), "--dry-run"});
    EXPECT_EQ(dry.exit_code, 0);
    EXPECT_EQ(dry.out, "possible  the end; nothing was written\n");
    EXPECT_THAT(dry.err, HasSubstr(" to the end\n  Everything is brought back.\n"));
    const Said said =
        say({"restore", "main", "--target", target, "--identity", key(), "--at", "5 minutes ago"});
    EXPECT_EQ(said.exit_code, 0);
    EXPECT_THAT(said.err, HasSubstr("recovering to "));
    EXPECT_THAT(said.err, HasSubstr("13:55:01 UTC"));
    EXPECT_THAT(said.out, StartsWith("restored  3 B in 1 files to '" + target + "'"));
    ASSERT_EQ(world_.script.planned.size(), 2U);
    const auto* at = std::get_if<engine::AtTime>(&world_.script.planned.back().target);
    ASSERT_NE(at, nullptr);
    EXPECT_EQ(at->time, world_.clock.now() - std::chrono::minutes(5));
}

// The server that is started later asks with this command, from its own directory.
TEST_F(RunTest, ARestoredServerAsksWithAbsolutePathsWhateverWasTyped) {
    ASSERT_TRUE(ok(world_.init()));
    say({"backup"});
    const std::string here = std::filesystem::current_path();
    std::filesystem::current_path(world_.dir.path());
    const Said said =
        say({"restore", "main", "--target", "restored", "--identity", "keys/recovery-1.key"});
    std::filesystem::current_path(here);
    EXPECT_EQ(said.exit_code, 0) << said.err;
    ASSERT_EQ(world_.script.landed.size(), 1U);
    EXPECT_THAT(world_.script.landed.front().fetch_command,
                testing::EndsWith(" --identity '" + key() + "' 'main' '" +
                                  (world_.dir / "restored") + "'"));
}

TEST_F(RunTest, ARestoreWithFindingsIsPartial) {
    ASSERT_TRUE(ok(world_.init()));
    say({"backup"});
    world_.script.started.findings = {"page 7 is damaged"};
    const Said said = say(
        {"restore", "main", "--target", world_.dir / "restored", "--identity", key(), "--start"});
    EXPECT_EQ(said.exit_code, 3);
    EXPECT_THAT(said.out, HasSubstr("finding   page 7 is damaged"));
}

TEST_F(RunTest, WrongTimesAndTablespacesAreUsage) {
    ASSERT_TRUE(ok(world_.init()));
    const std::vector<std::vector<std::string>> cases = {
        {"restore", "main", "--target", "/x", "--at", "whenever"},
        {"restore", "main", "--target", "/x", "--tablespace", "/old"},
        {"restore", "mian", "--target", "/x"},
    };
    for (const auto& words : cases) {
        const Said said = say(words);
        EXPECT_EQ(said.exit_code, 2) << words.back();
        EXPECT_THAT(said.err, HasSubstr("hint: ")) << words.back();
    }
}

TEST_F(RunTest, QuickEndsWithTheNextThreeLines) {
    world_.discover = [](const std::string&) -> base::Result<engine::Discovered> {
        return engine::Discovered{"host=/found",
                                  "PostgreSQL 15.4 at /found:5432, 1.0 GiB",
                                  "auto",
                                  {"PostgreSQL 14.1 at /found:5433, 7.0 MiB"}};
    };
    const Said said = say({"init", "--quick", "--repository", world_.url(), "--state",
                           world_.dir / "state", "--site", "test"});
    EXPECT_EQ(said.exit_code, 0);
    EXPECT_THAT(said.out, StartsWith("found  PostgreSQL 15.4 at /found:5432, 1.0 GiB\nready  "));
    EXPECT_THAT(said.err, HasSubstr("PostgreSQL 14.1 at /found:5433"));
    EXPECT_THAT(said.out, HasSubstr("done  main  full backup"));
    const std::string next = said.out.substr(said.out.find("Next:"));
    EXPECT_THAT(next, ContainsRegex("lifeboat --config .* stream .*\n.* restore main --target .* "
                                    "--start .*\n.* doctor .*\n$"));
}

// Whoever is called at every warning must not be called by a stop that was asked for.
TEST_F(RunTest, AStreamThatIsStoppedInGoodOrderWarnsOfNothing) {
    ASSERT_TRUE(ok(world_.init()));
    engine::StreamState state;
    state.trouble = "the slot has no limit";
    for (const char* phase : {"streaming", "stopping", "stopped"}) {
        state.phase = phase;
        world_.script.states.push_back(state);
    }
    const Said said = say({"stream"});
    EXPECT_EQ(said.exit_code, 0);
    EXPECT_THAT(said.err, ContainsRegex("warn +streaming: the slot has no limit"));
    EXPECT_THAT(said.err, ContainsRegex("info +stopping"));
    EXPECT_THAT(said.err, ContainsRegex("info +stopped"));
    EXPECT_THAT(said.err, Not(ContainsRegex("warn +stop")));
}

TEST_F(RunTest, NothingIsColouredAwayFromATerminal) {
    ASSERT_TRUE(ok(world_.init()));
    EXPECT_THAT(say({"status"}).out, Not(HasSubstr("\033")));
    EXPECT_THAT(say({"doctor"}).out, Not(HasSubstr("\033")));
}

TEST_F(RunTest, NoSecretIsInAnyWord) {
    ASSERT_TRUE(ok(world_.init()));
    const std::string secret = [&] {
        const std::string text = world_.read("keys/recovery-1.key");
        const std::size_t at = text.find("AGE-SECRET-KEY-");
        return text.substr(at, text.find('\n', at) - at);
    }();
    const std::vector<std::vector<std::string>> cases = {
        {"backup"}, {"status"}, {"doctor"}, {"verify", "--data", "--identity", key()}};
    for (const auto& words : cases) {
        const Said said = say(words);
        EXPECT_THAT(said.out + said.err, Not(HasSubstr(secret)));
    }
}

}  // namespace
}  // namespace lifeboat::cli

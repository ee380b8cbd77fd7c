#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>

#include "tests/e2e/cli_fixture.h"

// The program as it is installed: words in, words and exit codes out. LB_PROGRAM is its path.

namespace lifeboat {
namespace {

using base::Json;
using testing::HasSubstr;
using namespace std::chrono_literals;

// ---- Bad input
// ----------------------------------------------------------------------------------

struct BadInput {
    std::vector<std::string> words;
    int exit_code;
    const char* message;
    const char* hint;
};

TEST(CliBadInput, EachIsAnsweredWithACodeAMessageAndAHint) {
    Cli cli;
    ASSERT_EQ(cli.run({"init", "--repository", "file://" + cli.path("repo"), "--state",
                       cli.path("state"), "--site", "test", "--connection", "host=/nowhere"})
                  .exit_status,
              0);
    const std::string config = cli.read("lifeboat.yaml");
    cli.write("typo.yaml", config + "retension: 3d\n");
    cli.write("secret.yaml", config + "    password: hunter2\n");
    cli.write("none.yaml", "");
    cli.write("binary.yaml", std::string("\0\1\2\xff", 4));
    std::string gone = config;
    gone.replace(gone.find("/repo\""), 6, "/gone\"");
    cli.write("gone.yaml", gone);
    cli.write("open.key", cli.read("recovery-1.key"), 0644);
    cli.write("garbage.key", "not a key\n");
    const std::string target = cli.path("target");
    const std::vector<BadInput> cases = {
        {{}, 2, "a subcommand is required", "lifeboat --help"},
        {{"bakcup"}, 2, "unknown verb 'bakcup'", "Did you mean 'backup'?"},
        {{"backup", "--ful"}, 2, "unknown option '--ful'", "Did you mean '--full'?"},
        {{"restore", "main"}, 2, "--target is required", "lifeboat restore --help"},
        {{"restore", "main", "--target", target, "--at", "now", "--xid", "3"}, 2, "restore: ", ""},
        {{"restore", "main", "--target", target, "--at", "14:00 CET/No"}, 2, "CET/No", ""},
        {{"restore", "main", "--target", target, "--at", "last tuesday"}, 2, "last tuesday", ""},
        {{"restore", "mian", "--target", target, "--identity", "recovery-1.key"},
         2,
         "mian",
         "main"},
        {{"restore", "main", "--target", target}, 1, "no identity was given", "--identity"},
        {{"restore", "main", "--target", target, "--identity", "no.key"}, 1, "no.key", ""},
        {{"restore", "main", "--target", target, "--identity", "open.key"},
         4,
         "can be read by others",
         "chmod 600"},
        {{"restore", "main", "--target", target, "--identity", "garbage.key"},
         2,
         "garbage.key",
         ""},
        {{"restore", "main", "--target", target, "--identity", "recovery-1.key"},
         1,
         "no backup",
         ""},
        {{"--config", "no.yaml", "status"}, 1, "no.yaml", ""},
        {{"--config", "typo.yaml", "status"}, 2, "unknown key 'retension'", ""},
        {{"--config", "secret.yaml", "status"}, 4, "password", ""},
        {{"--config", "none.yaml", "status"}, 2, "none.yaml", ""},
        {{"--config", "binary.yaml", "status"}, 2, "binary.yaml", ""},
        {{"--config", "gone.yaml", "backup"}, 1, "gone", ""},
        {{"backup", "--repository", "lokal"}, 2, "lokal", "local"},
        {{"backup"}, 1, "backing up 'main'", ""},
        {{"verify", "--data"}, 1, "no identity was given", "--identity"},
        {{"repo", "check", "--data"}, 1, "no identity was given", "--identity"},
        {{"init"}, 1, "is there already", ""},
        {{"--config", "new.yaml", "init", "--recipient", "age1x", "--recipient", "age1y"},
         2,
         "age1x",
         ""},
        {{"--config", "new.yaml", "init", "--repository", "ftp://host"},
         2,
         "ftp://host",
         "file:///"},
        {{"--config", "new.yaml", "init", "--repository", "file://relative"},
         2,
         "file://relative",
         "file:///"},
    };
    for (const BadInput& c : cases) {
        const std::string said = testing::PrintToString(c.words);
        const base::Finished done = cli.run(c.words);
        EXPECT_EQ(done.exit_status, c.exit_code) << said << "\n" << done.output;
        EXPECT_THAT(done.output, testing::StartsWith("lifeboat: ")) << said;
        EXPECT_THAT(done.output, HasSubstr(c.message)) << said;
        const std::size_t hint = done.output.find("\nhint: ");
        ASSERT_NE(hint, std::string::npos) << said << "\n" << done.output;
        EXPECT_THAT(done.output.substr(hint), HasSubstr(c.hint)) << said;
        EXPECT_THAT(done.output, testing::Not(HasSubstr("hunter2"))) << said;

        std::vector<std::string> words = c.words;
        words.emplace_back("--json");
        const auto document = Json::parse(cli.run(words).output);
        ASSERT_TRUE(test::ok(document)) << said;
        EXPECT_NE(document->find("error"), nullptr) << said;
    }
    EXPECT_EQ(::access(target.c_str(), F_OK), -1) << "a refused restore wrote something";
}

TEST(CliBadInput, WalFetchExplainsItselfToAPersonAndIsNoSuccessWithoutAFile) {
    Cli cli;
    const base::Finished help = cli.run({"wal-fetch", "--help"});
    EXPECT_EQ(help.exit_status, 0);
    EXPECT_THAT(help.output, HasSubstr("Usage: lifeboat wal-fetch "));
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"wal-fetch"}, {"wal-fetch", "main"}}) {
        EXPECT_GT(cli.run(words).exit_status, 125);
    }
}

TEST(CliBadInput, WordsThatCouldNotBeWrittenAreNoSuccess) {
    base::Command shell;
    shell.argv = {"/bin/sh", "-c", std::string(LB_PROGRAM) + " --version > /dev/full"};
    const auto done = base::run(shell, 10s);
    ASSERT_TRUE(test::ok(done));
    EXPECT_EQ(done->exit_status, 1);
    EXPECT_THAT(done->output, HasSubstr("hint: "));
}

// ---- The tour
// ----------------------------------------------------------------------------------

class CliTour : public testing::Test {
  protected:
    void SetUp() override {
        const std::string missing = server_.missing();
        if (!missing.empty()) {
            GTEST_SKIP() << missing;
        }
        cluster_ = std::make_unique<postgres::PgCluster>(server_);
        cluster_->create("wal_level=replica\nmax_wal_senders=5\narchive_mode=off\n");
        cluster_->start();
        cluster_->sql("CREATE TABLE prospects(id int PRIMARY KEY, name text)");
        cluster_->sql("INSERT INTO prospects SELECT i, 'p' || i FROM generate_series(1, 5000) i");
        cli_.environment.emplace_back("PGHOST", cluster_->host(""));
        cli_.environment.emplace_back("PGUSER", "postgres");
    }

    void init_quick() {
        const Json made = cli_.json({"init", "--quick", "--state", cli_.path("state"), "--site",
                                     "test", "--repository", "file://" + cli_.path("repo")});
        ASSERT_NE(made.find("found"), nullptr);
        EXPECT_THAT(made.find("found")->as_text(), HasSubstr("PostgreSQL 15."));
        key_ = cli_.path("recovery-1.key");
    }

    std::string ask(const std::string& query) const {
        std::string answer = cluster_->tool(
            "psql", {"-X", "-At", "-h", cluster_->inside(""), "-d", "postgres", "-c", query});
        while (!answer.empty() && answer.back() == '\n') {
            answer.pop_back();
        }
        return answer;
    }

    // Until what the stream says of itself satisfies `done`.
    void wait_for_stream(const std::function<bool(const Json& stream)>& done) const {
        const auto deadline = std::chrono::steady_clock::now() + 60s;
        while (std::chrono::steady_clock::now() < deadline) {
            const auto status = Json::parse(cli_.read("state/status/main.json"));
            if (status && done(*status)) {
                return;
            }
            std::this_thread::sleep_for(50ms);
        }
        FAIL() << "the stream says: " << cli_.read("state/status/main.json");
    }

    const Json& first(const Json& report) { return report.find("systems")->items().front(); }

    const postgres::PgServer server_{15, 16, false};
    std::unique_ptr<postgres::PgCluster> cluster_;
    Cli cli_;
    std::string key_;
};

TEST_F(CliTour, FromNothingToAVerifiedRepository) {
    init_quick();
    cluster_->sql("UPDATE prospects SET name = 'x' WHERE id = 7");
    const Json backup = first(cli_.json({"backup"}));
    EXPECT_EQ(backup.find("kind")->as_text(), "incremental");
    const Json full = first(cli_.json({"backup", "--full"}));
    EXPECT_EQ(full.find("kind")->as_text(), "full");
    EXPECT_LT(backup.find("bytes_stored")->as_integer(), full.find("bytes_stored")->as_integer());

    EXPECT_EQ(first(cli_.json({"list"})).find("backups")->items().size(), 3U);
    EXPECT_EQ(first(cli_.json({"status"})).find("backups")->as_integer(), 3);
    const Json checked = cli_.json({"repo", "check", "--data", "--identity", key_});
    EXPECT_GT(checked.find("plain_bytes")->as_integer(), 1 << 20);
    const Json verified = cli_.json({"verify", "--data", "--identity", key_});
    EXPECT_EQ(first(verified).find("whole")->as_integer(), 3);
}

TEST_F(CliTour, CapturesEveryCommitAndComesBackAtAnyMoment) {
    init_quick();
    auto stream = base::Child::start(cli_.command({"stream"}));
    ASSERT_TRUE(test::ok(stream));
    wait_for_stream([](const Json& s) { return s.find("phase")->as_text() == "streaming"; });
    cluster_->sql("INSERT INTO prospects VALUES (5001, 'the last one')");
    const std::string moment =
        ask("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || ' "
            "UTC'");
    cluster_->sql("DROP TABLE prospects");
    const auto dropped = postgres::parse_lsn(ask("SELECT pg_current_wal_lsn()"));
    ASSERT_TRUE(test::ok(dropped));
    wait_for_stream([&](const Json& s) {
        const std::string position = s.find("position")->as_text();  // "0/5000000 on timeline 1"
        const auto at = postgres::parse_lsn(position.substr(0, position.find(' ')));
        return at && *at >= *dropped;
    });
    EXPECT_EQ(first(cli_.json({"status"})).find("verdict")->as_text(), "met");
    EXPECT_EQ(stream->stop(SIGTERM, 30s), 0);

    const std::string target = cli_.path("restored");
    const Json report =
        cli_.json({"restore", "main", "--target", target, "--identity", key_, "--at", moment,
                   "--start", "--validate", "SELECT count(*) FROM prospects"});
    const Json* started = report.find("started");
    ASSERT_NE(started, nullptr);
    EXPECT_EQ(started->find("answers")->items().front().find("answer")->as_text(), "5001");
    cluster_->tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", target});
}

TEST_F(CliTour, InitQuickIsFinishedOnce) {
    init_quick();
    const base::Finished again = cli_.run({"init", "--quick"});
    EXPECT_EQ(again.exit_status, 1);
    EXPECT_THAT(again.output, HasSubstr("hint: Take another with 'lifeboat backup'."));
}

TEST_F(CliTour, TheDoctorSeesWhatTheServerLacks) {
    init_quick();
    cluster_->sql("ALTER SYSTEM SET full_page_writes = off");
    cluster_->sql("SELECT pg_reload_conf()");
    const Json report = cli_.json({"doctor"}, 1);  // fsync is off in test clusters
    std::vector<std::string> subjects;
    for (const Json& section : report.find("sections")->items()) {
        for (const Json& finding : section.find("findings")->items()) {
            subjects.push_back(finding.find("subject")->as_text());
        }
    }
    EXPECT_THAT(subjects, testing::IsSupersetOf(
                              {"fsync", "full_page_writes", "max_slot_wal_keep_size", "identity"}));
}

}  // namespace
}  // namespace lifeboat

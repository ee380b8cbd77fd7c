#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "tests/e2e/cli_fixture.h"

// Moments that cannot be had, and targets that must not be touched (P5).

namespace lifeboat {
namespace {

using testing::HasSubstr;

class CliRestores : public CliServer {
  protected:
    std::vector<std::string> words(const std::vector<std::string>& more,
                                   const std::string& target = cli().path("target")) const {
        std::vector<std::string> all = {"restore", "main", "--target", target, "--identity", key()};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }

    static base::Finished as(const char* user, const std::string& script) {
        return cli().shell("su -s /bin/bash " + std::string(user) + " -c '" + script + "'");
    }
};

struct Point {
    std::vector<std::string> words;
    int exit_code;
    const char* message;
    const char* hint;
};

TEST_F(CliRestores, AMomentThatCannotBeHadNamesTheNearestThatCan) {
    const Point cases[] = {
        {{"--at", "2099-01-01 00:00 UTC"}, 4, "lies in the future", "The newest point is "},
        {{"--at", "2001-01-01 00:00 UTC"},
         4,
         "lies before the end of the oldest backup",
         "--immediate"},
        {{"--at", "now"}, 4, "lies after everything that was captured", "--at latest"},
        {{"--lsn", "0/1"}, 4, "lies before the end of the oldest backup", "--immediate"},
        {{"--lsn", "FF/0"}, 4, "lies after everything that was captured", "--at latest"},
        {{"--lsn", "17"}, 2, "'17'", ""},
        {{"--xid", "99999999"}, 1, "transaction 99999999 is not in the WAL", "lifeboat list main"},
        {{"--name", "nope"}, 1, "restore point 'nope' is not in the WAL", "lifeboat list main"},
        {{"--timeline", "7"}, 1, "nothing here is of timeline 7", "lifeboat list main"},
        {{"--backup", "nosuch"}, 1, "'main' has no backup 'nosuch'", "lifeboat list main"},
        {{"--at", "tomorrow at tea"}, 2, "'tomorrow at tea' is not a time", "2026-01-23 14:00 UTC"},
        {{"--at", "2026-13-45 00:00"}, 2, "2026-13-45", ""},
        {{"--at", ""}, 2, "--at: '' is empty", "--help"},
        {{"--at", "now", "--lsn", "0/1"}, 2, "'--at' and '--lsn' contradict each other", "--help"},
        {{"--immediate", "--name", "x"}, 2, "'--name' and '--immediate' contradict each other", ""},
        {{"--tablespace", "/only"}, 2, "is not of the form OLD=NEW", "/old/dir=/new/dir"},
        {{"--owner", "nobody-here"}, 2, "there is no user 'nobody-here'", "--owner USER"},
    };
    for (const Point& c : cases) {
        expect_refusal(cli().run(words(c.words)), c.exit_code, c.message, c.hint);
    }
    EXPECT_NE(::access(cli().path("target").c_str(), F_OK), 0)
        << "a refused restore wrote something";
}

// P6: said in the zone that was meant, before anything happens.
TEST_F(CliRestores, ATimeWithoutAZoneIsEchoedAbsolute) {
    const std::string config = cli().variant("berlin.yaml", {{"zone: UTC", "zone: Europe/Berlin"}});
    std::vector<std::string> all = words({"--at", "2001-07-01 14:00"});
    all.insert(all.begin(), {"--config", config});
    const base::Finished done = cli().run(all);
    EXPECT_THAT(done.output, HasSubstr("recovering to 2001-07-01 "));
    EXPECT_THAT(done.output, HasSubstr("2001-07-01 12:00:00"));
}

TEST_F(CliRestores, LatestIsAMomentToo) {
    const base::Json plan = cli().json(words({"--at", "latest", "--dry-run"}));
    EXPECT_THAT(plan.find("point")->as_text(), HasSubstr("timeline 1"));
}

TEST_F(CliRestores, ATargetThatIsSomethingElseIsLeftAlone) {
    cli().shell("mkdir -p full && echo precious > full/file && echo x > plain");
    const Point cases[] = {
        {{cli().path("full")}, 4, "/full' is not empty", "--delta"},
        {{cli().path("full"), "--delta"}, 4, "/full' holds no 'global/pg_control'", "empty one"},
        {{"/", "--delta"}, 4, "the target '/' holds no 'global/pg_control'", "empty one"},
        {{cli().path("plain")}, 4, "/plain' is not a directory", "empty or absent"},
        {{cluster().host("data")}, 4, "a server (pid ", "Stop it first"},
        {{cluster().host("data"), "--delta"}, 4, "a server (pid ", "Stop it first"},
    };
    for (const Point& c : cases) {
        const std::vector<std::string> more(c.words.begin() + 1, c.words.end());
        expect_refusal(cli().run(words(more, c.words.front())), c.exit_code, c.message, c.hint);
    }
    EXPECT_EQ(cli().read("full/file"), "precious\n");
    EXPECT_EQ(cli().read("plain"), "x\n");
    EXPECT_EQ(ask("SELECT count(*) FROM prospects"), "5000");
}

TEST_F(CliRestores, AUserMayNotWriteIntoAnothersTargetNorForAnother) {
    cli().shell(
        "mkdir -p -m 755 others && mkdir -p -m 777 open && cp -r state/keys open/ && "
        "sed \"s#$PWD/state#$PWD/open#\" lifeboat.yaml > open/lifeboat.yaml && "
        "cp recovery-1.key open/ && chmod -R a+rX repo && chown -R nobody open && "
        "ln -s nowhere/deep open/dangling");
    const std::string lb = std::string(LB_PROGRAM) + " --config " +
                           cli().path("open/lifeboat.yaml") + " restore main --identity " +
                           cli().path("open/recovery-1.key");
    expect_refusal(as("nobody", lb + " --target " + cli().path("others")), 4,
                   "belongs to another user (uid 0)", "as its owner or as root");
    expect_refusal(as("nobody", lb + " --dry-run --target " + cli().path("others/deep/er")), 1,
                   "writing into '" + cli().path("others") + "' for the target '",
                   "where that user may write");
    expect_refusal(as("nobody", lb + " --dry-run --target " + cli().path("open/dangling")), 4,
                   "/open/dangling' is a symbolic link to nothing", "another target");
    expect_refusal(as("nobody", lb + " --owner postgres --target " + cli().path("open/new")), 1,
                   "only root can restore for another user ('postgres')",
                   "as root or as that user");
    EXPECT_NE(::access(cli().path("open/new").c_str(), F_OK), 0);
}

// As the README types it: relative paths, and the server started by hand, from wherever.
TEST_F(CliRestores, AServerThatIsStartedLaterFindsItsKeyWhereverThatWasTyped) {
    cli().shell(
        "mkdir -p theirs && cp -r state/keys recovery-1.key theirs/ && "
        "sed \"s#$PWD/state#$PWD/theirs#\" lifeboat.yaml > theirs/lifeboat.yaml && "
        "chmod -R a+rX repo && chown -R postgres theirs");
    const base::Finished done =
        as("postgres", "cd theirs && " + std::string(LB_PROGRAM) +
                           " restore main --target later --identity recovery-1.key");
    ASSERT_EQ(done.exit_status, 0) << done.output;
    const std::string target = cli().path("theirs/later");
    cluster().tool("pg_ctl",
                   {"start", "-w", "-D", target, "-l", target + "/server.log", "-o",
                    "-p 5998 -c listen_addresses= -k " + target},
                   postgres::MayFail::Yes);
    EXPECT_EQ(cluster().tool("psql", {"-X", "-At", "-h", target, "-p", "5998", "-d", "postgres",
                                      "-c", "SELECT count(*) FROM prospects"}),
              "5000\n")
        << cli().read("theirs/later/server.log");
    cluster().tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", target}, postgres::MayFail::Yes);
}

// The server is up by then, and stays: its word is not a finding, and its pid is named.
TEST_F(CliRestores, ChecksThatAreStoppedLeaveTheServerUpAndSayItsPid) {
    const base::Finished done = cli().shell(R"sh(
target=$PWD/checked
"$LB" restore main --target "$target" --identity recovery-1.key --start --port 5997 --validate 'SELECT pg_sleep(60)' & verb=$!
for i in $(seq 600); do
    psql -h "$target" -p 5997 -d postgres -Atc "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'" 2>/dev/null | grep -q . && break
    sleep 0.1
done
kill -INT $verb; wait $verb; echo "end=$?."
echo "pid=$(head -1 checked/postmaster.pid)."
)sh");
    EXPECT_THAT(done.output, HasSubstr("end=1.")) << done.output;
    const std::size_t at = done.output.find("\npid=") + 5;
    const std::string pid = done.output.substr(at, done.output.find('.', at) - at);
    EXPECT_THAT(done.output, HasSubstr("lifeboat: the checks of the server (pid " + pid + ")"));
    EXPECT_THAT(done.output, HasSubstr("and stays up: psql "));
    EXPECT_THAT(done.output, testing::Not(HasSubstr("finding")));
    cluster().tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", cli().path("checked")});
}

TEST_F(CliRestores, AnInterruptedRestoreOfAnotherBackupIsNotMixedWithThisOne) {
    const std::string target = cli().path("begun");
    cli().shell(
        "mkdir begun && echo '{\"backup\": \"20200101T000000Z-abcd\"}' > begun/lifeboat.restore");
    expect_refusal(cli().run(words({}, target)), 4, "of another backup, '20200101T000000Z-abcd'",
                   "--backup 20200101T000000Z-abcd");
    cli().json(words({"--delta"}, target));
    cluster().tool("pg_verifybackup", {"-n", "-q", target});
    EXPECT_NE(::access(cli().path("begun/lifeboat.restore").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace lifeboat

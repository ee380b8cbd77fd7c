#include <unistd.h>

#include <functional>

#include "tests/e2e/abuse_fixture.h"

// kill -9 at any instant (P2, P5, P9): what stands is whole, what does not cannot be mistaken for
// it, and the next run succeeds.

namespace lifeboat {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

using AbuseKill = Abuse;

TEST_F(AbuseKill, ABackupAtAnyInstant) {
    const Duration span = time_of({"backup", "--full"});
    for (int round = 0; round < rounds(); ++round) {
        change();
        const Words words = round % 2 == 0 ? Words{"backup"} : Words{"backup", "--full"};
        const std::size_t before = backups();
        const Ended ended = interrupt(words, span, SIGKILL, round % 4 < 2);
        SCOPED_TRACE(instant_);
        EXPECT_LE(backups(), before + 1);
        EXPECT_GE(backups(), before + (ended.exit_status == 0 ? 1 : 0));
        expect_whole();
        EXPECT_EQ(cli().run({"backup"}).exit_status, 0);
    }
    const std::string target = cli().path("after-backups");
    cli().json(restore(target));
    cluster().tool("pg_verifybackup", {"-n", "-q", target});
    cli().json({"repo", "check", "--data", "--identity", key()});
}

TEST_F(AbuseKill, ARestoreAtAnyInstant) {
    cli().json({"backup"});
    const Duration span = time_of(restore(cli().path("timed")));
    for (int round = 0; round < rounds(); ++round) {
        const std::string target = cli().path("restored-" + std::to_string(round));
        // The first instants are where little stands, and mistakes are easy.
        interrupt(restore(target), round % 3 == 0 ? span / 8 : span, SIGKILL, round % 2 == 0);
        SCOPED_TRACE(instant_);
        const auto left = base::real_files().list(target);
        const bool anything = left && !left->empty();
        const bool begun = is_there(target + "/lifeboat.restore");
        const bool startable = is_there(target + "/global/pg_control");
        if (begun && !startable) {
            const std::string said =
                cluster().tool("postgres", {"-D", target}, postgres::MayFail::Yes);
            EXPECT_NE(said, "");
            EXPECT_FALSE(is_there(target + "/postmaster.pid"));
        }
        if (begun || !startable) {
            const base::Json again = cli().json(restore(target));
            const base::Json* applied = again.find("applied");
            ASSERT_NE(applied, nullptr);
            EXPECT_EQ(applied->boolean("resumed").value(), anything) << applied->dump();
        }
        cluster().tool("pg_verifybackup", {"-n", "-q", target});
        EXPECT_FALSE(is_there(target + "/lifeboat.restore"));
        if (round + 1 == rounds()) {
            do {  // until one is cut: the instant is chance, and a whole target is refused
                cli().shell("rm -rf '" + target + "'");
                interrupt(restore(target), span / 2, SIGKILL);
            } while (is_there(target + "/global/pg_control"));
            const base::Json up =
                cli().json(restore(target, {"--start", "--validate", "SELECT count(*) FROM bulk"}));
            EXPECT_THAT(up.dump(), HasSubstr("\"40000\""));
            cluster().tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", target});
        }
    }
}

TEST_F(AbuseKill, AnInitAtAnyInstant) {
    const auto init = [&](const std::string& name, bool quick) {
        Words words = {"--config",
                       name + "/lifeboat.yaml",
                       "init",
                       "--state",
                       cli().path(name + "/state"),
                       "--site",
                       "test",
                       "--repository",
                       "file://" + cli().path(name + "/repo")};
        words.emplace_back(quick ? "--quick" : "--connection");
        if (!quick) {
            words.push_back("host=" + cluster().host("") + " user=postgres dbname=postgres");
        }
        return words;
    };
    cli().shell("mkdir -p timed-init");
    const Duration span = time_of(init("timed-init", true));
    for (int round = 0; round < rounds(); ++round) {
        const std::string name = "init-" + std::to_string(round);
        const bool quick = round % 2 == 0;
        cli().shell("mkdir -p " + name);
        interrupt(init(name, quick), quick ? span : span / 10, SIGKILL);
        SCOPED_TRACE(instant_);
        const base::Finished again = cli().run(init(name, quick));
        if (again.exit_status != 0) {  // it had been done, or nearly
            EXPECT_TRUE(is_there(cli().path(name + "/lifeboat.yaml"))) << again.output;
            EXPECT_THAT(again.output, testing::AnyOf(HasSubstr("is there already"),
                                                     HasSubstr("Take another with")));
        }
        const Words config = {"--config", name + "/lifeboat.yaml"};
        const base::Finished backup = cli().run({config[0], config[1], "backup"});
        EXPECT_EQ(backup.exit_status, 0) << backup.output;
        const base::Finished checked = cli().run({config[0], config[1], "repo", "check", "--data",
                                                  "--identity", name + "/recovery-2.key"});
        EXPECT_EQ(checked.exit_status, 0) << checked.output;
    }
}

TEST_F(AbuseKill, AStreamAtAnyInstantUnderLoad) {
    cluster().sql("CREATE TABLE IF NOT EXISTS ticks(n bigint)");
    for (int round = 0; round < rounds(); ++round) {
        auto stream = base::Child::start(cli().command({"stream", "--quiet"}));
        ASSERT_TRUE(test::ok(stream));
        cluster().sql("INSERT INTO ticks SELECT generate_series(1, 20000)");
        if (round == 0) {  // the base that leads into the stream; it may be taking one itself
            wait_for([] { return stream_status("phase") == "streaming"; });
            wait_for([] { return cli().run({"backup"}).exit_status == 0; });
        }
        pause(0s, 1s);
        cluster().sql("INSERT INTO ticks SELECT generate_series(1, 5000)");
        ::kill(round % 2 == 0 ? stream->pid() : -stream->pid(), SIGKILL);
        stream->stop(SIGKILL, 5s);
        SCOPED_TRACE(instant_);
        expect_whole();
    }
    const auto end = postgres::parse_lsn(ask("SELECT pg_current_wal_lsn()"));
    auto stream = base::Child::start(cli().command({"stream", "--quiet"}));
    ASSERT_TRUE(test::ok(stream));
    wait_for([&] {
        const std::string position = stream_status("position");
        const auto at = postgres::parse_lsn(position.substr(0, position.find(' ')));
        return stream_status("phase") == "streaming" && at && *at >= *end;
    });
    EXPECT_EQ(stream->stop(SIGTERM, 30s), 0);
    const std::string target = cli().path("after-streams");
    const base::Json up = cli().json(
        restore(target, {"--start", "--validate", "SELECT 'ticks ' || count(*) FROM ticks"}));
    EXPECT_THAT(up.dump(), HasSubstr("ticks " + std::to_string(25000 * rounds())));
    cluster().tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", target});
    expect_whole();
}

}  // namespace
}  // namespace lifeboat

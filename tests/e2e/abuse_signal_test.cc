#include <unistd.h>

#include "tests/e2e/abuse_fixture.h"

// Ctrl-C and SIGTERM at any moment: the words and codes of docs/errors.md, and nothing in the way
// of the next run.

namespace lifeboat {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class AbuseSignal : public Abuse {
  protected:
    // Done, or stopped and said so; before the program could listen, the signal simply ends it.
    void expect_orderly(const Ended& ended, int number) {
        const bool unheard = ended.exit_status == 128 + number && ended.output.empty();
        if (ended.exit_status == 0 || unheard) {
            return;
        }
        EXPECT_EQ(ended.exit_status, 1) << ended.output;
        EXPECT_THAT(ended.output, HasSubstr("stopped on request"));
        EXPECT_THAT(ended.output, HasSubstr("hint: It was stopped on request"));
    }

    int number(int round) const { return round % 2 == 0 ? SIGINT : SIGTERM; }
};

TEST_F(AbuseSignal, OfABackupLeavesNothingInTheWay) {
    const Duration span = time_of({"backup", "--full"});
    for (int round = 0; round < rounds(); ++round) {
        change();
        const std::size_t before = backups();
        const Ended ended = interrupt({"backup", "--full"}, span, number(round));
        SCOPED_TRACE(instant_);
        expect_orderly(ended, number(round));
        EXPECT_EQ(backups(), before + (ended.exit_status == 0 ? 1 : 0));
        EXPECT_LT(ended.took, 10s);
        EXPECT_EQ(cli().run({"backup"}).exit_status, 0);
        expect_whole();
    }
    EXPECT_EQ(ask("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE '%backup%'"),
              "0");
}

TEST_F(AbuseSignal, OfARestoreIsTakenUpAgain) {
    cli().json({"backup"});
    const Duration span = time_of(restore(cli().path("timed-signal")));
    for (int round = 0; round < rounds(); ++round) {
        const std::string target = cli().path("signalled-" + std::to_string(round));
        const Ended ended = interrupt(restore(target), span, number(round));
        SCOPED_TRACE(instant_);
        expect_orderly(ended, number(round));
        EXPECT_EQ(is_there(target + "/global/pg_control"), ended.exit_status == 0);
        if (ended.exit_status != 0) {
            cli().json(restore(target));
        }
        cluster().tool("pg_verifybackup", {"-n", "-q", target});
    }
}

TEST_F(AbuseSignal, OfWhatOnlyReadsIsAnsweredAtOnce) {
    const std::vector<Words> verbs = {{"verify", "--data", "--identity", key()},
                                      {"repo", "check", "--data", "--identity", key()}};
    for (const Words& words : verbs) {
        const base::Finished whole = cli().run(words);
        for (int round = 0; round < rounds() / 2; ++round) {
            const Ended ended = interrupt(words, 200ms, number(round));
            SCOPED_TRACE(instant_);
            if (ended.exit_status != whole.exit_status) {
                expect_orderly(ended, number(round));
            }
            EXPECT_LT(ended.took, 5s);
        }
        EXPECT_EQ(cli().run(words).exit_status, whole.exit_status);
    }
}

TEST_F(AbuseSignal, OfAStreamIsHowItEnds) {
    for (int round = 0; round < rounds(); ++round) {
        cluster().sql("INSERT INTO prospects SELECT i, 'x' FROM generate_series(1, 1000) i");
        const Ended ended = interrupt({"stream", "--quiet"}, 800ms, number(round));
        SCOPED_TRACE(instant_);
        if (ended.exit_status != 128 + number(round) || !ended.output.empty()) {
            EXPECT_EQ(ended.exit_status, 0) << ended.output;
        }
        EXPECT_LT(ended.took, 12s);
        expect_whole();
    }
}

TEST_F(AbuseSignal, OfAnInitIsTakenUpAgain) {
    for (int round = 0; round < rounds() / 2; ++round) {
        const std::string name = "signal-init-" + std::to_string(round);
        cli().shell("mkdir " + name);
        const Words words = {"--config",     name + "/lifeboat.yaml",
                             "init",         "--quick",
                             "--state",      cli().path(name + "/state"),
                             "--site",       "test",
                             "--repository", "file://" + cli().path(name + "/repo")};
        const Ended ended = interrupt(words, 400ms, number(round));
        SCOPED_TRACE(instant_);
        expect_orderly(ended, number(round));
        const base::Finished again = cli().run(words);
        if (ended.exit_status == 0) {
            expect_refusal(again, 1, "", "Take another with 'lifeboat backup'");
        } else {
            EXPECT_EQ(again.exit_status, 0) << again.output;
        }
    }
}

// The first asks, the second one means it: also when the repository does not answer.
TEST_F(AbuseSignal, TheSecondEndsItAtOnce) {
    for (int round = 0; round < rounds(); ++round) {
        const int signal = number(round);
        base::Command command = cli().command({"backup", "--full", "--quiet"});
        command.log_file = cli().path("interrupted.log");
        auto child = base::Child::start(command);
        ASSERT_TRUE(test::ok(child));
        pause(50ms, 300ms);
        SCOPED_TRACE(instant_);
        const auto sent = std::chrono::steady_clock::now();
        child->signal(signal);
        child->signal(signal);
        for (int more = 0; more < 20 && child->running(); ++more) {
            std::this_thread::sleep_for(1ms);  // two that come together are one
            child->signal(signal);
        }
        const Ended ended = await(*child, sent);
        EXPECT_THAT(ended.exit_status, testing::AnyOf(0, 1, 128 + signal));
        EXPECT_LT(ended.took, 1s);
        EXPECT_EQ(cli().run({"backup"}).exit_status, 0);
    }
    expect_whole();
}

}  // namespace
}  // namespace lifeboat

#include <fstream>

#include "tests/e2e/abuse_fixture.h"

// RPO 0. The stream is the only synchronous standby. Clients note each commit that returned. Then
// everything dies at once, and the data directory is gone: each commit that returned must be there.

namespace lifeboat {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr int kClients = 3;

class AbuseLoss : public Abuse {
  protected:
    void SetUp() override {
        Abuse::SetUp();
        if (IsSkipped()) {
            return;
        }
        cluster().script({"DROP TABLE IF EXISTS ledger", "CREATE TABLE ledger(client int, n int)"});
        for (int client = 0; client < kClients; ++client) {
            std::ofstream lines(cli().path("client-" + std::to_string(client) + ".sql"));
            for (int n = 1; n <= 50000; ++n) {
                lines << "INSERT INTO ledger VALUES (" << client << ", " << n
                      << ") RETURNING 'returned ' || n;\n";
            }
        }
    }

    // From now on no commit returns that the stream has not acknowledged.
    static void demand_synchrony() {
        cluster().script(
            {"ALTER SYSTEM SET synchronous_standby_names = 'lifeboat'", "SELECT pg_reload_conf()"});
    }

    std::vector<base::Child> start_clients() {
        demand_synchrony();
        std::vector<base::Child> clients;
        for (int client = 0; client < kClients; ++client) {
            const std::string name = "client-" + std::to_string(client);
            base::Command command;
            command.argv = {
                kServer.program("psql"),  "-X", "-qAt",     "-v", "ON_ERROR_STOP=1", "-h",
                cluster().host(""),       "-U", "postgres", "-d", "postgres",        "-f",
                cli().path(name + ".sql")};
            command.log_file = cli().path(name + ".log");
            ::unlink(command.log_file.c_str());
            auto child = base::Child::start(command);
            EXPECT_TRUE(test::ok(child));
            clients.push_back(std::move(child).value());
        }
        return clients;
    }

    // The last commit of which the client was told.
    int returned(int client) const {
        std::istringstream log(cli().read("client-" + std::to_string(client) + ".log"));
        int last = 0;
        for (std::string line; std::getline(log, line);) {
            if (line.starts_with("returned ")) {
                last = std::stoi(line.substr(9));
            }
        }
        return last;
    }

    int returned() const {
        int all = 0;
        for (int client = 0; client < kClients; ++client) {
            all += returned(client);
        }
        return all;
    }

    // The postmaster and all of its children, in one breath, and then their files.
    static void lose_the_server() {
        const std::string pid_file = cluster().host("data/postmaster.pid");
        // Until nothing is left of it: as long as init has not looked after the dead, its number
        // stands for a running postmaster to the next one on the same socket.
        cli().shell(
            "pid=$(head -1 " + pid_file + "); all=\"$pid $(pgrep -P $pid)\"; kill -9 $all; " +
            "for one in $all; do while kill -0 $one 2>/dev/null; do sleep 0.02; done; done");
        cli().shell("rm -rf --one-file-system " + cluster().host("data"));
    }

    base::Child start_stream(const std::string& config) {
        auto stream = base::Child::start(cli().command({"--config", config, "stream", "--quiet"}));
        EXPECT_TRUE(test::ok(stream));
        return std::move(stream).value();
    }

    // Restores to where the server was, and counts.
    void expect_every_commit_back(const std::string& config) {
        const std::string target = cluster().host("data");
        Words words = restore(target, {"--start"});
        words.insert(words.begin(), {"--config", config});
        for (int client = 0; client < kClients; ++client) {
            words.emplace_back("--validate");
            words.push_back("SELECT 'client " + std::to_string(client) +
                            ": ' || count(*) FROM ledger WHERE client = " + std::to_string(client) +
                            " AND n <= " + std::to_string(returned(client)));
        }
        const std::string up = cli().json(words).dump();
        for (int client = 0; client < kClients; ++client) {
            EXPECT_THAT(up, HasSubstr("client " + std::to_string(client) + ": " +
                                      std::to_string(returned(client))));
        }
        cluster().tool("pg_ctl", {"stop", "-w", "-m", "fast", "-D", target});
        cli().shell("sed -i /synchronous_standby_names/d " + target + "/postgresql.auto.conf");
        cluster().tool("pg_ctl", {"start", "-w", "-D", target, "-l", cluster().inside("data.log")});
    }
};

TEST_F(AbuseLoss, EveryCommitThatReturnedComesBackFromTheRepository) {
    const std::string config = "lifeboat.yaml";
    for (int round = 0; round < std::max(1, rounds() / 4); ++round) {
        base::Child stream = start_stream(config);
        auto clients = start_clients();
        wait_for([&] { return returned() > 50; });
        pause(0s, 1500ms);
        SCOPED_TRACE(instant_);
        lose_the_server();
        ::kill(-stream.pid(), SIGKILL);
        clients.clear();
        stream.stop(SIGKILL, 5s);
        expect_every_commit_back(config);
        cli().json({"backup"});
    }
}

// What was acknowledged from the spool is there or nowhere: the repository was out of reach, the
// server is lost, and its stream died with it.
TEST_F(AbuseLoss, EveryCommitThatReturnedComesBackFromTheSpool) {
    const std::string config = cli().variant(
        "spool.yaml",
        {{"# stream:", "stream:"}, {"#   acknowledge: repository", "  acknowledge: spool"}});
    base::Child stream = start_stream(config);
    auto clients = start_clients();
    wait_for([&] { return returned() > 50; });
    cli().shell("mv repo away");
    const int before = returned();
    wait_for([&] { return returned() > before + 200; });
    pause(0s, 1s);
    SCOPED_TRACE(instant_);
    lose_the_server();
    ::kill(-stream.pid(), SIGKILL);
    clients.clear();
    stream.stop(SIGKILL, 5s);
    cli().shell("mv away repo");

    const base::Json drained = cli().json({"--config", config, "stream", "--drain", "--quiet"});
    EXPECT_THAT(drained.dump(), HasSubstr("on timeline "));
    const base::Finished again = cli().run({"--config", config, "stream", "--drain", "--quiet"});
    EXPECT_EQ(again.exit_status, 0) << again.output;
    EXPECT_THAT(again.output, HasSubstr("all that was captured is in the repository: "));
    expect_whole();
    expect_every_commit_back(config);
}

// A plain stream does the same while it waits for a server that will not come back, and says so.
TEST_F(AbuseLoss, AStreamWithoutItsServerStoresWhatTheSpoolHolds) {
    const std::string config = cli().variant(
        "spool.yaml",
        {{"# stream:", "stream:"}, {"#   acknowledge: repository", "  acknowledge: spool"}});
    base::Child stream = start_stream(config);
    auto clients = start_clients();
    wait_for([&] { return returned() > 20; });
    cli().shell("mv repo away");
    const int before = returned();
    wait_for([&] { return returned() > before + 50; });
    lose_the_server();
    ::kill(-stream.pid(), SIGKILL);
    clients.clear();
    stream.stop(SIGKILL, 5s);
    cli().shell("mv away repo");

    base::Command command = cli().command({"--config", config, "stream"});
    command.log_file = cli().path("waiting.log");
    auto waiting = base::Child::start(command);
    ASSERT_TRUE(test::ok(waiting));
    wait_for([&] {
        return cli().read("waiting.log").find("all that the spool holds is in the repository") !=
               std::string::npos;
    });
    EXPECT_EQ(waiting->stop(SIGTERM, 30s), 0);
    expect_every_commit_back(config);
}

TEST_F(AbuseLoss, NothingIsDrainedWhereNothingWasCaptured) {
    const std::string config = cli().variant(
        "nospool.yaml",
        {{"# stream:", "stream:"},
         {"#   spool: " + cli().path("state/spool/main"), "  spool: " + cli().path("none")}});
    expect_refusal(cli().run({"--config", config, "stream", "--drain", "--quiet"}), 1,
                   "there is no spool in '" + cli().path("none") + "'",
                   "where 'lifeboat stream' ran");
}

}  // namespace
}  // namespace lifeboat

#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/process.h"
#include "tests/support/expect.h"
#include "tests/support/pg_cluster.h"
#include "tests/support/temp_dir.h"

// The program as it is installed: words in, words and exit codes out. LB_PROGRAM is its path.

namespace lifeboat {

class Cli {
  public:
    Cli() { EXPECT_EQ(::chmod(dir_.path().c_str(), 0755), 0); }

    std::string path(const std::string& name) const { return dir_ / name; }

    base::Command command(std::vector<std::string> words) const {
        base::Command command;
        command.argv = {LB_PROGRAM};
        command.argv.insert(command.argv.end(), words.begin(), words.end());
        command.environment = environment;
        command.directory = dir_.path();
        return command;
    }

    base::Finished run(std::vector<std::string> words) const {
        return finish(command(std::move(words)));
    }

    // A line for a shell in which "$LB" is the program.
    base::Finished shell(const std::string& script) const {
        base::Command command;
        command.argv = {"/bin/bash", "-c", script};
        command.environment = environment;
        command.environment.emplace_back("LB", LB_PROGRAM);
        command.directory = dir_.path();
        return finish(command);
    }

    // The result of a verb that must end with `exit_code`.
    base::Json json(std::vector<std::string> words, int exit_code = 0) const {
        words.emplace_back("--json");
        const base::Finished done = run(words);
        EXPECT_EQ(done.exit_status, exit_code) << words.front() << ": " << done.output;
        const auto document = base::Json::parse(done.output);
        EXPECT_TRUE(test::ok(document)) << done.output;
        const base::Json* result = document ? document->find("result") : nullptr;
        return result != nullptr ? *result : base::Json::object();
    }

    std::string write(const std::string& name, const std::string& text,
                      std::uint32_t mode = 0600) const {
        EXPECT_TRUE(test::ok(base::write_durably(base::real_files(), path(name), base::view(text),
                                                 base::Replace::Yes, mode)));
        return path(name);
    }

    std::string read(const std::string& name) const {
        const auto bytes = base::read_file(base::real_files(), path(name));
        return bytes ? std::string(base::text(*bytes)) : "";
    }

    // A configuration of its own: lifeboat.yaml, with each `from` replaced by its `to`.
    std::string variant(const std::string& name,
                        const std::vector<std::pair<std::string, std::string>>& changes) const {
        std::string text = read("lifeboat.yaml");
        for (const auto& [from, to] : changes) {
            const std::size_t at = text.find(from);
            EXPECT_NE(at, std::string::npos) << from;
            text.replace(at == std::string::npos ? 0 : at, from.size(), to);
        }
        return write(name, text);
    }

    std::vector<std::pair<std::string, std::string>> environment = {{"LC_ALL", "C"}, {"TZ", "UTC"}};

  private:
    static base::Finished finish(const base::Command& command) {
        const auto done = base::run(command, std::chrono::seconds(120));
        EXPECT_TRUE(test::ok(done));
        return done ? *done : base::Finished{-1, ""};
    }

    test::TempDir dir_;
};

// A verb ended as docs/errors.md says: `message` in the line of the error, `hint` in the hint.
inline void expect_refusal(const base::Finished& done, int exit_code, const std::string& message,
                           const std::string& hint) {
    const std::string whole = "\n" + done.output;
    EXPECT_EQ(done.exit_status, exit_code) << done.output;
    const std::size_t at = whole.rfind("\nlifeboat: ");
    ASSERT_NE(at, std::string::npos) << done.output;
    const std::size_t end = whole.find('\n', at + 1);
    EXPECT_THAT(whole.substr(at, end - at), testing::HasSubstr(message)) << done.output;
    ASSERT_EQ(whole.compare(end, 7, "\nhint: "), 0) << done.output;
    const std::string said = whole.substr(end + 7);
    EXPECT_THAT(said, testing::HasSubstr(hint)) << done.output;
    EXPECT_GT(said.size(), 10U) << done.output;
}

// One small cluster, one repository with one backup of it, for all cases of a suite. A case leaves
// both as it found them, or better stocked.
class CliServer : public testing::Test {
  protected:
    struct World {
        explicit World(const postgres::PgServer& server) : cluster(server) {}

        postgres::PgCluster cluster;
        Cli cli;
    };

    static void SetUpTestSuite() {
        if (!kServer.missing().empty()) {
            return;
        }
        world_ = std::make_unique<World>(kServer);
        world_->cluster.create(
            "wal_level=replica\nmax_wal_senders=5\narchive_mode=off\n"
            "wal_keep_size=0\nmax_wal_size=32MB\nshared_buffers=16MB\n");
        world_->cluster.start();
        world_->cluster.sql(
            "CREATE TABLE prospects AS SELECT i AS id, 'p' || i AS name FROM generate_series(1, "
            "5000) i");
        Cli& cli = world_->cli;
        cli.environment.emplace_back("PGHOST", world_->cluster.host(""));
        cli.environment.emplace_back("PGUSER", "postgres");
        cli.json({"init", "--quick", "--state", cli.path("state"), "--site", "test", "--repository",
                  "file://" + cli.path("repo")});
    }

    static void TearDownTestSuite() { world_.reset(); }

    void SetUp() override {
        if (!kServer.missing().empty()) {
            GTEST_SKIP() << kServer.missing();
        }
    }

    static postgres::PgCluster& cluster() { return world_->cluster; }

    static Cli& cli() { return world_->cli; }

    static std::string key() { return cli().path("recovery-1.key"); }

    static std::string ask(const std::string& query) {
        std::string answer = cluster().tool(
            "psql", {"-X", "-At", "-h", cluster().inside(""), "-d", "postgres", "-c", query});
        while (!answer.empty() && answer.back() == '\n') {
            answer.pop_back();
        }
        return answer;
    }

    static std::size_t backups() {
        const base::Json listed = cli().json({"list"});
        return listed.find("systems")->items().front().find("backups")->items().size();
    }

  public:
    static World& world() { return *world_; }

  protected:
    static constexpr postgres::PgServer kServer{15, 1, false};
    static inline std::unique_ptr<World> world_;
};

}  // namespace lifeboat

#pragma once

#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "tests/e2e/cli_fixture.h"

// Violence at random instants. LB_ABUSE_ROUNDS makes it longer, LB_ABUSE_SEED repeats it.

namespace lifeboat {

inline int abuse_number(const char* name, int otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::atoi(text) : otherwise;
}

class Abuse : public CliServer {
  protected:
    using Words = std::vector<std::string>;
    using Duration = std::chrono::duration<double>;

    static void SetUpTestSuite() {
        CliServer::SetUpTestSuite();
        if (world_) {
            cluster().sql(
                "CREATE TABLE bulk AS SELECT i, repeat(md5(i::text), 12) AS s FROM "
                "generate_series(1, 40000) i");
            cli().json({"backup"});
        }
    }

    int rounds() const { return abuse_number("LB_ABUSE_ROUNDS", 4); }

    // Some pages of the table differ from before.
    void change() {
        cluster().sql("UPDATE bulk SET s = s WHERE i % 7 = " + std::to_string(++changes_ % 7));
    }

    Words restore(const std::string& target, const Words& more = {}) const {
        Words words = {"restore", "main", "--target", target, "--identity", key()};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }

    Duration time_of(const Words& words) {
        const auto began = std::chrono::steady_clock::now();
        const base::Finished done = cli().run(words);
        EXPECT_EQ(done.exit_status, 0) << done.output;
        return std::chrono::steady_clock::now() - began;
    }

    void pause(Duration least, Duration most) {
        std::uniform_real_distribution<double> some(least.count(), most.count());
        const Duration chosen(some(random_));
        instant_ = "after " + std::to_string(chosen.count()) + " s, seed " + std::to_string(seed_);
        std::this_thread::sleep_for(chosen);
    }

    struct Ended {
        int exit_status;
        std::string output;
        Duration took;  // since the signal
    };

    // Starts it, and sends `number` at a random instant of the next `span`: to the process, or to
    // its whole group.
    Ended interrupt(const Words& words, Duration span, int number, bool group = false) {
        base::Command command = cli().command(words);
        command.log_file = cli().path("interrupted.log");
        ::unlink(command.log_file.c_str());
        auto child = base::Child::start(command);
        EXPECT_TRUE(test::ok(child));
        pause(Duration(0), span);
        const auto sent = std::chrono::steady_clock::now();
        if (child->running()) {
            ::kill(group ? -child->pid() : child->pid(), number);
        }
        return await(*child, sent);
    }

    Ended await(base::Child& child, std::chrono::steady_clock::time_point since) {
        const auto deadline = since + std::chrono::seconds(60);
        while (child.running() && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        return {child.exit_status().value_or(-1), cli().read("interrupted.log"),
                std::chrono::steady_clock::now() - since};
    }

    static void expect_whole() {
        const base::Finished checked = cli().run({"repo", "check"});
        EXPECT_EQ(checked.exit_status, 0) << checked.output;
    }

    static bool is_there(const std::string& path) {
        return base::real_files().stat(path).has_value();
    }

    static void wait_for(const std::function<bool()>& done) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (!done()) {
            ASSERT_LT(std::chrono::steady_clock::now(), deadline)
                << cli().read("state/status/main.json");
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }

    // What the stream says of itself.
    static std::string stream_status(const std::string& member) {
        const auto status = base::Json::parse(cli().read("state/status/main.json"));
        const base::Json* found = status ? status->find(member) : nullptr;
        return found != nullptr ? found->as_text() : "";
    }

    const unsigned seed_ = static_cast<unsigned>(
        abuse_number("LB_ABUSE_SEED", static_cast<int>(std::random_device()() >> 1)));
    std::mt19937 random_{seed_};
    std::string instant_;
    int changes_ = 0;
};

}  // namespace lifeboat

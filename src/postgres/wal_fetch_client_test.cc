#include "postgres/wal_fetch_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "tests/support/expect.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::postgres {
namespace {

using test::ok;

constexpr const char* kSegment = "000000010000000000000002";

// A data directory with something at its feeder's socket that says what it is told to.
class FakeFeeder {
  public:
    FakeFeeder() {
        EXPECT_TRUE(
            ok(base::create_directories(base::real_files(), data / "pg_wal/lifeboat.feed")));
    }

    ~FakeFeeder() { end(); }

    void say(const std::string& words) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const std::string path = data / "pg_wal/lifeboat.feed/socket";
        ASSERT_LT(path.size(), sizeof address.sun_path);
        std::memcpy(address.sun_path, path.c_str(), path.size());
        socket_ = base::Fd(::socket(AF_UNIX, SOCK_STREAM, 0));
        ASSERT_EQ(
            ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        ASSERT_EQ(::listen(socket_.get(), 1), 0);
        thread_ = std::thread([this, words] {
            const base::Fd client(::accept(socket_.get(), nullptr, nullptr));
            char c = 0;
            while (::read(client.get(), &c, 1) == 1 && c != '\n') {
                asked_ += c;
            }
            const ssize_t sent = ::send(client.get(), words.data(), words.size(), MSG_NOSIGNAL);
            EXPECT_TRUE(asked_.empty() || sent == static_cast<ssize_t>(words.size()));
        });
    }

    void write(const std::string& path, std::string_view contents) {
        EXPECT_TRUE(ok(base::write_durably(base::real_files(), data / path, base::view(contents),
                                           base::Replace::Yes)));
    }

    // Runs the client as a server does: a program of its own in the data directory.
    int fetch(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {"lifeboat", "wal-fetch"});
        const pid_t child = ::fork();
        if (child == 0) {
            std::vector<char*> argv;
            for (std::string& argument : arguments) {
                argv.push_back(argument.data());
            }
            // Where it starts a feeder it starts this very program, which must not run these tests
            // again.
            ::setenv("GTEST_FILTER", "Nothing.*", 1);
            if (::chdir(data.path().c_str()) != 0 ||
                std::freopen("/dev/null", "w", stderr) == nullptr) {
                ::_exit(99);
            }
            ::_exit(wal_fetch_main(static_cast<int>(argv.size()), argv.data()));
        }
        int status = 0;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    // What the client asked for, once it has its answer.
    const std::string& asked() {
        end();
        return asked_;
    }

    test::TempDir data;

  private:
    void end() {
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    std::string asked_;
    base::Fd socket_;
    std::thread thread_;
};

TEST(WalFetchClient, MovesAWholeFileIntoPlace) {
    FakeFeeder feeder;
    feeder.write("pg_wal/lifeboat.feed/" + std::string(kSegment) + ".ready", "wal");
    feeder.say("wwf");
    EXPECT_EQ(feeder.fetch({"/target", kSegment, "pg_wal/RECOVERYXLOG"}), kFetchFound);
    EXPECT_EQ(feeder.asked(), kSegment);
    const auto bytes = base::read_file(base::real_files(), feeder.data / "pg_wal/RECOVERYXLOG");
    ASSERT_TRUE(ok(bytes));
    EXPECT_EQ(base::text(*bytes), "wal");
}

TEST(WalFetchClient, T13_OnlyProvenAbsenceIsOne) {
    const struct {
        const char* what;
        const char* answer;
        int code;
    } cases[] = {
        {"proven absent", "a", kFetchAbsent},
        {"absent after a while", "wwwa", kFetchAbsent},
        {"failed", "xreading pack 'p': denied", kFetchFailed},
        {"found, and the file is not there", "f", kFetchFailed},
        {"gone without a word", "", kFetchFailed},
        {"gone while working", "ww", kFetchFailed},
        {"another language", "0", kFetchFailed},
    };

    for (const auto& c : cases) {
        FakeFeeder feeder;
        feeder.say(c.answer);
        EXPECT_EQ(feeder.fetch({kSegment, "pg_wal/RECOVERYXLOG"}), c.code) << c.what;
        EXPECT_FALSE(base::real_files().stat(feeder.data / "pg_wal/RECOVERYXLOG")) << c.what;
    }
}

TEST(WalFetchClient, T13_WithoutAFeederItFails) {
    const FakeFeeder nobody;
    EXPECT_EQ(nobody.fetch({kSegment, "pg_wal/RECOVERYXLOG"}), kFetchFailed)
        << "this program is no feeder: what is started ends at once";
    EXPECT_EQ(nobody.fetch({}), kFetchFailed);
    EXPECT_EQ(nobody.fetch({kSegment}), kFetchFailed);
}

TEST(WalFetchClient, T13_ANameThatIsTooLongFails) {
    FakeFeeder feeder;
    feeder.say("a");
    EXPECT_EQ(feeder.fetch({std::string(200, 'A'), "pg_wal/RECOVERYXLOG"}), kFetchFailed);
}

}  // namespace
}  // namespace lifeboat::postgres

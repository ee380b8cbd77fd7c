#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/temp_dir.h"

namespace lifeboat::test {

// The messages of a server, as bytes. Protocol 3.0.
namespace wire {

using Cell = std::optional<std::string>;

std::string message(char type, std::string_view body);
std::string rows(const std::vector<std::string>& columns,
                 const std::vector<std::vector<Cell>>& rows);
std::string done(std::string_view tag = "OK");
std::string ready();
std::string error(std::string_view sqlstate, std::string_view text);
std::string notice(std::string_view text);
std::string copy_out();
std::string copy_both();
std::string copy_data(std::string_view bytes);
std::string copy_done();
std::string u64(std::uint64_t value);  // big-endian, as in replication messages

}  // namespace wire

// A PostgreSQL server that says what a test wants, on a socket in a directory of its own: for
// answers that no real server here gives (other versions, silence, nonsense). Each connection has a
// thread of its own until the server is destroyed.
class FakePostgres {
  public:
    // The bytes to send for a command; nothing: hang up. Runs on the connection's thread. Values of
    // parameters stand quoted where $1 and so on stood.
    using Answer = std::function<std::optional<std::string>(const std::string& query)>;

    // `version` as in server_version, "14.9". The commands with which a session prepares itself are
    // answered without `answer`.
    // `on_copy` is asked for each CopyData of a client.
    FakePostgres(std::string version, Answer answer, Answer on_copy = nullptr);
    FakePostgres(const FakePostgres&) = delete;
    FakePostgres& operator=(const FakePostgres&) = delete;
    ~FakePostgres();

    std::string conninfo() const {
        return "host=" + directory_.path() + " port=5432 user=test dbname=test";
    }

    // Sent instead of a welcome, after which the server hangs up.
    void refuse_with(std::string bytes);
    // What clients sent as CopyData since the beginning.
    std::vector<std::string> copied() const;

  private:
    struct State;
    TempDir directory_;
    std::unique_ptr<State> state_;
};

}  // namespace lifeboat::test

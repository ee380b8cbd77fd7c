#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/process.h"
#include "base/time.h"
#include "postgres/connection.h"
#include "postgres/lsn.h"
#include "repo/stream.h"
#include "store/local_store.h"
#include "tests/e2e/stream_keys.h"

namespace lifeboat::test {

// A directory that the server's user may enter. Removed by the destructor.
class OpenDirectory {
  public:
    OpenDirectory();
    OpenDirectory(const OpenDirectory&) = delete;
    OpenDirectory& operator=(const OpenDirectory&) = delete;
    ~OpenDirectory();

    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// A real server of PostgreSQL 15 on a socket in its own directory, run by the user postgres. The
// destructor kills it.
class PgServer {
  public:
    PgServer(std::string directory, int segment_mib);
    ~PgServer();

    void init(const std::string& settings);
    void start();
    void stop(const std::string& mode);
    void kill();  // SIGKILL to the postmaster; returns when every process of the cluster is gone
    void settings(const std::string& text);  // appended to postgresql.conf
    bool is_up();

    // A standby of `primary`, made with pg_basebackup.
    void init_standby_of(const PgServer& primary);
    void promote();

    std::string sql(const std::string& text, bool may_fail = false) const;
    postgres::Lsn lsn(const std::string& expression) const;
    std::string tool(const std::string& name, std::vector<std::string> arguments,
                     bool may_fail = false) const;
    base::Command command(const std::string& name, std::vector<std::string> arguments) const;
    std::string conninfo() const;

    std::string data() const { return directory_ + "/data"; }

    std::string wal(const std::string& name) const { return data() + "/pg_wal/" + name; }

    postgres::SegmentSize segment_size() const;

    int port() const { return port_; }

  private:
    std::string directory_;
    int segment_mib_;
    int port_;
    std::optional<base::Child> process_;
};

// The program stream_receiver: a process that calls stream_wal.
struct ReceiverOptions {
    std::string conninfo;
    std::string slot = "lifeboat";
    std::string repository;
    std::string spool;
    std::string
        control;  // directory: "state.json", "bases", "fail" makes every put fail while it exists
    std::uint64_t spool_limit = 256 << 20;
    bool acknowledge_repository = true;
    int interval_ms = 500;
};

class ReceiverProcess {
  public:
    explicit ReceiverProcess(ReceiverOptions options);
    void start();

    void kill() { child_->stop(9, std::chrono::seconds(5)); }

    int stop() { return child_->stop(15, std::chrono::seconds(30)); }  // the exit status

    bool running() { return child_ && child_->running(); }

    std::optional<int> exit_status() { return child_->exit_status(); }

    base::Json state() const;
    std::string bases() const;  // reasons for which a base was needed, a line each
    std::string log() const;
    void fail(bool on);
    ReceiverOptions options;

  private:
    std::optional<base::Child> child_;
};

// A local repository, and what a test may know of it.
class StreamRepository {
  public:
    explicit StreamRepository(const std::string& directory);

    repo::StreamCatalog catalog() const;
    // Bytes of a timeline, read back with an identity.
    base::Bytes read(std::uint32_t timeline, std::uint64_t from, std::uint64_t to,
                     std::uint64_t source) const;
    std::unique_ptr<store::ObjectStore> store;
    std::unique_ptr<repo::Repository> repository;
    StreamKeys keys;
};

// Waits until `done` says so; false after `limit`.
template <class Done>
bool eventually(Done done, base::Duration limit = std::chrono::seconds(30)) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() > until) {
            return false;
        }
        base::system_clock().sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

}  // namespace lifeboat::test

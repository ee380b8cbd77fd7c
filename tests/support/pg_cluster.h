#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "postgres/lsn.h"

namespace lifeboat::postgres {

// A real PostgreSQL for end-to-end tests. Every failure of a command is a failure of the test.

struct PgServer {
    int major;
    int segment_mib;
    bool in_trixie;  // in the Debian 13 tree at $LIFEBOAT_TRIXIE or /var/tmp/lifeboat-trixie

    std::string root() const;
    std::string program(const std::string& name) const;
    // Why tests with it must be skipped; empty when they can run. A server of this machine itself
    // may not be missing.
    std::string missing() const;
};

void PrintTo(const PgServer& server, std::ostream* out);

enum class MayFail { No, Yes };

// A cluster in a temporary directory, owned by the user postgres and reached through a socket
// there. The destructor stops what was started and removes everything. Paths are relative to that
// directory: inside() names them for the server, host() for the test.
class PgCluster {
  public:
    explicit PgCluster(const PgServer& server);
    PgCluster(const PgCluster&) = delete;
    PgCluster& operator=(const PgCluster&) = delete;
    ~PgCluster();

    // initdb into "data", with checksums and an "archive".
    void create(const std::string& settings);
    void start();
    void stop(const std::string& mode = "fast");
    void sql(const std::string& statement) const;
    void script(
        const std::vector<std::string>& statements) const;  // each in a transaction of its own

    std::string run(std::vector<std::string> argv, MayFail may_fail = MayFail::No,
                    const std::string& log = "") const;
    std::string tool(const std::string& name, std::vector<std::string> arguments,
                     MayFail may_fail = MayFail::No, const std::string& log = "") const;

    std::string inside(const std::string& name) const { return dir_ + "/" + name; }

    std::string host(const std::string& name) const { return server_.root() + dir_ + "/" + name; }

    void append(const std::string& name, const std::string& text) const;
    std::string read(const std::string& name) const;
    std::vector<std::string> list(const std::string& name) const;

    SegmentSize segment_size() const;

    int major() const { return server_.major; }

  private:
    PgServer server_;
    std::uint32_t uid_ = 0;
    std::uint32_t gid_ = 0;
    std::string dir_;
    bool running_ = false;
};

}  // namespace lifeboat::postgres

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/process.h"
#include "postgres/lsn.h"
#include "tests/support/pg_cluster.h"

namespace lifeboat::test {

// A moment as the server names it and as `lifeboat restore` does.
struct Point {
    std::vector<std::string> words;     // "--lsn", "0/5A3F2C8"
    std::vector<std::string> settings;  // recovery_target_... for a server that replays by itself
};

// A primary with an archive of its own, and the program `lifeboat` as an operator of that host runs
// it: as the user postgres, beside the server, with its own configuration. Everything lies in the
// cluster's directory and goes with it.
class PropertyWorld {
  public:
    struct Options {
        bool checksums = true;
        bool over_the_wire = false;
        std::string settings;
    };

    PropertyWorld(const postgres::PgServer& server, const Options& options);
    ~PropertyWorld();
    PropertyWorld(const PropertyWorld&) = delete;
    PropertyWorld& operator=(const PropertyWorld&) = delete;

    postgres::PgCluster& cluster() { return cluster_; }

    std::string ask(const std::string& sql);
    void crash();  // the server, and starts it again

    // The program, to its end. Its result, when it ended with `exit_status`; a failure of the test
    // otherwise.
    base::Json lifeboat(std::vector<std::string> words, int exit_status = 0);
    base::Finished run_lifeboat(std::vector<std::string> words);
    // One that reaches the server at `host` is what the program uses from now on.
    void connect_to(const std::string& host, int port);
    std::string shell(const std::string& script);  // in the cluster's directory
    void start_stream();
    void kill_stream();
    // Until all that the server wrote so far is in the repository.
    void wait_for_stream();
    void end_stream();

    void drop_tablespace();

    // The server's own replay from its own base backup and archive, and what it then holds. Ends
    // that server.
    std::string replayed(const Point& point);
    // The same of `lifeboat restore`, by its own start or by hand.
    enum class Start { ByLifeboat, ByHand };
    std::string restored(const Point& point, Start start);

    // `lifeboat restore` into "restored", and a server there; `words` say to which point, and what
    // else. Both end with the world, or with end_restored().
    struct Running {
        std::string host;
        int port = 0;
        base::Json report = base::Json::object();
    };

    Running start_restored(const std::vector<std::string>& words, Start start);
    void end_restored();
    std::string ask(const Running& server, const std::string& sql);

    void wait_for_stream(const Running& primary);

    // Makes a standby of `primary`, promotes it, and stops `primary` for good. `number` is of its
    // directory and its port.
    Running fail_over(const Running& primary, int number);

    // A standby of the primary in `directory`, on a socket in it.
    Running start_standby(const std::string& directory);
    void start_by_hand(const std::string& directory);

    // Everything that the server in `directory` holds, in words that two servers share.
    std::string digest(const std::string& directory, const std::string& host, int port);

  private:
    base::Command command(std::vector<std::string> argv) const;
    std::vector<std::string> program(std::vector<std::string> words) const;
    void install();
    void configure_by_hand(const std::string& directory);
    bool wait_until_open(const std::string& host, int port);
    void end_server(const std::string& directory);
    void remove(const std::vector<std::string>& names);

    const postgres::PgServer server_;
    postgres::PgCluster cluster_;
    std::uint32_t uid_ = 0;
    std::uint32_t gid_ = 0;
    std::optional<base::Child> stream_;
    std::vector<std::string> running_;  // directories of servers that run beside the primary
    std::string space_;                 // number of the tablespace
};

}  // namespace lifeboat::test

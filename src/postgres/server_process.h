#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/process.h"
#include "engine/data_engine.h"
#include "postgres/recovery_plan.h"

namespace lifeboat::postgres {

// A server process on a restored directory: which program, as whom, with which settings, and what
// became of it.

// The directory of the programs of one major version: `configured` if it is not empty, else where
// the distributions put them, else PATH. NotFound with the package to install.
Result<std::string> find_bin_directory(base::Files& files, int major,
                                       const std::string& configured);

// A port below 32768 (where no outgoing connection takes one) on which nothing listens on loopback.
Result<int> find_free_port(base::Random& random);

struct ServerUser {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::string name;
};

// `wanted`, or the owner of `target`. Refused for root, which PostgreSQL does not run as; Denied
// when we may not become that user.
Result<ServerUser> choose_server_user(base::Files& files, const std::string& target,
                                      const std::string& wanted);

// Settings on the command line, which win over every file.
using ServerSettings = std::vector<std::pair<std::string, std::string>>;

struct ServerPlace {
    std::string target;
    std::string socket_directory;
    int port = 0;
    std::string hba_file;  // of an isolated server
    int major = 0;
};

// Cut off from the world (T25): no archiving, no upstream, no subscription or job of its own, only
// a socket for the owner.
ServerSettings isolated_settings(const ServerPlace& place);
// What every server that we watch gets, so that its words reach us and can be understood.
ServerSettings watched_settings();

// What a running server's postmaster.pid says.
struct PidFile {
    int pid = 0;
    int port = 0;
    std::string socket_directory;
    std::string status;  // "starting", "standby", "ready", "stopping"
};

std::optional<PidFile> parse_pid_file(std::string_view text);

// Why a server gave up: its last FATAL or PANIC with the lines that belong to it; empty when its
// log has none.
std::string fatal_in_log(std::string_view log);
// What to do about it; empty when we do not know.
std::string hint_for_fatal(std::string_view fatal);

// Where recovery ended, by the history file that the server wrote when it began its new timeline.
struct RecoveryEnd {
    TimelineId new_timeline = 0;
    TimelineId from = 0;
    Lsn at;
    std::string reason;
};

// Looks into pg_wal for the newest history. NotFound when the server has begun no timeline after
// `plan.timeline()`.
Result<RecoveryEnd> read_recovery_end(base::Files& files, const std::string& target,
                                      const PostgresPlan& plan);
// Empty when it is where the plan wanted it; else a sentence.
std::string judge_recovery_end(const RecoveryEnd& end, const PostgresPlan& plan);

// Takes the recovery's own lines out of `target`'s postgresql.auto.conf (see without_recovery),
// once recovery is over. Atomic and durable; the file keeps its owner.
Result<> forget_recovery(base::Files& files, const std::string& target);

// See DataEngine::start. The server runs as the owner of the target and is left running; on any
// failure it is stopped.
struct StartContext {
    const engine::RecoveryPlan& plan;
    const engine::StartRequest& request;
    std::string connection;  // conninfo of the original, for its role names
    const engine::Context& context;
};

Result<engine::StartReport> start_recovered(repo::Repository& repository, repo::ReaderKeys& keys,
                                            const StartContext& start);

}  // namespace lifeboat::postgres

#include "postgres/server_process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "base/fd.h"
#include "postgres/recovery_settings.h"
#include "postgres/timeline.h"

// Tested by server_process_test.cc and tests/e2e/recovery_test.cc.

namespace lifeboat::postgres {

using base::join;

namespace {

constexpr int kLowestPort = 20000;
constexpr int kHighestPort = 32767;
constexpr int kPortTries = 200;

std::vector<std::string> usual_places(int major) {
    const std::string n = std::to_string(major);
    return {"/usr/lib/postgresql/" + n + "/bin",
            "/usr/pgsql-" + n + "/bin",
            "/usr/lib/postgresql" + n + "/bin",
            "/opt/homebrew/opt/postgresql@" + n + "/bin",
            "/usr/local/pgsql/bin",
            "/usr/lib64/pgsql/bin"};
}

void add_path_places(std::vector<std::string>& out) {
    const char* const variable = std::getenv("PATH");
    std::string_view rest = variable == nullptr ? "" : variable;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(':'), rest.size());
        if (end > 0) {
            out.emplace_back(rest.substr(0, end));
        }
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
}

// "postgres (PostgreSQL) 15.4 (Debian ...)" -> 15; 0 when it says something else.
int major_of_program(const std::string& program) {
    const auto done = base::run({.argv = {program, "--version"},
                                 .environment = {},
                                 .directory = {},
                                 .uid = {},
                                 .gid = {},
                                 .log_file = {}},
                                std::chrono::seconds(10));
    const std::string_view marker = "(PostgreSQL) ";
    const std::size_t at = done ? done->output.find(marker) : std::string::npos;
    int major = 0;
    if (at != std::string::npos) {
        const char* const begin = done->output.data() + at + marker.size();
        std::from_chars(begin, done->output.data() + done->output.size(), major);
    }
    return major;
}

}  // namespace

Result<std::string> find_bin_directory(base::Files& files, int major,
                                       const std::string& configured) {
    std::vector<std::string> places = {configured};
    if (configured.empty()) {
        places = usual_places(major);
        add_path_places(places);
    }
    for (const std::string& place : places) {
        const auto program = files.stat(join(place, "postgres"));
        if (program && program->kind == base::FileKind::Regular &&
            major_of_program(join(place, "postgres")) == major) {
            return place;
        }
    }
    const std::string n = std::to_string(major);
    const std::string where = configured.empty() ? "on this machine" : "in '" + configured + "'";
    return Error(Code::NotFound, "PostgreSQL " + n + " is not installed " + where)
        .hint("Install the server of that version (Debian: apt-get install postgresql-" + n +
              "; Red Hat: dnf install postgresql" + n +
              "-server), or name its programs with restore.bin_directory.");
}

Result<int> find_free_port(base::Random& random) {
    for (int i = 0; i < kPortTries; ++i) {
        const int port =
            kLowestPort + static_cast<int>(random.u64() % (kHighestPort - kLowestPort + 1));
        const base::Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (probe.is_open() &&
            ::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
            return port;
        }
    }
    return Error(Code::Unavailable, "no free port was found between 20000 and 32767")
        .hint("Name one with --port.");
}

Result<ServerUser> choose_server_user(base::Files& files, const std::string& target,
                                      const std::string& wanted) {
    const base::FileStat owner =
        TRY(files.stat(target).during("looking for the owner of '" + target + "'"));
    const passwd* const entry = wanted.empty() ? ::getpwuid(owner.uid) : ::getpwnam(wanted.c_str());
    if (entry == nullptr && !wanted.empty()) {
        return Error(Code::InvalidInput, "there is no user '" + wanted + "' on this machine");
    }
    ServerUser user{owner.uid, owner.gid, std::to_string(owner.uid)};
    if (entry != nullptr) {
        user = {entry->pw_uid, entry->pw_gid, entry->pw_name};
    }
    if (user.uid == 0) {
        return Error(Code::Refused,
                     "PostgreSQL does not run as root, and '" + target + "' belongs to root")
            .hint(
                "Restore with --owner USER, where USER is the account that runs PostgreSQL here, "
                "as in --owner postgres.");
    }
    if (::geteuid() != 0 && ::geteuid() != user.uid) {
        return Error(Code::Denied,
                     "only root or '" + user.name + "' can start a server on '" + target + "'");
    }
    return user;
}

ServerSettings isolated_settings(const ServerPlace& place) {
    ServerSettings out = {
        {"archive_mode", "off"},
        {"archive_command", ""},
        {"primary_conninfo", ""},
        {"primary_slot_name", ""},
        {"synchronous_standby_names", ""},  // nobody will ever acknowledge: every commit would wait
        {"listen_addresses", ""},
        {"port", std::to_string(place.port)},
        {"unix_socket_directories", place.socket_directory},
        {"unix_socket_permissions", "0700"},
        {"unix_socket_group", ""},
        {"hba_file", place.hba_file},
        {"external_pid_file", ""},
        {"ssl", "off"},
        {"max_logical_replication_workers", "0"},
        {"cron.launch_active_jobs", "off"},
        {"cluster_name", "lifeboat"}};
    out.insert(out.end(), kKeptToItself.begin(), kKeptToItself.end());
    if (place.major < 15) {
        // Debian keeps it in /run: two servers would write each other's counts.
        out.emplace_back("stats_temp_directory", "pg_stat_tmp");
    }
    return out;
}

ServerSettings watched_settings() {
    return {{"logging_collector", "off"},
            {"log_destination", "stderr"},
            {"lc_messages", "C"},
            {"log_min_messages", "warning"}};
}

std::optional<PidFile> parse_pid_file(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        lines.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (lines.size() < 8) {
        return std::nullopt;
    }
    PidFile out;
    std::from_chars(lines[0].data(), lines[0].data() + lines[0].size(), out.pid);
    std::from_chars(lines[3].data(), lines[3].data() + lines[3].size(), out.port);
    out.socket_directory = lines[4];
    out.status = lines[7].substr(0, lines[7].find(' '));
    return out;
}

std::string fatal_in_log(std::string_view log) {
    std::string found;
    bool inside = false;
    while (!log.empty()) {
        const std::size_t end = std::min(log.find('\n'), log.size());
        const std::string_view line = log.substr(0, end);
        log.remove_prefix(std::min(end + 1, log.size()));
        const std::size_t fatal = std::min(line.find("FATAL:"), line.find("PANIC:"));
        // The supervisor's last words about its children are no cause.
        const bool shutdown = line.find("the database system is") != std::string_view::npos ||
                              line.find("terminating connection") != std::string_view::npos;
        if (fatal != std::string_view::npos && !shutdown) {
            found = line.substr(fatal);
            inside = true;
            continue;
        }
        std::size_t detail = std::min(line.find("DETAIL:"), line.find("HINT:"));
        if (inside && detail != std::string_view::npos) {
            found += " " + std::string(line.substr(detail));
        } else {
            inside = false;
        }
    }
    return found;
}

std::string hint_for_fatal(std::string_view fatal) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kKnown = {{
        {"recovery ended before configured recovery target was reached",
         "WAL that the plan had proven could not be replayed: run 'lifeboat repo check --data', "
         "then restore from an older backup."},
        {"could not restore file",
         "The repository could not be read during recovery. Nothing was promoted: restore again "
         "once it can."},
        {"insufficient parameter settings",
         "Raise the setting that it names in postgresql.auto.conf of the target, and start it "
         "again."},
        {"could not access file",
         "An extension that shared_preload_libraries names is not installed here: install its "
         "package, or take it off that list."},
        {"could not load library",
         "An extension that shared_preload_libraries names does not fit this server: install its "
         "package for this version."},
        {"database files are incompatible",
         "The programs are of another version or build than the backup: set "
         "restore.bin_directory."},
        {"shared memory",
         "This machine has less memory than the original: lower shared_buffers in "
         "postgresql.auto.conf of the target."},
        {"lock file",
         "Another server uses this directory or port: stop it, or name another port with --port."},
        {"invalid locale",
         "Install the locales of the original server, for example with 'dpkg-reconfigure "
         "locales'."},
    }};
    for (const auto& [text, hint] : kKnown) {
        if (fatal.find(text) != std::string_view::npos) {
            return std::string(hint);
        }
    }
    return {};
}

Result<RecoveryEnd> read_recovery_end(base::Files& files, const std::string& target,
                                      const PostgresPlan& plan) {
    const std::string directory = join(target, "pg_wal");
    const std::vector<std::string> names = TRY(files.list(directory));
    TimelineId newest = 0;
    for (const std::string& name : names) {
        const auto parsed = parse_wal_file_name(name, SegmentSize{});
        if (parsed && parsed->kind == WalFileKind::History) {
            newest = std::max(newest, parsed->timeline);
        }
    }
    if (newest <= plan.timeline()) {
        return Error(Code::NotFound, "the server has begun no new timeline after " +
                                         std::to_string(plan.timeline()));
    }
    const base::Bytes text = TRY(base::read_file(files, join(directory, history_name(newest))));
    const TimelineHistory history = TRY(parse_history(newest, base::text(text)));
    const Departure& last = history.ancestors.back();
    return RecoveryEnd{newest, last.timeline, last.at, last.reason};
}

std::string judge_recovery_end(const RecoveryEnd& end, const PostgresPlan& plan) {
    // The first consistent moment may lie a little behind the backup's end, never before it.
    const bool there = end.from == plan.timeline() &&
                       (plan.stop.immediate ? end.at >= plan.end : end.at == plan.end);
    if (there) {
        return {};
    }
    return "recovery ended at " + format_lsn(end.at) + " on timeline " + std::to_string(end.from) +
           " (" + end.reason + "), not at " + format_lsn(plan.end) + " on timeline " +
           std::to_string(plan.timeline());
}

// ---- Afterwards
// -----------------------------------------------------------------------------------------------

Result<> forget_recovery(base::Files& files, const std::string& target) {
    const std::string path = join(target, "postgresql.auto.conf");
    const std::string fresh = path + ".tmp";  // as the server itself calls it: left out of a copy
    const bool there = TRY(base::exists(files, path));
    if (!there) {
        return {};
    }
    const base::FileStat stat = TRY(files.stat(path));
    const base::Bytes bytes = TRY(base::read_file(files, path));
    const std::string left = without_recovery(base::text(bytes));
    if (left == base::text(bytes)) {
        return {};
    }
    TRY(base::write_durably(files, fresh, base::view(left), base::Replace::Yes, stat.mode));
    if (::geteuid() == 0) {
        TRY(files.set_owner(fresh, stat.uid, stat.gid));
    }
    TRY(files.rename(fresh, path, base::Replace::Yes));
    return files.sync_directory(target);
}

}  // namespace lifeboat::postgres

#include "postgres/discover.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "postgres/connection.h"
#include "postgres/pg_control.h"
#include "postgres/server_facts.h"

// Tested by discover_test.cc.

namespace lifeboat::postgres {

using engine::Discovered;

namespace {

constexpr auto kTimeout = std::chrono::seconds(3);
constexpr std::string_view kSocketPrefix = ".s.PGSQL.";
constexpr std::array<const char*, 3> kSocketDirectories = {"/var/run/postgresql", "/run/postgresql",
                                                           "/tmp"};
constexpr int kFirstPort = 5432;
constexpr int kLastPort = 5434;

struct Place {
    std::string host;
    int port = kFirstPort;

    bool operator==(const Place&) const = default;
};

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::optional<int> parse_port(std::string_view text) {
    int port = 0;
    const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
    const bool whole = failure == std::errc() && stop == text.data() + text.size();
    return whole && port > 0 && port < 65536 ? std::optional(port) : std::nullopt;
}

std::vector<Place> places(base::Files& files) {
    const std::string host = environment("PGHOST");
    const std::optional<int> port = parse_port(environment("PGPORT"));
    if (!host.empty()) {
        return {{host, port.value_or(kFirstPort)}};
    }
    std::vector<Place> found;
    std::vector<int> seen;  // /var/run is often a link to /run
    for (const char* directory : kSocketDirectories) {
        for (const int at : socket_ports(files, directory)) {
            if ((!port || at == *port) && std::find(seen.begin(), seen.end(), at) == seen.end()) {
                seen.push_back(at);
                found.push_back({directory, at});
            }
        }
    }
    for (int at = port.value_or(kFirstPort); at <= port.value_or(kLastPort); ++at) {
        if (std::find(seen.begin(), seen.end(), at) == seen.end()) {
            found.push_back({"127.0.0.1", at});
        }
    }
    return found;
}

std::vector<std::string> users() {
    std::vector<std::string> names;
    const passwd* own = ::getpwuid(::geteuid());
    for (const std::string& name : {environment("PGUSER"), std::string("postgres"),
                                    std::string(own != nullptr ? own->pw_name : "")}) {
        if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) {
            names.push_back(name);
        }
    }
    return names;
}

// A value of a conninfo, quoted as libpq reads it.
std::string quoted(const std::string& value) {
    std::string text;
    for (const char c : value) {
        text += c == '\'' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
    }
    const bool plain = !value.empty() && value.find_first_of(" '\\") == std::string::npos;
    return plain ? value : "'" + text + "'";
}

std::string conninfo(const Place& place, const std::string& user) {
    const std::string database = environment("PGDATABASE");
    return "host=" + quoted(place.host) + " port=" + std::to_string(place.port) +
           " user=" + quoted(user) + " dbname=" + quoted(database.empty() ? "postgres" : database);
}

bool can_read(const ServerFacts& facts, const engine::Context& context) {
    if (!facts.data_directory || !facts.role.may_back_up) {
        return false;
    }
    const auto control =
        read_control(context.files, base::join(*facts.data_directory, kControlFile), context.clock);
    return control && control->data.system_identifier == facts.system_identifier;
}

std::string version_text(int version) {
    return std::to_string(version / 10000) + "." + std::to_string(version % 10000);
}

Result<Discovered> look(const std::string& connection, const engine::Context& context) {
    const ConnectOptions options{connection, {}, "lifeboat init", SessionKind::Sql, kTimeout};
    Connection session = TRY(Connection::open(options, context.stop));
    const ServerFacts facts = TRY(gather_facts(session, context.clock));
    const QueryResult size = TRY(session.query(
        "SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint AS bytes FROM pg_database "
        "WHERE has_database_privilege(oid, 'CONNECT')"));
    const std::int64_t bytes = TRY(size.integer(0, "bytes"));
    const bool readable = can_read(facts, context);
    return Discovered{connection,
                      "PostgreSQL " + version_text(facts.version) + " at " + session.peer() + ", " +
                          base::human_size(static_cast<std::uint64_t>(bytes)),
                      readable ? "auto" : "none",
                      {}};
}

Result<Discovered> look_as_anyone(const Place& place, const engine::Context& context) {
    std::optional<Error> failure;
    for (const std::string& user : users()) {
        auto found = look(conninfo(place, user), context);
        const bool other_may = !found && found.error().code() == Code::Denied;
        if (!other_may) {
            return found;
        }
        if (!failure) {
            failure = std::move(found).error();
        }
    }
    return std::move(*failure).hint(
        "Run this as the user that runs the server ('sudo -u postgres lifeboat init --quick'), or "
        "pass --connection 'host=... user=...'.");
}

}  // namespace

std::vector<int> socket_ports(base::Files& files, const std::string& directory) {
    std::vector<int> ports;
    const auto names = files.list(directory);
    if (!names) {
        return ports;
    }
    for (const std::string& name : *names) {
        const auto port = name.starts_with(kSocketPrefix)
                              ? parse_port(std::string_view(name).substr(kSocketPrefix.size()))
                              : std::nullopt;
        if (port) {
            ports.push_back(*port);
        }
    }
    std::sort(ports.begin(), ports.end());
    return ports;
}

Result<Discovered> discover(const std::string& connection, const engine::Context& context) {
    if (!connection.empty()) {
        return look(connection, context);
    }
    std::optional<Discovered> first;
    std::optional<Error> refused;
    for (const Place& place : places(context.files)) {
        TRY(context.stop.check());
        auto found = look_as_anyone(place, context);
        if (found && !first) {
            first = std::move(found).value();
        } else if (found) {
            first->others.push_back(found->about);
        } else if (found.error().code() != Code::Unavailable && !refused) {
            refused = std::move(found).error();
        }
    }
    if (first) {
        return *std::move(first);
    }
    if (refused) {
        return std::move(*refused).during("looking for a PostgreSQL server on this machine");
    }
    return Error(Code::NotFound, "no PostgreSQL server answers on this machine")
        .hint("Start it, or pass --connection 'host=... port=... user=...'.");
}

}  // namespace lifeboat::postgres

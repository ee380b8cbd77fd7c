#include "postgres/server_error.h"

#include <algorithm>
#include <array>
#include <utility>

namespace lifeboat::postgres {

namespace {

constexpr std::string_view kStateMark = "(SQLSTATE ";
constexpr std::size_t kStateSize = 5;

struct CodeRule {
    std::string_view prefix;  // a whole SQLSTATE or its class
    Code code;
};

// The first match wins, so whole states stand before their class.
constexpr std::array<CodeRule, 28> kCodeRules = {{
    {"42501", Code::Denied},       // insufficient_privilege
    {"42704", Code::NotFound},     // undefined_object: also a slot that does not exist
    {"42P01", Code::NotFound},     // undefined_table
    {"42883", Code::Unsupported},  // undefined_function
    {"42710", Code::Conflict},     // duplicate_object
    {"42", Code::InvalidInput},
    {"57P01", Code::Unavailable},  // admin_shutdown
    {"57P02", Code::Unavailable},  // crash_shutdown
    {"57P03", Code::Unavailable},  // cannot_connect_now
    {"57P04", Code::NotFound},     // database_dropped
    {"57P05", Code::Unavailable},  // idle_session_timeout
    {"57", Code::Cancelled},       // operator_intervention
    {"53100", Code::NoSpace},
    {"53400", Code::Refused},   // configuration_limit_exceeded: all
                                // slots are in use
    {"53", Code::Unavailable},  // insufficient_resources, too_many_connections
    {"58P01", Code::NotFound},  // undefined_file: also a WAL segment that was removed
    {"58P02", Code::Conflict},  // duplicate_file
    {"58", Code::Unavailable},
    {"55006", Code::Conflict},  // object_in_use
    {"55", Code::Conflict},     // not in the prerequisite state
    {"3D000", Code::NotFound},  // invalid_catalog_name
    {"28", Code::Denied},
    {"08", Code::Unavailable},
    {"0A", Code::Unsupported},
    {"XX001", Code::Corrupt},
    {"XX002", Code::Corrupt},
    {"XX", Code::Unavailable},
    {"40", Code::Unavailable},  // serialization, deadlock
}};

constexpr std::array<std::string_view, 6> kDeniedWords = {
    "password", "certificate", "SSL", "GSSAPI", "authentication", "private key"};

// libpq's words where what answers speaks something else.
constexpr std::array<std::string_view, 2> kForeignWords = {
    "received invalid response to", "expected authentication request from server"};
constexpr std::string_view kForeignHint =
    "Something else answers there, or something between: correct 'host' and 'port' of the system's "
    "'connection'.";
constexpr std::string_view kBadPort = "invalid port number";
constexpr std::string_view kBadPortHint =
    "Correct 'port' in the system's 'connection' (or $PGPORT): it is a number from 1 to 65535.";

constexpr std::string_view kUnreachableHint =
    "Check that the server runs, that host and port are right, and that no firewall is in the way.";
constexpr std::string_view kDeniedHint =
    "Check the user, the password and the server's pg_hba.conf; replication needs a line of its "
    "own there, with database "
    "'replication'.";

// Where a state says more than its code does.
struct HintRule {
    std::string_view state;
    std::string_view hint;
};

constexpr std::array<HintRule, 5> kConnectHints = {{
    {"3D000",
     "Correct 'dbname' in the system's 'connection': any database of the cluster will do, "
     "'postgres' for one."},
    {"42501",
     "Give the user of the system's 'connection' the right to it: ALTER ROLE ... REPLICATION."},
    {"53300",
     "The server has no connection left for this: raise max_connections, max_wal_senders or "
     "the role's CONNECTION LIMIT, or end what holds them (pg_stat_activity shows it)."},
    {"57P03",
     "The server is starting, stopping or recovering: try again when it accepts connections."},
    {"28P01", "Correct the system's 'password' in the configuration; it is read anew each time."},
}};

bool is_state(std::string_view text) {
    return text.size() == kStateSize && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
           });
}

void erase_all(std::string& text, const std::string& secret) {
    for (std::size_t at = text.find(secret); at != std::string::npos && !secret.empty();
         at = text.find(secret, at + 3)) {
        text.replace(at, secret.size(), "***");
    }
}

// Takes the last "FATAL:  28P01: " apart: removes the state from the text and returns it.
std::string take_state(std::string& text) {
    for (std::size_t at = text.rfind(":  "); at != std::string::npos && at > 0;
         at = text.rfind(":  ", at - 1)) {
        const std::string state = text.substr(at + 3, kStateSize);
        if (is_state(state) && text.compare(at + 3 + kStateSize, 2, ": ") == 0) {
            text.erase(at + 3, kStateSize + 2);
            return state;
        }
    }
    return {};
}

// libpq's own lines: the places in the server's source, and questions that our hints answer.
std::string without_noise(std::string_view text) {
    std::string kept;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!line.starts_with("LOCATION:") && !line.starts_with("\tIs the server running")) {
            kept += line;
            kept += '\n';
        }
    }
    return kept;
}

template <std::size_t kCount>
bool holds_any(std::string_view text, const std::array<std::string_view, kCount>& words) {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
        return text.find(word) != std::string_view::npos;
    });
}

// A port that is none stays one, whoever waits; what else answers may be gone tomorrow.
Code code_without_state(std::string_view text) {
    if (text.find(kBadPort) != std::string_view::npos) {
        return Code::InvalidInput;
    }
    const bool denied = holds_any(text, kDeniedWords) && !holds_any(text, kForeignWords);
    return denied ? Code::Denied : Code::Unavailable;
}

std::string with_state(std::string text, const std::string& state) {
    return state.empty() ? std::move(text)
                         : std::move(text) + " " + std::string(kStateMark) + state + ")";
}

}  // namespace

Code code_for_sqlstate(std::string_view sqlstate) {
    for (const CodeRule& rule : kCodeRules) {
        if (sqlstate.starts_with(rule.prefix)) {
            return rule.code;
        }
    }
    return sqlstate.empty() ? Code::Unavailable : Code::InvalidInput;
}

std::string one_line(std::string_view text) {
    std::string line;
    for (const char c : text) {
        const bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (!blank) {
            line += c;
        } else if (!line.empty() && line.back() != ' ') {
            line += ' ';
        }
    }
    while (line.ends_with(' ') || line.ends_with('.')) {
        line.pop_back();
    }
    return line;
}

Error server_failure(const ServerMessage& message) {
    std::string text = "server: " + one_line(message.text);
    if (!message.detail.empty()) {
        text += ": " + one_line(message.detail);
    }
    const Code code = code_for_sqlstate(message.sqlstate);
    Error error(code, with_state(std::move(text), message.sqlstate));
    return message.hint.empty() ? std::move(error) : std::move(error).hint(message.hint);
}

Error connect_failure(std::string_view text, const base::Secret& password) {
    std::string kept = without_noise(text);
    const std::string state = take_state(kept);
    erase_all(kept, password.reveal());
    const Code code = state.empty() ? code_without_state(kept) : code_for_sqlstate(state);
    Error error(code, with_state(one_line(kept), state));
    for (const HintRule& rule : kConnectHints) {
        if (state == rule.state) {
            return std::move(error).hint(std::string(rule.hint));
        }
    }
    if (code == Code::InvalidInput && state.empty()) {
        return std::move(error).hint(std::string(kBadPortHint));
    }
    if (code == Code::Unavailable && holds_any(kept, kForeignWords)) {
        return std::move(error).hint(std::string(kForeignHint));
    }
    if (code == Code::Denied) {
        return std::move(error).hint(std::string(kDeniedHint));
    }
    return code == Code::Unavailable ? std::move(error).hint(std::string(kUnreachableHint))
                                     : std::move(error);
}

std::string_view sqlstate_of(std::string_view message) {
    const std::size_t at = message.rfind(kStateMark);
    if (at == std::string_view::npos) {
        return {};
    }
    const std::string_view state = message.substr(at + kStateMark.size(), kStateSize);
    return is_state(state) ? state : std::string_view();
}

}  // namespace lifeboat::postgres

#include "postgres/conninfo.h"

#include <libpq-fe.h>

#include <algorithm>
#include <string_view>

namespace lifeboat::postgres {

namespace {

std::string* find(Conninfo& options, std::string_view key) {
    const auto at = std::find_if(options.begin(), options.end(),
                                 [&](const Conninfo::value_type& o) { return o.first == key; });
    return at == options.end() ? nullptr : &at->second;
}

void put(Conninfo& options, std::string_view key, std::string value) {
    if (std::string* old = find(options, key)) {
        *old = std::move(value);
    } else {
        options.emplace_back(key, std::move(value));
    }
}

void put_default(Conninfo& options, std::string_view key, std::string value) {
    if (find(options, key) == nullptr) {
        options.emplace_back(key, std::move(value));
    }
}

// libpq's own words about a malformed string may quote a piece of a password, so they are not
// passed on.
Result<Conninfo> parse_conninfo(const std::string& conninfo) {
    char* complaint = nullptr;
    PQconninfoOption* parsed = PQconninfoParse(conninfo.c_str(), &complaint);
    PQfreemem(complaint);
    if (parsed == nullptr) {
        return Error(Code::InvalidInput, "connection string is malformed")
            .hint(
                "Write keywords, as in \"host=db1 port=5432 user=backup\", or a postgresql:// URI; "
                "quote values that hold spaces.");
    }
    Conninfo options;
    for (const PQconninfoOption* o = parsed; o->keyword != nullptr; ++o) {
        if (o->val != nullptr) {
            options.emplace_back(o->keyword, o->val);
        }
    }
    PQconninfoFree(parsed);
    return options;
}

std::vector<std::string> split_list(const std::string* list) {
    std::vector<std::string> items;
    if (list == nullptr) {
        return items;
    }
    std::size_t from = 0;
    for (std::size_t comma = list->find(','); comma != std::string::npos;
         comma = list->find(',', from)) {
        items.push_back(list->substr(from, comma - from));
        from = comma + 1;
    }
    items.push_back(list->substr(from));
    return items;
}

std::vector<Conninfo> split_hosts(Conninfo options) {
    const std::vector<std::string> hosts = split_list(find(options, "host"));
    const std::vector<std::string> addresses = split_list(find(options, "hostaddr"));
    const std::vector<std::string> ports = split_list(find(options, "port"));
    const std::size_t count = std::max(hosts.size(), addresses.size());
    const auto fits = [&](const auto& list) { return list.size() <= 1 || list.size() == count; };
    if (count <= 1 || !fits(hosts) || !fits(addresses) || !fits(ports)) {
        return {std::move(options)};  // libpq knows what to say about lists of unequal length
    }
    std::vector<Conninfo> attempts;
    const std::string* wanted = find(options, "target_session_attrs");
    const bool twice = wanted != nullptr && *wanted == "prefer-standby";
    for (int round = 0; round < (twice ? 2 : 1); ++round) {
        for (std::size_t i = 0; i < count; ++i) {
            Conninfo& attempt = attempts.emplace_back(options);
            const auto choose = [&](std::string_view key, const std::vector<std::string>& list) {
                if (!list.empty()) {
                    put(attempt, key, list[std::min(i, list.size() - 1)]);
                }
            };
            choose("host", hosts);
            choose("hostaddr", addresses);
            choose("port", ports);
            if (twice) {
                put(attempt, "target_session_attrs", round == 0 ? "standby" : "any");
            }
        }
    }
    return attempts;
}

Result<Conninfo> complete_options(const ConnectOptions& wanted) {
    Conninfo options = TRY(parse_conninfo(wanted.conninfo));
    if (!wanted.password.empty()) {
        put(options, "password", wanted.password.reveal());
    }
    if (!wanted.application_name.empty()) {
        put(options, "application_name", wanted.application_name);
    }
    put(options, "client_encoding", "SQL_ASCII");
    if (wanted.kind == SessionKind::PhysicalReplication) {
        put(options, "replication", "true");
    }
    // A peer that vanished must not look like a quiet one for hours.
    put_default(options, "keepalives_idle", "30");
    put_default(options, "keepalives_interval", "10");
    put_default(options, "keepalives_count", "3");
    put_default(options, "tcp_user_timeout", "60000");
    return options;
}

}  // namespace

Result<std::vector<Conninfo>> plan_attempts(const ConnectOptions& wanted) {
    Conninfo options = TRY(complete_options(wanted));
    return split_hosts(std::move(options));
}

}  // namespace lifeboat::postgres

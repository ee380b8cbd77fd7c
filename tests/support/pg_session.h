#pragma once

#include <string>

#include "postgres/connection.h"
#include "tests/support/pg_cluster.h"

namespace lifeboat::postgres {

inline const PgServer kLiveServers[] = {{15, 16, false}, {17, 1, true}};

// Connects to a cluster as its superuser, or as `user`.
inline ConnectOptions session_options(const PgCluster& cluster, SessionKind kind = SessionKind::Sql,
                                      const std::string& user = "postgres") {
    ConnectOptions options;
    options.conninfo = "host=" + cluster.host("") + " port=5432 dbname=postgres user=" + user;
    options.kind = kind;
    return options;
}

inline Deadline soon() {
    return deadline_in(std::chrono::seconds(30));
}

}  // namespace lifeboat::postgres

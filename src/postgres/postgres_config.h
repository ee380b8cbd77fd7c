#pragma once

#include <optional>
#include <string>

#include "base/secret.h"

namespace lifeboat::postgres {

// One PostgreSQL cluster, as configured.
struct PostgresConfig {
    std::string system;      // its name in lifeboat.yaml
    std::string connection;  // libpq conninfo, without a password
    base::Secret password;
    enum class Read {
        Auto,
        Directory,
        Wire
    } read = Read::Auto;  // how a backup reads: Auto prefers the files, where they are readable
    std::string data_directory;  // with Read::Directory; empty: as the server says
    std::string slot;            // of the stream
    std::string bin_directory;   // empty: found by version
};

}  // namespace lifeboat::postgres

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/data_engine.h"
#include "postgres/postgres_config.h"
#include "postgres/server_facts.h"
#include "postgres/slots.h"

namespace lifeboat::postgres {

// What would hurt later: asked of the server, tried, and judged apart from each other.

struct ArchiverFacts {
    std::int64_t failures = 0;
    std::string last_failed_file;
    bool failing = false;  // the last attempt failed
};

struct DoctorProbe {
    ServerFacts facts;
    bool fsync = true;
    std::optional<SlotState> slot;  // nothing: there is none of that name
    std::int64_t slots_used = 0;
    std::int64_t senders_used = 0;
    ArchiverFacts archiver;
    std::int64_t unlogged_tables = 0;             // of the connected database
    std::vector<std::string> missing_extensions;  // that checks of structure want
    std::string replication_refused;              // why; empty when a replication session was made
    std::string directory_trouble;                // why the files cannot be read; empty: they can
    std::string host;                             // "127.0.0.1:5432", "/run/postgresql:5432"
    bool binaries = false;                        // of this server's version are on this machine
};

// Asks and tries; changes nothing on the server. Fails when it does not answer, or its version is
// not supported.
Result<DoctorProbe> probe_server(const PostgresConfig& config, const engine::Context& context);

// Pure. Worst first.
std::vector<engine::Finding> judge_server(const PostgresConfig& config, const DoctorProbe& probe);

// Both: what PostgresEngine::diagnose does.
Result<std::vector<engine::Finding>> diagnose_server(const PostgresConfig& config,
                                                     const engine::Context& context);

}  // namespace lifeboat::postgres

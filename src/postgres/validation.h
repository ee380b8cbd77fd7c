#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/data_engine.h"
#include "postgres/backup_details.h"
#include "postgres/connection.h"

namespace lifeboat::postgres {

// Whether a server that has recovered holds what it should. A check that could not be made is a
// finding, as is one that failed (P8).

struct ValidationPlace {
    std::string target;
    std::string socket_directory;
    int port = 0;
    std::string original;  // conninfo of the original server: its role may exist here
};

// Runs what the request asks for and adds to the report: its connection, the answers, the findings;
// or that it was stopped.
void validate_server(const ValidationPlace& place, const BackupDetails& details,
                     const engine::StartRequest& request, const engine::Context& context,
                     engine::StartReport& report);

// Every page of every relation against its checksum, or its header alone where the cluster has no
// checksums. Ours, over the files, because the server is at work and pg_checksums needs it stopped:
// a page that fails is read again some times, since it may be on its way to disk. At most
// kMaxFindings are listed. Returns the number of pages read.
inline constexpr std::size_t kMaxFindings = 100;
Result<std::uint64_t> check_pages(base::Files& files, base::Clock& clock,
                                  const base::StopToken& stop, const std::string& directory,
                                  const BackupDetails& details, std::vector<std::string>& findings);

// Every B-tree against its heap (heapallindexed), every heap's tuples, and visibility and freeze
// marks against both, in all databases. The extensions that this needs are created in a transaction
// that is rolled back, so nothing of it stays. `open` connects to a database as a superuser.
using OpenDatabase = std::function<Result<Connection>(const std::string& database)>;
Result<> check_structure(const OpenDatabase& open, const engine::StartRequest& request,
                         std::vector<std::string>& findings);

}  // namespace lifeboat::postgres

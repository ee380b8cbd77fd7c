#pragma once

#include <string>

#include "engine/data_engine.h"

namespace lifeboat::postgres {

// Finds the cluster of this machine: `connection` when it is given, else PGHOST and PGPORT, else
// every socket in the usual directories, else ports 5432 to 5434 of the loopback address. Asks
// nothing. Of several the first is taken, and the others are named. NotFound when none answers,
// Denied when one does and lets us in under no name that we know.
base::Result<engine::Discovered> discover(const std::string& connection,
                                          const engine::Context& context);

// Ports with a socket in `directory`, ascending; none when it cannot be listed.
std::vector<int> socket_ports(base::Files& files, const std::string& directory);

}  // namespace lifeboat::postgres

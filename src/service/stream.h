#pragma once

#include <functional>
#include <string>
#include <vector>

#include "service/installation.h"

namespace lifeboat::service {

struct StreamRequest {
    std::vector<std::string> systems;  // empty: all whose configuration streams
    std::string repository;
    bool drain = false;  // store what was captured before, ask no server, and end
    // From a failed backup that a hole needs to the next try, at first.
    base::Duration anchor_pause = std::chrono::seconds(10);
};

// Told of each system's state, from that system's thread.
using StreamWatch =
    std::function<void(const std::string& system, const engine::StreamState& state)>;

// Captures every system until a stop is requested; each in a thread of its own, so that one in
// trouble does not hold up the others. When a stream has a hole, a new backup anchors it while the
// stream goes on (service/anchor.h); its status says so until that backup is there. Returns the
// first failure that waiting cannot cure, after the other streams were stopped in good order.
// A drain returns when all that the spools hold is in the repository, and fails when it is not.
Result<> stream(Installation& installation, const StreamRequest& request, const StreamWatch& watch);

// What `stream` leaves for `status`, about a second old at most while it runs.
struct StreamStatus {
    engine::StreamState state;
    base::Json to_json() const;
};

Result<std::optional<StreamStatus>> read_stream_status(const Installation& installation,
                                                       const std::string& system);

}  // namespace lifeboat::service

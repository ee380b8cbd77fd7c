#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "service/backup.h"
#include "service/world.h"

namespace lifeboat::service {

struct InitRequest {
    std::string config_file = "lifeboat.yaml";  // absolute
    std::string state;                          // site.state, absolute
    std::string repository_url;                 // "file:///..."
    std::vector<std::string> recipients;        // age recipients; empty: two recovery keys are made
    std::string keys_directory;   // where recovery keys that we make are written, for the person to
                                  // move away
    std::string site;             // its name
    std::string system = "main";  // name of the first system
    std::string connection;       // libpq conninfo of it; empty: no system is configured yet
    std::string data_directory = "auto";  // auto, none or a path
    std::string identity;  // written as keys.identity: for demonstrations and restore hosts
};

struct InitReport {
    std::string config_file;
    std::string repository;
    std::string repository_id;
    std::string host_key;
    std::string signer;
    std::vector<std::string> recovery_keys;  // files that were made
    std::vector<std::string> recipients;
    bool joined = false;  // the repository was there already
    base::Json to_json() const;
};

// Makes keys, repository and configuration, in an order that can be interrupted and repeated: keys
// first, then the repository, the configuration last. Never overwrites a key or a configuration
// (Conflict), never leaves a repository sealed to keys that were not written.
Result<InitReport> init(const World& world, const InitRequest& request);

}  // namespace lifeboat::service

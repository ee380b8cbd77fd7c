#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "repo/keyring.h"
#include "repo/repository.h"
#include "service/world.h"

namespace lifeboat::service {

// A repository that is open, with the name that the configuration gives it.
struct OpenRepository {
    std::string name;
    std::string url;
    std::unique_ptr<store::ObjectStore> store;
    std::unique_ptr<repo::Repository> repository;
    std::vector<crypto::VerifyKey> signers;  // pinned by the configuration
};

// Where an identity is looked for.
struct IdentityChoice {
    std::string
        file;  // --identity; empty: keys.identity of the configuration, if that is set and there
    bool required = false;  // Denied without one
};

// A configuration and what it names, opened on demand. One thread at a time; references into it
// live as long as it does.
class Installation {
  public:
    // `config_option` is --config, or empty for the search order of config::find_config.
    static Result<Installation> open(const World& world, const std::string& config_option);

    Installation(const World& world, config::Config config)
        : world_(&world), config_(std::move(config)) {}

    const config::Config& config() const { return config_; }

    // Systems by name, or all of them when `names` is empty. InvalidInput with the nearest name for
    // a wrong one.
    Result<std::vector<const config::System*>> systems(const std::vector<std::string>& names) const;

    // The named repository, or the first configured. Opened once.
    Result<OpenRepository*> repository(const std::string& name = "");
    // What only a protected host has. NotFound with a hint where there is no key file.
    Result<const repo::HostKeys*> host_keys();
    // Reads identity files and pins signers: the configuration's, the identity file's, and our own
    // host key.
    Result<std::unique_ptr<repo::ReaderKeys>> reader_keys(const OpenRepository& repository,
                                                          const IdentityChoice& choice);
    Result<std::unique_ptr<engine::DataEngine>> engine(const config::System& system) const;

    std::string state_path(std::string_view name) const;  // below site.state

    const World& world() const { return *world_; }

  private:
    Result<std::optional<crypto::IdentityFile>> read_identity(const IdentityChoice& choice) const;
    const World* world_;
    config::Config config_;
    std::vector<std::unique_ptr<OpenRepository>> open_;
    std::optional<repo::HostKeys> host_;
};

// Refuses a key file that others can read: the chmod to type is in the hint. NotFound when absent,
// InvalidInput when it is not a regular file.
Result<base::Bytes> read_key_file(base::Files& files, const std::string& path);

}  // namespace lifeboat::service

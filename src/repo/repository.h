#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "repo/keyring.h"
#include "repo/manifest.h"
#include "repo/names.h"
#include "store/object_store.h"

namespace lifeboat::repo {

// What the objects of a store mean: docs/format/layout.md. Immutable after open(); every call may
// be made from any thread.
class Repository {
  public:
    // Writes lifeboat.json into a store that has none. Conflict when there is a repository already;
    // Refused when the store holds other things, or fewer than two recipients are named.
    static Result<std::unique_ptr<Repository>> create(store::ObjectStore& store,
                                                      std::vector<crypto::Recipient> recipients,
                                                      base::Clock& clock, base::Random& random);
    // NotFound with a hint when there is no repository; Unsupported when it is of a newer format.
    // `store` must outlive it. `recipients` are whom its writers seal to, and come from the
    // configuration: what the store says of recipients is a claim that whoever can write to it may
    // have changed (P4). With none, it can be read but not written.
    static Result<std::unique_ptr<Repository>> open(store::ObjectStore& store,
                                                    std::vector<crypto::Recipient> recipients = {});

    const Id128& id() const { return id_; }

    // Whom new data is sealed to: Refused unless two or more were given.
    Result<std::span<const crypto::Recipient>> recipients() const;

    // Whom lifeboat.json names; for people, never for sealing.
    const std::vector<crypto::Recipient>& claimed_recipients() const { return claimed_; }

    store::ObjectStore& store() const { return store_; }

    // Publishes a writer's signing key. Safe to repeat.
    Result<> register_writer(const HostKeys& keys, std::string_view host_name,
                             base::Clock& clock) const;

    // Committed backups, oldest first, from names alone. An object that is not named as lifeboat
    // names is skipped.
    Result<std::vector<ManifestName>> backups(std::string_view system) const;
    Result<std::vector<std::string>> systems() const;
    Result<OpenedManifest> load(const ManifestName& name, const ReaderKeys& keys) const;

  private:
    Repository(store::ObjectStore& store, Id128 id, std::vector<crypto::Recipient> recipients,
               std::vector<crypto::Recipient> claimed)
        : store_(store),
          id_(id),
          recipients_(std::move(recipients)),
          claimed_(std::move(claimed)) {}

    store::ObjectStore& store_;
    Id128 id_;
    std::vector<crypto::Recipient> recipients_;
    std::vector<crypto::Recipient> claimed_;
};

}  // namespace lifeboat::repo

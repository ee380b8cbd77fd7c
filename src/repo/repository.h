#pragma once

#include <memory>
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
    // `store` must outlive it.
    static Result<std::unique_ptr<Repository>> open(store::ObjectStore& store);

    const Id128& id() const { return id_; }

    const std::vector<crypto::Recipient>& recipients() const { return recipients_; }

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
    Repository(store::ObjectStore& store, Id128 id, std::vector<crypto::Recipient> recipients)
        : store_(store), id_(id), recipients_(std::move(recipients)) {}

    store::ObjectStore& store_;
    Id128 id_;
    std::vector<crypto::Recipient> recipients_;
};

}  // namespace lifeboat::repo

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "base/stop.h"
#include "base/time.h"
#include "crypto/keys.h"
#include "repo/capture.h"
#include "repo/pack_source.h"
#include "repo/repository.h"
#include "store/decorators.h"

namespace lifeboat::test {

using Tree = std::map<std::string, base::Bytes>;  // path -> contents

// Bytes that look like a table: some text that compresses, some noise, and here and there a page of
// zeros.
base::Bytes table_like(std::uint64_t seed, std::size_t size);
base::Bytes noise(std::uint64_t seed, std::size_t size);

// The keys of a small site, the same in every run.
struct RepoKeys {
    explicit RepoKeys(std::uint64_t seed = 1);
    std::unique_ptr<base::Random> random;
    std::vector<crypto::Identity> identities;  // two
    repo::HostKeys host;

    std::vector<crypto::Recipient> recipients() const;
    repo::ReaderKeys reader() const;       // one identity, the host pinned
    repo::ReaderKeys host_reader() const;  // the host secret alone
    repo::ReaderKeys stranger() const;     // an identity that fits nothing
};

struct Lifetimes {
    std::chrono::days retention{7};
    std::chrono::days rolling{28};
};

// One backup to make.
struct CaptureJob {
    std::string system = "prod";
    const Tree* tree = nullptr;
    const repo::OpenedManifest* previous = nullptr;
    std::set<std::string> rewrite{};
    std::size_t lanes = 1;
    std::uint64_t pack_target = 1 << 20;
    Lifetimes lifetimes{};
    std::vector<repo::DamagedPage> damage{};
    const base::Json* details = nullptr;  // of the manifest; nothing: that a test made it
};

base::Result<repo::Manifest> capture_tree(repo::Repository& repository, const repo::HostKeys& host,
                                          const CaptureJob& job, base::Clock& clock,
                                          base::Random& random);

// Everything that a backup holds, read back through maps and packs; each CRC is checked.
base::Result<Tree> restore_tree(repo::Repository& repository, const repo::ManifestName& backup,
                                repo::ReaderKeys& keys);

// What a test repository with one writer is made of. The store is counted, and may be swapped for
// one that fails.
class RepoWorld {
  public:
    explicit RepoWorld(std::uint64_t seed = 1);

    base::Result<repo::Manifest> capture(CaptureJob job) {
        return capture_tree(*repository, keys.host, job, clock, *random);
    }

    repo::ManifestName name_of(const repo::Manifest& m) const {
        return {m.system, m.stop, m.expires, m.backup};
    }

    base::Result<repo::OpenedManifest> load(const repo::Manifest& m) {
        return repository->load(name_of(m), reader);
    }

    base::Result<Tree> restore(const repo::Manifest& m) {
        return restore_tree(*repository, name_of(m), reader);
    }

    // Changes objects as no writer can: by removing and putting again.
    void replace(const std::string& name, base::BytesView bytes);
    void flip(const std::string& name, std::size_t at);
    void remove(const std::string& name);
    std::vector<std::string> names(const std::string& prefix = "");
    std::string only(const std::string& prefix,
                     const std::string& suffix = "");  // the one object so named
    base::Bytes bytes(const std::string& name);

    base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};  // 2026-01-23T14:00:00Z
    std::shared_ptr<store::Meter> meter =
        std::make_shared<store::Meter>();  // shared with the store
    std::unique_ptr<store::ObjectStore> store;
    RepoKeys keys;
    repo::ReaderKeys reader;
    std::unique_ptr<base::Random> random;
    std::unique_ptr<repo::Repository> repository;
};

}  // namespace lifeboat::test

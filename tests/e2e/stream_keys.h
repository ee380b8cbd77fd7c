#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/random.h"
#include "crypto/keys.h"
#include "repo/keyring.h"

namespace lifeboat::test {

// The keys of a test site, the same in every process.
struct StreamKeys {
    std::unique_ptr<base::Random> random = base::seeded_random(1);
    std::vector<crypto::Identity> identities = two(*random);
    repo::HostKeys host = repo::HostKeys::generate(*random);

    std::vector<crypto::Recipient> recipients() const {
        return {identities[0].recipient(), identities[1].recipient()};
    }

    repo::ReaderKeys reader() const {
        return {{identities[1]}, std::nullopt, {host.signing_key().verify_key()}};
    }

    repo::ReaderKeys host_reader() const {
        return {{}, host.secret, {host.signing_key().verify_key()}};
    }

  private:
    static std::vector<crypto::Identity> two(base::Random& random) {
        std::vector<crypto::Identity> made;
        made.push_back(crypto::Identity::generate(random));
        made.push_back(crypto::Identity::generate(random));
        return made;
    }
};

}  // namespace lifeboat::test

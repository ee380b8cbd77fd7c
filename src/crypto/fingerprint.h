#pragma once

#include <array>
#include <memory>

#include "base/bytes.h"
#include "base/secret.h"

namespace lifeboat::crypto {

// 128 keyed bits that stand for a page: two pages are the same iff their fingerprints are.
// AES-256(k2, GHASH(k1, page || length)): a universal hash under a secret key, then a PRF, so
// neither a chosen page nor a stolen list of fingerprints helps anyone without the key to find two
// pages that collide. docs/adr/0003 has the choice, the bound and the measurements.
using Fingerprint = std::array<base::Byte, 16>;

// One thread at a time; cheap to reuse, not to create. A page has at most 1 GiB.
class Fingerprinter {
  public:
    explicit Fingerprinter(const base::Key256& key);
    ~Fingerprinter();
    Fingerprinter(Fingerprinter&&) noexcept;
    Fingerprinter& operator=(Fingerprinter&&) noexcept;
    Fingerprint of(base::BytesView page);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace lifeboat::crypto

#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/random.h"
#include "base/secret.h"

namespace lifeboat::crypto {

using base::BytesView;
using base::Key256;
using base::Result;

inline constexpr std::size_t kTagSize = 16;

// AES-256-GCM under one key with a counter nonce: number `n` may be used for one message only,
// ever, under that key. The nonce is the number as 12 bytes, little-endian. The cipher context is
// set up once and reused. One thread at a time.
class Sealer {
  public:
    explicit Sealer(const Key256& key);
    ~Sealer();
    Sealer(Sealer&&) noexcept;
    Sealer& operator=(Sealer&&) noexcept;
    // Appends ciphertext and tag (plain.size() + kTagSize bytes) to `out`, which the two views must
    // not point into.
    void seal(std::uint64_t number, BytesView associated, BytesView plain, base::Bytes& out);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// The other direction. One thread at a time.
class Opener {
  public:
    explicit Opener(const Key256& key);
    ~Opener();
    Opener(Opener&&) noexcept;
    Opener& operator=(Opener&&) noexcept;
    // Writes sealed.size() - kTagSize bytes to `plain`, which has exactly that size and does not
    // overlap the two views. Corrupt when the tag does not fit; then `plain` is zeroed.
    Result<> open(std::uint64_t number, BytesView associated, BytesView sealed,
                  base::MutableBytes plain);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// HKDF-SHA256 (RFC 5869), 32 bytes out. `purpose` keeps the keys of different uses apart. This and
// the functions below are thread-safe.
Key256 derive_key(const Key256& secret, BytesView salt, std::string_view purpose);

std::array<base::Byte, 32> sha256(BytesView bytes);
std::array<base::Byte, 32> hmac_sha256(const Key256& key, BytesView bytes);

// Incremental SHA-256. One thread at a time.
class Sha256 {
  public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    void update(BytesView bytes);
    std::array<base::Byte, 32> finish();  // then starts anew

  private:
    struct State;
    std::unique_ptr<State> state_;
};

Key256 random_key(base::Random& random);

}  // namespace lifeboat::crypto

#pragma once

#include <array>

#include "base/bytes.h"
#include "base/secret.h"

// What the room takes from libsodium: X25519, and the ChaCha20-Poly1305 (RFC 8439, no associated
// data) that age is made of. All of it is thread-safe and sets the library up on first use.
namespace lifeboat::crypto::internal {

using Point = std::array<base::Byte, 32>;
using ChachaNonce = std::array<base::Byte, 12>;

inline constexpr std::size_t kChachaTagSize = 16;

void start_sodium();

Point x25519_public(const base::Key256& scalar);

// False when `point` has low order: the shared secret would then be zero, whoever computes it.
[[nodiscard]] bool x25519(const base::Key256& scalar, const Point& point, base::Key256& shared);

// plain.size() + kChachaTagSize bytes. One (key, nonce) for one message only.
base::Bytes chacha_seal(const base::Key256& key, const ChachaNonce& nonce, base::BytesView plain);

// `plain` has room for exactly sealed.size() - kChachaTagSize bytes. False, and nothing usable,
// when the tag does not fit.
[[nodiscard]] bool chacha_open(const base::Key256& key, const ChachaNonce& nonce,
                               base::BytesView sealed, base::MutableBytes plain);

}  // namespace lifeboat::crypto::internal

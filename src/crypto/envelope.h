#pragma once

#include <span>

#include "base/bytes.h"
#include "crypto/keys.h"

namespace lifeboat::crypto {

// Seals a short secret to recipients as a complete age v1 file (X25519 stanzas, HMAC'd header,
// ChaCha20-Poly1305 STREAM payload; https://age-encryption.org/v1), so that `age -d` opens it by
// hand. `secret` is at most 64 KiB (one STREAM chunk), `recipients` are 1 to 64. Thread-safe.
//
// How long an envelope is cannot be known from its bytes: containers store the length beside it.
base::Bytes seal_envelope(BytesView secret, std::span<const Recipient> recipients,
                          base::Random& random);

// Opens an envelope with the first identity that fits. Denied when none does (the hint says how
// many recipients it has); Corrupt when a MAC fails, the bytes are not an age file, or the payload
// exceeds 64 KiB. Stanzas of other kinds are skipped. Safe on hostile bytes. Thread-safe.
Result<base::Bytes> open_envelope(BytesView envelope, std::span<const Identity> identities);

}  // namespace lifeboat::crypto

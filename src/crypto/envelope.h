#pragma once

#include <span>

#include "base/bytes.h"
#include "crypto/keys.h"

namespace lifeboat::crypto {

// Seals a short secret to recipients as a complete age v1 file (X25519 stanzas, HMAC'd header, ChaCha20-Poly1305 STREAM payload;
// https://age-encryption.org/v1), so that `age -d` opens it by hand. `secret` is at most 64 KiB: one STREAM chunk.
base::Bytes seal_envelope(BytesView secret, std::span<const Recipient> recipients, base::Random& random);

// Opens an envelope with the first identity that fits. Denied when none does (the hint says how many recipients it has);
// Corrupt when a MAC fails or the text is not an age file. Safe on hostile bytes.
Result<base::Bytes> open_envelope(BytesView envelope, std::span<const Identity> identities);

// Length of the envelope at the front of `bytes` cannot be known from the format: containers store it beside.

}  // namespace lifeboat::crypto

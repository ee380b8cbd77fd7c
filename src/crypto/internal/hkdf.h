#pragma once

#include <string_view>

#include "base/bytes.h"

namespace lifeboat::crypto::internal {

// HKDF-SHA256 (RFC 5869) of any secret to any length up to 8160 bytes. Empty salt is the RFC's
// default.
void hkdf_sha256(base::BytesView secret, base::BytesView salt, base::BytesView purpose,
                 base::MutableBytes out);

}  // namespace lifeboat::crypto::internal

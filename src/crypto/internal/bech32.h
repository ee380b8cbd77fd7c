#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace lifeboat::crypto::internal {

inline constexpr std::size_t kMaxBech32 = 90;  // BIP-173; an age key has 62 or 74 characters

// What a bech32 text says. The bytes may be a private key, so they are wiped.
struct Bech32 {
    Bech32() = default;
    Bech32(const Bech32&) = delete;
    Bech32& operator=(const Bech32&) = delete;
    Bech32(Bech32&&) noexcept = default;
    Bech32& operator=(Bech32&&) noexcept = default;
    ~Bech32();

    std::string prefix;  // as it was written: lower or upper case
    base::Bytes bytes;
};

// BIP-173 in lower case. `prefix` is lower case, and the text has at most kMaxBech32 characters.
std::string encode_bech32(std::string_view prefix, base::BytesView bytes);

// Strict: one case, a right checksum, zero padding. InvalidInput, whose message never quotes the
// text: it may be a private key.
base::Result<Bech32> decode_bech32(std::string_view text);

}  // namespace lifeboat::crypto::internal

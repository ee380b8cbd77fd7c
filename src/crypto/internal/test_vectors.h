#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/secret.h"

// For this room's tests only: keys and published vectors, written as hexadecimal digits.
namespace lifeboat::crypto::internal {

inline base::Bytes unhex(std::string_view digits) {
    auto bytes = base::from_hex(digits);
    LB_CHECK(bytes.has_value());
    return std::move(bytes).value();
}

template <std::size_t N>
std::array<base::Byte, N> unhex_array(std::string_view digits) {
    const base::Bytes bytes = unhex(digits);
    LB_CHECK(bytes.size() == N);
    std::array<base::Byte, N> out{};
    std::ranges::copy(bytes, out.begin());
    return out;
}

// `digits` for the first bytes, zeros for the rest.
inline base::Key256 key_of(std::string_view digits) {
    base::Key256 key;
    std::ranges::copy(unhex(digits), key.reveal_mutable().begin());
    return key;
}

// 00 01 02 ... 1f
inline base::Key256 counting_key() {
    return key_of("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
}

// The two parties of RFC 7748, section 6.1.
inline constexpr std::string_view kAliceScalar =
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
inline constexpr std::string_view kAlicePoint =
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
inline constexpr std::string_view kBobScalar =
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
inline constexpr std::string_view kBobPoint =
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";

}  // namespace lifeboat::crypto::internal

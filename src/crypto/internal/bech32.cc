#include "crypto/internal/bech32.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/check.h"
#include "base/secret.h"

namespace lifeboat::crypto::internal {

using base::Byte;
using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::Result;

namespace {

constexpr std::string_view kAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
constexpr std::size_t kChecksumSize = 6;

// Five-bit groups, wiped when done with.
struct Groups {
    Groups() { values.reserve(kMaxBech32); }  // never moves, so leaves no copy behind

    Groups(const Groups&) = delete;
    Groups& operator=(const Groups&) = delete;

    ~Groups() { base::wipe(values.data(), values.size()); }

    Bytes values;
};

bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

char to_lower(char c) {
    return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}

// The BCH code of BIP-173 over GF(32): feeds one group into the running remainder.
std::uint32_t absorb(std::uint32_t remainder, std::uint32_t group) {
    static constexpr std::array<std::uint32_t, 5> kGenerator = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa,
                                                                0x3d4233dd, 0x2a1462b3};
    const std::uint32_t top = remainder >> 25;
    remainder = ((remainder & 0x1ffffff) << 5) ^ group;
    for (std::size_t i = 0; i < kGenerator.size(); ++i) {
        if (((top >> i) & 1) != 0) {
            remainder ^= kGenerator[i];
        }
    }
    return remainder;
}

std::uint32_t remainder_of(std::string_view prefix, BytesView groups) {
    std::uint32_t remainder = 1;
    for (const char c : prefix) {
        remainder = absorb(remainder, static_cast<std::uint32_t>(to_lower(c)) >> 5);
    }
    remainder = absorb(remainder, 0);
    for (const char c : prefix) {
        remainder = absorb(remainder, static_cast<std::uint32_t>(to_lower(c)) & 31);
    }
    for (const Byte group : groups) {
        remainder = absorb(remainder, group);
    }
    return remainder;
}

void to_groups(BytesView bytes, Bytes& groups) {
    std::uint32_t bits = 0;
    int count = 0;
    for (const Byte byte : bytes) {
        bits = (bits << 8 | byte) & 0xfff;
        for (count += 8; count >= 5; count -= 5) {
            groups.push_back(static_cast<Byte>(bits >> (count - 5) & 31));
        }
    }
    if (count > 0) {
        groups.push_back(static_cast<Byte>(bits << (5 - count) & 31));
    }
}

Result<> to_bytes(BytesView groups, Bytes& bytes) {
    bytes.reserve(groups.size());  // never moves
    std::uint32_t bits = 0;
    int count = 0;
    for (const Byte group : groups) {
        bits = (bits << 5 | group) & 0xfff;
        count += 5;
        if (count >= 8) {
            count -= 8;
            bytes.push_back(static_cast<Byte>(bits >> count));
        }
    }
    if (count >= 5 || (bits & ((1U << count) - 1)) != 0) {
        return Error(Code::InvalidInput, "its last character holds bits that belong to no byte");
    }
    return {};
}

Result<> check_characters(std::string_view text) {
    if (text.size() > kMaxBech32) {
        return Error(Code::InvalidInput,
                     "it is longer than " + std::to_string(kMaxBech32) + " characters");
    }
    if (!std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; })) {
        return Error(Code::InvalidInput, "it holds a character that is not printable");
    }
    if (std::ranges::any_of(text, is_upper) && std::ranges::any_of(text, is_lower)) {
        return Error(Code::InvalidInput, "it mixes upper and lower case");
    }
    return {};
}

Result<> read_groups(std::string_view text, Bytes& groups) {
    for (const char c : text) {
        const std::size_t value = kAlphabet.find(to_lower(c));
        if (value == std::string_view::npos) {
            return Error(Code::InvalidInput, "it holds a character that keys do not use");
        }
        groups.push_back(static_cast<Byte>(value));
    }
    return {};
}

}  // namespace

Bech32::~Bech32() {
    base::wipe(bytes.data(), bytes.size());
}

std::string encode_bech32(std::string_view prefix, BytesView bytes) {
    Groups groups;
    to_groups(bytes, groups.values);
    const std::size_t size = groups.values.size();
    LB_CHECK(prefix.size() + 1 + size + kChecksumSize <= kMaxBech32);

    groups.values.resize(size + kChecksumSize);  // zeros, where the checksum will stand
    const std::uint32_t checksum = remainder_of(prefix, groups.values) ^ 1;
    for (std::size_t i = 0; i < kChecksumSize; ++i) {
        groups.values[size + i] = static_cast<Byte>(checksum >> (5 * (kChecksumSize - 1 - i)) & 31);
    }

    std::string out;
    out.reserve(kMaxBech32);
    out.append(prefix).push_back('1');
    for (const Byte group : groups.values) {
        out.push_back(kAlphabet[group]);
    }
    return out;
}

Result<Bech32> decode_bech32(std::string_view text) {
    TRY(check_characters(text));
    const std::size_t separator = text.rfind('1');
    if (separator == std::string_view::npos || separator == 0) {
        return Error(Code::InvalidInput, "it has no prefix");
    }
    if (text.size() - separator - 1 < kChecksumSize) {
        return Error(Code::InvalidInput, "it is too short");
    }
    Bech32 out;
    out.prefix = text.substr(0, separator);
    Groups groups;
    TRY(read_groups(text.substr(separator + 1), groups.values));
    if (remainder_of(out.prefix, groups.values) != 1) {
        return Error(Code::InvalidInput, "its checksum does not match");
    }
    TRY(to_bytes(BytesView(groups.values).first(groups.values.size() - kChecksumSize), out.bytes));
    return out;
}

}  // namespace lifeboat::crypto::internal

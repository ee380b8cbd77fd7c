#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "base/bytes.h"

namespace lifeboat::base {

// Wipes memory in a way that the compiler may not drop.
void wipe(void* start, std::size_t count);

// N secret bytes: never printable, wiped on destruction. reveal() marks each place that touches
// them.
template <std::size_t N>
class SecretArray {
  public:
    SecretArray() = default;

    explicit SecretArray(const std::array<Byte, N>& bytes) : bytes_(bytes) {}

    SecretArray(const SecretArray&) = default;
    SecretArray& operator=(const SecretArray&) = default;

    ~SecretArray() { wipe(bytes_.data(), N); }

    BytesView reveal() const { return bytes_; }

    MutableBytes reveal_mutable() { return bytes_; }

  private:
    std::array<Byte, N> bytes_{};
};

using Key256 = SecretArray<32>;

// A secret string: a password, a private key in its text form. Does not print, does not convert.
class Secret {
  public:
    Secret() = default;
    explicit Secret(std::string&& value);  // wipes the argument

    explicit Secret(const std::string& value) : value_(value) {}

    Secret(const Secret&) = default;
    Secret(Secret&& other) noexcept;  // leaves `other` empty and wiped
    Secret& operator=(const Secret& other);
    Secret& operator=(Secret&& other) noexcept;
    ~Secret();

    const std::string& reveal() const { return value_; }

    bool empty() const { return value_.empty(); }

  private:
    static void wipe_string(std::string& value);

    std::string value_;
};

}  // namespace lifeboat::base

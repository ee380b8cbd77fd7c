#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace lifeboat::base {

using Byte = unsigned char;
using Bytes = std::vector<Byte>;
using BytesView = std::span<const Byte>;
using MutableBytes = std::span<Byte>;

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;

inline BytesView view(std::string_view text) {
    return {reinterpret_cast<const Byte*>(text.data()), text.size()};
}

inline std::string_view text(BytesView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string hex(BytesView bytes);                 // lower case, no separators
Result<Bytes> from_hex(std::string_view digits);  // InvalidInput
std::string base64(BytesView bytes, bool padded = true);
Result<Bytes> from_base64(std::string_view digits);  // padded or not; InvalidInput

// True iff all bytes are zero; vectorised.
bool is_zero(BytesView bytes);

// Comparison whose time does not depend on the contents. Sizes are not secret.
bool equal_constant_time(BytesView a, BytesView b);

// "1.4 GiB", "812 MiB", "97 B": three significant digits at most.
std::string human_size(std::uint64_t bytes);

// CRC-32C (Castagnoli, reflected, as in iSCSI and PostgreSQL) of `bytes`, continuing from `crc`;
// start with 0.
std::uint32_t crc32c(BytesView bytes, std::uint32_t crc = 0);
// CRC-32C of A||B from crc(A), crc(B) and |B|.
std::uint32_t crc32c_combine(std::uint32_t a, std::uint32_t b, std::uint64_t length_of_b);

// Appends little-endian fields, LEB128 varints, and length-prefixed runs to a byte string.
class ByteWriter {
  public:
    void u8(std::uint8_t v) { out_.push_back(v); }

    void u16(std::uint16_t v) { fixed(v, 2); }

    void u32(std::uint32_t v) { fixed(v, 4); }

    void u64(std::uint64_t v) { fixed(v, 8); }

    void varint(std::uint64_t v);

    void raw(BytesView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }

    void raw(std::string_view bytes) { raw(view(bytes)); }

    void sized(BytesView bytes) {
        varint(bytes.size());
        raw(bytes);
    }

    void sized(std::string_view bytes) { sized(view(bytes)); }

    std::size_t size() const { return out_.size(); }

    BytesView bytes() const { return out_; }

    Bytes take() { return std::move(out_); }

  private:
    void fixed(std::uint64_t v, int width) {
        for (int i = 0; i < width; ++i) {
            out_.push_back(static_cast<Byte>(v >> (8 * i)));
        }
    }

    Bytes out_;
};

// Reads what ByteWriter writes, from bytes that may be hostile: every call is bounds-checked and
// fails with Corrupt. Borrows the bytes; they must outlive the reader.
class ByteReader {
  public:
    explicit ByteReader(BytesView in) : in_(in) {}

    Result<std::uint8_t> u8();
    Result<std::uint16_t> u16();
    Result<std::uint32_t> u32();
    Result<std::uint64_t> u64();
    Result<std::uint64_t> varint();
    Result<BytesView> raw(std::uint64_t count);
    Result<BytesView> sized(std::uint64_t limit);  // Corrupt when the prefix exceeds `limit`
    Result<std::string> sized_text(std::uint64_t limit);

    std::size_t remaining() const { return in_.size() - at_; }

    std::size_t position() const { return at_; }

    bool at_end() const { return remaining() == 0; }

  private:
    Result<std::uint64_t> fixed(std::size_t width);
    BytesView in_;
    std::size_t at_ = 0;
};

}  // namespace lifeboat::base

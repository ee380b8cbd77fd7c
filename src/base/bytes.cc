#include "base/bytes.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace lifeboat::base {

namespace {

constexpr char kHexDigits[] = "0123456789abcdef";
constexpr char kBase64Digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

Error truncated(std::uint64_t wanted, std::size_t left) {
    return Error(Code::Corrupt,
                 "needs " + std::to_string(wanted) + " more bytes, has " + std::to_string(left));
}

}  // namespace

std::string hex(BytesView bytes) {
    std::string out;
    out.reserve(bytes.size() * 2);
    for (Byte b : bytes) {
        out += kHexDigits[b >> 4];
        out += kHexDigits[b & 15];
    }
    return out;
}

Result<Bytes> from_hex(std::string_view digits) {
    if (digits.size() % 2 != 0) {
        return Error(Code::InvalidInput, "odd number of hexadecimal digits");
    }
    Bytes out;
    out.reserve(digits.size() / 2);
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        const int high = hex_value(digits[i]);
        const int low = hex_value(digits[i + 1]);
        if (high < 0 || low < 0) {
            return Error(Code::InvalidInput, "not a hexadecimal digit");
        }
        out.push_back(static_cast<Byte>(high * 16 + low));
    }
    return out;
}

std::string base64(BytesView bytes, bool padded) {
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            group = group << 8 | (k < n ? bytes[i + k] : 0U);
        }
        for (std::size_t k = 0; k < 4; ++k) {
            if (k <= n) {
                out += kBase64Digits[group >> (18 - 6 * k) & 63];
            } else if (padded) {
                out += '=';
            }
        }
    }
    return out;
}

Result<Bytes> from_base64(std::string_view digits) {
    if (digits.ends_with('=')) {
        if (digits.size() % 4 != 0) {
            return Error(Code::InvalidInput, "base64 text is padded wrongly");
        }
        digits.remove_suffix(digits.ends_with("==") ? 2 : 1);
    }
    Bytes out;
    std::uint32_t group = 0;
    int bits = 0;
    for (char c : digits) {
        const char* found = static_cast<const char*>(std::memchr(kBase64Digits, c, 64));
        if (found == nullptr) {
            return Error(Code::InvalidInput, "not a base64 digit");
        }
        group = group << 6 | static_cast<std::uint32_t>(found - kBase64Digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out.push_back(static_cast<Byte>(group >> bits));
            group &= (1U << bits) - 1;
        }
    }
    if (bits >= 6 || group != 0) {
        return Error(Code::InvalidInput, "base64 text is cut short or not canonical");
    }
    return out;
}

bool is_zero(BytesView bytes) {
    // A buffer is zero iff its first 16 bytes are, and it equals itself shifted by 16: memcmp does
    // the vector work.
    constexpr std::size_t kHead = 16;
    for (std::size_t i = 0; i < std::min(kHead, bytes.size()); ++i) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return bytes.size() <= kHead ||
           std::memcmp(bytes.data(), bytes.data() + kHead, bytes.size() - kHead) == 0;
}

bool equal_constant_time(BytesView a, BytesView b) {
    if (a.size() != b.size()) {
        return false;
    }
    volatile Byte difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference = static_cast<Byte>(difference | (a[i] ^ b[i]));
    }
    return difference == 0;
}

std::string human_size(std::uint64_t bytes) {
    static constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    const int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), "%.*f %s", decimals, value, kUnits[unit]);
    return out.data();
}

std::uint32_t crc32c(BytesView bytes, std::uint32_t crc) {
    // ISA-L leaves both inversions to the caller.
    auto* start = const_cast<Byte*>(
        bytes.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast): its prototype lacks const
    std::uint32_t running = ~crc;
    std::size_t left = bytes.size();
    while (left > 0) {
        const int step = static_cast<int>(std::min<std::size_t>(left, 1U << 30));
        running = crc32_iscsi(start, step, running);
        start += step;
        left -= static_cast<std::size_t>(step);
    }
    return ~running;
}

namespace {

// Multiplies the 32x32 bit matrix by a vector over GF(2); matrices act on reflected CRC registers
// (zlib's crc32_combine, Adler 2006).
using Matrix = std::array<std::uint32_t, 32>;

std::uint32_t times(const Matrix& matrix, std::uint32_t vector) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; vector != 0; vector >>= 1, ++i) {
        if ((vector & 1) != 0) {
            sum ^= matrix[i];
        }
    }
    return sum;
}

Matrix square(const Matrix& matrix) {
    Matrix out{};
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = times(matrix, matrix[i]);
    }
    return out;
}

// What advances a register over 1, 2, 4, ... zero bytes.
std::array<Matrix, 64> steps() {
    Matrix step{};  // over one zero bit
    step[0] = 0x82f63b78U;
    for (std::size_t i = 1; i < step.size(); ++i) {
        step[i] = 1U << (i - 1);
    }
    step = square(square(square(step)));
    std::array<Matrix, 64> all{};
    for (Matrix& each : all) {
        each = step;
        step = square(step);
    }
    return all;
}

}  // namespace

std::uint32_t crc32c_combine(std::uint32_t a, std::uint32_t b, std::uint64_t length_of_b) {
    static const std::array<Matrix, 64> kSteps = steps();
    for (std::size_t i = 0; length_of_b != 0; length_of_b >>= 1, ++i) {
        if ((length_of_b & 1) != 0) {
            a = times(kSteps[i], a);
        }
    }
    return a ^ b;
}

void ByteWriter::varint(std::uint64_t v) {
    while (v >= 0x80) {
        out_.push_back(static_cast<Byte>(v | 0x80));
        v >>= 7;
    }
    out_.push_back(static_cast<Byte>(v));
}

Result<std::uint64_t> ByteReader::fixed(std::size_t width) {
    if (remaining() < width) {
        return truncated(width, remaining());
    }
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < width; ++i) {
        v |= static_cast<std::uint64_t>(in_[at_ + i]) << (8 * i);
    }
    at_ += width;
    return v;
}

Result<std::uint8_t> ByteReader::u8() {
    const std::uint64_t v = TRY(fixed(1));
    return static_cast<std::uint8_t>(v);
}

Result<std::uint16_t> ByteReader::u16() {
    const std::uint64_t v = TRY(fixed(2));
    return static_cast<std::uint16_t>(v);
}

Result<std::uint32_t> ByteReader::u32() {
    const std::uint64_t v = TRY(fixed(4));
    return static_cast<std::uint32_t>(v);
}

Result<std::uint64_t> ByteReader::u64() {
    return fixed(8);
}

Result<std::uint64_t> ByteReader::varint() {
    std::uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const std::uint64_t b = TRY(fixed(1));
        if (shift == 63 && b > 1) {
            break;
        }
        v |= (b & 0x7f) << shift;
        if (b < 0x80) {
            return v;
        }
    }
    return Error(Code::Corrupt, "number does not fit 64 bits");
}

Result<BytesView> ByteReader::raw(std::uint64_t count) {
    if (remaining() < count) {
        return truncated(count, remaining());
    }
    const BytesView out = in_.subspan(at_, count);
    at_ += count;
    return out;
}

Result<BytesView> ByteReader::sized(std::uint64_t limit) {
    const std::uint64_t count = TRY(varint());
    if (count > limit) {
        return Error(Code::Corrupt, "length " + std::to_string(count) + " exceeds the limit of " +
                                        std::to_string(limit));
    }
    return raw(count);
}

Result<std::string> ByteReader::sized_text(std::uint64_t limit) {
    const BytesView bytes = TRY(sized(limit));
    return std::string(text(bytes));
}

}  // namespace lifeboat::base

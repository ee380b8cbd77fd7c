#include "postgres/lsn.h"

#include <bit>
#include <charconv>
#include <cstdio>
#include <optional>

namespace lifeboat::postgres {

namespace {

constexpr std::uint64_t kSmallestSegment = 1ULL << 20;
constexpr std::uint64_t kLargestSegment = 1ULL << 30;
constexpr std::string_view kCapitalDigits = "0123456789ABCDEF";
constexpr std::string_view kAnyDigits = "0123456789ABCDEFabcdef";

enum class Digits { Capital, Any };

std::optional<std::uint32_t> hex32(std::string_view digits, Digits allowed) {
    const std::string_view set = allowed == Digits::Capital ? kCapitalDigits : kAnyDigits;
    if (digits.empty() || digits.size() > 8 ||
        digits.find_first_not_of(set) != std::string_view::npos) {
        return std::nullopt;
    }
    std::uint32_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return value;
}

std::string hex8(std::uint64_t value) {
    char out[17];
    std::snprintf(out, sizeof out, "%08llX", static_cast<unsigned long long>(value));
    return out;
}

std::uint64_t segments_per_id(SegmentSize size) {
    return (1ULL << 32) / size.bytes();
}

// The 24 digits that begin every name but a history's.
std::optional<WalFileName> segment_digits(std::string_view digits, SegmentSize size) {
    const auto timeline = hex32(digits.substr(0, 8), Digits::Capital);
    const auto high = hex32(digits.substr(8, 8), Digits::Capital);
    const auto low = hex32(digits.substr(16, 8), Digits::Capital);
    if (!timeline || !high || !low || *timeline == 0 || *low >= segments_per_id(size)) {
        return std::nullopt;
    }
    return WalFileName{WalFileKind::Segment, *timeline, *high * segments_per_id(size) + *low, 0};
}

std::optional<WalFileName> history_digits(std::string_view digits) {
    const auto timeline = hex32(digits, Digits::Capital);
    if (!timeline || *timeline == 0) {
        return std::nullopt;
    }
    return WalFileName{WalFileKind::History, *timeline, 0, 0};
}

std::optional<WalFileName> read_name(std::string_view name, SegmentSize size) {
    constexpr std::size_t kDigits = 24;
    if (name.size() == 16 && name.ends_with(".history")) {
        return history_digits(name.substr(0, 8));
    }
    if (name.size() < kDigits) {
        return std::nullopt;
    }
    auto file = segment_digits(name.substr(0, kDigits), size);
    const std::string_view rest = name.substr(kDigits);
    if (!file || rest.empty()) {
        return file;
    }
    if (rest == ".partial") {
        file->kind = WalFileKind::Partial;
        return file;
    }
    if (rest.size() != 16 || !rest.starts_with('.') || !rest.ends_with(".backup")) {
        return std::nullopt;
    }
    const auto offset = hex32(rest.substr(1, 8), Digits::Capital);
    if (!offset || *offset >= size.bytes()) {
        return std::nullopt;
    }
    file->kind = WalFileKind::BackupLabel;
    file->offset = *offset;
    return file;
}

}  // namespace

std::string format_lsn(Lsn lsn) {
    char out[24];
    std::snprintf(out, sizeof out, "%X/%X", static_cast<unsigned>(lsn.value >> 32),
                  static_cast<unsigned>(lsn.value));
    return out;
}

Result<Lsn> parse_lsn(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash != std::string_view::npos) {
        const auto high = hex32(text.substr(0, slash), Digits::Any);
        const auto low = hex32(text.substr(slash + 1), Digits::Any);
        if (high && low) {
            return Lsn{std::uint64_t{*high} << 32 | *low};
        }
    }
    return Error(Code::InvalidInput, "'" + std::string(text) + "' is not a position in the WAL")
        .hint("Write it as PostgreSQL prints it, for example 0/16B3748.");
}

Result<SegmentSize> SegmentSize::of(std::uint64_t bytes) {
    if (!std::has_single_bit(bytes) || bytes < kSmallestSegment || bytes > kLargestSegment) {
        return Error(Code::InvalidInput, "a WAL segment of " + std::to_string(bytes) +
                                             " bytes is not a power of two from 1 MiB to 1 GiB");
    }
    return SegmentSize(bytes);
}

std::string segment_name(TimelineId timeline, std::uint64_t segment, SegmentSize size) {
    return hex8(timeline) + hex8(segment / segments_per_id(size)) +
           hex8(segment % segments_per_id(size));
}

std::string partial_name(TimelineId timeline, std::uint64_t segment, SegmentSize size) {
    return segment_name(timeline, segment, size) + ".partial";
}

std::string history_name(TimelineId timeline) {
    return hex8(timeline) + ".history";
}

Result<WalFileName> parse_wal_file_name(std::string_view name, SegmentSize size) {
    if (const auto file = read_name(name, size)) {
        return *file;
    }
    return Error(Code::InvalidInput, "'" + std::string(name) + "' is not the name of a WAL file");
}

}  // namespace lifeboat::postgres

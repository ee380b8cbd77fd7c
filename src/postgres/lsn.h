#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace lifeboat::postgres {

using base::Code;
using base::Error;
using base::Result;

// A byte position in the write-ahead log. Zero is no position: PostgreSQL never writes there.
struct Lsn {
    std::uint64_t value = 0;

    constexpr bool is_set() const { return value != 0; }

    friend constexpr auto operator<=>(Lsn, Lsn) = default;
};

// Positions wrap silently at 2^64; readers of outside bytes bound them first.
constexpr Lsn operator+(Lsn at, std::uint64_t bytes) {
    return Lsn{at.value + bytes};
}

constexpr Lsn operator-(Lsn at, std::uint64_t bytes) {
    return Lsn{at.value - bytes};
}

constexpr std::uint64_t operator-(Lsn later, Lsn earlier) {
    return later.value - earlier.value;
}

// The next multiple of 8: where a record may begin.
constexpr Lsn align_record(Lsn at) {
    return Lsn{(at.value + 7) & ~std::uint64_t{7}};
}

std::string format_lsn(Lsn lsn);               // "0/16B3748", as PostgreSQL 13 to 18 print it
Result<Lsn> parse_lsn(std::string_view text);  // one to eight hexadecimal digits on either side of
                                               // one '/'; InvalidInput

using TimelineId = std::uint32_t;

// wal_segment_size of a cluster: a power of two from 1 MiB to 1 GiB. 16 MiB unless the cluster says
// otherwise.
class SegmentSize {
  public:
    constexpr SegmentSize() = default;
    static Result<SegmentSize> of(std::uint64_t bytes);  // InvalidInput

    constexpr std::uint64_t bytes() const { return bytes_; }

    constexpr std::uint64_t number_at(Lsn at) const { return at.value / bytes_; }

    // The segment that holds the last byte before `end`: for the end of a range, which may lie on a
    // boundary.
    constexpr std::uint64_t number_before(Lsn end) const { return (end.value - 1) / bytes_; }

    constexpr std::uint64_t offset_at(Lsn at) const { return at.value & (bytes_ - 1); }

    constexpr Lsn start_of(std::uint64_t number) const { return Lsn{number * bytes_}; }

    // The first segment boundary at or after `at`.
    constexpr Lsn boundary_after(Lsn at) const {
        return Lsn{(at.value + bytes_ - 1) & ~(bytes_ - 1)};
    }

    friend constexpr bool operator==(SegmentSize, SegmentSize) = default;

  private:
    constexpr explicit SegmentSize(std::uint64_t bytes) : bytes_(bytes) {}

    std::uint64_t bytes_ = 16ULL << 20;
};

enum class WalFileKind {
    Segment,      // 000000010000000000000002
    Partial,      // 000000010000000000000002.partial: the last segment of a timeline that was left
    History,      // 00000002.history
    BackupLabel,  // 000000010000000000000002.00000028.backup
};

struct WalFileName {
    WalFileKind kind = WalFileKind::Segment;
    TimelineId timeline = 0;
    std::uint64_t segment = 0;  // not of a History
    std::uint32_t offset = 0;   // of a BackupLabel

    friend bool operator==(const WalFileName&, const WalFileName&) = default;
};

std::string segment_name(TimelineId timeline, std::uint64_t segment, SegmentSize size);
std::string partial_name(TimelineId timeline, std::uint64_t segment, SegmentSize size);
std::string history_name(TimelineId timeline);

// Accepts exactly the names that PostgreSQL writes: capital digits, a timeline that is not zero, a
// segment that exists under `size`.
Result<WalFileName> parse_wal_file_name(std::string_view name, SegmentSize size);  // InvalidInput

}  // namespace lifeboat::postgres

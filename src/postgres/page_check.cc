// PostgreSQL's page checksum and header rules. Tested by page_check_test.cc,
// tests/fuzz/fuzz_page.cc, and live_files_test.cc, which checks every page of a real cluster.
//
// The checksum runs 32 FNV-1a-like sums side by side, one per 32-bit column of a 128-byte row: sum
// = (sum ^ word) * prime ^ (sum ^ word) >> 17. After the last row come two rows of zeros; the sums
// are joined by exclusive or, mixed with the block number, and reduced to 1..65535. The 16 bits of
// the stored checksum count as zero. The columns do not depend on each other, so eight of them fit
// one AVX2 register; the processor is asked once which of the two versions it can run.

#include "postgres/page_check.h"

#include <array>
#include <bit>
#include <cstring>

namespace lifeboat::postgres {

namespace {

using base::BytesView;

static_assert(std::endian::native == std::endian::little,
              "pages are read in the byte order of the server that wrote them");

// GCC and clang lower this type to what the target has.
using Lanes = std::uint32_t __attribute__((vector_size(32)));

constexpr std::uint32_t kPrime = 16777619;
constexpr std::size_t kRow = 128;
constexpr std::size_t kHeaderSize = 24;
constexpr std::size_t kChecksumAt = 8;
constexpr std::uint16_t kKnownFlags = 0x0007;  // PD_HAS_FREE_LINES, PD_PAGE_FULL, PD_ALL_VISIBLE
constexpr std::uint16_t kLayoutVersion = 4;    // of every server since 8.3

// Where each sum starts: part of the format.
constexpr std::array<std::uint32_t, 32> kStart = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

template <class T>
T load(const void* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// Everything below is inlined into one function per target; vectors never cross a call, whose
// convention depends on the target.
struct Sums {
    Lanes a, b, c, d;
};

[[gnu::always_inline]] inline void mix(Lanes& sum, const base::Byte* from) {
    Lanes mixed;
    std::memcpy(&mixed, from, sizeof mixed);
    mixed ^= sum;
    sum = (mixed * kPrime) ^ (mixed >> 17);
}

[[gnu::always_inline]] inline void mix_row(Sums& sums, const base::Byte* row) {
    mix(sums.a, row);
    mix(sums.b, row + 32);
    mix(sums.c, row + 64);
    mix(sums.d, row + 96);
}

[[gnu::always_inline]] inline std::uint32_t sum_page(const base::Byte* page, std::size_t size) {
    Sums sums;
    static_assert(sizeof sums == sizeof kStart);
    std::memcpy(&sums, kStart.data(), sizeof sums);
    std::array<base::Byte, kRow> first{};
    std::memcpy(first.data(), page, kRow);
    first[kChecksumAt] = 0;
    first[kChecksumAt + 1] = 0;
    mix_row(sums, first.data());
    for (std::size_t at = kRow; at < size; at += kRow) {
        mix_row(sums, page + at);
    }
    const std::array<base::Byte, kRow> zeros{};
    mix_row(sums, zeros.data());
    mix_row(sums, zeros.data());
    const Lanes joined = sums.a ^ sums.b ^ sums.c ^ sums.d;
    std::uint32_t sum = 0;
    for (int i = 0; i < 8; ++i) {
        sum ^= joined[i];
    }
    return sum;
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] std::uint32_t sum_page_avx2(const base::Byte* page, std::size_t size) {
    return sum_page(page, size);
}

[[gnu::target("sse4.1")]] std::uint32_t sum_page_sse4(const base::Byte* page, std::size_t size) {
    return sum_page(page, size);
}
#endif

std::uint32_t sum_page_plain(const base::Byte* page, std::size_t size) {
    return sum_page(page, size);
}

using SumPage = std::uint32_t (*)(const base::Byte*, std::size_t);

SumPage choose_sum_page() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        return sum_page_avx2;
    }
    if (__builtin_cpu_supports("sse4.1")) {
        return sum_page_sse4;
    }
#endif
    return sum_page_plain;
}

struct Header {
    std::uint16_t checksum;
    std::uint16_t flags;
    std::uint16_t lower;
    std::uint16_t upper;
    std::uint16_t special;
    std::uint16_t size_and_version;
};

static_assert(sizeof(Header) == 12);

bool is_sane(const Header& header, std::size_t size) {
    return (header.flags & ~kKnownFlags) == 0 && header.lower >= kHeaderSize &&
           header.lower <= header.upper && header.upper <= header.special &&
           header.special <= size && header.special % 8 == 0 &&
           header.size_and_version == (size | kLayoutVersion);
}

}  // namespace

std::string_view name(PageVerdict verdict) {
    switch (verdict) {
        case PageVerdict::Good:
            return "good";
        case PageVerdict::New:
            return "new";
        case PageVerdict::NewerThanStart:
            return "newer than start";
        case PageVerdict::BadChecksum:
            return "bad checksum";
        case PageVerdict::BadHeader:
            break;
    }
    return "bad header";
}

std::uint16_t page_checksum(BytesView page, std::uint32_t block) {
    static const SumPage kSumPage = choose_sum_page();
    const std::uint32_t sum = kSumPage(page.data(), page.size()) ^ block;
    return static_cast<std::uint16_t>(sum % 65535 + 1);
}

Lsn page_lsn(BytesView page) {
    const std::uint64_t high = load<std::uint32_t>(page.data());
    return Lsn{high << 32 | load<std::uint32_t>(page.data() + 4)};
}

PageVerdict check_page(BytesView page, std::uint32_t block, Lsn start, Checksums checksums) {
    const auto header = load<Header>(page.data() + kChecksumAt);
    if (header.upper ==
        0) {  // what the server takes for a new page; then nothing else may be on it
        return base::is_zero(page) ? PageVerdict::New : PageVerdict::BadHeader;
    }
    if (start.is_set() && page_lsn(page) >= start) {
        return PageVerdict::NewerThanStart;
    }
    if (!is_sane(header, page.size())) {
        return PageVerdict::BadHeader;
    }
    const bool good = checksums == Checksums::Off || header.checksum == page_checksum(page, block);
    return good ? PageVerdict::Good : PageVerdict::BadChecksum;
}

}  // namespace lifeboat::postgres

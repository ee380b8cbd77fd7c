// Feeds pages and control files to their checks. The checksum must agree with its definition,
// written here word by word, on whatever processor this runs.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "postgres/page_check.h"
#include "postgres/pg_control.h"

namespace {

using lifeboat::base::Bytes;
using lifeboat::base::BytesView;
using namespace lifeboat::postgres;

constexpr std::array<std::uint32_t, 32> kStart = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

std::uint16_t plain_checksum(Bytes page, std::uint32_t block) {
    page[8] = page[9] = 0;
    page.resize(page.size() + 256);
    std::uint32_t joined = block;
    for (std::size_t lane = 0; lane < kStart.size(); ++lane) {
        std::uint32_t sum = kStart[lane];
        for (std::size_t at = lane * 4; at < page.size(); at += 128) {
            std::uint32_t word = 0;
            std::memcpy(&word, &page[at], sizeof word);
            word ^= sum;
            sum = (word * 16777619U) ^ (word >> 17);
        }
        joined ^= sum;
    }
    return static_cast<std::uint16_t>(joined % 65535 + 1);
}

void check(const Bytes& page, std::uint32_t block) {
    const std::uint16_t sum = page_checksum(page, block);
    LB_CHECK(sum != 0);
    LB_CHECK(sum == plain_checksum(page, block));
    const PageVerdict whole = check_page(page, block, Lsn{}, Checksums::On);
    const PageVerdict header = check_page(page, block, Lsn{}, Checksums::Off);
    LB_CHECK(whole != PageVerdict::NewerThanStart && header != PageVerdict::BadChecksum);
    LB_CHECK(whole == header || (whole == PageVerdict::BadChecksum && header == PageVerdict::Good));
    const PageVerdict judged = check_page(page, block, page_lsn(page), Checksums::On);
    LB_CHECK(!page_lsn(page).is_set() || judged == PageVerdict::NewerThanStart ||
             page[14] + page[15] == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size < 5) {
        return 0;
    }
    std::uint32_t block = 0;
    std::memcpy(&block, bytes, sizeof block);
    Bytes page(std::size_t{1024} << (bytes[4] % 6));
    std::memcpy(page.data(), bytes + 5, std::min(page.size(), size - 5));
    check(page, block);
    const auto control = parse_control(BytesView(bytes, size));
    LB_CHECK(control.has_value() == without_checkpoint(BytesView(bytes, size)).has_value());
    return 0;
}

#include "postgres/page_check.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "base/random.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;

constexpr std::size_t kSize = 8192;

void put16(Bytes& page, std::size_t at, std::size_t value) {
    page[at] = static_cast<base::Byte>(value);
    page[at + 1] = static_cast<base::Byte>(value >> 8);
}

// A sane page with random contents, LSN 1/20 and a right checksum for `block`.
Bytes make_page(std::uint32_t block, std::size_t size = kSize) {
    Bytes page(size);
    base::seeded_random(block)->fill(page);
    const std::array<base::Byte, 8> lsn = {1, 0, 0, 0, 0x20, 0, 0, 0};
    std::copy(lsn.begin(), lsn.end(), page.begin());
    put16(page, 10, 5);
    put16(page, 12, 100);
    put16(page, 14, 200);
    put16(page, 16, size - 16);
    put16(page, 18, size | 4);
    put16(page, 8, page_checksum(page, block));
    return page;
}

PageVerdict check(const Bytes& page, std::uint32_t block = 7, Lsn start = Lsn{},
                  Checksums checksums = Checksums::On) {
    return check_page(page, block, start, checksums);
}

TEST(PageChecksum, AgreesWithPagesOfARealCluster) {
    // Visibility maps as initdb left them: a header, one byte of map, and zeros.
    const std::pair<const char*, std::uint16_t> table[] = {
        {"00000000a0e87201f8d2000018000020002004200000000003", 0xd2f8},
        {"00000000086d7301e7c4000018000020002004200000000003", 0xc4e7},
        {"0000000068b8620189ff00001800002000200420000000000f", 0xff89},
    };
    for (const auto& [start, checksum] : table) {
        Bytes page(kSize);
        const Bytes head = *base::from_hex(start);
        std::copy(head.begin(), head.end(), page.begin());
        EXPECT_EQ(page_checksum(page, 0), checksum) << start;
        EXPECT_EQ(check(page, 0), PageVerdict::Good) << start;
    }
}

TEST(PageCheck, AGoodPageIsGoodAtItsPlaceOnly) {
    for (const std::size_t size :
         {std::size_t{1024}, std::size_t{4096}, kSize, std::size_t{32768}}) {
        const Bytes page = make_page(7, size);
        EXPECT_EQ(check(page, 7), PageVerdict::Good) << size;
        EXPECT_EQ(check(page, 8), PageVerdict::BadChecksum) << size;
    }
}

TEST(PageCheck, AnyFlippedBitIsSeen) {
    const Bytes good = make_page(7);
    for (std::size_t bit = 0; bit < kSize * 8; bit += 37) {
        Bytes page = good;
        page[bit / 8] ^= static_cast<base::Byte>(1U << (bit % 8));
        EXPECT_NE(check(page), PageVerdict::Good) << bit;
    }
}

TEST(PageCheck, TheStoredChecksumDoesNotCountInItself) {
    Bytes page = make_page(7);
    const std::uint16_t before = page_checksum(page, 7);
    put16(page, 8, 0xABCD);
    EXPECT_EQ(page_checksum(page, 7), before);
}

TEST(PageCheck, T3_AllZeroIsNewAndNearlyZeroIsNot) {
    Bytes page(kSize);
    EXPECT_EQ(check(page), PageVerdict::New);
    page[kSize - 1] = 1;
    EXPECT_EQ(check(page), PageVerdict::BadHeader);
}

TEST(PageCheck, T3_PagesOfTheBackupsTimeAreNotJudged) {
    Bytes page = make_page(7);
    page[4000] ^= 1;
    EXPECT_EQ(check(page, 7, Lsn{0x100000020}), PageVerdict::NewerThanStart);
    EXPECT_EQ(check(page, 7, Lsn{0x100000021}), PageVerdict::BadChecksum);
    EXPECT_EQ(page_lsn(page), Lsn{0x100000020});
}

TEST(PageCheck, WithoutChecksumsTheHeaderIsAllThereIs) {
    Bytes page = make_page(7);
    page[4000] ^= 1;
    EXPECT_EQ(check(page, 7, Lsn{}, Checksums::Off), PageVerdict::Good);
}

TEST(PageCheck, RefusesHeadersThatNoServerWrites) {
    struct Damage {
        std::size_t at;
        std::size_t value;
    };

    const Damage table[] = {{10, 0x0008}, {10, 0x8000}, {12, 23},     {12, 201},    {14, 8177},
                            {16, 8200},   {16, 8177},   {18, 0x2003}, {18, 0x4004}, {18, 0}};
    for (const Damage& damage : table) {
        Bytes page = make_page(7);
        put16(page, damage.at, damage.value);
        put16(page, 8, page_checksum(page, 7));
        EXPECT_EQ(check(page), PageVerdict::BadHeader) << damage.at << " " << damage.value;
        EXPECT_EQ(check(page, 7, Lsn{}, Checksums::Off), PageVerdict::BadHeader)
            << damage.at << " " << damage.value;
    }
}

TEST(PageCheck, T29_BlocksCountFromTheStartOfTheRelation) {
    EXPECT_EQ(absolute_block(0, 5, 131072), 5U);
    EXPECT_EQ(absolute_block(3, 5, 131072), 393221U);
}

}  // namespace
}  // namespace lifeboat::postgres

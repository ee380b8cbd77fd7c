#include "crypto/fingerprint.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "crypto/internal/test_vectors.h"

namespace lifeboat::crypto {
namespace {

using base::Byte;
using base::Bytes;
using base::hex;
using internal::counting_key;

constexpr std::size_t kPage = 8192;

Bytes patterned(std::size_t size) {
    Bytes page(size);
    for (std::size_t i = 0; i < size; ++i) {
        page[i] = static_cast<Byte>(i * 7);
    }
    return page;
}

// Golden: computed once with an implementation of GHASH in Python, bit by bit from NIST SP 800-38D,
// and its cryptography package. Fingerprints are stored in repositories: these values never change.
TEST(Fingerprinter, KeepsItsValues) {
    Bytes counting(100);
    for (std::size_t i = 0; i < counting.size(); ++i) {
        counting[i] = static_cast<Byte>(i);
    }
    Fingerprinter fingerprinter(counting_key());
    EXPECT_EQ(hex(fingerprinter.of({})), "8d6ebfe43e655ea2dde914d97f613528");
    EXPECT_EQ(hex(fingerprinter.of(Bytes(1))), "ea9f29cb28d360e2706745fd6aaed551");
    EXPECT_EQ(hex(fingerprinter.of(counting)), "367213892b81d0afc593bb8fe285fb3d");
    EXPECT_EQ(hex(fingerprinter.of(Bytes(kPage))), "354184826c734a3024ebb153ae88aaed");
    EXPECT_EQ(hex(fingerprinter.of(patterned(kPage))), "94c5ec0e41b9d702a3994d90f2d0adb1");
}

TEST(Fingerprinter, DependsOnNothingButKeyAndPage) {
    Fingerprinter one(counting_key());
    Fingerprinter other(counting_key());
    const Bytes page = patterned(kPage);
    const Fingerprint first = one.of(page);
    EXPECT_EQ(one.of(Bytes(3)), other.of(Bytes(3)));
    EXPECT_EQ(one.of(page), first);
    EXPECT_EQ(other.of(page), first);
    EXPECT_NE(Fingerprinter(base::Key256()).of(page), first);
}

TEST(Fingerprinter, TellsPagesApartThatDifferInOneBit) {
    Fingerprinter fingerprinter(counting_key());
    Bytes page = patterned(kPage);
    std::set<Fingerprint> seen = {fingerprinter.of(page)};
    std::size_t count = 1;
    for (std::size_t bit = 0; bit < kPage * 8; bit += 61) {
        page[bit / 8] ^= static_cast<Byte>(1U << (bit % 8));
        seen.insert(fingerprinter.of(page));
        page[bit / 8] ^= static_cast<Byte>(1U << (bit % 8));
        ++count;
    }
    EXPECT_EQ(seen.size(), count);
}

TEST(Fingerprinter, TellsZeroPagesOfDifferentLengthApart) {
    Fingerprinter fingerprinter(counting_key());
    std::set<Fingerprint> seen;
    for (std::size_t size = 0; size <= 64; ++size) {
        seen.insert(fingerprinter.of(Bytes(size)));
    }
    for (const std::size_t size : {kPage - 16, kPage - 8, kPage - 1, kPage}) {
        seen.insert(fingerprinter.of(Bytes(size)));
    }
    EXPECT_EQ(seen.size(), 65U + 4U);
}

// A page that ends in what would be the length of a shorter one.
TEST(Fingerprinter, TellsAPageFromItselfWithTheLengthWrittenBehindIt) {
    Fingerprinter fingerprinter(counting_key());
    const Bytes page = patterned(24);
    Bytes longer = page;
    longer.insert(longer.end(), {24, 0, 0, 0, 0, 0, 0, 0});
    EXPECT_NE(fingerprinter.of(page), fingerprinter.of(longer));
}

TEST(Fingerprinter, NeedsNoAlignment) {
    Fingerprinter fingerprinter(counting_key());
    const Bytes page = patterned(kPage);
    Bytes shifted(1);
    shifted.insert(shifted.end(), page.begin(), page.end());
    EXPECT_EQ(fingerprinter.of(base::BytesView(shifted).subspan(1)), fingerprinter.of(page));
}

TEST(Fingerprinter, MovesWithItsKey) {
    Fingerprinter first(counting_key());
    Fingerprinter second = std::move(first);
    EXPECT_EQ(hex(second.of({})), "8d6ebfe43e655ea2dde914d97f613528");
}

}  // namespace
}  // namespace lifeboat::crypto

#include "crypto/seal.h"

#include <gtest/gtest.h>

#include "crypto/internal/test_vectors.h"

namespace lifeboat::crypto {
namespace {

using base::Byte;
using base::Bytes;
using base::Code;
using base::hex;
using base::view;
using internal::counting_key;
using internal::unhex;

constexpr std::uint64_t kNumber = 0x0102030405060708;

Bytes sealed_with(const Key256& key, std::uint64_t number, BytesView associated, BytesView plain) {
    Bytes out;
    Sealer(key).seal(number, associated, plain, out);
    return out;
}

Result<Bytes> opened_with(const Key256& key, std::uint64_t number, BytesView associated,
                          BytesView sealed) {
    Bytes plain(sealed.size() - kTagSize);
    TRY(Opener(key).open(number, associated, sealed, plain));
    return plain;
}

TEST(Sealer, MatchesTheVectorsOfGcm) {
    EXPECT_EQ(hex(sealed_with({}, 0, {}, {})), "530f8afbc74536b9a963b4f1c4cb738b");
    EXPECT_EQ(hex(sealed_with({}, 0, {}, Bytes(16))),
              "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

// Golden: computed once with Python's cryptography package, nonce 08 07 06 05 04 03 02 01 00 00 00
// 00.
TEST(Sealer, NonceIsTheNumberInLittleEndian) {
    EXPECT_EQ(hex(sealed_with(counting_key(), kNumber, view("associated"), view("hello"))),
              "dfda1d09fd55dcc98aa0f98637c7c678dd13f968d7");
}

TEST(Sealer, AppendsToWhatIsThere) {
    Bytes out = {1, 2, 3};
    Sealer sealer(counting_key());
    sealer.seal(kNumber, view("associated"), view("hello"), out);
    EXPECT_EQ(hex(out), "010203dfda1d09fd55dcc98aa0f98637c7c678dd13f968d7");
}

TEST(SealerAndOpener, RoundTripAnySizeWithOneContextEach) {
    Sealer sealer(counting_key());
    Opener opener(counting_key());
    const auto random = base::seeded_random(7);
    std::uint64_t number = 0;
    for (const std::size_t size : {0UL, 1UL, 15UL, 16UL, 17UL, 8192UL, 131072UL, 300001UL}) {
        for (const std::size_t associated_size : {0UL, 1UL, 84UL}) {
            Bytes plain(size);
            Bytes associated(associated_size);
            random->fill(plain);
            random->fill(associated);
            Bytes sealed;
            sealer.seal(++number, associated, plain, sealed);
            ASSERT_EQ(sealed.size(), size + kTagSize);
            Bytes again(size, Byte{0xaa});
            const auto result = opener.open(number, associated, sealed, again);
            ASSERT_TRUE(result.has_value()) << size << " " << result.error().message();
            EXPECT_EQ(again, plain);
        }
    }
}

TEST(Opener, NoticesEveryFlippedBit) {
    const Bytes good = sealed_with(counting_key(), kNumber, view("associated"), Bytes(48, Byte{7}));
    Opener opener(counting_key());
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        Bytes bad = good;
        bad[bit / 8] ^= static_cast<Byte>(1U << (bit % 8));
        Bytes plain(48, Byte{0xaa});
        const auto result = opener.open(kNumber, view("associated"), bad, plain);
        ASSERT_FALSE(result.has_value()) << bit;
        EXPECT_EQ(result.error().code(), Code::Corrupt);
        EXPECT_TRUE(base::is_zero(plain)) << bit;
    }
    Bytes plain(48);
    EXPECT_TRUE(opener.open(kNumber, view("associated"), good, plain).has_value())
        << "a failure must not stick";
}

TEST(Opener, NoticesAWrongNumberKeyOrAssociatedData) {
    const Bytes sealed = sealed_with(counting_key(), kNumber, view("associated"), view("hello"));
    EXPECT_TRUE(opened_with(counting_key(), kNumber, view("associated"), sealed).has_value());
    EXPECT_FALSE(opened_with(counting_key(), kNumber + 1, view("associated"), sealed).has_value());
    EXPECT_FALSE(opened_with(counting_key(), kNumber ^ (1ULL << 63), view("associated"), sealed)
                     .has_value());
    EXPECT_FALSE(opened_with(Key256(), kNumber, view("associated"), sealed).has_value());
    EXPECT_FALSE(opened_with(counting_key(), kNumber, view("Associated"), sealed).has_value());
    EXPECT_FALSE(opened_with(counting_key(), kNumber, view("associated "), sealed).has_value());
    EXPECT_FALSE(opened_with(counting_key(), kNumber, {}, sealed).has_value());
}

TEST(Opener, NoticesBytesMovedBetweenAssociatedAndSealed) {
    const Bytes sealed = sealed_with(counting_key(), kNumber, view("a"), view("hello"));
    Bytes longer = {'a'};
    longer.insert(longer.end(), sealed.begin(), sealed.end());
    EXPECT_FALSE(opened_with(counting_key(), kNumber, {}, longer).has_value());
}

TEST(Opener, CallsTooFewBytesCorrupt) {
    Opener opener(counting_key());
    for (const std::size_t size : {0UL, 1UL, 15UL}) {
        const auto result = opener.open(0, {}, Bytes(size), {});
        ASSERT_FALSE(result.has_value());
        EXPECT_EQ(result.error().code(), Code::Corrupt);
    }
}

TEST(SealerAndOpener, MoveWithTheirKeys) {
    Sealer sealer(counting_key());
    Sealer moved = std::move(sealer);
    Bytes sealed;
    moved.seal(kNumber, view("associated"), view("hello"), sealed);
    Opener opener{Key256()};
    opener = Opener(counting_key());
    Bytes plain(5);
    EXPECT_TRUE(opener.open(kNumber, view("associated"), sealed, plain).has_value());
    EXPECT_EQ(base::text(plain), "hello");
}

}  // namespace
}  // namespace lifeboat::crypto

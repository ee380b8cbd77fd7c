#include <gtest/gtest.h>

#include <string>

#include "crypto/internal/hkdf.h"
#include "crypto/internal/test_vectors.h"
#include "crypto/seal.h"

namespace lifeboat::crypto {
namespace {

using base::Bytes;
using base::hex;
using base::view;
using internal::counting_key;
using internal::key_of;
using internal::unhex;

struct DigestVector {
    std::string message;
    const char* digest;
};

const DigestVector kFips180[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {std::string(1'000'000, 'a'),
     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

TEST(Sha256, MatchesFips180) {
    for (const DigestVector& v : kFips180) {
        EXPECT_EQ(hex(sha256(view(v.message))), v.digest);
    }
}

TEST(Sha256, InPartsIsTheSameAsWhole) {
    Sha256 digest;
    for (const DigestVector& v : kFips180) {
        for (std::size_t cut : {std::size_t{0}, v.message.size() / 3, v.message.size()}) {
            digest.update(view(v.message).first(cut));
            digest.update(view(v.message).subspan(cut));
            EXPECT_EQ(hex(digest.finish()), v.digest) << cut;
        }
    }
}

TEST(Sha256, MovesWithItsState) {
    Sha256 first;
    first.update(view("ab"));
    Sha256 second = std::move(first);
    second.update(view("c"));
    EXPECT_EQ(hex(second.finish()), kFips180[1].digest);
}

TEST(Hmac, MatchesRfc4231) {
    struct Case {
        const char* key;
        const char* message;
        const char* mac;
    };

    // Keys shorter than ours: HMAC pads them with the zeros that key_of() adds.
    const Case cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
         "ddddddddddd",
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(hex(hmac_sha256(key_of(c.key), unhex(c.message))), c.mac);
    }
}

TEST(Hmac, OfNothingIsDefined) {
    EXPECT_EQ(hex(hmac_sha256({}, {})),
              "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Hkdf, MatchesRfc5869) {
    struct Case {
        const char* secret;
        const char* salt;
        const char* purpose;
        const char* out;
    };

    const Case cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
         "f0f1f2f3f4f5f6f7f8f9",
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2"
         "c2d2e2f3031323334353637"
         "38393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
         "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8"
         "c8d8e8f9091929394959697"
         "98999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
         "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbd"
         "cdddedfe0e1e2e3e4e5e6e7"
         "e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65"
         "e590e09da3275600c2f09b8"
         "367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
    };
    for (const Case& c : cases) {
        Bytes out(unhex(c.out).size());
        internal::hkdf_sha256(unhex(c.secret), unhex(c.salt), unhex(c.purpose), out);
        EXPECT_EQ(hex(out), c.out);
    }
}

// Golden: computed once with Python's hmac module. The formats rest on these values.
TEST(DeriveKey, KeepsItsValues) {
    EXPECT_EQ(hex(derive_key(counting_key(), view("repository"), "lifeboat v1 map").reveal()),
              "9a6833345b066e93449bbc45206bad8534539afc24ea33728a0b1162abf9be8f");
    EXPECT_EQ(hex(derive_key(counting_key(), {}, "lifeboat v1 fingerprint").reveal()),
              "d63df54139c818e45fd9a930a9e2173f349182814a8549a60fa5091074fb371a");
}

TEST(RandomKey, TakesAllItsBytesFromTheSource) {
    const auto random = base::seeded_random(1);
    const Key256 first = random_key(*random);
    const Key256 second = random_key(*random);
    EXPECT_NE(hex(first.reveal()), hex(second.reveal()));
    EXPECT_FALSE(base::is_zero(first.reveal().last(16)));
}

}  // namespace
}  // namespace lifeboat::crypto

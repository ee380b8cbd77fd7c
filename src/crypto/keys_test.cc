#include "crypto/keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <type_traits>

#include "crypto/internal/bech32.h"
#include "crypto/internal/sodium.h"
#include "crypto/internal/test_vectors.h"

namespace lifeboat::crypto {
namespace {

using base::Code;
using internal::kAlicePoint;
using internal::kAliceScalar;
using internal::kBobPoint;
using internal::kBobScalar;
using internal::key_of;
using internal::unhex;
using internal::unhex_array;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kAliceText =
    "AGE-SECRET-KEY-1WURK6ZNNRZJH60QKC9E9RVNXGH05CTU8A0QFJ243WLA628DE9S4QRFH26J";

// Hands out one key, as its scalar.
class FixedRandom : public base::Random {
  public:
    explicit FixedRandom(std::string_view digits) : key_(key_of(digits)) {}

    void fill(base::MutableBytes out) override {
        std::ranges::copy(key_.reveal().first(out.size()), out.begin());
    }

  private:
    base::Key256 key_;
};

Identity identity_of(std::string_view digits) {
    FixedRandom random(digits);
    return Identity::generate(random);
}

TEST(X25519, MatchesRfc7748) {
    base::Key256 shared;
    ASSERT_TRUE(internal::x25519(
        key_of("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
        unhex_array<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
        shared));
    EXPECT_EQ(base::hex(shared.reveal()),
              "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    ASSERT_TRUE(internal::x25519(key_of(kAliceScalar), unhex_array<32>(kBobPoint), shared));
    EXPECT_EQ(base::hex(shared.reveal()),
              "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

TEST(Identity, RecipientIsThePublicKeyOfRfc7748) {
    EXPECT_EQ(base::hex(identity_of(kAliceScalar).recipient().point()), kAlicePoint);
    EXPECT_EQ(base::hex(identity_of(kBobScalar).recipient().point()), kBobPoint);
}

TEST(Identity, TextIsUpperCaseAndReadsBack) {
    const base::Secret text = identity_of(kAliceScalar).text();
    EXPECT_EQ(text.reveal(), kAliceText);
    const auto again = Identity::parse(text.reveal());
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(base::hex(again->scalar().reveal()), kAliceScalar);
}

TEST(Identity, RefusesWhatIsNotOneAndNeverQuotesIt) {
    const std::string good = kAliceText;
    std::string mistyped = good;
    mistyped[30] = mistyped[30] == 'Q' ? 'P' : 'Q';
    std::string lower = internal::encode_bech32("age-secret-key-", unhex(kAliceScalar));
    const std::string cases[] = {"",
                                 good.substr(0, 73),
                                 good + "Q",
                                 mistyped,
                                 lower,
                                 identity_of(kAliceScalar).recipient().text(),
                                 "AGE-SECRET-KEY-1",
                                 "AGE-SECRET-KEY-PQ-1QQQQ"};
    for (const std::string& text : cases) {
        const auto identity = Identity::parse(text);
        ASSERT_FALSE(identity.has_value()) << text;
        EXPECT_EQ(identity.error().code(), Code::InvalidInput);
        if (text.size() > 20) {
            EXPECT_THAT(identity.error().message() + identity.error().hint(),
                        Not(HasSubstr(text.substr(20))));
        }
    }
}

TEST(Recipient, TextReadsBack) {
    const Recipient recipient = identity_of(kAliceScalar).recipient();
    EXPECT_THAT(recipient.text(), testing::StartsWith("age1"));
    EXPECT_EQ(recipient.text().size(), 62U);
    const auto again = Recipient::parse(recipient.text());
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(*again, recipient);
    EXPECT_NE(*again, identity_of(kBobScalar).recipient());
}

TEST(Recipient, RefusalNamesWhatIsWrong) {
    const std::string good = identity_of(kAliceScalar).recipient().text();

    struct Case {
        std::string text;
        const char* message;
    };

    const Case cases[] = {
        {good.substr(0, 61), "its checksum does not match"},
        {"age1", "it is too short"},
        {good + "\n", "it holds a character that is not printable"},
        {internal::encode_bech32("age1pq", unhex(kAlicePoint)), "is not an X25519 key"},
        {internal::encode_bech32("age", unhex("00112233")), "is not an X25519 key"},
        {"ssh-ed25519 AAAA", "it holds a character that is not printable"},
    };
    for (const Case& c : cases) {
        const auto recipient = Recipient::parse(c.text);
        ASSERT_FALSE(recipient.has_value()) << c.text;
        EXPECT_EQ(recipient.error().code(), Code::InvalidInput);
        EXPECT_THAT(recipient.error().message(), HasSubstr(c.message));
    }
    EXPECT_THAT(Recipient::parse(good.substr(0, 61)).error().message(),
                HasSubstr(good.substr(0, 61)));
}

TEST(Recipient, NeverQuotesAPrivateKeyThatWasPastedInItsPlace) {
    const std::string secret = kAliceText;
    const std::string cases[] = {secret, secret.substr(0, 60), " " + secret, "age1" + secret,
                                 internal::encode_bech32("age-secret-key-", unhex(kAliceScalar))};
    for (const std::string& text : cases) {
        const auto recipient = Recipient::parse(text);
        ASSERT_FALSE(recipient.has_value());
        EXPECT_EQ(recipient.error().message(), "a private key stands where a recipient belongs");
        EXPECT_THAT(recipient.error().hint(), HasSubstr("age-keygen -y"));
    }
    // Cut so that its prefix is lost: still not repeated.
    EXPECT_THAT(Recipient::parse(secret.substr(15)).error().message(),
                Not(HasSubstr(secret.substr(20, 20))));
}

TEST(Recipient, RefusesPointsOfLowOrder) {
    const char* const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    for (const char* point : points) {
        const auto recipient = Recipient::parse(internal::encode_bech32("age", unhex(point)));
        ASSERT_FALSE(recipient.has_value()) << point;
        EXPECT_THAT(recipient.error().message(), HasSubstr("protects nothing"));
    }
}

TEST(IdentityFile, ReadsKeysSignersAndRepository) {
    const std::string signer = SigningKey::from_seed(key_of(kAliceScalar)).verify_key().text();
    const std::string bob = identity_of(kBobScalar).text().reveal();
    const auto file = parse_identity_file(
        "# created: 2026-01-23T14:00:00Z\n#public key: age1x\n# signer: " + signer +
        "\n\n#signer:" + signer + "  \n# repository: 00ff\r\n  " + kAliceText + "\r\n" + bob);
    ASSERT_TRUE(file.has_value()) << file.error().message();
    ASSERT_EQ(file->identities.size(), 2U);
    EXPECT_EQ(base::hex(file->identities[0].scalar().reveal()), kAliceScalar);
    EXPECT_EQ(base::hex(file->identities[1].scalar().reveal()), kBobScalar);
    EXPECT_THAT(file->signers, testing::ElementsAre(signer, signer));
    EXPECT_EQ(file->repository, "00ff");
}

TEST(IdentityFile, NeedsNoComments) {
    const auto file = parse_identity_file(kAliceText);
    ASSERT_TRUE(file.has_value());
    EXPECT_EQ(file->identities.size(), 1U);
    EXPECT_TRUE(file->signers.empty());
    EXPECT_EQ(file->repository, "");
}

TEST(IdentityFile, RefusalNamesTheLineAndQuotesNothing) {
    const std::string good = std::string(kAliceText) + "\n";

    struct Case {
        std::string contents;
        const char* message;
    };

    const Case cases[] = {
        {"", "identity file holds no identity"},
        {"# only a comment\n", "identity file holds no identity"},
        {good + "\n" + good.substr(0, 70) + "\n", "line 3: identity: its checksum does not match"},
        {good + "hunter2-hunter2-hunter2\n", "line 2: identity: it has no prefix"},
        {"# signer: ed25519:AAAA\n" + good, "line 1: signer does not hold 32 bytes"},
        {"# signer: \n" + good, "line 1: signer does not start with 'ed25519:'"},
        {"# repository:\n" + good, "line 1: names no repository, or a second one"},
        {"# repository: a\n# repository: b\n" + good,
         "line 2: names no repository, or a second one"},
        {"age-encryption.org/v1\n-> scrypt x 18\n", "identity file is encrypted"},
        {"-----BEGIN AGE ENCRYPTED FILE-----\n", "identity file is encrypted"},
    };
    for (const Case& c : cases) {
        const auto file = parse_identity_file(c.contents);
        ASSERT_FALSE(file.has_value()) << c.contents;
        EXPECT_EQ(file.error().code(), Code::InvalidInput);
        EXPECT_EQ(file.error().message(), c.message);
        EXPECT_NE(file.error().hint(), "") << c.message;
    }
}

struct SignatureVector {
    const char* seed;
    const char* key;
    const char* message;
    const char* signature;
};

constexpr SignatureVector kRfc8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46bd25bf5f0595bbe24"
     "655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c387b2eaeb4302aee"
     "b00d291612bb0c00"},
};

TEST(Signatures, MatchRfc8032) {
    for (const SignatureVector& v : kRfc8032) {
        const SigningKey key = SigningKey::from_seed(key_of(v.seed));
        EXPECT_EQ(base::hex(key.verify_key().bytes()), v.key);
        EXPECT_EQ(base::hex(key.sign(unhex(v.message))), v.signature);
        EXPECT_TRUE(key.verify_key().verifies(unhex(v.message), unhex(v.signature)));
    }
}

TEST(Signatures, EveryFlippedBitIsNoticed) {
    const SignatureVector& v = kRfc8032[1];
    const VerifyKey key = VerifyKey::from_bytes(unhex_array<32>(v.key));
    for (std::size_t bit = 0; bit < kSignatureSize * 8; ++bit) {
        base::Bytes signature = unhex(v.signature);
        signature[bit / 8] ^= static_cast<base::Byte>(1U << (bit % 8));
        EXPECT_FALSE(key.verifies(unhex(v.message), signature)) << bit;
    }
    EXPECT_FALSE(key.verifies(unhex("73"), unhex(v.signature)));
    EXPECT_FALSE(key.verifies(unhex("7200"), unhex(v.signature)));
    EXPECT_FALSE(VerifyKey::from_bytes(unhex_array<32>(kRfc8032[0].key))
                     .verifies(unhex(v.message), unhex(v.signature)));
}

TEST(Signatures, ShortAndLongOnesAreRefused) {
    const SignatureVector& v = kRfc8032[0];
    const VerifyKey key = VerifyKey::from_bytes(unhex_array<32>(v.key));
    EXPECT_FALSE(key.verifies({}, {}));
    EXPECT_FALSE(key.verifies({}, base::BytesView(unhex(v.signature)).first(63)));
    EXPECT_FALSE(key.verifies({}, unhex(std::string(v.signature) + "00")));
}

TEST(VerifyKey, TextReadsBack) {
    const VerifyKey key = VerifyKey::from_bytes(unhex_array<32>(kRfc8032[0].key));
    EXPECT_EQ(key.text(), "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    const auto again = VerifyKey::parse(key.text());
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(*again, key);
}

TEST(VerifyKey, RefusesWhatIsNotOne) {
    struct Case {
        const char* text;
        const char* message;
    };

    const Case cases[] = {
        {"", "signer does not start with 'ed25519:'"},
        {"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo", "signer does not start with 'ed25519:'"},
        {"ed25519:", "signer does not hold 32 bytes"},
        {"ed25519:!1qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo", "signer: not a base64 digit"},
        {"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
         "signer is not an Ed25519 public key"},
        {"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURoA", "signer does not hold 32 bytes"},
        {"ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
         "signer is not an Ed25519 public key"},  // order 1
        {"ed25519:AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
         "signer is not an Ed25519 public key"},  // off the curve
    };
    for (const Case& c : cases) {
        const auto key = VerifyKey::parse(c.text);
        ASSERT_FALSE(key.has_value()) << c.text;
        EXPECT_EQ(key.error().code(), Code::InvalidInput);
        EXPECT_EQ(key.error().message(), c.message) << c.text;
    }
}

}  // namespace
}  // namespace lifeboat::crypto

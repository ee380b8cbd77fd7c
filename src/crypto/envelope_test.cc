#include "crypto/envelope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "crypto/internal/hkdf.h"
#include "crypto/internal/sodium.h"
#include "crypto/internal/test_vectors.h"
#include "crypto/seal.h"

namespace lifeboat::crypto {
namespace {

using base::Byte;
using base::Bytes;
using base::Code;
using base::view;
using testing::HasSubstr;

class EnvelopeTest : public testing::Test {
  protected:
    EnvelopeTest() {
        for (int i = 0; i < 3; ++i) {
            identities_.push_back(Identity::generate(*random_));
            recipients_.push_back(identities_.back().recipient());
        }
    }

    Bytes seal(std::string_view secret) {
        return seal_envelope(view(secret), recipients_, *random_);
    }

    std::unique_ptr<base::Random> random_ = base::seeded_random(42);
    std::vector<Identity> identities_;
    std::vector<Recipient> recipients_;
};

TEST_F(EnvelopeTest, EachRecipientOpensIt) {
    const Bytes envelope = seal("a secret");
    for (const Identity& identity : identities_) {
        const auto secret = open_envelope(envelope, std::span(&identity, 1));
        ASSERT_TRUE(secret.has_value()) << secret.error().message();
        EXPECT_EQ(base::text(*secret), "a secret");
    }
}

TEST_F(EnvelopeTest, AnyOfSeveralIdentitiesMayFit) {
    const Bytes envelope = seal("a secret");
    const Identity identities[] = {Identity::generate(*random_), identities_[2]};
    EXPECT_TRUE(open_envelope(envelope, identities).has_value());
}

TEST_F(EnvelopeTest, HoldsFromNothingTo64KiB) {
    for (const std::size_t size : {0UL, 1UL, 32UL, 65535UL, 65536UL}) {
        Bytes secret(size);
        random_->fill(secret);
        const auto again = open_envelope(seal_envelope(secret, recipients_, *random_), identities_);
        ASSERT_TRUE(again.has_value()) << size;
        EXPECT_EQ(*again, secret);
    }
}

TEST_F(EnvelopeTest, TwoOfOneSecretShareNoBytesButTheGrammar) {
    const Bytes first = seal("a secret");
    const Bytes second = seal("a secret");
    EXPECT_EQ(first.size(), second.size());
    EXPECT_NE(Bytes(first.end() - 40, first.end()), Bytes(second.end() - 40, second.end()));
}

TEST_F(EnvelopeTest, AStrangerIsDeniedAndToldHowManyRecipientsThereAre) {
    const Identity stranger = Identity::generate(*random_);
    for (const std::span<const Identity> identities :
         {std::span(&stranger, 1), std::span(&stranger, 0)}) {
        const auto secret = open_envelope(seal("a secret"), identities);
        ASSERT_FALSE(secret.has_value());
        EXPECT_EQ(secret.error().code(), Code::Denied);
        EXPECT_THAT(secret.error().hint(), HasSubstr("sealed to 3 recipients"));
    }
}

TEST_F(EnvelopeTest, EveryFlippedBitIsNoticed) {
    const Identity& identity = identities_[0];
    const Bytes good = seal_envelope(view("32 bytes are a key of 256 bits.."),
                                     std::span(recipients_).first(1), *random_);
    ASSERT_TRUE(open_envelope(good, std::span(&identity, 1)).has_value());
    for (std::size_t i = 0; i < good.size(); ++i) {
        for (const unsigned mask : {0x01U, 0x20U, 0x80U}) {
            Bytes bad = good;
            bad[i] ^= static_cast<Byte>(mask);
            const auto secret = open_envelope(bad, std::span(&identity, 1));
            ASSERT_FALSE(secret.has_value()) << "byte " << i << " mask " << mask;
            EXPECT_THAT(secret.error().code(), testing::AnyOf(Code::Corrupt, Code::Denied));
        }
    }
}

TEST_F(EnvelopeTest, AFlipInAnothersStanzaIsNoticedToo) {
    const Bytes good = seal("a secret");
    const std::size_t header = base::text(good).find("\n---");
    for (std::size_t i = 0; i < header; i += 3) {
        Bytes bad = good;
        bad[i] ^= Byte{0x02};
        EXPECT_FALSE(open_envelope(bad, std::span(identities_).subspan(1, 1)).has_value()) << i;
    }
}

TEST_F(EnvelopeTest, EveryCutAndEveryTailIsNoticed) {
    const Bytes good = seal("a secret");
    for (std::size_t size = 0; size < good.size(); ++size) {
        const auto secret =
            open_envelope(base::BytesView(good).first(size), std::span(identities_).first(1));
        ASSERT_FALSE(secret.has_value()) << size;
        EXPECT_EQ(secret.error().code(), Code::Corrupt);
    }
    Bytes longer = good;
    longer.push_back(0);
    EXPECT_FALSE(open_envelope(longer, identities_).has_value());
}

TEST_F(EnvelopeTest, RandomBytesAreNotAnEnvelope) {
    for (const std::size_t size : {0UL, 1UL, 22UL, 1000UL}) {
        Bytes bytes(size);
        random_->fill(bytes);
        const auto secret = open_envelope(bytes, identities_);
        ASSERT_FALSE(secret.has_value());
        EXPECT_EQ(secret.error().code(), Code::Corrupt);
    }
}

// Written by age 1.1.1 for the identity of RFC 7748's Alice and for an SSH key: the format of files
// that people hold.
constexpr const char* kFromAge =
    "6167652d656e6372797074696f6e2e6f72672f76310a2d3e207373682d656432353531392067783167536720325874"
    "61466452763030306a"
    "4876337672384555454f6450347636724d336457554c394d63766a2f336a380a33394e65572b306e38435a5768734d"
    "5038794a4a76434270"
    "445859424374323739307755566d6838447a410a2d3e20583235353139205073644c356b4869766b7132426b4a354e"
    "5372414b7952704e7a"
    "6359706945306459737539586b542f58510a316a364545534d77375a44506e6b4b412b7751354d6971472f47794474"
    "70424332566548786d"
    "61717170770a2d2d2d20327a486b733155776d2b517a434e3875767a303370756d75473653793371486777734d386d"
    "2b65695168550a6eaf"
    "3ce7c8b41816f7c9934f2caa949ea1007492f3de13909b32b9cd2486255b2cb501d39aac8669f2";

class HeaderTest : public testing::Test {
  protected:
    HeaderTest() {
        auto identity = Identity::parse(
            "AGE-SECRET-KEY-1WURK6ZNNRZJH60QKC9E9RVNXGH05CTU8A0QFJ243WLA628DE9S4QRFH26J");
        identities_.push_back(std::move(identity).value());
    }

    // An envelope that is right in all but the stanzas, which are as given: the MAC and the payload
    // fit.
    Bytes envelope_with(const std::string& stanzas) {
        const std::string header = "age-encryption.org/v1\n" + stanzas + "---";
        Bytes out(header.begin(), header.end());
        const auto mac = hmac_sha256(from_file_key({}, "header"), view(header));
        const std::string tail = " " + base::base64(mac, false) + "\n";
        out.insert(out.end(), tail.begin(), tail.end());
        out.insert(out.end(), 16, Byte{0});
        const Bytes payload =
            internal::chacha_seal(from_file_key(Bytes(16), "payload"),
                                  {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, view("a secret"));
        out.insert(out.end(), payload.begin(), payload.end());
        return out;
    }

    std::string share() { return base::base64(internal::x25519_public(ephemeral_), false); }

    std::string wrapped(std::size_t file_key_size = 16) {
        Key256 shared;
        const auto recipient = identities_[0].recipient();
        EXPECT_TRUE(internal::x25519(ephemeral_, recipient.point(), shared));
        Bytes salt = Bytes(32);
        std::ranges::copy(internal::x25519_public(ephemeral_), salt.begin());
        salt.insert(salt.end(), recipient.point().begin(), recipient.point().end());
        const Key256 key = derive_key(shared, salt, "age-encryption.org/v1/X25519");
        return base::base64(internal::chacha_seal(key, {}, Bytes(file_key_size, Byte{9})), false);
    }

    std::string ours() { return "-> X25519 " + share() + "\n" + wrapped() + "\n"; }

    Result<Bytes> open(const std::string& stanzas) {
        return open_envelope(envelope_with(stanzas), identities_);
    }

    std::vector<Identity> identities_;

  private:
    static Key256 from_file_key(base::BytesView salt, std::string_view purpose) {
        Key256 out;
        internal::hkdf_sha256(Bytes(16, Byte{9}), salt, view(purpose), out.reveal_mutable());
        return out;
    }

    Key256 ephemeral_ = internal::counting_key();
};

TEST_F(HeaderTest, OpensWhatAgeWrote) {
    const auto secret = open_envelope(internal::unhex(kFromAge), identities_);
    ASSERT_TRUE(secret.has_value()) << secret.error().message();
    EXPECT_EQ(base::text(*secret), "from age\n");
}

TEST_F(HeaderTest, SkipsStanzasOfOtherKinds) {
    const std::string full_line(64, 'A');
    const std::string cases[] = {
        ours(),
        "-> ssh-ed25519 abc def\nAAAA\n" + ours(),
        ours() + "-> mlkem768x25519 " + std::string(1500, 'x') + "\n" + wrapped() + "\n",
        "-> grease\n\n" + ours() + "-> x25519 lower case is another kind\n\n",
        "-> long body\n" + full_line + "\n" + full_line + "\n\n" + ours(),
    };
    for (const std::string& stanzas : cases) {
        const auto secret = open(stanzas);
        ASSERT_TRUE(secret.has_value()) << stanzas << secret.error().message();
        EXPECT_EQ(base::text(*secret), "a secret");
    }
}

TEST_F(HeaderTest, RefusesEverySpellingButOne) {
    const std::string low_order = base::base64(Bytes(32), false);
    std::string loose = wrapped();  // 256 bits in 43 digits leave two bits, which must be zero
    loose.back() = static_cast<char>(loose.back() + 1);

    struct Case {
        std::string stanzas;
        const char* message;
    };

    const Case cases[] = {
        {"", "has no recipient"},
        {"-> X25519 " + low_order + "\n" + wrapped() + "\n", "share of low order"},
        {"-> X25519\n" + wrapped() + "\n", "without exactly one share"},
        {"-> X25519 " + share() + " more\n" + wrapped() + "\n", "without exactly one share"},
        {"-> X25519 " + share() + " \n" + wrapped() + "\n", "malformed stanza"},
        {"-> X25519  " + share() + "\n" + wrapped() + "\n", "malformed stanza"},
        {"->  \n\n" + ours(), "malformed stanza"},
        {"-> \n\n" + ours(), "malformed stanza"},
        {"-> tab\there\n\n" + ours(), "malformed stanza"},
        {"-> X25519 " + share() + "=\n" + wrapped() + "\n", "not the base64 of 32 bytes"},
        {"-> X25519 " + share() + "\n" + wrapped() + "=\n", "not the base64 of 32 bytes"},
        {"-> X25519 " + share() + "\n" + loose + "\n", "not the base64 of 32 bytes"},
        {"-> X25519 " + share().substr(1) + "\n" + wrapped() + "\n", "not the base64 of 32 bytes"},
        {"-> X25519 " + share() + "\n" + wrapped(15) + "\n", "not the base64 of 32 bytes"},
        {"-> X25519 " + share() + "\n" + wrapped(32) + "\n\n", "not the base64 of 32 bytes"},
        {"-> X25519 " + share() + "\r\n" + wrapped() + "\n", "malformed stanza"},
        {"-> other\nAB\n" + ours(), "not canonical base64"},
        {"-> other\nA*==\n" + ours(), "not canonical base64"},
        {"-> other\n" + std::string(65, 'A') + "\n" + ours(), "line that is too long"},
        {"-> " + std::string(5000, 'x') + "\n\n" + ours(), "line that is too long"},
        {ours() + "\n", "neither a stanza nor a MAC"},
        {"X25519\n" + ours(), "neither a stanza nor a MAC"},
    };
    for (const Case& c : cases) {
        const auto secret = open(c.stanzas);
        ASSERT_FALSE(secret.has_value()) << c.stanzas;
        EXPECT_EQ(secret.error().code(), Code::Corrupt);
        EXPECT_THAT(secret.error().message(), HasSubstr(c.message)) << c.stanzas;
    }
}

TEST_F(HeaderTest, BoundsTheNumberAndSizeOfStanzas) {
    std::string others;
    for (int i = 0; i < 63; ++i) {
        others += "-> other\n\n";
    }
    EXPECT_TRUE(open(others + ours()).has_value());
    EXPECT_THAT(open("-> other\n\n" + others + ours()).error().message(),
                HasSubstr("more than 64"));
    std::string lines;
    for (int i = 0; i < 64; ++i) {
        lines += std::string(64, 'A') + "\n";
    }
    EXPECT_THAT(open("-> other\n" + lines + "\n" + ours()).error().message(),
                HasSubstr("too long"));
}

TEST_F(HeaderTest, BoundsThePayload) {
    Bytes envelope = envelope_with(ours());
    envelope.resize(envelope.size() + 65536);
    const auto secret = open_envelope(envelope, identities_);
    ASSERT_FALSE(secret.has_value());
    EXPECT_THAT(secret.error().message(), HasSubstr("more than 64 KiB"));
}

}  // namespace
}  // namespace lifeboat::crypto

#include "crypto/internal/bech32.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "crypto/internal/test_vectors.h"

namespace lifeboat::crypto::internal {
namespace {

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
    return text;
}

TEST(Bech32, ReadsAndRewritesTheValidTextsOfBip173) {
    const char* const texts[] = {
        "A12UEL5L",
        "a12uel5l",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tg"
        "s",
        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        "11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247"
        "j",
        "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
        "?1ezyfcl",
    };
    for (const std::string text : texts) {
        const auto parts = decode_bech32(text);
        ASSERT_TRUE(parts.has_value()) << text << ": " << parts.error().message();
        EXPECT_EQ(parts->prefix, text.substr(0, text.rfind('1')));
        EXPECT_EQ(encode_bech32(lower(parts->prefix), parts->bytes), lower(text));
    }
}

TEST(Bech32, GivesTheBytesOfTheGroups) {
    const auto parts = decode_bech32("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw");
    ASSERT_TRUE(parts.has_value());
    EXPECT_EQ(base::hex(parts->bytes), "00443214c74254b635cf84653a56d7c675be77df");
}

TEST(Bech32, RefusesTheInvalidTextsOfBip173) {
    struct Case {
        const char* text;
        const char* why;
    };

    const Case cases[] = {
        {"\x20"
         "1nwldj5",
         "it holds a character that is not printable"},
        {"\x7f"
         "1axkwrx",
         "it holds a character that is not printable"},
        {"\x80"
         "1eym55h",
         "it holds a character that is not printable"},
        {"an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569p"
         "vx",
         "it is longer than 90 characters"},
        {"pzry9x0s0muk", "it has no prefix"},
        {"1pzry9x0s0muk", "it has no prefix"},
        {"x1b4n0q5v", "it holds a character that keys do not use"},
        {"li1dgmt3", "it is too short"},
        {"A1G7SGD8", "its checksum does not match"},
        {"a12UEL5L", "it mixes upper and lower case"},
        {"", "it has no prefix"},
    };
    for (const Case& c : cases) {
        const auto parts = decode_bech32(c.text);
        ASSERT_FALSE(parts.has_value()) << c.text;
        EXPECT_EQ(parts.error().code(), base::Code::InvalidInput);
        EXPECT_EQ(parts.error().what(), c.why) << c.text;
    }
}

TEST(Bech32, NoticesEveryChangedCharacter) {
    const std::string good = encode_bech32("age", unhex(kAlicePoint));
    for (std::size_t i = 0; i < good.size(); ++i) {
        for (const char c : std::string("qpzry9x8gf2tvdw0s3jn54khce6mua7l1-Z")) {
            std::string bad = good;
            bad[i] = c;
            EXPECT_EQ(decode_bech32(bad).has_value(), bad == good) << bad;
        }
    }
}

TEST(Bech32, RefusesBitsThatBelongToNoByte) {
    // Right checksums over one group, over two whose last two bits are not zero, and over three,
    // where one is superfluous.
    for (const char* text : {"a1q3g6mn3", "a1qpamnt9j", "a1qqqd87cpp"}) {
        const auto parts = decode_bech32(text);
        ASSERT_FALSE(parts.has_value()) << text;
        EXPECT_THAT(parts.error().what(), testing::HasSubstr("belong to no byte"));
    }
}

}  // namespace
}  // namespace lifeboat::crypto::internal

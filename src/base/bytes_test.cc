#include "base/bytes.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "base/random.h"
#include "tests/support/expect.h"

namespace lifeboat::base {
namespace {

using test::fails;
using test::ok;

Bytes random_bytes(std::size_t count, std::uint64_t seed) {
    Bytes out(count);
    seeded_random(seed)->fill(out);
    return out;
}

TEST(Hex, RoundTrips) {
    const Bytes bytes = {0x00, 0x0f, 0xf0, 0xff, 0x1a};
    EXPECT_EQ(hex(bytes), "000ff0ff1a");
    EXPECT_EQ(from_hex("000FF0ff1a").value(), bytes);
    EXPECT_EQ(from_hex("").value(), Bytes{});
}

TEST(Hex, RejectsWhatIsNotHex) {
    for (const char* text : {"0", "0g", "g0", "0x", " 0", "00 "}) {
        EXPECT_TRUE(fails(from_hex(text), Code::InvalidInput)) << text;
    }
}

struct Base64Case {
    const char* plain;
    const char* coded;
};

constexpr Base64Case kBase64[] = {
    // RFC 4648, section 10
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

TEST(Base64, MatchesTheRfc) {
    for (const auto& [plain, coded] : kBase64) {
        EXPECT_EQ(base64(view(plain)), coded);
        EXPECT_EQ(text(from_base64(coded).value()), plain);
        std::string bare = coded;
        bare.erase(std::min(bare.find('='), bare.size()));
        EXPECT_EQ(base64(view(plain), false), bare);
        EXPECT_EQ(text(from_base64(bare).value()), plain);
    }
}

TEST(Base64, RoundTripsEveryLength) {
    for (std::size_t n = 0; n < 70; ++n) {
        const Bytes bytes = random_bytes(n, n);
        EXPECT_EQ(from_base64(base64(bytes, n % 2 == 0)).value(), bytes) << n;
    }
}

TEST(Base64, RejectsWhatNobodyWrites) {
    for (const char* text : {"Z", "Zg=", "Zg===", "====", "=",
                             "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zg\n==", "Zm9v!", "Zm-_"}) {
        EXPECT_TRUE(fails(from_base64(text), Code::InvalidInput)) << text;
    }
    EXPECT_TRUE(fails(from_base64(std::string_view("Zm\0v", 4)), Code::InvalidInput));
}

TEST(IsZero, SeesEverySingleByte) {
    for (std::size_t n = 0; n < 80; ++n) {
        Bytes bytes(n);
        EXPECT_TRUE(is_zero(bytes)) << n;
        for (std::size_t i = 0; i < n; ++i) {
            bytes[i] = 1;
            EXPECT_FALSE(is_zero(bytes)) << i << " of " << n;
            bytes[i] = 0;
        }
    }
}

TEST(EqualConstantTime, ComparesContentsAndSize) {
    EXPECT_TRUE(equal_constant_time(view("secret"), view("secret")));
    EXPECT_TRUE(equal_constant_time({}, {}));
    EXPECT_FALSE(equal_constant_time(view("secret"), view("secreT")));
    EXPECT_FALSE(equal_constant_time(view("secret"), view("Secret")));
    EXPECT_FALSE(equal_constant_time(view("secret"), view("secre")));
}

TEST(HumanSize, HasThreeDigitsAtMost) {
    const std::pair<std::uint64_t, const char*> cases[] = {
        {0, "0 B"},
        {97, "97 B"},
        {999, "999 B"},
        {1024, "1.00 KiB"},
        {10 * kKiB, "10.0 KiB"},
        {100 * kKiB, "100 KiB"},
        {999 * kKiB, "999 KiB"},
        {1023 * kKiB, "1.00 MiB"},
        {812 * kMiB, "812 MiB"},
        {3 * kGiB / 2, "1.50 GiB"},
        {std::numeric_limits<std::uint64_t>::max(), "16384 PiB"},
    };
    for (const auto& [bytes, expected] : cases) {
        EXPECT_EQ(human_size(bytes), expected);
    }
}

TEST(Crc32c, MatchesPublishedValues) {  // RFC 3720, appendix B.4
    Bytes rising(32);
    for (std::size_t i = 0; i < rising.size(); ++i) {
        rising[i] = static_cast<Byte>(i);
    }
    EXPECT_EQ(crc32c(Bytes(32, 0x00)), 0x8a9136aaU);
    EXPECT_EQ(crc32c(Bytes(32, 0xff)), 0x62a8ab43U);
    EXPECT_EQ(crc32c(rising), 0x46dd794eU);
    EXPECT_EQ(crc32c(view("123456789")), 0xe3069283U);
    EXPECT_EQ(crc32c({}), 0U);
}

TEST(Crc32c, ContinuesAndCombines) {
    const std::size_t lengths[] = {0, 1, 7, 8, 63, 64, 4096, 100'003};
    for (const std::size_t a : lengths) {
        for (const std::size_t b : lengths) {
            const Bytes whole = random_bytes(a + b, a * 31 + b);
            const BytesView first = BytesView(whole).first(a);
            const BytesView second = BytesView(whole).subspan(a);
            const std::uint32_t expected = crc32c(whole);
            EXPECT_EQ(crc32c(second, crc32c(first)), expected) << a << "+" << b;
            EXPECT_EQ(crc32c_combine(crc32c(first), crc32c(second), b), expected) << a << "+" << b;
        }
    }
}

TEST(Crc32c, CombinesOverLengthsThatDoNotFitMemory) {
    // Combining with a run of zeros in one step equals doing it in two.
    const Bytes zeros(1 << 16);
    std::uint32_t run = crc32c(zeros);
    std::uint64_t length = zeros.size();
    for (; length < (1ULL << 40); length *= 2) {
        run = crc32c_combine(run, run, length);
    }
    const std::uint32_t start = crc32c(view("start"));
    const std::uint32_t at_once =
        crc32c_combine(start, crc32c_combine(run, run, length), 2 * length);
    EXPECT_EQ(at_once, crc32c_combine(crc32c_combine(start, run, length), run, length));
}

// ---- ByteWriter and ByteReader
// ------------------------------------------------------------------------------------

TEST(ByteWriter, WritesLittleEndian) {
    ByteWriter out;
    out.u8(0x01);
    out.u16(0x0203);
    out.u32(0x04050607);
    out.u64(0x08090a0b0c0d0e0f);
    out.raw("raw");
    out.sized("abc");
    EXPECT_EQ(hex(out.bytes()),
              "01"
              "0302"
              "07060504"
              "0f0e0d0c0b0a0908"
              "726177"
              "03616263");
    EXPECT_EQ(out.size(), 22U);
}

TEST(ByteReader, ReadsWhatByteWriterWrites) {
    const std::string large(300, 'x');
    ByteWriter out;
    out.u8(0xff);
    out.u16(0xfffe);
    out.u32(0xfffffffd);
    out.u64(0xfffffffffffffffc);
    out.sized(large);
    out.raw("tail");
    const Bytes bytes = out.take();
    ByteReader in(bytes);
    EXPECT_EQ(in.u8().value(), 0xff);
    EXPECT_EQ(in.u16().value(), 0xfffe);
    EXPECT_EQ(in.u32().value(), 0xfffffffdU);
    EXPECT_EQ(in.u64().value(), 0xfffffffffffffffcU);
    EXPECT_EQ(in.sized_text(300).value(), large);
    EXPECT_FALSE(in.at_end());
    EXPECT_EQ(in.remaining(), 4U);
    EXPECT_EQ(text(in.raw(4).value()), "tail");
    EXPECT_TRUE(in.at_end());
    EXPECT_EQ(in.position(), bytes.size());
}

TEST(ByteReader, VarintsRoundTripAtEveryWidth) {
    for (int bit = 0; bit < 64; ++bit) {
        for (const std::uint64_t v : {(1ULL << bit) - 1, 1ULL << bit, ~0ULL >> bit}) {
            ByteWriter out;
            out.varint(v);
            ByteReader in(out.bytes());
            EXPECT_EQ(in.varint().value(), v);
            EXPECT_TRUE(in.at_end());
        }
    }
}

TEST(ByteReader, RejectsNumbersBeyond64Bits) {
    const std::string nine(9, '\x80');
    EXPECT_TRUE(ok(ByteReader(view(nine + "\x01")).varint()));
    EXPECT_TRUE(fails(ByteReader(view(nine + "\x02")).varint(), Code::Corrupt));
    EXPECT_TRUE(fails(ByteReader(view(nine + "\x80\x01")).varint(), Code::Corrupt));
    EXPECT_TRUE(fails(ByteReader(view(nine)).varint(), Code::Corrupt));
}

TEST(ByteReader, EveryCallIsBoundedByTheInput) {
    using Read = std::function<bool(ByteReader&)>;
    const std::pair<std::size_t, Read> reads[] = {
        {1, [](ByteReader& in) { return in.u8().has_value(); }},
        {2, [](ByteReader& in) { return in.u16().has_value(); }},
        {4, [](ByteReader& in) { return in.u32().has_value(); }},
        {8, [](ByteReader& in) { return in.u64().has_value(); }},
        {5, [](ByteReader& in) { return in.raw(5).has_value(); }},
    };
    for (const auto& [needs, read] : reads) {
        for (std::size_t n = 0; n < 10; ++n) {
            const Bytes bytes(n, 0x41);
            ByteReader in(bytes);
            EXPECT_EQ(read(in), n >= needs) << needs << " of " << n;
            EXPECT_EQ(in.position(), n >= needs ? needs : 0) << "a failed read takes nothing";
        }
    }
}

TEST(ByteReader, HostileLengthsDoNotOverflow) {
    ByteWriter out;
    out.varint(std::numeric_limits<std::uint64_t>::max());
    out.raw("abc");
    EXPECT_TRUE(fails(ByteReader(out.bytes()).sized(10), Code::Corrupt));
    EXPECT_TRUE(fails(ByteReader(out.bytes()).sized(std::numeric_limits<std::uint64_t>::max()),
                      Code::Corrupt));
    ByteReader in(out.bytes());
    ASSERT_TRUE(ok(in.u8()));
    EXPECT_TRUE(fails(in.raw(std::numeric_limits<std::uint64_t>::max()), Code::Corrupt));
    ByteWriter over;
    over.sized("12345");
    EXPECT_TRUE(fails(ByteReader(over.bytes()).sized(4), Code::Corrupt));
    EXPECT_TRUE(ok(ByteReader(over.bytes()).sized(5)));
}

TEST(ByteReader, RandomInputNeverReadsPastItsEnd) {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const Bytes bytes = random_bytes(seed % 40, seed);
        const auto random = seeded_random(seed + 1);
        ByteReader in(bytes);
        for (int i = 0; i < 20; ++i) {
            const std::size_t before = in.remaining();
            switch (random->u64() % 4) {
                case 0:
                    in.varint().discard("only the position counts");
                    break;
                case 1:
                    in.sized(random->u64()).discard("only the position counts");
                    break;
                case 2:
                    in.raw(random->u64()).discard("only the position counts");
                    break;
                default:
                    in.u32().discard("only the position counts");
                    break;
            }
            ASSERT_LE(in.remaining(), before);
            ASSERT_LE(in.position(), bytes.size());
        }
    }
}

}  // namespace
}  // namespace lifeboat::base

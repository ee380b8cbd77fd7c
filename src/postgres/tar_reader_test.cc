#include "postgres/tar_reader.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/tar_forge.h"

namespace lifeboat::postgres {
namespace {

using base::Code;
using base::Result;
using test::fails;
using test::ok;
using test::pax;
using test::pax_record;
using test::tar_end;
using test::tar_file;
using test::tar_header;
using test::tar_member;

std::string describe(const TarEntry& entry) {
    const std::string kind = entry.kind == TarKind::File        ? "f"
                             : entry.kind == TarKind::Directory ? "d"
                                                                : "l";
    return kind + " " + entry.name + (entry.link.empty() ? "" : " -> " + entry.link) + " " +
           std::to_string(entry.size);
}

// One line for each member, with its data behind '='.
Result<std::string> read_all(std::string_view archive, std::size_t piece = SIZE_MAX) {
    TarReader reader;
    std::string out;
    for (std::size_t at = 0; at < archive.size(); at += std::min(piece, archive.size() - at)) {
        reader.supply(base::view(archive.substr(at, piece)));
        while (true) {
            TarReader::Event event = TRY(reader.next());
            if (const auto* entry = std::get_if<TarEntry>(&event)) {
                out += (out.empty() ? "" : "\n") + describe(*entry) + "=";
            } else if (const auto* data = std::get_if<TarReader::Data>(&event)) {
                EXPECT_FALSE(data->bytes.empty());
                out += base::text(data->bytes);
            } else {
                break;
            }
        }
    }
    TRY(reader.finish());
    return out;
}

TEST(TarReader, ReadsMembersInPiecesOfAnySize) {
    const std::string archive =
        tar_file("a/b", std::string(1000, 'x')) + tar_header({.name = "dir/", .type = '5'}) +
        tar_header({.name = "ln", .type = '2', .link = "/elsewhere"}) + tar_file("empty", "") +
        tar_file("block", std::string(512, 'y')) + tar_end();
    const std::string expected =
        "f a/b 1000=" + std::string(1000, 'x') +
        "\nd dir 0=\nl ln -> /elsewhere 0=\nf empty 0=\nf block 512=" + std::string(512, 'y');
    for (const std::size_t piece :
         {std::size_t{1}, std::size_t{7}, std::size_t{512}, std::size_t{513}, SIZE_MAX}) {
        const auto read = read_all(archive, piece);
        ASSERT_TRUE(ok(read)) << piece;
        EXPECT_EQ(*read, expected) << piece;
    }
}

TEST(TarReader, ReadsAllOfTheHeader) {
    const std::string archive = tar_file("a", "x");
    TarReader reader;
    reader.supply(base::view(archive));
    const auto event = reader.next();
    ASSERT_TRUE(ok(event));
    const auto& entry = std::get<TarEntry>(*event);
    EXPECT_EQ(entry.mode, 0640U);
    EXPECT_EQ(entry.uid, 101U);
    EXPECT_EQ(entry.gid, 104U);
    EXPECT_EQ(base::format_time(entry.modified), "2026-01-23T14:00:00Z");
}

TEST(TarReader, TheEndMayLackItsZeroBlocks) {
    EXPECT_TRUE(ok(read_all("")));
    EXPECT_TRUE(ok(read_all(tar_file("a", "x"))));
    EXPECT_TRUE(ok(read_all(tar_file("a", "x") + std::string(512, '\0'))));
    EXPECT_TRUE(ok(read_all(tar_file("a", "x") + std::string(10240, '\0'))));
}

TEST(TarReader, T29_ReadsLongNames) {
    const std::string name = "base/" + std::string(300, 'n');
    const std::string link = "/" + std::string(300, 'l');
    const std::string padded_name = name + '\0';
    const std::string table[] = {
        pax(pax_record("path", name) + pax_record("mtime", "1769176800.5") +
            pax_record("comment", "x")) +
            tar_file("short", "x"),
        tar_member({.name = "././@LongLink", .type = 'L', .magic = std::string("ustar  \0", 8)},
                   padded_name) +
            tar_file("short", "x"),
        tar_header({.name = std::string(90, 'n') + "/f", .prefix = std::string(150, 'p')}),
        pax(pax_record("linkpath", link)) + tar_header({.name = "ln", .type = '2', .link = "x"}),
        tar_member({.name = "././@LongLink", .type = 'K'}, link + '\0') +
            tar_header({.name = "ln", .type = '2', .link = "x"}),
    };
    const std::string expected[] = {
        "f " + name + " 1=x", "f " + name + " 1=x",
        "f " + std::string(150, 'p') + "/" + std::string(90, 'n') + "/f 0=",
        "l ln -> " + link + " 0=", "l ln -> " + link + " 0="};
    for (std::size_t i = 0; i < std::size(table); ++i) {
        const auto read = read_all(table[i], 100);
        ASSERT_TRUE(ok(read)) << i;
        EXPECT_EQ(*read, expected[i]);
    }
}

TEST(TarReader, AnOverrideHoldsForOneMemberOnly) {
    const auto read =
        read_all(pax(pax_record("path", "long")) + tar_file("a", "x") + tar_file("b", "y"));
    ASSERT_TRUE(ok(read));
    EXPECT_EQ(*read, "f long 1=x\nf b 1=y");
}

TEST(TarReader, ReadsSizesBeyondOctal) {
    std::string binary(12, '\0');
    binary[0] = '\x80';
    binary[7] = 3;  // 3 << 32
    for (const std::string& archive :
         {tar_header({.name = "big", .size_field = binary}),
          pax(pax_record("size", "12884901888")) + tar_file("big", "")}) {
        TarReader reader;
        reader.supply(base::view(archive));
        const auto event = reader.next();
        ASSERT_TRUE(ok(event));
        EXPECT_EQ(std::get<TarEntry>(*event).size, 12884901888ULL);
        EXPECT_TRUE(fails(reader.finish(), Code::Corrupt));
    }
}

TEST(TarReader, NamesAreMadeCanonical) {
    const std::pair<const char*, const char*> table[] = {
        {"./a", "f a 0="}, {"././a/b", "f a/b 0="}, {"a.b/..c", "f a.b/..c 0="}};
    for (const auto& [name, expected] : table) {
        const auto read = read_all(tar_header({.name = name}));
        ASSERT_TRUE(ok(read)) << name;
        EXPECT_EQ(*read, expected);
    }
    for (const char* root : {"./", "."}) {
        const auto read = read_all(tar_header({.name = root, .type = '5'}));
        ASSERT_TRUE(ok(read)) << root;
        EXPECT_EQ(*read, "d . 0=");
    }
}

TEST(TarReader, RefusesNamesThatLeaveTheDirectory) {
    for (const char* name : {"", "/etc/passwd", "../x", "a/../../x", "a/..", "a//b", "a/./b", ".",
                             "..", "a/", "./", ".//a", "/"}) {
        EXPECT_TRUE(fails(read_all(tar_header({.name = name})), Code::Corrupt)) << name;
        if (*name != '\0') {
            EXPECT_TRUE(
                fails(read_all(pax(pax_record("path", name)) + tar_file("a", "")), Code::Corrupt))
                << name;
        }
    }
    EXPECT_TRUE(fails(read_all(pax(pax_record("path", std::string("a\0b", 3))) + tar_file("a", "")),
                      Code::Corrupt));
    EXPECT_TRUE(fails(read_all(pax(pax_record("path", std::string(5000, 'a'))) + tar_file("a", "")),
                      Code::Corrupt));
    EXPECT_TRUE(fails(read_all(tar_header({.name = "/", .type = '5'})), Code::Corrupt));
}

TEST(TarReader, RefusesWhatABaseBackupNeverHolds) {
    for (const char type : {'1', '3', '4', '6', '7', 'S', 'V', 'A'}) {
        EXPECT_TRUE(fails(read_all(tar_header({.name = "a", .type = type, .link = "b"})),
                          Code::Unsupported))
            << type;
    }
    EXPECT_TRUE(fails(read_all(pax(pax_record("GNU.sparse.major", "1")) + tar_file("a", "")),
                      Code::Unsupported));
    EXPECT_TRUE(
        fails(read_all(pax(pax_record("path", "b"), 'g') + tar_file("a", "")), Code::Unsupported));
    EXPECT_TRUE(ok(read_all(pax(pax_record("comment", "b"), 'g') + tar_file("a", ""))));
    EXPECT_TRUE(fails(read_all(tar_header({.name = "a", .magic = std::string(8, '\0')})),
                      Code::Unsupported));
}

TEST(TarReader, RefusesMalformedMembers) {
    std::string dirty_padding = tar_file("a", "x");
    dirty_padding[600] = 1;
    const std::string table[] = {
        tar_header({.name = "a", .checksum_off_by = 1}),
        tar_header({.name = "a", .size_field = "0000000009\0 "}),
        tar_header({.name = "a", .size_field = "            "}).substr(0, 511),
        tar_header({.name = "a", .size_field = "12 34567890 "}),
        tar_header({.name = "a", .size_field = std::string(12, '\x80')}),
        tar_header({.name = "a", .size_field = std::string(12, '\xff')}),
        tar_header({.name = "d/", .type = '5', .size_field = "00000000001"}),
        tar_header({.name = "ln", .type = '2'}),
        dirty_padding,
        tar_file("a", "x").substr(0, 600),
        tar_end() + tar_file("a", "x"),
        pax(pax_record("path", "b")),
        pax(pax_record("path", "b")) + tar_end(),
        pax("5 a=b"),
        pax("99 path=b\n") + tar_file("a", ""),
        pax("x path=b\n") + tar_file("a", ""),
        pax("9 pathb\n\n") + tar_file("a", ""),
        pax("3 \n") + tar_file("a", ""),
        pax(pax_record("size", "-1")) + tar_file("a", ""),
        pax(pax_record("size", "99999999999999999999")) + tar_file("a", ""),
        pax(pax_record("mtime", "soon")) + tar_file("a", ""),
        pax(pax_record("uid", "4294967296")) + tar_file("a", ""),
        tar_header({.name = "x", .type = 'x', .size = 0}) + tar_file("a", ""),
        tar_header({.name = "x", .type = 'x', .size = 70000}),
        "garbage" + std::string(505, 'g'),
    };
    for (std::size_t i = 0; i < std::size(table); ++i) {
        EXPECT_TRUE(fails(read_all(table[i]), Code::Corrupt)) << i;
    }
}

}  // namespace
}  // namespace lifeboat::postgres

#include "repo/names.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::ok;

namespace {

const std::string kHex32 = "00112233445566778899aabbccddeeff";

policy::ExpiryDay day(std::string_view text) {
    return policy::ExpiryDay::parse(text).value();
}

base::Timestamp at(std::string_view text) {
    return base::parse_compact_time(text).value();
}

TEST(Names, AreThoseOfTheFormatPage) {
    Id128 pack{};
    pack[0] = 0xab;
    pack[15] = 0x01;
    const std::string id = "ab000000000000000000000000000001";
    EXPECT_EQ(data_pack_name("prod", day("20260222"), pack),
              "s/prod/pack/20260222/" + id + ".pack");
    EXPECT_EQ(map_pack_name("prod", day("20260222"), pack), "s/prod/map/20260222/" + id + ".map");
    EXPECT_EQ(writer_name("0011223344556677"), "writers/0011223344556677.json");
    const ManifestName manifest{"prod", at("20260123T020714Z"), day("20260222"),
                                "20260123T020000Z-7f3a"};
    EXPECT_EQ(manifest.text(),
              "s/prod/manifest/20260123T020714Z-20260222-20260123T020000Z-7f3a.manifest");
    const StreamRange range{0xA, 0x16B374D848, 0x16B3800000};
    EXPECT_EQ((StreamName{StreamObject::Piece, "prod", day("20260222"), range}.text()),
              "s/prod/wal/20260222/0000000A/00000016B374D848-00000016B3800000.piece");
    EXPECT_EQ((StreamName{StreamObject::Gathered, "prod", day("20260222"), range}.text()),
              "s/prod/walpack/20260222/0000000A/00000016B374D848-00000016B3800000.pack");
    EXPECT_EQ((StreamName{StreamObject::Gap, "prod", {}, range}.text()),
              "s/prod/gap/0000000A/00000016B374D848-00000016B3800000.gap");
    EXPECT_EQ(history_name("prod", 2, pack), "s/prod/history/00000002-ab00000000000000.history");
}

TEST(Names, ManifestNamesComeBackAsTheyWent) {
    const std::string text =
        "s/db-1/manifest/20260123T020714Z-20260222-20260123T020000Z-7f3a.manifest";
    const auto name = ManifestName::parse(text);
    ASSERT_TRUE(ok(name));
    EXPECT_EQ(name->text(), text);
    EXPECT_EQ(name->system, "db-1");
    EXPECT_EQ(name->stop, at("20260123T020714Z"));
    EXPECT_EQ(name->expires, day("20260222"));
    EXPECT_EQ(name->backup, "20260123T020000Z-7f3a");
}

TEST(Names, StreamNamesComeBackAsTheyWent) {
    for (const std::string text :
         {"s/prod/wal/20260222/0000000A/00000016B374D848-00000016B3800000.piece",
          "s/prod/walpack/20260222/FFFFFFFF/0000000000000000-FFFFFFFFFFFFFFFF.pack",
          "s/prod/gap/00000001/0000000000000000-0000000000000001.gap"}) {
        const auto name = StreamName::parse(text);
        ASSERT_TRUE(ok(name)) << text;
        EXPECT_EQ(name->text(), text);
    }
}

TEST(Names, BackupIdsCarryTheirStart) {
    const auto random = base::seeded_random(5);
    const std::string id = make_backup_id(at("20260123T020000Z"), *random);
    EXPECT_TRUE(id.starts_with("20260123T020000Z-"));
    EXPECT_EQ(id.size(), 21U);
    EXPECT_NE(id, make_backup_id(at("20260123T020000Z"), *random));
}

struct Class {
    std::string name;
    ObjectClass is;
    std::string expires;  // empty: it has none
};

std::vector<Class> all_classes() {
    return {{"lifeboat.json", ObjectClass::Repository, ""},
            {"writers/0011223344556677.json", ObjectClass::Writer, ""},
            {"s/a/pack/20260101/" + kHex32 + ".pack", ObjectClass::DataPack, "20260101"},
            {"s/a/map/20260102/" + kHex32 + ".map", ObjectClass::MapPack, "20260102"},
            {"s/a/manifest/20260123T020714Z-20260222-20260123T020000Z-7f3a.manifest",
             ObjectClass::Manifest, "20260222"},
            {"s/a/wal/20260103/00000001/0000000000000000-0000000000000001.piece",
             ObjectClass::Piece, "20260103"},
            {"s/a/walpack/20260104/00000001/0000000000000000-0000000000000001.pack",
             ObjectClass::Gathered, "20260104"},
            {"s/a/history/00000002-0011223344556677.history", ObjectClass::History, ""},
            {"s/a/gap/00000001/0000000000000000-0000000000000001.gap", ObjectClass::Gap, ""}};
}

TEST(Names, EachIsOfItsClass) {
    for (const Class& one : all_classes()) {
        EXPECT_EQ(classify(one.name), one.is) << one.name;
        const auto expires = expiry_of(one.name);
        EXPECT_EQ(expires.has_value(), !one.expires.empty()) << one.name;
        EXPECT_EQ(expires ? expires->text() : "", one.expires) << one.name;
    }
}

// A name that is off by one character anywhere is of no class, or of its own: it never counts as
// another object.
TEST(Names, OneWrongCharacterMakesANameForeign) {
    for (const Class& one : all_classes()) {
        for (std::size_t i = 0; i < one.name.size(); ++i) {
            for (const char c : {'!', '/', 'Z'}) {
                std::string name = one.name;
                if (name[i] == c) {
                    continue;
                }
                name[i] = c;
                EXPECT_EQ(classify(name), ObjectClass::Unknown) << name;
            }
        }
        EXPECT_EQ(classify(one.name + "x"), ObjectClass::Unknown);
        EXPECT_EQ(classify("x" + one.name), ObjectClass::Unknown);
        EXPECT_EQ(classify(one.name.substr(0, one.name.size() - 1)), ObjectClass::Unknown);
    }
}

TEST(Names, HostileNamesAreForeign) {
    const std::string id40(41, 'a');
    const std::vector<std::string> hostile = {
        "", "/", "s", "s/", "s//pack/20260101/" + kHex32 + ".pack",
        "s/../pack/20260101/" + kHex32 + ".pack", "s/A/pack/20260101/" + kHex32 + ".pack",
        "s/" + id40 + "/pack/20260101/" + kHex32 + ".pack", "s/a/pack/20260230/" + kHex32 + ".pack",
        "s/a/pack/2026010/" + kHex32 + ".pack", "s/a/pack/20260101/" + kHex32 + ".map",
        "s/a/map/20260101/" + kHex32 + ".pack", "s/a/pack/20260101/x/" + kHex32 + ".pack",
        "s/a/pack/20260101/00112233445566778899AABBCCDDEEFF.pack",
        "s/a/manifest/20260123T020760Z-20260222-20260123T020000Z-7f3a.manifest",  // second 60: it
                                                                                  // has another
                                                                                  // spelling
        "s/a/manifest/20260123T020714Z-20260222-20260123T020000Z-7F3A.manifest",
        "s/a/manifest/20260123T020714Z-20260222-.manifest",
        "s/a/manifest/20260123T020714Z-20260222-../../x.manifest",
        "s/a/manifest/20260123T020714Z-20260222-anything.manifest",
        "s/a/wal/20260101/00000001/0000000000000002-0000000000000001.piece",
        "s/a/wal/20260101/00000001/0000000000000001-0000000000000001.piece",
        "s/a/wal/20260101/00000001/000000000000000a-0000000000000011.piece",
        "s/a/wal/20260101/00000001/00000000000000001-0000000000000011.piece",
        "s/a/wal/20260101/1/0000000000000001-0000000000000011.piece",
        "s/a/wal/00000001/0000000000000001-0000000000000011.piece",
        "s/a/gap/00000001/0000000000000001-0000000000000011.piece", "writers/../lifeboat.json",
        "writers/0011223344556677.jsonx", "lifeboat.json/x"};
    for (const std::string& name : hostile) {
        EXPECT_EQ(classify(name), ObjectClass::Unknown) << name;
        EXPECT_TRUE(fails(expiry_of(name), Code::Corrupt)) << name;
        EXPECT_TRUE(fails(ManifestName::parse(name), Code::Corrupt)) << name;
        EXPECT_TRUE(fails(StreamName::parse(name), Code::Corrupt)) << name;
        EXPECT_TRUE(fails(history_timeline(name), Code::Corrupt)) << name;
    }
}

TEST(Names, HistoriesTellTheirTimeline) {
    const auto timeline = history_timeline("s/a/history/000000FF-0011223344556677.history");
    ASSERT_TRUE(ok(timeline));
    EXPECT_EQ(*timeline, 255U);
}

}  // namespace

}  // namespace lifeboat::repo

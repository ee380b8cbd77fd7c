#include "base/json.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "tests/support/expect.h"

namespace lifeboat::base {
namespace {

using test::fails;
using test::ok;

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kSmallest = std::numeric_limits<std::int64_t>::min();

TEST(Json, ObjectsKeepTheOrderOfTheirMembers) {
    Json json = Json::object();
    json.set("z", 1).set("a", true).set("m", "text").set("z", 2);
    EXPECT_EQ(json.dump(), R"({"z":2,"a":true,"m":"text"})");
    EXPECT_EQ(Json::parse(R"({"z":2,"a":true,"m":"text"})")->dump(), json.dump());
}

TEST(Json, WritesEveryKindOfValue) {
    Json list = Json::array();
    list.push(Json())
        .push(false)
        .push(-7)
        .push(1.5)
        .push(0.1)
        .push("a\"b\\c\n\x01")
        .push(Json::object())
        .push(Json::array());
    EXPECT_EQ(list.dump(), R"([null,false,-7,1.5,0.1,"a\"b\\c\n\u0001",{},[]])");
    EXPECT_EQ(Json(std::numeric_limits<double>::infinity()).dump(), "null");
    EXPECT_EQ(Json(kLargest).dump(), "9223372036854775807");
    EXPECT_EQ(Json(kSmallest).dump(), "-9223372036854775808");
    EXPECT_EQ(Json(std::numeric_limits<std::uint64_t>::max()).dump(), "18446744073709551615");
}

TEST(Json, IndentsOnRequest) {
    Json json = Json::object();
    json.set("a", Json::Array{1, 2}).set("b", Json::object());
    EXPECT_EQ(json.dump(2), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
}

TEST(Json, BytesThatAreNotTextStayValidJson) {
    const std::string dumped = Json(std::string("caf\xc3\xa9 \xff")).dump();
    EXPECT_EQ(dumped, "\"caf\xc3\xa9 \xef\xbf\xbd\"");
    EXPECT_TRUE(ok(Json::parse(dumped)));
}

TEST(Json, ReadersTellMissingFromWrong) {
    const auto json = Json::parse(
        R"({"text":"t","number":-3,"truth":true,"list":[1,2],"real":1.0,"big":18446744073709551615})");
    ASSERT_TRUE(ok(json));
    EXPECT_EQ(json->text("text").value(), "t");
    EXPECT_EQ(json->integer("number").value(), -3);
    EXPECT_TRUE(json->boolean("truth").value());
    EXPECT_EQ(json->list("list").value()->size(), 2U);
    EXPECT_EQ(json->member("number").value()->as_integer(), -3);
    EXPECT_EQ(json->find("absent"), nullptr);
    EXPECT_TRUE(fails(json->text("absent"), Code::Corrupt));
    EXPECT_TRUE(fails(json->text("number"), Code::Corrupt));
    EXPECT_TRUE(fails(json->integer("text"), Code::Corrupt));
    EXPECT_TRUE(fails(json->integer("real"), Code::Corrupt));
    EXPECT_TRUE(fails(json->integer("big"), Code::Corrupt));
    EXPECT_TRUE(fails(json->boolean("number"), Code::Corrupt));
    EXPECT_TRUE(fails(json->list("text"), Code::Corrupt));
    EXPECT_TRUE(fails(Json(3).text("x"), Code::Corrupt)) << "not an object at all";
    EXPECT_EQ(json->text("absent").error().message(), "member 'absent' is missing");
    EXPECT_EQ(Json("x").as_integer(5), 5);
    EXPECT_EQ(Json(5).as_text("x"), "x");
    EXPECT_TRUE(Json(5).items().empty());
    EXPECT_TRUE(Json(5).members().empty());
}

TEST(JsonParse, RoundTripsWhatItWrites) {
    for (const char* text : {"null", "true", "0", "-1", "9223372036854775807",
                             "-9223372036854775808", "18446744073709551615", "1.5", "1e+300",
                             "\"\"", "\"\xc3\xa9\"", "[]", "{}", R"([[],{"a":[1,"b",null]}])"}) {
        const auto json = Json::parse(text);
        ASSERT_TRUE(ok(json)) << text;
        EXPECT_EQ(json->dump(), text);
        EXPECT_EQ(Json::parse(json->dump(4))->dump(), text);
    }
    EXPECT_EQ(Json::parse(" \"\\u00e9\\ud83d\\ude00\" ")->as_text(), "\xc3\xa9\xf0\x9f\x98\x80");
}

TEST(JsonParse, RejectsWhatIsNotOneValue) {
    for (const char* text : {"",
                             " ",
                             "{",
                             "[1,",
                             "[1,]",
                             "{\"a\"}",
                             "{\"a\":}",
                             "{a:1}",
                             "{'a':1}",
                             "01",
                             "+1",
                             "1.",
                             ".5",
                             "nul",
                             "NaN",
                             "\"\x01\"",
                             "\"\xff\"",
                             "\"\\ud800\"",
                             "\"",
                             "1 2",
                             "{}x",
                             "// no\n1",
                             "18446744073709551616",
                             "-9223372036854775809",
                             "1e999"}) {
        EXPECT_TRUE(fails(Json::parse(text), Code::Corrupt)) << text;
    }
    EXPECT_EQ(Json::parse("[1,,2]").error().message(), "not valid JSON: syntax error at byte 4");
}

TEST(JsonParse, RejectsRepeatedMembersAtAnyDepth) {
    const auto failed = Json::parse(R"([{"a":1,"b":{"x":1,"y":2,"x":3}}])");
    ASSERT_TRUE(fails(failed, Code::Corrupt));
    EXPECT_EQ(failed.error().message(), "not valid JSON: member 'x' appears twice");
    EXPECT_TRUE(fails(Json::parse(R"({"a":1,"\u0061":1})"), Code::Corrupt))
        << "the same name, written differently";
    EXPECT_TRUE(ok(Json::parse(R"([{"a":1},{"a":1}])")));
}

TEST(JsonParse, NestingIsBounded) {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_TRUE(ok(Json::parse(nested(64))));
    EXPECT_TRUE(fails(Json::parse(nested(65)), Code::Corrupt));
    EXPECT_TRUE(fails(Json::parse(std::string(10'000'000, '[')), Code::Corrupt));
    EXPECT_EQ(Json::parse(nested(65)).error().message(), "not valid JSON: nested deeper than 64");
}

}  // namespace
}  // namespace lifeboat::base

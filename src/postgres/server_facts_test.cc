#include "postgres/server_facts.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"

namespace lifeboat::postgres {
namespace {

using test::fails;
using test::ok;

TEST(ServerVersion, From13To18) {
    for (const int version : {130000, 149999, 150004, 180001}) {
        EXPECT_TRUE(ok(check_version(version))) << version;
    }
    for (const int version : {0, 90624, 129999, 190000}) {
        EXPECT_TRUE(fails(check_version(version), Code::Unsupported)) << version;
    }
}

TEST(ServerFacts, NumbersComeInBytesAndMicroseconds) {
    ServerFacts facts;
    const auto set = [&](const char* name, const char* value, const char* unit) {
        facts.settings[name] = {value, unit, "default", false};
    };
    set("size", "3", "8kB");
    set("keep", "2", "MB");
    set("none", "-1", "MB");
    set("wait", "5", "min");
    set("plain", "100", "");
    set("text", "replica", "");
    set("huge", "9223372036854775807", "MB");
    set("odd", "3", "parsec");
    EXPECT_EQ(facts.number("size"), 24576);
    EXPECT_EQ(facts.number("keep"), 2097152);
    EXPECT_EQ(facts.number("none"), -1);
    EXPECT_EQ(facts.number("wait"), 300000000);
    EXPECT_EQ(facts.number("plain"), 100);
    for (const char* name : {"text", "huge", "odd", "absent"}) {
        EXPECT_FALSE(facts.number(name)) << name;
    }
}

TEST(ServerFacts, NamesTheDirectoryInATablespace) {
    ServerFacts facts;
    facts.version = 150020;
    facts.catalog_version = 202209061;
    EXPECT_EQ(facts.version_directory(), "PG_15_202209061");
    EXPECT_EQ(facts.setting("absent", "otherwise"), "otherwise");
}

}  // namespace
}  // namespace lifeboat::postgres

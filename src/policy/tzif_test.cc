#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "base/random.h"
#include "policy/zone.h"

namespace lifeboat::policy {
namespace {

using base::Bytes;
using base::Code;
using base::Timestamp;
using std::chrono::seconds;

// ---- A TZif file, built field by field so that each can be wrong ----------------------------

struct Tzif {
    std::string magic = "TZif";
    char version = '2';
    std::uint32_t isut = 0, isstd = 0, leap = 0;
    std::vector<std::int64_t> times = {1000, 2000};
    std::vector<int> kinds = {1, 0};

    struct Type {
        std::int32_t offset;
        int summer;
        int abbreviation;
    };

    std::vector<Type> types = {{3600, 0, 0}, {7200, 1, 4}};
    std::string abbreviations = std::string("CET\0CEST\0", 9);
    std::string footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n";
};

void put(Bytes& out, std::uint64_t v, int width) {
    for (int shift = 8 * (width - 1); shift >= 0; shift -= 8) {
        out.push_back(static_cast<base::Byte>(v >> shift));
    }
}

void put(Bytes& out, std::string_view text) {
    out.insert(out.end(), text.begin(), text.end());
}

void put_header(Bytes& out, const Tzif& f, std::size_t times, std::size_t types,
                std::size_t chars) {
    put(out, f.magic);
    out.push_back(static_cast<base::Byte>(f.version));
    out.insert(out.end(), 15, 0);
    for (const std::uint64_t count :
         {std::uint64_t{f.isut}, std::uint64_t{f.isstd}, std::uint64_t{f.leap}}) {
        put(out, count, 4);
    }
    for (const std::size_t count : {times, types, chars}) {
        put(out, count, 4);
    }
}

Bytes encode(const Tzif& f) {
    Tzif first;  // the block for old readers: one type, nothing else
    first.magic = f.magic;
    first.version = f.version;
    Bytes out;
    put_header(out, first, 0, 1, 1);
    out.insert(out.end(), 6 + 1, 0);
    put_header(out, f, f.times.size(), f.types.size(), f.abbreviations.size());
    for (const std::int64_t time : f.times) {
        put(out, static_cast<std::uint64_t>(time), 8);
    }
    for (const int kind : f.kinds) {
        out.push_back(static_cast<base::Byte>(kind));
    }
    for (const Tzif::Type& type : f.types) {
        put(out, static_cast<std::uint32_t>(type.offset), 4);
        out.push_back(static_cast<base::Byte>(type.summer));
        out.push_back(static_cast<base::Byte>(type.abbreviation));
    }
    put(out, f.abbreviations);
    out.insert(out.end(), std::size_t{f.leap} * 12 + f.isstd + f.isut, 0);
    put(out, f.footer);
    return out;
}

Timestamp unix_time(std::int64_t s) {
    return Timestamp(seconds(s));
}

Timestamp utc(std::string_view text) {
    return base::parse_rfc3339(text).value();
}

TEST(Tzif, FollowsTransitionsThenTheFooter) {
    const Zone zone = Zone::parse(encode({})).value();
    EXPECT_EQ(zone.offset_at(unix_time(-5'000'000'000)),
              seconds(3600));  // type 0 holds before the first transition
    EXPECT_EQ(zone.offset_at(unix_time(999)), seconds(3600));
    EXPECT_EQ(zone.offset_at(unix_time(1000)), seconds(7200));
    EXPECT_EQ(zone.offset_at(unix_time(1000) - std::chrono::microseconds(1)), seconds(3600));
    EXPECT_EQ(zone.offset_at(unix_time(1999)), seconds(7200));
    EXPECT_EQ(zone.offset_at(unix_time(2000)), seconds(3600));
    EXPECT_EQ(zone.offset_at(utc("2040-07-01T00:00:00Z")), seconds(7200));
    EXPECT_EQ(zone.offset_at(utc("2040-12-01T00:00:00Z")), seconds(3600));
}

TEST(Tzif, RefusesEveryLie) {
    struct Case {
        const char* what;
        void (*spoil)(Tzif&);
        Code code = Code::Corrupt;
    };

    const Case cases[] = {
        {"magic", [](Tzif& f) { f.magic = "TZix"; }},
        {"version 1", [](Tzif& f) { f.version = '\0'; }, Code::Unsupported},
        {"leap seconds", [](Tzif& f) { f.leap = 1; }, Code::Unsupported},
        {"isut count", [](Tzif& f) { f.isut = 1; }},
        {"isstd count", [](Tzif& f) { f.isstd = 1; }},
        {"no types", [](Tzif& f) { f.types.clear(); }},
        {"no abbreviations", [](Tzif& f) { f.abbreviations.clear(); }},
        {"order of transitions", [](Tzif& f) { f.times = {2000, 1000}; }},
        {"equal transitions", [](Tzif& f) { f.times = {1000, 1000}; }},
        {"type of a transition", [](Tzif& f) { f.kinds = {1, 2}; }},
        {"offset too far east", [](Tzif& f) { f.types[1].offset = 93600; }},
        {"offset too far west", [](Tzif& f) { f.types[1].offset = -90000; }},
        {"summer flag", [](Tzif& f) { f.types[1].summer = 2; }},
        {"abbreviation", [](Tzif& f) { f.types[1].abbreviation = 9; }},
        {"footer without newline", [](Tzif& f) { f.footer = "CET-1\n"; }},
        {"footer without end", [](Tzif& f) { f.footer = "\nCET-1"; }},
        {"footer of two lines", [](Tzif& f) { f.footer = "\nCET-1\n\n"; }},
        {"missing footer", [](Tzif& f) { f.footer = ""; }},
        {"open future", [](Tzif& f) { f.footer = "\n\n"; }, Code::Unsupported},
    };
    for (const Case& c : cases) {
        Tzif f;
        c.spoil(f);
        const auto got = Zone::parse(encode(f));
        ASSERT_FALSE(got.has_value()) << c.what;
        EXPECT_EQ(got.error().code(), c.code) << c.what << ": " << got.error().message();
    }
}

TEST(Tzif, RefusesAFileCutAnywhere) {
    const Bytes whole = encode({});
    ASSERT_TRUE(Zone::parse(whole).has_value());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_FALSE(Zone::parse(base::BytesView(whole).first(size)).has_value()) << size;
    }
}

TEST(Tzif, CountsCannotAskForMoreThanTheFileHolds) {
    Bytes bytes = encode({});
    for (std::size_t field = 0; field < 6; ++field) {
        Bytes huge = bytes;
        for (std::size_t i = 0; i < 4; ++i) {
            huge[44 + 7 + 20 + field * 4 + i] = 0xff;
        }
        EXPECT_FALSE(Zone::parse(huge).has_value()) << field;
    }
}

seconds offset_by_footer(const std::string& rule, std::string_view when, char version = '3') {
    Tzif f;
    f.version = version;
    f.footer = "\n" + rule + "\n";
    const auto zone = Zone::parse(encode(f));
    EXPECT_TRUE(zone.has_value()) << rule << ": "
                                  << (zone.has_value() ? "" : zone.error().message());
    return zone.has_value() ? zone->offset_at(utc(when)) : seconds(-1);
}

TEST(Footer, KnowsEveryFormOfARule) {
    EXPECT_EQ(offset_by_footer("UTC0", "2040-07-01T00:00:00Z"), seconds(0));
    EXPECT_EQ(offset_by_footer("<+0530>-5:30", "2040-07-01T00:00:00Z"), seconds(19800));
    EXPECT_EQ(offset_by_footer("LMT3:45:08", "2040-07-01T00:00:00Z"), seconds(-13508));
    // J60 is 1 March in every year, 59 (counted from 0) is 29 February in a leap year.
    EXPECT_EQ(offset_by_footer("AAA0BBB,J60/0,J61/0", "2040-03-01T00:30:00Z"), seconds(3600));
    EXPECT_EQ(offset_by_footer("AAA0BBB,J60/0,J61/0", "2041-03-01T00:30:00Z"), seconds(3600));
    EXPECT_EQ(offset_by_footer("AAA0BBB,J60/0,J61/0", "2040-02-29T00:30:00Z"), seconds(0));
    EXPECT_EQ(offset_by_footer("AAA0BBB,59/0,60/0", "2040-02-29T00:30:00Z"), seconds(3600));
    EXPECT_EQ(offset_by_footer("AAA0BBB,59/0,60/0", "2041-03-01T00:30:00Z"), seconds(3600));
    // An offset for summer time that is not an hour, and one that lies before standard time
    // (Dublin).
    EXPECT_EQ(offset_by_footer("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2040-01-01T00:00:00Z"),
              seconds(39600));
    EXPECT_EQ(offset_by_footer("IST-1GMT0,M10.5.0,M3.5.0/1", "2040-01-01T00:00:00Z"), seconds(0));
    EXPECT_EQ(offset_by_footer("IST-1GMT0,M10.5.0,M3.5.0/1", "2040-07-01T00:00:00Z"),
              seconds(3600));
    // Summer time all year: it ends when it begins again. And times outside the day, as version 3
    // allows.
    for (const char* when : {"2040-12-31T23:00:00Z", "2041-01-01T02:59:59Z", "2041-01-01T03:00:00Z",
                             "2041-07-01T00:00:00Z"}) {
        EXPECT_EQ(offset_by_footer("XXX3EDT4,0/0,J365/23", when), seconds(-14400)) << when;
    }
    EXPECT_EQ(offset_by_footer("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2040-03-25T00:59:59Z"),
              seconds(-7200));
    EXPECT_EQ(offset_by_footer("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2040-03-25T01:00:00Z"),
              seconds(-3600));
}

TEST(Footer, RefusesWhatPosixDoesNotKnow) {
    for (const char* rule : {"CE-1",
                             "CET",
                             "CET-",
                             "CET-25",
                             "CET-1:60",
                             "<CET-1",
                             "CET-1CEST",
                             "CET-1CEST,M3.5.0",
                             "CET-1CEST,M13.5.0,M10.5.0",
                             "CET-1CEST,M3.6.0,M10.5.0",
                             "CET-1CEST,M3.0.0,M10.5.0",
                             "CET-1CEST,M3.5.7,M10.5.0",
                             "CET-1CEST,M3.5,M10.5.0",
                             "CET-1CEST,J0,J60",
                             "CET-1CEST,366,60",
                             "CET-1CEST,M3.5.0/168,M10.5.0",
                             "CET-1CEST,M3.5.0,M10.5.0,",
                             "CET-1 ",
                             ":Europe/Berlin",
                             "CET-1CEST,,"}) {
        Tzif f;
        f.version = '3';
        f.footer = "\n" + std::string(rule) + "\n";
        EXPECT_FALSE(Zone::parse(encode(f)).has_value()) << rule;
    }
}

TEST(Footer, Version2KnowsOnlyTimesOfTheDay) {
    Tzif f;
    f.footer = "\nCET-1CEST,M3.5.0/25,M10.5.0\n";
    EXPECT_FALSE(Zone::parse(encode(f)).has_value());
    f.footer = "\nCET-1CEST,M3.5.0/24,M10.5.0\n";
    EXPECT_TRUE(Zone::parse(encode(f)).has_value());
}

// ---- The machine's own tz database, against libc --------------------------------------------

const char* const kDatabase = "/usr/share/zoneinfo";

class Database : public testing::Test {
  protected:
    void SetUp() override {
        if (!base::exists(base::real_files(), std::string(kDatabase) + "/Europe/Berlin").value()) {
            GTEST_SKIP() << "this machine has no tz database";
        }
    }

    static Zone load(std::string_view name) {
        return Zone::load(ZoneName::parse(name).value(), base::real_files()).value();
    }
};

long libc_offset(std::time_t t) {
    std::tm out{};
    localtime_r(&t, &out);
    return out.tm_gmtoff;
}

void expect_same_at(const std::string& name, const Zone& zone, std::time_t t) {
    ASSERT_EQ(zone.offset_at(unix_time(t)).count(), libc_offset(t))
        << name << " at " << base::format_time(unix_time(t));
}

void expect_same_at_random(const std::string& name, const Zone& zone, base::Random& random) {
    for (int i = 0; i < 100; ++i) {
        expect_same_at(name, zone, static_cast<std::time_t>(random.u64() % 4102444800ULL));
    }
}

// The last second before each change of 1970..2100, and the first after it.
void expect_same_around_changes(const std::string& name, const Zone& zone) {
    constexpr std::time_t kStep = 86400 * 60;
    for (std::time_t start = 0; start < 4102444800; start += kStep) {
        std::time_t low = start;
        std::time_t high = start + kStep;
        const long before = libc_offset(low);
        if (libc_offset(high) == before) {
            continue;
        }
        while (high - low > 1) {
            const std::time_t middle = low + (high - low) / 2;
            (libc_offset(middle) == before ? low : high) = middle;
        }
        expect_same_at(name, zone, low);
        expect_same_at(name, zone, high);
    }
}

TEST_F(Database, EveryZoneAgreesWithLibc) {
    const std::string table = std::string(base::text(
        base::read_file(base::real_files(), std::string(kDatabase) + "/tzdata.zi").value()));
    const auto random = base::seeded_random(8);
    const char* const outer = std::getenv("TZ");
    const std::string saved = outer == nullptr ? "" : outer;
    int zones = 0;
    for (std::size_t at = 0; at < table.size(); at = table.find('\n', at) + 1) {
        // "Z Europe/Berlin 0:53:28 - LMT ..." begins a zone.
        if (table.compare(at, 2, "Z ") != 0) {
            continue;
        }
        const std::string name = table.substr(at + 2, table.find(' ', at + 2) - at - 2);
        const Zone zone = load(name);
        setenv("TZ", (std::string(":") + kDatabase + "/" + name).c_str(), 1);
        tzset();
        expect_same_at_random(name, zone, *random);
        if (zones++ % 16 == 0) {
            expect_same_around_changes(name, zone);
        }
    }
    outer == nullptr ? unsetenv("TZ") : setenv("TZ", saved.c_str(), 1);
    tzset();
    EXPECT_GT(zones, 300);
}

TEST_F(Database, LocalTimesMapBackToTheirMoments) {
    const auto random = base::seeded_random(9);
    for (const char* name :
         {"Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca",
          "Europe/Dublin", "Pacific/Apia", "Asia/Kathmandu", "America/Sao_Paulo"}) {
        const Zone zone = load(name);
        for (int i = 0; i < 200; ++i) {
            const Timestamp t = unix_time(static_cast<std::int64_t>(random->u64() % 4102444800ULL));
            const auto moments = zone.moments(zone.local(t));
            EXPECT_NE(std::find(moments.begin(), moments.end(), t), moments.end())
                << name << " " << base::format_time(t);
        }
    }
}

TEST_F(Database, AJumpHasTwoReadingsAndNoMoment) {
    const Zone berlin = load("Europe/Berlin");
    const LocalTime lost =
        std::chrono::local_days(std::chrono::year(2026) / 3 / 29) + std::chrono::minutes(150);
    EXPECT_TRUE(berlin.moments(lost).empty());
    const auto around = berlin.around_jump(lost);
    ASSERT_TRUE(around.has_value());
    EXPECT_EQ(base::format_time(around->first), "2026-03-29T01:30:00Z");
    EXPECT_EQ(base::format_time(around->second), "2026-03-29T00:30:00Z");
}

TEST_F(Database, AWholeDayCanBeJumped) {
    const Zone apia = load("Pacific/Apia");  // 30 December 2011 never was
    const LocalTime lost =
        std::chrono::local_days(std::chrono::year(2011) / 12 / 30) + std::chrono::hours(12);
    EXPECT_TRUE(apia.moments(lost).empty());
    EXPECT_TRUE(apia.around_jump(lost).has_value());
}

TEST_F(Database, AnUnknownZoneIsNotFound) {
    for (const char* name : {"Europe/Berln", "CEST", "Europe"}) {
        const auto got = Zone::load(ZoneName::parse(name).value(), base::real_files());
        ASSERT_FALSE(got.has_value()) << name;
        EXPECT_EQ(got.error().message(), "there is no time zone '" + std::string(name) + "'");
    }
    EXPECT_EQ(Zone::load(ZoneName::parse("leapseconds").value(), base::real_files()).error().code(),
              Code::Corrupt);
}

TEST(ZoneName, UtcAndOffsetsNeedNoFile) {
    const auto load = [](std::string_view name) {
        return Zone::load(ZoneName::parse(name).value(), base::real_files(), "/nonexistent")
            .value();
    };
    EXPECT_EQ(load("UTC").offset_at(unix_time(0)), seconds(0));
    EXPECT_EQ(load("z").offset_at(unix_time(0)), seconds(0));
    EXPECT_EQ(load("+05:30").offset_at(unix_time(0)), seconds(19800));
    EXPECT_EQ(load("-0330").offset_at(unix_time(0)), seconds(-12600));
    EXPECT_EQ(ZoneName::parse("+0530").value().text(), "+05:30");
    EXPECT_EQ(ZoneName::parse("utc").value(), ZoneName());
    const auto none =
        Zone::load(ZoneName::parse("Europe/Berlin").value(), base::real_files(), "/nonexistent");
    EXPECT_EQ(none.error().message(),
              "time zone 'Europe/Berlin': this machine "
              "has no tz database at '/nonexistent'");
}

TEST(ZoneName, IsSafeAsAPath) {
    for (const char* name :
         {"", "/etc/passwd", "../x", "Europe/../../x", "a//b", "Europe/", "+2", "+16:00", "+02:60",
          "02:00", "Europe Berlin", "tzdata.zi", "Europe/Berlin\n", "+02:0", "-"}) {
        EXPECT_FALSE(ZoneName::parse(name).has_value()) << name;
    }
    EXPECT_FALSE(ZoneName::parse(std::string(65, 'a')).has_value());
}

}  // namespace
}  // namespace lifeboat::policy

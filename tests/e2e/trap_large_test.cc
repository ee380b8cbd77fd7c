#include <gtest/gtest.h>

#include "tests/e2e/property_world.h"

// A relation of more than one file. Minutes of work, so not among the tests of every day.

namespace lifeboat::test {
namespace {

const postgres::PgServer kServer{15, 16, false};

TEST(LargeTrap, T29_ATableOfSeveralSegmentsComesBack) {
    const std::string missing = kServer.missing();
    if (!missing.empty()) {
        GTEST_SKIP() << missing;
    }
    PropertyWorld world(kServer, {.settings = "autovacuum=off\n"});
    world.start_stream();
    world.ask("CREATE UNLOGGED TABLE big (k int, v text) WITH (fillfactor = 10)");
    world.ask("INSERT INTO big SELECT g, repeat('x', 600) FROM generate_series(1, 145000) g");
    world.ask("ALTER TABLE big SET LOGGED");
    world.ask("CHECKPOINT");
    ASSERT_EQ(world.ask("SELECT pg_relation_size('big') > 1100000000"), "t");
    world.lifeboat({"backup", "--full"});
    world.ask("UPDATE big SET v = 'changed' WHERE k IN (1, 72000, 145000)");
    world.ask("CHECKPOINT");
    world.lifeboat({"backup"});
    world.ask("UPDATE big SET v = 'again' WHERE k IN (2, 72001, 144999)");
    world.wait_for_stream();
    world.end_stream();
    world.cluster().stop();
    const auto restored = world.start_restored({}, PropertyWorld::Start::ByLifeboat);
    EXPECT_EQ(world.ask(restored,
                        "SELECT count(*), sum(k), count(*) FILTER (WHERE v = 'changed'), count(*) "
                        "FILTER (WHERE v = 'again') FROM big"),
              "145000|10512572500|3|3");
}

}  // namespace
}  // namespace lifeboat::test

#include "repo/repository.h"

#include <gtest/gtest.h>

#include "repo/stream.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::ok;

namespace {

class RepositoryTest : public testing::Test {
  protected:
    test::RepoWorld world;
};

TEST_F(RepositoryTest, OpensAsItWasCreated) {
    const auto opened = Repository::open(*world.store);
    ASSERT_TRUE(ok(opened));
    EXPECT_EQ((*opened)->id(), world.repository->id());
    EXPECT_EQ((*opened)->claimed_recipients(), world.repository->claimed_recipients());
    EXPECT_EQ((*opened)->claimed_recipients().size(), 2U);
}

TEST_F(RepositoryTest, IsCreatedOnceAndOnlyInAnEmptyPlace) {
    EXPECT_TRUE(
        fails(Repository::create(*world.store, world.keys.recipients(), world.clock, *world.random),
              Code::Conflict));
    const auto other = store::memory_store(world.clock);
    ASSERT_TRUE(ok(other->put("holiday/photo", Bytes(3))));
    const auto refused =
        Repository::create(*other, world.keys.recipients(), world.clock, *world.random);
    ASSERT_TRUE(fails(refused, Code::Refused));
    EXPECT_NE(refused.error().message().find("holiday/photo"), std::string::npos);
    EXPECT_TRUE(fails(Repository::open(*other), Code::NotFound));
}

TEST_F(RepositoryTest, NeedsTwoRecipientsThatDiffer) {
    const auto empty = store::memory_store(world.clock);
    const auto one = world.keys.identities[0].recipient();
    EXPECT_TRUE(
        fails(Repository::create(*empty, {one}, world.clock, *world.random), Code::Refused));
    EXPECT_TRUE(
        fails(Repository::create(*empty, {one, one}, world.clock, *world.random), Code::Refused));
    EXPECT_TRUE(fails(Repository::create(*empty, {}, world.clock, *world.random), Code::Refused));
}

// Whoever can write to the store can write a name into lifeboat.json. Nothing is sealed to it.
TEST_F(RepositoryTest, P4_TheStoreCannotAddARecipient) {
    const auto thief = crypto::Identity::generate(*world.random);
    std::string text(base::text(world.bytes("lifeboat.json")));
    const std::size_t at = text.find("\"age1");
    ASSERT_NE(at, std::string::npos);
    text.insert(at, "\"" + thief.recipient().text() + "\", ");
    world.replace("lifeboat.json", base::view(text));

    auto opened = Repository::open(*world.store, world.keys.recipients());
    ASSERT_TRUE(ok(opened));
    EXPECT_EQ((*opened)->claimed_recipients().size(), 3U);
    const test::Tree tree{{"base/1/1", test::table_like(1, 40'000)}};
    ASSERT_TRUE(ok(test::capture_tree(**opened, world.keys.host, {.tree = &tree}, world.clock,
                                      *world.random)));
    StreamWriter writer(**opened, world.keys.host, "prod", world.clock, *world.random);
    StreamPut piece;
    piece.range = {1, 0x1000000, 0x1000000 + 64};
    piece.expires = policy::ExpiryDay::of(world.clock.now());
    piece.source = 1;
    piece.segment_size = 1 << 20;
    piece.major = 15;
    ASSERT_TRUE(ok(writer.put(piece, Bytes(64))));

    for (const std::string& name : world.names("s/")) {
        const Bytes object = world.bytes(name);
        const std::string_view all = base::text(object);
        if (all.find("age-encryption.org/v1") == std::string_view::npos) {
            EXPECT_NE(name.find(".map"), std::string::npos) << name;  // sealed under the map key
            continue;
        }
        std::size_t stanzas = 0;
        for (std::size_t i = all.find("-> X25519 "); i != std::string_view::npos;
             i = all.find("-> X25519 ", i + 1)) {
            ++stanzas;
        }
        EXPECT_EQ(stanzas, 2U) << name;
    }
    ReaderKeys keys({thief}, std::nullopt, {world.keys.host.signing_key().verify_key()});
    const auto backups = (*opened)->backups("prod");
    ASSERT_TRUE(ok(backups));
    EXPECT_TRUE(fails((*opened)->load(backups->front(), keys), Code::Denied));
}

TEST_F(RepositoryTest, CannotBeWrittenByWhoNamesNoRecipients) {
    const auto opened = Repository::open(*world.store);
    ASSERT_TRUE(ok(opened));
    const test::Tree tree{{"a", test::noise(1, 10)}};
    EXPECT_TRUE(fails(
        test::capture_tree(**opened, world.keys.host, {.tree = &tree}, world.clock, *world.random),
        Code::Refused));
    const auto one = world.keys.identities[0].recipient();
    EXPECT_TRUE(fails(Repository::open(*world.store, {one}), Code::Refused));
}

TEST_F(RepositoryTest, DamagedOrNewerDescriptionsAreRefused) {
    const std::string good(base::text(world.bytes("lifeboat.json")));
    const auto with = [&](std::string_view from, std::string_view to) {
        std::string text = good;
        text.replace(text.find(from), from.size(), to);
        world.replace("lifeboat.json", base::view(text));
        return Repository::open(*world.store);
    };
    EXPECT_TRUE(fails(with("\"format\": 1", "\"format\": 2"), Code::Unsupported));
    EXPECT_TRUE(fails(with("\"format\": 1", "\"format\": 0"), Code::Corrupt));
    EXPECT_TRUE(fails(with("\"repository\"", "\"repo\""), Code::Corrupt));
    EXPECT_FALSE(with("age1", "age2"));
    EXPECT_TRUE(fails(with("{", "["), Code::Corrupt));
    EXPECT_TRUE(ok(with("{", "{")));
}

TEST_F(RepositoryTest, WritersAreRegisteredOnce) {
    EXPECT_TRUE(ok(world.repository->register_writer(world.keys.host, "db1", world.clock)));
    EXPECT_TRUE(ok(world.repository->register_writer(world.keys.host, "db1", world.clock)));
    const auto json = base::Json::parse(base::text(world.bytes(world.only("writers/"))));
    ASSERT_TRUE(ok(json));
    EXPECT_EQ(json->text("signer").value(), world.keys.host.signing_key().verify_key().text());
}

TEST_F(RepositoryTest, BackupsAreListedOldestFirstAndForeignNamesPassedBy) {
    const test::Tree tree{{"a", test::noise(1, 10)}};
    std::vector<std::string> made;
    for (int i = 0; i < 3; ++i) {
        made.push_back(world.capture({.tree = &tree}).value().backup);
        world.clock.advance(std::chrono::hours(1));
    }
    ASSERT_TRUE(ok(world.capture({.system = "other", .tree = &tree})));
    world.replace("s/prod/manifest/readme.txt", Bytes(5));
    const auto backups = world.repository->backups("prod");
    ASSERT_TRUE(ok(backups));
    std::vector<std::string> ids;
    for (const ManifestName& name : *backups) {
        ids.push_back(name.backup);
    }
    EXPECT_EQ(ids, made);
    EXPECT_EQ(world.repository->systems().value(), (std::vector<std::string>{"other", "prod"}));
}

// A manifest under any other name would be chosen by a time, or deleted on a day, that nobody
// signed.
TEST_F(RepositoryTest, AMovedManifestIsCorrupt) {
    const test::Tree tree{{"a", test::noise(1, 10)}};
    const auto manifest = world.capture({.tree = &tree});
    ASSERT_TRUE(ok(manifest));
    const ManifestName name = world.name_of(*manifest);
    const auto moved = [&](auto change) {
        ManifestName other = name;
        change(other);
        world.replace(other.text(), world.bytes(name.text()));
        return world.repository->load(other, world.reader);
    };
    EXPECT_TRUE(fails(moved([](ManifestName& n) { n.system = "other"; }), Code::Corrupt));
    EXPECT_TRUE(
        fails(moved([](ManifestName& n) { n.stop += std::chrono::seconds(1); }), Code::Corrupt));
    EXPECT_TRUE(fails(
        moved([](ManifestName& n) { n.expires = policy::ExpiryDay::parse("20991231").value(); }),
        Code::Corrupt));
    EXPECT_TRUE(
        fails(moved([](ManifestName& n) { n.backup = "20260101T000000Z-0000"; }), Code::Corrupt));
    EXPECT_TRUE(ok(moved([](ManifestName&) {})));
}

}  // namespace

}  // namespace lifeboat::repo

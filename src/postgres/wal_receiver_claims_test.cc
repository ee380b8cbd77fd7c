#include "postgres/wal_receiver_claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postgres/recovery_catalog.h"
#include "postgres/wal_receiver_upload.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using base::kMiB;
using repo::StreamCatalog;
using repo::StreamObject;
using repo::StreamRange;
using test::fails;
using test::ok;

constexpr std::uint64_t kSystem = 7000000000000000001ULL;

ClusterIdentity cluster() {
    return {kSystem, 15, *SegmentSize::of(kMiB)};
}

class Claims : public testing::Test {
  protected:
    repo::StreamWriter writer(const repo::HostKeys& host) {
        return {*world_.repository, host, "prod", world_.clock, *world_.random};
    }

    // An object of these bytes, as this host or another writes it.
    StreamCatalog::Entry put(const StreamRange& range, const repo::HostKeys& host,
                             std::uint64_t source = kSystem,
                             StreamObject kind = StreamObject::Piece) {
        repo::StreamPut put;
        put.kind = kind;
        put.range = range;
        put.expires = policy::ExpiryDay::of(world_.clock.now());
        put.source = source;
        put.segment_size = kMiB;
        put.major = 15;
        put.captured = world_.clock.now();
        const Bytes bytes = test::noise(range.from, range.to - range.from);
        EXPECT_TRUE(ok(writer(host).put(put, bytes)));
        return entry({kind, "prod", put.expires, range});
    }

    StreamCatalog::Entry entry(const repo::StreamName& name) {
        return {name, world_.bytes(name.text()).size()};
    }

    Result<bool> prove(const StreamCatalog::Entry& claim) {
        return prove_claim(*world_.repository, world_.keys.host, cluster(), claim);
    }

    test::RepoWorld world_;
};

TEST_F(Claims, AreProvenByAWholeObjectOfThisHost) {
    EXPECT_EQ(*prove(put({1, 0, 5000}, world_.keys.host)), true);
}

TEST_F(Claims, OfRottenObjectsAreNot) {
    const auto claim = put({1, 0, 5000}, world_.keys.host);
    const std::string name = claim.name.text();
    const Bytes whole = world_.bytes(name);
    for (const std::size_t at : {std::size_t{3}, whole.size() / 2, whole.size() - 3}) {
        world_.flip(name, at);
        EXPECT_EQ(*prove(claim), false) << at;
        world_.replace(name, whole);
    }
    for (const std::size_t size : {std::size_t{0}, std::size_t{100}, whole.size() - 1}) {
        world_.replace(name, base::BytesView(whole).first(size));
        EXPECT_EQ(*prove(entry(claim.name)), false) << size;
    }
    world_.remove(name);
    EXPECT_EQ(*prove(claim), false);
}

TEST_F(Claims, OfStrangersAndOfMovedObjectsAreNot) {
    const auto stranger = repo::HostKeys::generate(*world_.random);
    EXPECT_EQ(*prove(put({1, 0, 5000}, stranger)), false);
    const auto ours = put({1, 5000, 9000}, world_.keys.host);
    repo::StreamName moved = ours.name;
    moved.range = {1, 5000, 90000};
    ASSERT_TRUE(ok(world_.store->put(moved.text(), world_.bytes(ours.name.text()))));
    EXPECT_EQ(*prove(entry(moved)), false);
}

TEST_F(Claims, OfAnotherClusterAreAConflict) {
    EXPECT_TRUE(fails(prove(put({1, 0, 5000}, world_.keys.host, kSystem + 1)), Code::Conflict));
}

TEST_F(Claims, CountOnlyOnceTheyWereSettled) {
    test::TempDir dir;
    auto spool = WalSpool::open(base::real_files(), dir / "spool", cluster());
    ASSERT_TRUE(ok(spool));
    ASSERT_TRUE(ok((*spool)->append(1, Lsn{kMiB}, Bytes(5000), world_.clock.now())));
    const repo::StreamName near{StreamObject::Piece, "prod", {}, {1, kMiB, kMiB + 5000}};
    const repo::StreamName pack{StreamObject::Gathered, "prod", {}, {1, 0, 2 * kMiB}};
    const repo::StreamName far{StreamObject::Gathered, "prod", {}, {1, 3 * kMiB, 4 * kMiB}};
    WalShare share;
    share.use_spool(**spool);
    share.set_catalog(StreamCatalog::of({{near, 9}, {pack, 9}, {far, 9}}, {}), {});
    EXPECT_TRUE(share.stored_ranges().timelines().empty());
    EXPECT_EQ(share.first_unstored(), near.range);
    ASSERT_EQ(share.open_claims().size(), 1U);
    EXPECT_EQ(share.open_claims()[0].name.range, pack.range) << "the pack first";
    share.settle({pack, 9}, false);
    ASSERT_EQ(share.open_claims().size(), 1U);
    EXPECT_EQ(share.open_claims()[0].name.range, near.range);
    share.settle({near, 9}, true);
    EXPECT_TRUE(share.open_claims().empty()) << "nobody asked about what the spool does not hold";
    EXPECT_EQ(share.first_unstored(), std::nullopt);
    EXPECT_TRUE(share.gathered_ranges().timelines().empty());
    EXPECT_TRUE(share.claimed_ranges().contains(far.range));
}

TEST(ClaimsBefore, AreThoseThatTheServerWasToldOf) {
    const TimelineHistory third{3, {{1, Lsn{500}, ""}}};
    WalRanges claimed;
    claimed.add({1, 0, 600});
    claimed.add({2, 500, 900});
    claimed.add({3, 500, 700});
    const auto before = [&](const WalStart& kept, TimelineId timeline) {
        return claims_before(claimed, kept, third).ranges(timeline);
    };
    EXPECT_THAT(before({3, Lsn{600}}, 3), testing::ElementsAre(StreamRange{3, 500, 600}));
    EXPECT_THAT(before({3, Lsn{600}}, 1), testing::ElementsAre(StreamRange{1, 0, 600}));
    EXPECT_THAT(before({3, Lsn{600}}, 2), testing::IsEmpty()) << "not on the way";
    EXPECT_THAT(before({1, Lsn{400}}, 3), testing::IsEmpty());
    EXPECT_THAT(before({1, Lsn{400}}, 1), testing::ElementsAre(StreamRange{1, 0, 400}));
    EXPECT_EQ(byte_before({3, Lsn{600}}, third), (StreamRange{3, 599, 600}));
    EXPECT_EQ(byte_before({3, Lsn{448}}, third), (StreamRange{1, 499, 500}))
        << "the segment begins before the timeline";
    EXPECT_EQ(byte_before({1, Lsn{0}}, third), std::nullopt);
}

TEST_F(Claims, T14_OneNumberHasOneHistory) {
    const auto check = [&](std::string_view text) {
        return check_history(*world_.repository, world_.keys.host, "prod", 2, base::view(text));
    };
    EXPECT_TRUE(ok(check("1\t0/5000\tswitch\n")));
    ASSERT_TRUE(ok(writer(world_.keys.host).put_history(2, base::view("1\t0/5000\tswitch\n"))));
    EXPECT_TRUE(ok(check("1\t0/5000\tsaid otherwise\n")));
    const auto other = check("1\t0/6000\tswitch\n");
    ASSERT_TRUE(fails(other, Code::Conflict));
    EXPECT_THAT(other.error().message(), testing::HasSubstr("timeline 1 until 0/5000"));
    EXPECT_THAT(other.error().hint(), testing::HasSubstr("a system of its own"));
}

TEST_F(Claims, T14_ANumberWhoseHistoryNobodyCanTellIsTaken) {
    const test::Tree tree{{"a", {1, 2, 3}}};
    test::CaptureJob job;
    job.tree = &tree;
    ASSERT_TRUE(ok(world_.capture(job)));
    auto ours = writer(world_.keys.host);
    ASSERT_TRUE(ok(ours.put_history(2, base::view("1\t0/5000\tswitch\n"))));
    ASSERT_TRUE(ok(ours.put_history(2, base::view("1\t0/6000\tswitch\n"))));
    ASSERT_TRUE(ok(ours.put_history(3, base::view("1\t0/7000\tswitch\n"))));
    put({5, 0, 5000}, world_.keys.host);
    const repo::ReaderKeys keys = world_.keys.host_reader();
    auto catalog = RecoveryCatalog::load("prod", *world_.repository, keys);
    ASSERT_TRUE(ok(catalog));
    ASSERT_TRUE(ok((*catalog)->open_histories()));
    std::vector<TimelineId> taken;
    for (const StoredHistoryFile& file : (*catalog)->reserved()) {
        taken.push_back(file.timeline);
        EXPECT_TRUE(base::text(file.contents).starts_with("# ")) << "PostgreSQL passes it by";
    }
    EXPECT_THAT(taken, testing::ElementsAre(2, 5));
    ASSERT_EQ((*catalog)->histories().size(), 1U);
    EXPECT_EQ((*catalog)->histories()[0].timeline, 3U);
}

// What was stored once more for one that rotted counts.
TEST_F(Claims, T14_ARottenHistoryHidesNoneThatOpens) {
    const test::Tree tree{{"a", {1, 2, 3}}};
    test::CaptureJob job;
    job.tree = &tree;
    ASSERT_TRUE(ok(world_.capture(job)));
    auto ours = writer(world_.keys.host);
    const auto text = base::view("1\t0/5000\tswitch\n");
    for (int rotten = 0; rotten < 3; ++rotten) {  // whatever the order of their names
        ASSERT_TRUE(ok(ours.put_history(2, text)));
        for (const std::string& name : world_.names("s/prod/history/")) {
            Bytes bytes = world_.bytes(name);
            bytes.assign(bytes.size(), 0);
            world_.replace(name, bytes);
        }
    }
    ASSERT_TRUE(ok(ours.put_history(2, text)));
    const repo::ReaderKeys keys = world_.keys.host_reader();
    auto catalog = RecoveryCatalog::load("prod", *world_.repository, keys);
    ASSERT_TRUE(ok(catalog));
    ASSERT_TRUE(ok((*catalog)->open_histories()));
    ASSERT_EQ((*catalog)->histories().size(), 1U);
    EXPECT_EQ(base::text((*catalog)->histories()[0].contents), "1\t0/5000\tswitch\n");
    EXPECT_TRUE((*catalog)->orphans().empty());
    EXPECT_TRUE((*catalog)->reserved().empty());
}

// ---- What a writer says of an object ------------------------------------------------------------

TEST_F(Claims, AServersSlowClockDoesNotShortenTheLifeOfItsWal) {
    test::TempDir dir;
    auto spool = WalSpool::open(base::real_files(), dir / "spool", cluster());
    ASSERT_TRUE(ok(spool));
    const auto now = world_.clock.now();
    const auto behind = now - std::chrono::days(20);
    const auto ahead = now + std::chrono::days(20);
    ASSERT_TRUE(ok((*spool)->append(1, Lsn{kMiB}, Bytes(100), behind)));
    ASSERT_TRUE(ok((*spool)->append(2, Lsn{kMiB}, Bytes(100), ahead)));
    WalShare share;
    share.use_spool(**spool);
    engine::StreamJob job{.repository = *world_.repository,
                          .host = world_.keys.host,
                          .spool = "",
                          .report = {},
                          .need_base = {}};
    const base::StopToken stop;
    const engine::Context context{base::real_files(), world_.clock, *world_.random, stop};
    const std::string system = "prod";
    const RepositorySide side{job, context, system, share};
    const auto expires = [&](TimelineId timeline) {
        const StreamRange range{timeline, kMiB, kMiB + 100};
        return describe_put(side, StreamObject::Gathered, range, {}).expires;
    };
    EXPECT_EQ(expires(1), policy::wal_expiry(now, job.retention));
    EXPECT_EQ(expires(2), policy::wal_expiry(ahead, job.retention));
}

}  // namespace
}  // namespace lifeboat::postgres

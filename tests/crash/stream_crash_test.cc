// Power cuts and failing store calls under a stream. What must hold: bytes whose put returned are
// read back, bytes of any other put are absent or right, and the whole script can be run again to
// its end.
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "repo/check.h"
#include "repo/stream.h"
#include "store/local_store.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"
#include "tests/support/sim_files.h"

namespace lifeboat::repo {

using base::Code;
using base::Result;
using test::CrashMode;
using test::ok;
using test::SimFiles;

namespace {

constexpr std::uint64_t kSource = 42;

struct Step {
    StreamObject kind;
    StreamRange range;
};

// Pieces, their gathering, a timeline switch.
const std::vector<Step>& script() {
    static const std::vector<Step> steps = {
        {StreamObject::Piece, {1, 0, 700}},     {StreamObject::Piece, {1, 700, 5000}},
        {StreamObject::Gathered, {1, 0, 5000}}, {StreamObject::Piece, {1, 5000, 5001}},
        {StreamObject::Piece, {2, 5000, 9000}}, {StreamObject::Gathered, {2, 5000, 9000}}};
    return steps;
}

Bytes bytes_of(const StreamRange& range) {
    Bytes out(range.to - range.from);
    for (std::uint64_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<base::Byte>(1 + (range.from + i + range.timeline) * 31 % 251);
    }
    return out;
}

struct Acknowledged {
    std::set<std::size_t> steps;
    bool history = false;
    bool gap = false;

    bool all() const { return steps.size() == script().size() && history && gap; }
};

// Runs the script as far as it gets; `seed` is that of the process, which has no memory of an
// earlier one.
Acknowledged run(store::ObjectStore& store, base::Clock& clock, std::uint64_t seed) {
    Acknowledged done;
    const test::RepoKeys keys(5);
    const auto repository = Repository::open(store, keys.recipients());
    if (!repository) {
        return done;
    }
    const auto random = base::seeded_random(seed);
    StreamWriter writer(**repository, keys.host, "prod", clock, *random);
    for (std::size_t i = 0; i < script().size(); ++i) {
        StreamPut put;
        put.kind = script()[i].kind;
        put.range = script()[i].range;
        put.expires = policy::ExpiryDay::parse("20260301").value();
        put.source = kSource;
        put.captured = clock.now();
        put.summary = test::noise(i, 50);
        if (writer.put(put, bytes_of(put.range))) {
            done.steps.insert(i);
        }
    }
    done.history = writer.put_history(2, base::view("1\t0/1388\tswitch\n")).has_value();
    done.gap = writer.record_gap({1, 5001, 6000}, "a test").has_value();
    return done;
}

void expect_object(Repository& repository, const StreamCatalog::Entry& entry, ReaderKeys& keys) {
    const StreamCatalog alone = StreamCatalog::of({entry}, {});
    StreamReader reader(repository, alone, keys, kSource);
    Bytes out(entry.name.range.to - entry.name.range.from);
    ASSERT_TRUE(ok(reader.read(entry.name.range.timeline, entry.name.range.from, out)))
        << entry.name.text() << " is listed and cannot be read";
    EXPECT_TRUE(out == bytes_of(entry.name.range));
}

void expect_whole(store::ObjectStore& store, const Acknowledged& done) {
    const test::RepoKeys keys(5);
    ReaderKeys reader = keys.reader();
    const auto repository = Repository::open(store);
    ASSERT_TRUE(ok(repository));
    const auto catalog = StreamCatalog::load(**repository, "prod");
    ASSERT_TRUE(ok(catalog));
    std::set<std::string> listed;
    for (const StreamCatalog::Entry& entry : catalog->entries()) {
        expect_object(**repository, entry, reader);
        listed.insert(entry.name.text());
    }
    for (const std::size_t i : done.steps) {
        const StreamName name{script()[i].kind, "prod",
                              policy::ExpiryDay::parse("20260301").value(), script()[i].range};
        EXPECT_TRUE(listed.contains(name.text())) << name.text() << " was acknowledged and is gone";
    }
    EXPECT_TRUE(!done.gap || catalog->gaps().size() == 1);
    EXPECT_TRUE(!done.history || catalog->histories().size() == 1);
    const Key256 map_key = RepositoryKeys::derive(keys.host.secret, (*repository)->id()).map;
    for (const std::string& name : catalog->histories()) {
        EXPECT_TRUE(ok(read_history(**repository, name, map_key)));
    }
    const base::StopToken stop;
    const auto report = check_repository(
        **repository, &reader, {.level = CheckLevel::Data, .workers = 1, .systems = {}}, {}, stop);
    ASSERT_TRUE(ok(report));
    EXPECT_TRUE(report->damaged.empty() && report->missing.empty());
}

void create_repository(store::ObjectStore& store, base::Clock& clock) {
    const test::RepoKeys keys(5);
    const auto random = base::seeded_random(6);
    ASSERT_TRUE(ok(Repository::create(store, keys.recipients(), clock, *random)));
}

// ---- Power cuts
// ---------------------------------------------------------------------------------------------------

class StreamPowerCuts : public testing::TestWithParam<CrashMode> {};

std::unique_ptr<store::LocalStore> open_store(SimFiles& files, base::Clock& clock) {
    auto opened =
        store::LocalStore::open(files, clock, "/disk/repository", store::LocalStore::Create::Yes);
    EXPECT_TRUE(ok(opened));
    return std::move(opened).value();
}

TEST_P(StreamPowerCuts, P1_AcknowledgedBytesSurviveACutAfterAnyOperation) {
    bool was_cut = true;
    std::uint64_t cuts = 0;
    for (std::uint64_t n = 0; was_cut; ++n) {
        base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};
        SimFiles files(&clock);
        ASSERT_TRUE(base::create_directories(files, "/disk"));
        auto store = open_store(files, clock);
        create_repository(*store, clock);
        ASSERT_TRUE(files.sync_filesystem("/disk"));

        files.crash_after(n);
        const Acknowledged done = run(*store, clock, n);
        was_cut = files.power_was_cut();
        EXPECT_NE(was_cut, done.all());
        store.reset();
        files.power_cycle(GetParam());
        store = open_store(files, clock);
        expect_whole(*store, done);

        const Acknowledged again =
            run(*store, clock, n + 1000);  // P9: what is there already holds the same bytes
        EXPECT_TRUE(again.all());
        store.reset();
        files.power_cycle(test::kLoseUnsynced);
        store = open_store(files, clock);
        expect_whole(*store, again);
        ASSERT_FALSE(HasFailure()) << "cut after " << n << " operations";
        ++cuts;
    }
    EXPECT_GT(cuts, 50U);
}

INSTANTIATE_TEST_SUITE_P(Modes, StreamPowerCuts,
                         testing::Values(test::kLoseUnsynced, test::kKeepAll,
                                         test::keep_random_subset(1), test::keep_random_subset(2),
                                         test::keep_random_subset(3)));

// ---- Failing store calls
// ------------------------------------------------------------------------------------------

class StreamFailingStore : public testing::TestWithParam<store::Fault> {};

TEST_P(StreamFailingStore, LosesNothingThatWasAcknowledgedAndCanBeRepeated) {
    bool hit = true;
    for (std::uint64_t n = 0; hit; ++n) {
        base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};
        bool armed = false;
        std::uint64_t calls = 0;
        const auto faulty = store::with_faults(
            store::memory_store(clock), [&](store::Operation, const std::string&) {
                return armed && calls++ == n ? GetParam() : store::Fault::None;
            });
        create_repository(*faulty, clock);
        for (int life = 0; life < 2;
             ++life) {  // the second meets objects that are there: the fault may hit the comparison
            armed = true;
            const Acknowledged done = run(*faulty, clock, n * 2 + static_cast<std::uint64_t>(life));
            armed = false;
            expect_whole(*faulty, done);
        }
        hit = calls > n;
        EXPECT_TRUE(run(*faulty, clock, n + 5000).all());
        ASSERT_FALSE(HasFailure()) << "call " << n;
        ASSERT_LT(n, 1000U);
    }
}

INSTANTIATE_TEST_SUITE_P(Faults, StreamFailingStore,
                         testing::Values(store::Fault::Fail, store::Fault::LoseReply,
                                         store::Fault::Deny, store::Fault::NoSpace,
                                         store::Fault::Truncate, store::Fault::FlipBit));

}  // namespace

}  // namespace lifeboat::repo

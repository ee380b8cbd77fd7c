// Power cuts and failing store calls during backups. What must hold: a backup whose commit returned
// is restored byte for byte, any other is absent or whole, and the next backup succeeds on what is
// left.
#include <gtest/gtest.h>

#include <functional>

#include "repo/capture.h"
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
using test::Tree;

namespace {

constexpr const char* kDirectory = "/disk/repository";

// Three generations of a small system: data of several packs, an incremental, and a rewrite.
const std::vector<Tree>& generations() {
    static const std::vector<Tree> all = [] {
        Tree tree{{"base/1", test::noise(1, 5 * kPageSize + 9)},
                  {"base/2", test::noise(2, 3 * kPageSize)},
                  {"conf", test::noise(3, 10)},
                  {"empty", {}}};
        std::vector<Tree> out = {tree};
        tree["base/1"][kPageSize] ^= 1U;
        out.push_back(tree);
        tree["base/2"] = test::noise(4, 2 * kPageSize);
        out.push_back(tree);
        return out;
    }();
    return all;
}

// A host that backs up through `store`, starting from whatever is there, as a process that was just
// started does.
class Host {
  public:
    // `seed`: of a process that has no memory of an earlier one.
    Host(store::ObjectStore& store, base::Clock& clock, std::uint64_t seed)
        : store_(store), clock_(clock), random_(base::seeded_random(seed)) {}

    // Makes the backup of generation `i`, on top of the newest that there is. True once commit()
    // returned.
    bool back_up(std::size_t i) {
        auto manifest = try_back_up(i);
        if (manifest) {
            committed.push_back({i, manifest->backup});
        }
        return manifest.has_value();
    }

    struct Committed {
        std::size_t generation;
        std::string backup;
    };

    std::vector<Committed> committed;

  private:
    Result<Manifest> try_back_up(std::size_t i) {
        const auto repository = TRY(Repository::open(store_, keys_.recipients()));
        const auto backups = TRY(repository->backups("prod"));
        ReaderKeys keys = keys_.host_reader();
        test::CaptureJob job{.tree = &generations()[i], .pack_target = 20'000};
        std::optional<OpenedManifest> previous;
        if (!backups.empty()) {
            previous = TRY(repository->load(backups.back(), keys));
            job.previous = &*previous;
        }
        if (i == 2) {
            job.rewrite = {"base/1"};
        }
        return test::capture_tree(*repository, keys_.host, job, clock_, *random_);
    }

    store::ObjectStore& store_;
    base::Clock& clock_;
    const test::RepoKeys keys_{5};
    const std::unique_ptr<base::Random> random_;
};

// Every backup that is listed is one of the generations, whole; every committed one is listed.
void expect_whole(store::ObjectStore& store, const std::vector<Host::Committed>& committed) {
    const test::RepoKeys keys(5);
    ReaderKeys reader = keys.reader();
    const auto repository = Repository::open(store);
    ASSERT_TRUE(ok(repository));
    const auto backups = (*repository)->backups("prod");
    ASSERT_TRUE(ok(backups));
    std::map<std::string, Tree> found;
    for (const ManifestName& name : *backups) {
        auto restored = test::restore_tree(**repository, name, reader);
        ASSERT_TRUE(ok(restored)) << name.backup << " is listed and cannot be restored";
        found[name.backup] = std::move(restored).value();
    }
    for (const Host::Committed& one : committed) {
        ASSERT_TRUE(found.contains(one.backup)) << one.backup << " was committed and is gone";
        EXPECT_TRUE(found[one.backup] == generations()[one.generation]);
        found.erase(one.backup);
    }
    for (const auto& [backup, tree] : found) {  // its commit did not return
        EXPECT_NE(std::find(generations().begin(), generations().end(), tree), generations().end())
            << backup;
    }
}

void create_repository(store::ObjectStore& store, base::Clock& clock) {
    const test::RepoKeys keys(5);
    const auto random = base::seeded_random(6);
    ASSERT_TRUE(ok(Repository::create(store, keys.recipients(), clock, *random)));
}

// ---- Power cuts
// ---------------------------------------------------------------------------------------------------

class Machine {
  public:
    Machine() {
        EXPECT_TRUE(base::create_directories(files, "/disk"));
        open();
        create_repository(*store, clock);
        EXPECT_TRUE(files.sync_filesystem("/disk"));
    }

    void open() {
        auto opened =
            store::LocalStore::open(files, clock, kDirectory, store::LocalStore::Create::Yes);
        ASSERT_TRUE(ok(opened));
        store = std::move(opened).value();
    }

    void lose_power(CrashMode mode) {
        store.reset();
        files.power_cycle(mode);
        open();
    }

    base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};
    SimFiles files{&clock};
    std::unique_ptr<store::LocalStore> store;
};

std::vector<Host::Committed> back_up_all(store::ObjectStore& store, base::ManualClock& clock) {
    Host host(store, clock, 77);
    for (std::size_t i = 0; i < generations().size(); ++i) {
        clock.advance(std::chrono::hours(1));
        host.back_up(i);
    }
    return host.committed;
}

class PowerCuts : public testing::TestWithParam<CrashMode> {};

TEST_P(PowerCuts, P1_P2_CommittedBackupsSurviveACutAfterAnyOperation) {
    bool was_cut = true;
    std::uint64_t cuts = 0;
    for (std::uint64_t n = 0; was_cut; ++n) {
        Machine machine;
        machine.files.crash_after(n);
        auto committed = back_up_all(*machine.store, machine.clock);
        was_cut = machine.files.power_was_cut();
        EXPECT_TRUE(was_cut || committed.size() == generations().size());
        machine.lose_power(GetParam());
        expect_whole(*machine.store, committed);

        Host next(*machine.store, machine.clock, 78);  // P9: the work goes on from whatever is left
        machine.clock.advance(std::chrono::hours(1));
        EXPECT_TRUE(next.back_up(2));
        committed.insert(committed.end(), next.committed.begin(), next.committed.end());
        machine.lose_power(test::kLoseUnsynced);
        expect_whole(*machine.store, committed);
        ASSERT_FALSE(HasFailure()) << "cut after " << n << " operations";
        ++cuts;
    }
    EXPECT_GT(cuts, 50U);
}

INSTANTIATE_TEST_SUITE_P(Modes, PowerCuts,
                         testing::Values(test::kLoseUnsynced, test::kKeepAll,
                                         test::keep_random_subset(1), test::keep_random_subset(2),
                                         test::keep_random_subset(3), test::keep_random_subset(4)));

// ---- Failing store calls
// ------------------------------------------------------------------------------------------

class FailingStore : public testing::TestWithParam<store::Fault> {};

// Each call of three backups fails in turn. The backup that it hits may fail; nothing that was
// committed suffers, and the next ones succeed.
TEST_P(FailingStore, LeavesTheRepositoryWhole) {
    bool hit = true;
    for (std::uint64_t n = 0; hit; ++n) {
        base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};
        bool armed = false;
        std::atomic<std::uint64_t> calls = 0;
        const auto faulty = store::with_faults(
            store::memory_store(clock), [&](store::Operation, const std::string&) {
                return armed && calls++ == n ? GetParam() : store::Fault::None;
            });
        create_repository(*faulty, clock);
        armed = true;
        auto committed = back_up_all(*faulty, clock);
        armed = false;
        hit = calls > n;
        expect_whole(*faulty, committed);
        Host next(*faulty, clock, 78);
        clock.advance(std::chrono::hours(1));
        EXPECT_TRUE(next.back_up(1));
        committed.insert(committed.end(), next.committed.begin(), next.committed.end());
        expect_whole(*faulty, committed);
        ASSERT_FALSE(HasFailure()) << "call " << n;
        ASSERT_LT(n, 1000U);
    }
}

// From one call on all calls fail: a store that goes away and stays away.
TEST_P(FailingStore, ThatStaysAwayLeavesTheRepositoryWhole) {
    bool hit = true;
    for (std::uint64_t n = 0; hit; n += 2) {
        base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};
        bool armed = false;
        std::atomic<std::uint64_t> calls = 0;
        const auto faulty = store::with_faults(
            store::memory_store(clock), [&](store::Operation, const std::string&) {
                return armed && calls++ >= n ? GetParam() : store::Fault::None;
            });
        create_repository(*faulty, clock);
        armed = true;
        const auto committed = back_up_all(*faulty, clock);
        armed = false;
        hit = calls > n;
        expect_whole(*faulty, committed);
        ASSERT_FALSE(HasFailure()) << "from call " << n;
    }
}

INSTANTIATE_TEST_SUITE_P(Faults, FailingStore,
                         testing::Values(store::Fault::Fail, store::Fault::LoseReply,
                                         store::Fault::Deny, store::Fault::NoSpace,
                                         store::Fault::Truncate, store::Fault::FlipBit));

}  // namespace

}  // namespace lifeboat::repo

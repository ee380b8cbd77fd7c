#include "tests/support/sim_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <thread>

#include "tests/support/expect.h"

namespace lifeboat::test {
namespace {

using base::BytesView;
using base::Code;
using base::File;
using base::Files;
using base::OpenMode;
using base::Replace;
using base::Result;

constexpr std::string_view kAbsent = "<absent>";

std::string get(Files& files, const std::string& path) {
    auto bytes = base::read_file(files, path);
    if (!bytes) {
        return bytes.error().code() == Code::NotFound ? std::string(kAbsent)
                                                      : "<" + bytes.error().message() + ">";
    }
    return std::string(base::text(*bytes));
}

std::unique_ptr<File> opened(Files& files, const std::string& path,
                             OpenMode mode = OpenMode::CreateOrTruncate) {
    auto file = files.open(path, mode, 0600);
    EXPECT_TRUE(ok(file));
    return file ? *std::move(file) : nullptr;
}

void put(Files& files, const std::string& path, std::string_view text) {
    EXPECT_TRUE(ok(opened(files, path)->write_at(0, base::view(text))));
}

void put_durably(Files& files, const std::string& path, std::string_view text) {
    put(files, path, text);
    EXPECT_TRUE(ok(files.sync_filesystem("/")));
}

// ---- What survives
// ------------------------------------------------------------------------------------------------

TEST(SimFilesCrash, SyncedContentsWithoutASyncedNameAreGone) {
    SimFiles files;
    auto file = opened(files, "x");
    ASSERT_TRUE(ok(file->write_at(0, base::view("hello"))));
    ASSERT_TRUE(ok(file->sync()));
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "x"), kAbsent);
}

TEST(SimFilesCrash, ASyncedNameWithoutSyncedContentsIsEmpty) {
    SimFiles files;
    put(files, "x", "hello");
    ASSERT_TRUE(ok(files.sync_directory("/")));
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "x"), "");
}

TEST(SimFilesCrash, BothSyncsMakeAFileDurable) {
    SimFiles files;
    auto file = opened(files, "x");
    ASSERT_TRUE(ok(file->write_at(0, base::view("hello"))));
    ASSERT_TRUE(ok(file->sync()));
    ASSERT_TRUE(ok(files.sync_directory(".")));
    ASSERT_TRUE(ok(file->write_at(5, base::view(", world"))));
    EXPECT_EQ(get(files, "x"), "hello, world");
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "x"), "hello");
}

TEST(SimFilesCrash, KeepAllLosesNothing) {
    SimFiles files;
    put(files, "x", "hello");
    files.power_cycle(kKeepAll);
    EXPECT_EQ(get(files, "x"), "hello");
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "x"), "hello");
}

TEST(SimFilesCrash, ARenameIsUndoneUntilItsDirectoryIsSynced) {
    SimFiles files;
    put_durably(files, "old", "hello");
    ASSERT_TRUE(ok(files.rename("old", "new", Replace::No)));
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "old"), "hello");
    EXPECT_EQ(get(files, "new"), kAbsent);
}

TEST(SimFilesCrash, ARenameBetweenDirectoriesNeedsBothSynced) {
    SimFiles files;
    ASSERT_TRUE(ok(files.create_directory("a", 0700)));
    ASSERT_TRUE(ok(files.create_directory("b", 0700)));
    put_durably(files, "a/x", "hello");
    ASSERT_TRUE(ok(files.rename("a/x", "b/x", Replace::No)));
    ASSERT_TRUE(ok(files.sync_directory("a")));
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "a/x"), kAbsent);
    EXPECT_EQ(get(files, "b/x"), kAbsent);
}

TEST(SimFilesCrash, ARemovedFileComesBackWithItsDurableContents) {
    SimFiles files;
    put_durably(files, "x", "hello");
    put(files, "x", "overwritten");
    ASSERT_TRUE(ok(files.remove("x")));
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "x"), "hello");
}

TEST(SimFilesCrash, ADirectoryIsNotReachedThroughANameThatWasLost) {
    SimFiles files;
    ASSERT_TRUE(ok(files.create_directory("d", 0700)));
    put(files, "d/x", "hello");
    ASSERT_TRUE(ok(opened(files, "d/x", OpenMode::ReadWrite)->sync()));
    ASSERT_TRUE(ok(files.sync_directory("d")));
    files.power_cycle(kLoseUnsynced);
    EXPECT_TRUE(fails(files.stat("d"), Code::NotFound));
}

TEST(SimFilesCrash, CreateDirectoriesSurvives) {
    SimFiles files;
    ASSERT_TRUE(ok(base::create_directories(files, "a/b/c")));
    files.power_cycle(kLoseUnsynced);
    EXPECT_TRUE(ok(files.stat("a/b/c")));
}

TEST(SimFilesCrash, ATruncationIsUndoneUntilSynced) {
    SimFiles files;
    put_durably(files, "x", "hello");
    ASSERT_TRUE(ok(opened(files, "x", OpenMode::ReadWrite)->truncate(1)));
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "x"), "hello");
}

TEST(SimFilesCrash, RandomSubsetsTearWritesAtSectors) {
    const std::string before(4096, 'a');
    const std::string after(4096, 'b');
    std::set<std::string> outcomes;
    for (std::uint64_t seed = 0; seed < 64; ++seed) {
        SimFiles files;
        put_durably(files, "x", before);
        ASSERT_TRUE(ok(opened(files, "x", OpenMode::ReadWrite)->write_at(0, base::view(after))));
        files.power_cycle(keep_random_subset(seed));
        std::string sectors;
        const std::string found = get(files, "x");
        for (std::size_t at = 0; at < found.size(); at += 512) {
            EXPECT_EQ(found.substr(at, 512), std::string(512, found[at]))
                << "torn within a sector, seed " << seed;
            sectors += found[at];
        }
        outcomes.insert(sectors);
    }
    EXPECT_TRUE(outcomes.contains("aaaaaaaa"));
    EXPECT_TRUE(outcomes.contains("bbbbbbbb"));
    EXPECT_GT(outcomes.size(), 4U) << "no torn write was ever seen";
}

TEST(SimFilesCrash, ARenameMaySurviveTheDataItNames) {
    bool seen = false;
    for (std::uint64_t seed = 0; seed < 64 && !seen; ++seed) {
        SimFiles files;
        put_durably(files, "x", "old");
        put(files, "temporary", "new");
        ASSERT_TRUE(ok(files.rename("temporary", "x", Replace::Yes)));
        files.power_cycle(keep_random_subset(seed));
        seen = get(files, "x").empty();
    }
    EXPECT_TRUE(seen);
}

TEST(SimFilesCrash, RenamesAreAllOrNothingInOneDirectory) {
    for (std::uint64_t seed = 0; seed < 64; ++seed) {
        SimFiles files;
        put_durably(files, "old", "hello");
        ASSERT_TRUE(ok(files.rename("old", "new", Replace::No)));
        files.power_cycle(keep_random_subset(seed));
        EXPECT_NE(get(files, "old") == "hello", get(files, "new") == "hello") << "seed " << seed;
    }
}

TEST(SimFilesCrash, OneSeedAlwaysLosesTheSame) {
    const auto outcome = [] {
        SimFiles files;
        for (int i = 0; i < 20; ++i) {
            put(files, std::to_string(i), std::string(2000, 'x'));
        }
        files.power_cycle(keep_random_subset(7));
        std::string all;
        const auto names = files.list("/");
        for (const std::string& name : *names) {
            all += name + ":" + get(files, name) + "\n";
        }
        return all;
    };
    const std::string first = outcome();
    EXPECT_EQ(first, outcome());
    EXPECT_FALSE(first.empty());
}

// ---- The power goes
// -----------------------------------------------------------------------------------------------

TEST(SimFilesPower, EveryCallFailsAfterTheCut) {
    SimFiles files;
    auto file = opened(files, "x");
    const std::uint64_t before = files.operations();
    files.crash_after(1);
    EXPECT_TRUE(ok(file->write_at(0, base::view("a"))));
    EXPECT_FALSE(files.power_was_cut());
    EXPECT_TRUE(fails(file->size(), Code::Cancelled));
    EXPECT_TRUE(files.power_was_cut());
    EXPECT_TRUE(fails(file->write_at(0, base::view("b")), Code::Cancelled));
    EXPECT_TRUE(fails(files.stat("x"), Code::Cancelled));
    EXPECT_TRUE(fails(files.sync_directory("/"), Code::Cancelled));
    EXPECT_TRUE(fails(files.sync_directory("absent"), Code::Cancelled));
    EXPECT_TRUE(fails(files.sync_filesystem("/"), Code::Cancelled));
    EXPECT_EQ(files.operations(), before + 1);
}

TEST(SimFilesPower, OpenFilesStayDeadAfterThePowerReturns) {
    SimFiles files;
    auto file = opened(files, "x");
    files.power_cycle(kKeepAll);
    EXPECT_TRUE(fails(file->write_at(0, base::view("late")), Code::Cancelled));
    EXPECT_EQ(get(files, "x"), "");
    EXPECT_FALSE(files.power_was_cut());
}

TEST(SimFilesPower, TraceNamesWhatWasDone) {
    SimFiles files;
    put(files, "x", "hello");
    ASSERT_TRUE(ok(files.rename("x", "y", Replace::No)));
    EXPECT_EQ(files.trace(), (std::vector<std::string>{"create x", "write x", "rename y"}));
}

// ---- Durable writing, and ways to get it wrong
// ---------------------------------------------------------------------

using Writer = std::function<Result<>(Files&, const std::string&, BytesView)>;

std::vector<CrashMode> all_modes() {
    std::vector<CrashMode> modes = {kLoseUnsynced, kKeepAll};
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        modes.push_back(keep_random_subset(seed));
    }
    return modes;
}

// Cuts the power after each operation of `write` and in every way; returns what was wrong the first
// time, or nothing.
std::string first_damage(const Writer& write, std::string_view before) {
    const std::string after(3000, 'n');
    for (const CrashMode mode : all_modes()) {
        bool cut = true;
        for (std::uint64_t n = 0; cut; ++n) {
            SimFiles files;
            if (before != kAbsent) {
                put_durably(files, "d", before);
            }
            files.crash_after(n);
            const auto written = write(files, "d", base::view(after));
            cut = files.power_was_cut();
            files.power_cycle(mode);
            const std::string found = get(files, "d");
            const std::string where =
                " after operation " + std::to_string(n) + ", seed " + std::to_string(mode.seed);
            if (written && found != after) {
                return "acknowledged and lost" + where;
            }
            if (found != after && found != before) {
                return "neither old nor new" + where;
            }
        }
    }
    return "";
}

Result<> write_temporary(Files& files, const std::string& path, BytesView bytes, bool sync) {
    const std::unique_ptr<File> file = TRY(files.open(path, OpenMode::CreateOrTruncate, 0600));
    TRY(file->write_at(0, bytes));
    if (sync) {
        TRY(file->sync());
    }
    return file->close();
}

TEST(WriteDurably, LeavesOldOrNewWhateverHappens) {
    const std::string old(2000, 'o');
    const auto replace = [](Files& files, const std::string& path, BytesView bytes) {
        return base::write_durably(files, path, bytes, Replace::Yes);
    };
    const auto create = [](Files& files, const std::string& path, BytesView bytes) {
        return base::write_durably(files, path, bytes, Replace::No);
    };
    EXPECT_EQ(first_damage(replace, old), "");
    EXPECT_EQ(first_damage(replace, kAbsent), "");
    EXPECT_EQ(first_damage(create, kAbsent), "");
}

TEST(WriteDurably, TheSimulatorCatchesAMissingDirectorySync) {
    const auto careless = [](Files& files, const std::string& path, BytesView bytes) -> Result<> {
        TRY(write_temporary(files, ".tmp-x", bytes, true));
        return files.rename(".tmp-x", path, Replace::Yes);
    };
    EXPECT_THAT(first_damage(careless, "old"), testing::HasSubstr("acknowledged and lost"));
}

TEST(WriteDurably, TheSimulatorCatchesAMissingFileSync) {
    const auto careless = [](Files& files, const std::string& path, BytesView bytes) -> Result<> {
        TRY(write_temporary(files, ".tmp-x", bytes, false));
        TRY(files.rename(".tmp-x", path, Replace::Yes));
        return files.sync_directory(".");
    };
    EXPECT_THAT(first_damage(careless, "old"), testing::HasSubstr("acknowledged and lost"));
}

TEST(WriteDurably, TheSimulatorCatchesWritingInPlace) {
    const auto careless = [](Files& files, const std::string& path, BytesView bytes) -> Result<> {
        TRY(write_temporary(files, path, bytes, true));
        return files.sync_directory(".");
    };
    EXPECT_THAT(first_damage(careless, "old"), testing::HasSubstr("neither old nor new"));
}

// ---- Faults
// -------------------------------------------------------------------------------------------------------

TEST(WriteDurably, AnyFaultLeavesOldOrNewAndNoTemporary) {
    for (const char* operation : {"create", "write", "sync", "close", "rename"}) {
        SimFiles files;
        put_durably(files, "d", "old");
        files.fail_next(
            [&](std::string_view name, const std::string&) { return name == operation; }, ENOSPC);
        EXPECT_TRUE(
            fails(base::write_durably(files, "d", base::view("new"), Replace::Yes), Code::NoSpace))
            << operation;
        EXPECT_EQ(get(files, "d"), "old") << operation;
        EXPECT_EQ(*files.list("/"), std::vector<std::string>{"d"}) << operation;
    }
}

TEST(WriteDurably, AFailedDirectorySyncIsAnUnknownOutcome) {
    SimFiles files;
    put_durably(files, "d", "old");
    files.fail_next(
        [](std::string_view name, const std::string&) { return name == "sync_directory"; }, EIO);
    EXPECT_TRUE(fails(base::write_durably(files, "d", base::view("new"), Replace::Yes),
                      Code::OutcomeUnknown));
    EXPECT_EQ(get(files, "d"), "new");
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(get(files, "d"), "old");
}

TEST(CreateDirectories, ADirectoryThatIsNotDurableIsNotLeftBehind) {
    SimFiles files;
    files.fail_next(
        [](std::string_view name, const std::string&) { return name == "sync_directory"; }, EIO);
    EXPECT_FALSE(base::create_directories(files, "d").has_value());
    EXPECT_FALSE(*base::exists(files, "d"));
    EXPECT_TRUE(ok(base::create_directories(files, "d")));
    files.power_cycle(kLoseUnsynced);
    EXPECT_TRUE(*base::exists(files, "d"));
}

TEST(SimFilesFaults, AFailedSyncLosesTheDataEvenIfTheNextSucceeds) {
    SimFiles files;
    put_durably(files, "x", "old");
    auto file = opened(files, "x", OpenMode::ReadWrite);
    ASSERT_TRUE(ok(file->write_at(0, base::view("new"))));
    files.fail_next([](std::string_view name, const std::string&) { return name == "sync"; }, EIO);
    EXPECT_TRUE(fails(file->sync(), Code::Unavailable));
    EXPECT_TRUE(ok(file->sync()));
    EXPECT_EQ(get(files, "x"), "new");
    files.power_cycle(kKeepAll);
    EXPECT_EQ(get(files, "x"), "old");
}

TEST(SimFilesFaults, NoSyncSavesWhatAFailedSyncDropped) {
    const auto sync_directory = [](Files& files) { return files.sync_directory("/"); };
    const auto sync_filesystem = [](Files& files) { return files.sync_filesystem("/"); };
    using Sync = std::function<Result<>(Files&)>;
    for (const Sync& sync : {Sync(sync_directory), Sync(sync_filesystem)}) {
        SimFiles files;
        put(files, "x", "hello");
        files.fail_next(
            [](std::string_view name, const std::string&) { return name.starts_with("sync_"); },
            EIO);
        EXPECT_FALSE(sync(files).has_value());
        EXPECT_TRUE(ok(sync(files)));
        EXPECT_EQ(get(files, "x"), "hello");
        files.power_cycle(kKeepAll);
        EXPECT_EQ(get(files, "x"), kAbsent);
    }
}

TEST(SimFilesFaults, SetFaultChoosesByOperationAndPath) {
    SimFiles files;
    files.set_fault([](std::string_view operation, const std::string& path) -> std::optional<int> {
        return operation == "create" && path.starts_with("full/") ? std::optional(ENOSPC)
                                                                  : std::nullopt;
    });
    ASSERT_TRUE(ok(files.create_directory("full", 0700)));
    const auto refused = files.open("full/x", OpenMode::CreateNew, 0600);
    ASSERT_TRUE(fails(refused, Code::NoSpace));
    EXPECT_EQ(refused.error().os_error(), ENOSPC);
    EXPECT_TRUE(ok(files.open("x", OpenMode::CreateNew, 0600)));
    files.set_fault(nullptr);
    EXPECT_TRUE(ok(files.open("full/x", OpenMode::CreateNew, 0600)));
}

TEST(SimFilesFaults, AFullDiskTakesWhatStillFits) {
    SimFiles files;
    files.set_capacity(10);
    put(files, "x", "1234567");
    auto file = opened(files, "y");
    EXPECT_TRUE(fails(file->write_at(0, base::view("abcdef")), Code::NoSpace));
    EXPECT_EQ(get(files, "y"), "abc");
    EXPECT_EQ(files.space("/")->free, 0U);
    EXPECT_TRUE(ok(file->write_at(0, base::view("ABC")))) << "overwriting needs no room";
    ASSERT_TRUE(ok(files.remove("x")));
    EXPECT_EQ(files.space("/")->free, 7U);
    EXPECT_TRUE(ok(file->write_at(3, base::view("def"))));
}

TEST(SimFiles, TimesComeFromTheClock) {
    base::ManualClock clock(base::from_unix_micros(5'000'000));
    SimFiles files(&clock);
    put(files, "x", "hello");
    EXPECT_EQ(files.stat("x")->modified, clock.now());
    clock.advance(std::chrono::seconds(9));
    EXPECT_LT(files.stat("x")->modified, clock.now());
    ASSERT_TRUE(ok(opened(files, "x", OpenMode::ReadWrite)->write_at(0, base::view("J"))));
    EXPECT_EQ(files.stat("x")->modified, clock.now());
}

TEST(SimFiles, ThreadsMayShareIt) {
    SimFiles files;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&files, t] {
            for (int i = 0; i < 50; ++i) {
                EXPECT_TRUE(ok(base::write_durably(files, std::to_string(t * 100 + i),
                                                   base::view("x"), Replace::No)));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    files.power_cycle(kLoseUnsynced);
    EXPECT_EQ(files.list("/")->size(), 200U);
}

}  // namespace
}  // namespace lifeboat::test

// Cuts the power after each operation of a series of puts, and makes each system call fail in turn.
// What must hold: an object whose put returned success is whole afterwards, every other is whole or
// absent, and the store takes puts again.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "store/local_store.h"
#include "tests/support/sim_files.h"

namespace lifeboat::store {

using base::Bytes;
using base::Code;
using base::Result;
using test::CrashMode;
using test::SimFiles;

namespace {

constexpr const char* kDirectory = "/disk/store";

struct Object {
    std::string name;
    std::size_t size;
};

// Names at several depths, first and later objects of a directory, sizes around the sector at which
// writes tear.
const std::vector<Object>& script() {
    static const std::vector<Object> objects = {{"top", 700},          {"packs/aa/one", 5000},
                                                {"packs/aa/two", 512}, {"packs/bb/three", 1537},
                                                {"manifests/db/1", 0}, {"packs/aa/four", 1},
                                                {"manifests/db/2", 99}};
    return objects;
}

Bytes bytes_of(const Object& object) {
    Bytes bytes(object.size);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] =
            static_cast<base::Byte>(1 + (object.name.size() * 31 + i * 7 + i / 251) %
                                            255);  // no zeros: those are what a hole reads as
    }
    return bytes;
}

std::vector<CrashMode> modes() {
    std::vector<CrashMode> all = {test::kLoseUnsynced, test::kKeepAll};
    for (std::uint64_t seed = 1; seed <= 24; ++seed) {
        all.push_back(test::keep_random_subset(seed));
    }
    return all;
}

// A machine with a disk: the store can be opened anew after each power cut, as a new process would.
class Machine {
  public:
    Machine() {
        EXPECT_TRUE(base::create_directories(files, "/disk"));
        open();
    }

    void open() {
        auto opened = LocalStore::open(files, clock, kDirectory, LocalStore::Create::Yes);
        ASSERT_TRUE(opened) << opened.error().message();
        store = std::move(opened).value();
    }

    void lose_power(CrashMode mode) {
        trace = files.trace();
        store.reset();
        files.power_cycle(mode);
        open();
    }

    std::string story() const {
        std::string lines = "\nthe operations before the cut:";
        for (const std::string& line : trace) {
            lines += "\n    " + line;
        }
        return lines;
    }

    base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};
    SimFiles files{&clock};
    std::unique_ptr<LocalStore> store;
    std::vector<std::string> trace;
};

using NameSet = std::set<std::string>;

// Puts the whole script, as far as it gets; returns the names whose put succeeded.
NameSet put_script(LocalStore& store) {
    NameSet done;
    for (const Object& object : script()) {
        if (store.put(object.name, bytes_of(object))) {
            done.insert(object.name);
        }
    }
    return done;
}

// Every object of the script is whole, or absent if it may be, and nothing else is there.
void expect_whole(Machine& machine, const NameSet& acknowledged) {
    NameSet there;
    for (const Object& object : script()) {
        const auto got = machine.store->get(object.name);
        if (got) {
            there.insert(object.name);
            EXPECT_TRUE(*got == bytes_of(object))
                << object.name << " is not whole" << machine.story();
        } else {
            EXPECT_EQ(got.error().code(), Code::NotFound) << got.error().message();
            EXPECT_FALSE(acknowledged.contains(object.name))
                << object.name << " was acknowledged and is lost" << machine.story();
        }
    }
    const auto listed = list_all(*machine.store, "");
    ASSERT_TRUE(listed) << listed.error().message();
    NameSet names;
    for (const ObjectInfo& object : *listed) {
        names.insert(object.name);
    }
    EXPECT_EQ(names, there) << machine.story();
}

std::size_t count_temporary(base::Files& files, const std::string& directory) {
    std::size_t count = 0;
    const auto names = files.list(directory);
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
        count += name.starts_with(".tmp-") ? 1 : 0;
        count += count_temporary(files, base::join(directory, name));
    }
    return count;
}

// After a crash the store goes on: what is missing can be put, what is there is Conflict, and all
// of it survives the next cut.
void expect_goes_on(Machine& machine, CrashMode mode) {
    NameSet whole;
    for (const Object& object : script()) {
        const auto put = machine.store->put(object.name, bytes_of(object));
        EXPECT_TRUE(put || put.error().code() == Code::Conflict) << put.error().message();
        whole.insert(object.name);
    }
    machine.lose_power(mode);
    expect_whole(machine, whole);
    machine.clock.advance(std::chrono::hours(25));
    EXPECT_TRUE(machine.store->sweep());
    EXPECT_EQ(count_temporary(machine.files, kDirectory), 0U);
    expect_whole(machine, whole);
}

TEST(LocalStoreCrash, P1_AcknowledgedObjectsSurviveACutAfterAnyOperation) {
    std::uint64_t cuts = 0;
    for (const CrashMode mode : modes()) {
        bool was_cut = true;
        for (std::uint64_t n = 0; was_cut; ++n) {
            Machine machine;
            machine.files.crash_after(n);
            const NameSet acknowledged = put_script(*machine.store);
            was_cut = machine.files.power_was_cut();
            EXPECT_TRUE(was_cut || acknowledged.size() == script().size());
            machine.lose_power(mode);
            expect_whole(machine, acknowledged);
            expect_goes_on(machine, mode);
            ++cuts;
            ASSERT_FALSE(testing::Test::HasFailure())
                << "cut after " << n << " operations, seed " << mode.seed;
        }
    }
    EXPECT_GT(cuts, modes().size() * 35);
}

// Two cuts: the second while the store that survived the first goes on.
TEST(LocalStoreCrash, P1_AcknowledgedObjectsSurviveASecondCut) {
    for (std::uint64_t first = 0; first < 45; first += 3) {
        for (std::uint64_t second = 0; second < 30; ++second) {
            Machine machine;
            machine.files.crash_after(first);
            NameSet acknowledged = put_script(*machine.store);
            machine.lose_power(test::keep_random_subset(first * 100 + second));
            machine.files.crash_after(second);
            acknowledged.merge(put_script(*machine.store));
            machine.lose_power(test::kLoseUnsynced);
            expect_whole(machine, acknowledged);
            ASSERT_FALSE(testing::Test::HasFailure())
                << "cuts after " << first << " and " << second << " operations";
        }
    }
}

TEST(LocalStoreCrash, RemovedObjectsStayRemovedAndOthersStayWhole) {
    for (const CrashMode mode : modes()) {
        bool was_cut = true;
        for (std::uint64_t n = 0; was_cut; ++n) {
            Machine machine;
            NameSet kept = put_script(*machine.store);
            machine.files.crash_after(n);
            const auto removed = machine.store->remove("packs/aa/one");
            was_cut = machine.files.power_was_cut();
            EXPECT_NE(was_cut, removed.has_value());
            machine.lose_power(mode);
            kept.erase("packs/aa/one");
            expect_whole(machine, kept);
            EXPECT_TRUE(was_cut || !machine.store->stat("packs/aa/one"));
        }
    }
}

// ---- Calls that fail ----------------------------------------------------------------------------

// Makes call number `n` of a put fail with `number`. Returns the call that failed; empty when the
// put makes fewer calls.
std::string put_with_failure(Machine& machine, const Object& object, std::uint64_t n, int number,
                             NameSet& acknowledged) {
    std::uint64_t calls = 0;
    std::string failed;
    machine.files.set_fault(
        [&, number](std::string_view operation, const std::string& path) -> std::optional<int> {
            if (calls++ != n) {
                return std::nullopt;
            }
            failed = std::string(operation) + " " + path;
            return number;
        });
    const auto put = machine.store->put(object.name, bytes_of(object));
    machine.files.set_fault(nullptr);
    if (put) {
        acknowledged.insert(object.name);
    }
    EXPECT_EQ(put.has_value(), failed.empty()) << failed << " failed, and the put did not say so";
    if (!put && put.error().code() != Code::OutcomeUnknown) {
        const auto left = machine.store->stat(object.name);
        EXPECT_FALSE(left) << failed << ": an error that leaves the object";
    }
    EXPECT_EQ(count_temporary(machine.files, kDirectory), 0U)
        << failed << ": a failed put that leaves its temporary file";
    return failed;
}

struct Failing {
    Object object;
    bool in_known_directories;
};

class FailingCalls : public testing::TestWithParam<int> {};

TEST_P(FailingCalls, LeaveNoPartOfAnObjectAndAUsableStore) {
    for (const Failing& one :
         {Failing{{"packs/cc/deep/new", 5000}, false}, Failing{{"flat", 10}, false},
          Failing{{"packs/aa/late", 900}, true}}) {
        std::string failed = "the first";
        for (std::uint64_t n = 0; !failed.empty(); ++n) {
            Machine machine;
            NameSet acknowledged;
            if (one.in_known_directories) {
                acknowledged = put_script(*machine.store);
            }
            failed = put_with_failure(machine, one.object, n, GetParam(), acknowledged);
            if (machine.store->put(one.object.name, bytes_of(one.object))) {
                acknowledged.insert(one.object.name);
            }
            const auto whole = machine.store->get(one.object.name);
            EXPECT_TRUE(whole && *whole == bytes_of(one.object))
                << "the store cannot be used after a failed " << failed;
            acknowledged.merge(put_script(*machine.store));
            machine.lose_power(test::kLoseUnsynced);
            for (const std::string& name : acknowledged) {
                EXPECT_TRUE(machine.store->get(name))
                    << name << " was acknowledged and is lost" << machine.story();
            }
            ASSERT_FALSE(testing::Test::HasFailure())
                << "call " << n << " of the put of " << one.object.name << " failed: " << failed;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Errno, FailingCalls, testing::Values(EIO, ENOSPC, EACCES, EROFS, EMFILE));

}  // namespace

}  // namespace lifeboat::store

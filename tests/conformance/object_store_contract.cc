#include "tests/conformance/object_store_contract.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/workers.h"
#include "tests/support/expect.h"

namespace lifeboat::conformance {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::kKiB;
using base::kMiB;
using base::Result;
using store::ObjectInfo;
using store::ObjectStore;
using test::fails;
using test::ok;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ObjectStoreContract);

namespace {

template <class T>
bool is(const Result<T>& answer, Code code) {
    return !answer && answer.error().code() == code;
}

// Bytes that differ from those of every other seed, at almost every place.
Bytes pattern(std::uint64_t seed, std::size_t size) {
    Bytes bytes(size);
    std::uint64_t state = seed * 2 + 1;
    for (std::size_t at = 0; at < size; at += sizeof state) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        std::memcpy(&bytes[at], &state, std::min(sizeof state, size - at));
    }
    return bytes;
}

Bytes bytes_of(std::string_view text) {
    const BytesView bytes = base::view(text);
    return {bytes.begin(), bytes.end()};
}

std::vector<std::string> names_below(ObjectStore& store, const std::string& prefix) {
    std::vector<std::string> names;
    const auto all = store::list_all(store, prefix);
    EXPECT_TRUE(ok(all));
    for (const ObjectInfo& object : all ? *all : std::vector<ObjectInfo>()) {
        names.push_back(object.name);
    }
    return names;
}

void put_all(ObjectStore& store, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        ASSERT_TRUE(ok(store.put(name, base::view(name))));
    }
}

void expect_holds(ObjectStore& store, const std::string& name, const Bytes& bytes) {
    const auto there = store.get(name);
    ASSERT_TRUE(ok(there));
    EXPECT_TRUE(*there == bytes) << "object '" << name << "' of " << there->size()
                                 << " bytes is not what was put";
}

using Names = std::vector<std::string>;

}  // namespace

// ---- Names --------------------------------------------------------------------------------------

TEST_P(ObjectStoreContract, HoldsEveryAllowedName) {
    const std::string long_part(127, 'p');
    const Names names = {
        "a",
        "A-Z_0.9",
        "...",
        "..a",
        "-",
        "dir/.hidden",
        "tmp-not-temporary",
        "deep/er/and/deeper/still",
        long_part + "/" + long_part + "/" + long_part + "/" + std::string(128, 'q'),
        std::string(255, 'x')};
    for (const std::string& name : names) {
        EXPECT_TRUE(ok(store().put(name, base::view(name))));
    }
    for (const std::string& name : names) {
        expect_holds(store(), name, bytes_of(name));
    }
    EXPECT_EQ(names_below(store(), "").size(), names.size());
}

TEST_P(ObjectStoreContract, RefusesEveryOtherNameInEveryCall) {
    const Names names = {"",
                         "/",
                         "/a",
                         "a/",
                         "a//b",
                         "..",
                         "../a",
                         "a/../b",
                         "a/.",
                         "./a",
                         ".tmp-1",
                         "a/.tmp-1/b",
                         "a b",
                         "a\n",
                         "a\\b",
                         std::string("a\0b", 3),
                         "\xc3\xa4",
                         "a:b",
                         std::string(513, 'x'),
                         std::string(256, 'x')};
    base::Byte byte = 0;
    for (const std::string& name : names) {
        EXPECT_TRUE(fails(store().put(name, base::view("x")), Code::InvalidInput)) << name;
        EXPECT_TRUE(fails(store().get(name), Code::InvalidInput)) << name;
        EXPECT_TRUE(fails(store().get_range(name, 0, {&byte, 1}), Code::InvalidInput)) << name;
        EXPECT_TRUE(fails(store().stat(name), Code::InvalidInput)) << name;
        EXPECT_TRUE(fails(store().remove(name), Code::InvalidInput)) << name;
    }
    EXPECT_EQ(names_below(store(), ""), Names());
}

// ---- Contents -----------------------------------------------------------------------------------

TEST_P(ObjectStoreContract, GivesBackWhatWasPut) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4095},
                                   std::size_t{4097}, std::size_t{kMiB + 1}}) {
        const std::string name = "sizes/" + std::to_string(size);
        const Bytes bytes = pattern(size, size);
        ASSERT_TRUE(ok(store().put(name, bytes)));
        expect_holds(store(), name, bytes);
        const auto info = store().stat(name);
        ASSERT_TRUE(ok(info));
        EXPECT_EQ(info->name, name);
        EXPECT_EQ(info->size, size);
    }
}

TEST_P(ObjectStoreContract, HoldsObjectsOf40MiB) {
    const Bytes bytes = pattern(40, 40 * kMiB);
    ASSERT_TRUE(ok(store().put("big", bytes)));
    expect_holds(store(), "big", bytes);
    Bytes tail(kMiB);
    ASSERT_TRUE(ok(store().get_range("big", 39 * kMiB, tail)));
    EXPECT_TRUE(
        std::equal(tail.begin(), tail.end(), bytes.end() - static_cast<std::ptrdiff_t>(kMiB)));
}

TEST_P(ObjectStoreContract, RefusesObjectsOverTheLimit) {
    const std::size_t size = ObjectStore::kMaxObjectSize + 1;
    void* untouched =
        ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(untouched, MAP_FAILED);
    EXPECT_TRUE(
        fails(store().put("huge", BytesView(static_cast<const base::Byte*>(untouched), size)),
              Code::InvalidInput));
    ::munmap(untouched, size);
    EXPECT_TRUE(fails(store().stat("huge"), Code::NotFound));
}

TEST_P(ObjectStoreContract, ReadsExactlyTheRangeAskedFor) {
    const Bytes bytes = pattern(7, 10000);
    ASSERT_TRUE(ok(store().put("ranged", bytes)));

    struct Range {
        std::uint64_t offset;
        std::size_t size;
    };

    for (const Range range : {Range{0, 10000}, Range{0, 1}, Range{9999, 1}, Range{4000, 4096},
                              Range{0, 0}, Range{10000, 0}}) {
        Bytes out(range.size, 0xEE);
        ASSERT_TRUE(ok(store().get_range("ranged", range.offset, out)))
            << range.offset << "+" << range.size;
        EXPECT_TRUE(std::equal(out.begin(), out.end(),
                               bytes.begin() + static_cast<std::ptrdiff_t>(range.offset)));
    }
}

TEST_P(ObjectStoreContract, CallsARangeOutsideTheObjectCorrupt) {
    ASSERT_TRUE(ok(store().put("ten", base::view("0123456789"))));
    ASSERT_TRUE(ok(store().put("empty", {})));

    struct Range {
        const char* name;
        std::uint64_t offset;
        std::size_t size;
    };

    constexpr std::uint64_t kLast = std::numeric_limits<std::uint64_t>::max();
    for (const Range range : {Range{"ten", 0, 11}, Range{"ten", 9, 2}, Range{"ten", 10, 1},
                              Range{"ten", 11, 0}, Range{"ten", kLast, 2}, Range{"ten", kLast, 0},
                              Range{"empty", 0, 1}, Range{"empty", 1, 0}}) {
        Bytes out(range.size);
        EXPECT_TRUE(fails(store().get_range(range.name, range.offset, out), Code::Corrupt))
            << range.name << " " << range.offset << "+" << range.size;
    }
}

TEST_P(ObjectStoreContract, SaysNotFoundForWhatIsNotThere) {
    ASSERT_TRUE(ok(store().put("there/object", base::view("x"))));
    for (const std::string name : {"absent", "absent/object", "there", "there/objec",
                                   "there/object2", "there/object/below"}) {
        Bytes out(1);
        EXPECT_TRUE(fails(store().get(name), Code::NotFound)) << name;
        EXPECT_TRUE(fails(store().get_range(name, 0, out), Code::NotFound)) << name;
        EXPECT_TRUE(fails(store().get_range(name, 0, {}), Code::NotFound)) << name;
        EXPECT_TRUE(fails(store().stat(name), Code::NotFound)) << name;
        const auto removed = store().remove(name);
        if (!removed || !GetParam().repeats_calls) {
            EXPECT_TRUE(fails(removed, Code::NotFound)) << name;
        }
    }
}

// ---- Immutability -------------------------------------------------------------------------------

TEST_P(ObjectStoreContract, NeverReplacesAnObject) {
    ASSERT_TRUE(ok(store().put("once/only", base::view("first"))));
    for (const std::string_view other : {"other", "", "a longer second object"}) {
        EXPECT_TRUE(fails(store().put("once/only", base::view(other)), Code::Conflict));
        expect_holds(store(), "once/only", bytes_of("first"));
    }
    EXPECT_EQ(names_below(store(), ""), Names({"once/only"}));
}

TEST_P(ObjectStoreContract, LetsOneOfEightRacersWinEachName) {
    constexpr std::size_t kRacers = 8;
    for (int round = 0; round < 12; ++round) {
        const std::string name = "race/" + std::to_string(round % 3) + "/" + std::to_string(round);
        std::atomic<int> winners = 0;
        std::atomic<std::size_t> winner = kRacers;
        const auto raced = base::run_parallel(kRacers, [&](std::size_t racer) -> Result<> {
            auto answer = store().put(name, pattern(racer, 20 * kKiB + racer));
            if (answer) {
                ++winners;
                winner = racer;
                return {};
            }
            return is(answer, Code::Conflict) ? Result<>() : std::move(answer);
        });
        ASSERT_TRUE(ok(raced));
        ASSERT_EQ(winners, 1) << name;
        expect_holds(store(), name, pattern(winner, 20 * kKiB + winner));
    }
}

TEST_P(ObjectStoreContract, TakesPutsOfManyThreadsThatMakeTheSameDirectories) {
    constexpr std::size_t kThreads = 8;
    const auto done = base::run_parallel(kThreads, [&](std::size_t thread) -> Result<> {
        for (int i = 0; i < 10; ++i) {
            TRY(store().put("new/" + std::to_string(i) + "/below/" + std::to_string(thread),
                            pattern(thread, 1000)));
        }
        return {};
    });
    ASSERT_TRUE(ok(done));
    EXPECT_EQ(names_below(store(), "new/").size(), kThreads * 10);
}

// ---- Atomicity ----------------------------------------------------------------------------------

TEST_P(ObjectStoreContract, ShowsReadersNothingOrTheWholeObject) {
    constexpr std::size_t kObjects = 24;
    constexpr std::size_t kSize = 300 * kKiB;
    const auto name_of = [](std::size_t i) { return "atom/" + std::to_string(100 + i); };
    std::atomic<bool> written = false;
    const auto write = [&]() -> Result<> {
        for (std::size_t i = 0; i < kObjects; ++i) {
            TRY(store().put(name_of(i), pattern(i, kSize + i)));
        }
        return {};
    };
    const auto read_one = [&](std::size_t i) -> Result<> {
        const auto there = store().get(name_of(i));
        if (there) {
            return *there == pattern(i, kSize + i)
                       ? Result<>()
                       : Error(Code::Corrupt, "a reader saw part of " + name_of(i));
        }
        return is(there, Code::NotFound) ? Result<>() : there.error().clone();
    };
    const auto list_once = [&] {
        return store().list("atom/", [&](const ObjectInfo& object) -> Result<> {
            const std::size_t i = std::stoul(object.name.substr(5)) - 100;
            return object.size == kSize + i
                       ? Result<>()
                       : Error(Code::Corrupt, "a list saw part of " + object.name);
        });
    };
    const auto done = base::run_parallel(3, [&](std::size_t worker) -> Result<> {
        if (worker == 0) {
            auto wrote = write();
            written = true;
            return wrote;
        }
        for (std::size_t i = worker; !written; ++i) {
            TRY(read_one(i % kObjects));
            TRY(list_once());
        }
        return {};
    });
    EXPECT_TRUE(ok(done));
    EXPECT_EQ(names_below(store(), "atom/").size(), kObjects);
}

// ---- Lists --------------------------------------------------------------------------------------

TEST_P(ObjectStoreContract, ListsInByteOrderOfWholeNames) {
    // '-' and '.' sort before '/', '0' after it; upper case before lower.
    const Names sorted = {"B",     "a-b",  "a.b", "a/b", "a/b.c", "a/c-d",
                          "a/c/d", "a/c0", "a0",  "a_b", "ab",    "b"};
    put_all(store(), Names(sorted.rbegin(), sorted.rend()));
    EXPECT_EQ(names_below(store(), ""), sorted);
}

TEST_P(ObjectStoreContract, ListsExactlyWhatStartsWithThePrefix) {
    put_all(store(), {"p/a/1", "p/a/2", "p/ab/1", "p/b", "pa", "q"});
    const std::vector<std::pair<std::string, Names>> cases = {
        {"p", {"p/a/1", "p/a/2", "p/ab/1", "p/b", "pa"}},
        {"p/", {"p/a/1", "p/a/2", "p/ab/1", "p/b"}},
        {"p/a", {"p/a/1", "p/a/2", "p/ab/1"}},
        {"p/a/", {"p/a/1", "p/a/2"}},
        {"p/a/2", {"p/a/2"}},
        {"p/a/2/", {}},
        {"p/b/", {}},
        {"r", {}},
        {"/", {}},
        {"p//", {}},
        {"../", {}},
        {"p/../q", {}},
    };
    for (const auto& [prefix, names] : cases) {
        EXPECT_EQ(names_below(store(), prefix), names) << "prefix '" << prefix << "'";
    }
}

TEST_P(ObjectStoreContract, ListsNothingInAnEmptyStore) {
    EXPECT_EQ(names_below(store(), ""), Names());
    EXPECT_EQ(names_below(store(), "packs/"), Names());
}

TEST_P(ObjectStoreContract, ListsSizesAndTimesAsStatDoes) {
    ASSERT_TRUE(ok(store().put("x/1", pattern(1, 12345))));
    const auto all = store::list_all(store(), "x/");
    const auto info = store().stat("x/1");
    ASSERT_TRUE(all && info);
    ASSERT_EQ(all->size(), 1U);
    EXPECT_EQ(all->front().size, 12345U);
    EXPECT_EQ(all->front().modified, info->modified);
}

TEST_P(ObjectStoreContract, EndsAListWithTheReadersOwnError) {
    put_all(store(), {"l/1", "l/2", "l/3"});
    for (const Code code :
         {Code::Cancelled,
          Code::Unavailable}) {  // also one that a store would answer with another try
        Names seen;
        const auto listed = store().list("l/", [&](const ObjectInfo& object) -> Result<> {
            seen.push_back(object.name);
            return object.name == "l/2" ? Result<>(Error(code, "enough")) : Result<>();
        });
        EXPECT_TRUE(fails(listed, code));
        EXPECT_EQ(seen, Names({"l/1", "l/2"}));
    }
}

TEST_P(ObjectStoreContract, AllowsCallsFromWithinAList) {
    put_all(store(), {"w/1", "w/2", "w/3"});
    const auto listed = store().list("w/", [&](const ObjectInfo& object) -> Result<> {
        TRY(store().stat(object.name));
        TRY(store().put("copy/" + object.name, base::view("x")));
        return store().remove(object.name);
    });
    EXPECT_TRUE(ok(listed));
    EXPECT_EQ(names_below(store(), ""), Names({"copy/w/1", "copy/w/2", "copy/w/3"}));
}

// ---- The rest -----------------------------------------------------------------------------------

TEST_P(ObjectStoreContract, RemovesAnObjectAndFreesItsName) {
    put_all(store(), {"r/1", "r/2"});
    ASSERT_TRUE(ok(store().remove("r/1")));
    EXPECT_TRUE(fails(store().get("r/1"), Code::NotFound));
    EXPECT_TRUE(fails(store().stat("r/1"), Code::NotFound));
    EXPECT_EQ(names_below(store(), ""), Names({"r/2"}));
    ASSERT_TRUE(ok(store().put("r/1", base::view("again"))));
    expect_holds(store(), "r/1", bytes_of("again"));
}

TEST_P(ObjectStoreContract, DatesObjectsByItsOwnClock) {
    constexpr auto kCoarse = std::chrono::seconds(2);  // file systems round, some to two seconds
    const auto before = store().now();
    ASSERT_TRUE(ok(store().put("dated", base::view("x"))));
    const auto after = store().now();
    const auto info = store().stat("dated");
    ASSERT_TRUE(before && after && info);
    EXPECT_GE(info->modified, *before - kCoarse);
    EXPECT_LE(info->modified, *after + kCoarse);
    EXPECT_GE(*after, *before);
}

TEST_P(ObjectStoreContract, SaysWhatItIs) {
    EXPECT_FALSE(store().describe().empty());
}

}  // namespace lifeboat::conformance

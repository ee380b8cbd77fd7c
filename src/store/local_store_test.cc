#include "store/local_store.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>

#include "store/decorators.h"
#include "tests/support/expect.h"
#include "tests/support/sim_files.h"

namespace lifeboat::store {

using base::Bytes;
using base::Code;
using base::Error;
using base::FileKind;
using base::OpenMode;
using base::Result;
using test::fails;
using test::ok;
using test::SimFiles;

namespace {

class LocalStoreTest : public testing::Test {
  protected:
    LocalStoreTest() { store = open(LocalStore::Create::Yes); }

    std::unique_ptr<LocalStore> open(LocalStore::Create create) {
        auto opened = LocalStore::open(files, clock, "/disk/store/", create);
        EXPECT_TRUE(opened) << opened.error().message();
        return opened ? std::move(opened).value() : nullptr;
    }

    void write(const std::string& path, std::string_view text) {
        const auto file = files.open(path, OpenMode::CreateNew, 0600);
        ASSERT_TRUE(file) << file.error().message();
        ASSERT_TRUE((*file)->write_at(0, base::view(text)));
    }

    std::vector<std::string> names() {
        std::vector<std::string> found;
        const auto all = list_all(*store, "");
        EXPECT_TRUE(all);
        for (const ObjectInfo& object : all ? *all : std::vector<ObjectInfo>()) {
            found.push_back(object.name);
        }
        return found;
    }

    std::vector<std::string> operations_of(const std::string& name) {
        const std::size_t before = files.trace().size();
        EXPECT_TRUE(store->put(name, base::view("bytes")));
        std::vector<std::string> verbs;
        const auto trace = files.trace();
        for (std::size_t i = before; i < trace.size(); ++i) {
            verbs.push_back(trace[i].substr(0, trace[i].find(' ')));
        }
        return verbs;
    }

    // `store` and `files` fail the named operation from now on.
    void fail(std::string_view operation, int number) {
        files.set_fault([operation, number](std::string_view asked, const std::string&) {
            return asked == operation ? std::optional(number) : std::nullopt;
        });
    }

    base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};
    SimFiles files{&clock};
    std::unique_ptr<LocalStore> store;
};

using Names = std::vector<std::string>;

// ---- Opening ------------------------------------------------------------------------------------

TEST_F(LocalStoreTest, OpensOnlyADirectoryThatExists) {
    const auto missing = LocalStore::open(files, clock, "/disk/other", LocalStore::Create::No);
    EXPECT_TRUE(fails(missing, Code::NotFound));
    EXPECT_NE(missing.error().hint().find("'/disk/other'"), std::string::npos);
    write("/disk/file", "");
    EXPECT_TRUE(fails(LocalStore::open(files, clock, "/disk/file", LocalStore::Create::No),
                      Code::InvalidInput));
    EXPECT_TRUE(
        fails(LocalStore::open(files, clock, "", LocalStore::Create::Yes), Code::InvalidInput));
}

TEST_F(LocalStoreTest, OpensADirectoryThatItMayOnlyRead) {
    ASSERT_TRUE(store->put("a", base::view("x")));
    fail("create", EROFS);
    const auto reader = open(LocalStore::Create::No);
    EXPECT_TRUE(reader->get("a"));
    const auto refused = reader->put("b", base::view("x"));
    EXPECT_TRUE(fails(refused, Code::Denied));
    EXPECT_EQ(
        refused.error().hint(),
        "'/disk/store' lies on a file system that is mounted read-only: remount it for writing.");
    const auto writer = LocalStore::open(files, clock, "/disk/store", LocalStore::Create::Yes);
    EXPECT_TRUE(fails(writer, Code::Denied));
}

TEST_F(LocalStoreTest, LeavesNothingBehindWhenItOpens) {
    EXPECT_EQ(*files.list("/disk/store"), Names());
}

TEST_F(LocalStoreTest, DescribesItselfWithoutTheTrailingSlash) {
    EXPECT_EQ(store->describe(), "file:///disk/store");
}

// ---- Writing ------------------------------------------------------------------------------------

TEST_F(LocalStoreTest, LetsNobodyElseReadItsFiles) {
    ASSERT_TRUE(store->put("dir/object", base::view("x")));
    EXPECT_EQ(files.stat("/disk/store/dir")->mode, 0700U);
    EXPECT_EQ(files.stat("/disk/store/dir/object")->mode, 0600U);
}

// Budget: one fsync of the object and one of its directory, once the directories are known.
TEST_F(LocalStoreTest, SyncsDirectoriesAboveOnlyOnce) {
    EXPECT_EQ(operations_of("a/b/1"),
              Names({"create_directory", "sync_directory", "create_directory", "sync_directory",
                     "create", "write", "sync", "rename", "sync_directory"}));
    EXPECT_EQ(operations_of("a/b/2"),
              Names({"create", "write", "sync", "rename", "sync_directory"}));
}

// Another process may have made the directory and died before its fsync.
TEST_F(LocalStoreTest, SyncsADirectoryThatItFound) {
    ASSERT_TRUE(files.create_directory("/disk/store/a", 0700));
    EXPECT_EQ(operations_of("a/1"),
              Names({"sync_directory", "create", "write", "sync", "rename", "sync_directory"}));
    files.power_cycle(test::kLoseUnsynced);
    EXPECT_TRUE(open(LocalStore::Create::No)->get("a/1"));
}

TEST_F(LocalStoreTest, SyncsADirectoryThatWasMadeAnew) {
    ASSERT_TRUE(store->put("a/1", {}));
    ASSERT_TRUE(store->remove("a/1"));
    ASSERT_TRUE(files.remove_directory("/disk/store/a"));
    EXPECT_TRUE(store->put("a/2", {}));
    files.power_cycle(test::kLoseUnsynced);
    EXPECT_TRUE(open(LocalStore::Create::No)->get("a/2"));
}

TEST_F(LocalStoreTest, MakesAConflictingObjectDurableBeforeItSaysSo) {
    write("/disk/store/a", "x");
    const auto file = files.open("/disk/store/a", OpenMode::ReadWrite, 0);
    ASSERT_TRUE((*file)->sync());  // another writer, between its rename and its last fsync
    EXPECT_TRUE(fails(store->put("a", base::view("y")), Code::Conflict));
    files.power_cycle(test::kLoseUnsynced);
    EXPECT_TRUE(open(LocalStore::Create::No)->get("a"));
}

TEST_F(LocalStoreTest, SaysHowMuchRoomThereIsWhenTheDiskIsFull) {
    files.set_capacity(5 * base::kMiB);
    ASSERT_TRUE(store->put("small", Bytes(base::kMiB)));
    const auto full = store->put("dir/large", Bytes(8 * base::kMiB));
    EXPECT_TRUE(fails(full, Code::NoSpace));
    const std::string room = "has " + base::human_size(4 * base::kMiB) +
                             " free and this object needs " + base::human_size(8 * base::kMiB);
    EXPECT_NE(full.error().hint().find("'/disk/store' " + room), std::string::npos)
        << full.error().hint();
    EXPECT_NE(full.error().message().find("putting object 'dir/large': "), std::string::npos);
    EXPECT_EQ(*store->free_space(), 4 * base::kMiB);
    EXPECT_TRUE(store->put("dir/medium", Bytes(3 * base::kMiB)));
    EXPECT_EQ(*files.list("/disk/store/dir"), Names({"medium"}));
}

TEST_F(LocalStoreTest, SaysWhoseRightsAreMissing) {
    fail("create", EACCES);
    const auto denied = store->put("a", {});
    EXPECT_TRUE(fails(denied, Code::Denied));
    EXPECT_EQ(denied.error().hint(),
              "Give the user that runs Lifeboat the right to read and write below '/disk/store'.");
}

TEST_F(LocalStoreTest, CallsAFailedLastSyncUnknown) {
    ASSERT_TRUE(store->put("removed", {}));
    fail("sync_directory", EIO);
    EXPECT_TRUE(fails(store->put("a", {}), Code::OutcomeUnknown));
    EXPECT_TRUE(fails(store->put("a", {}), Code::OutcomeUnknown));
    EXPECT_TRUE(fails(store->remove("removed"), Code::OutcomeUnknown));
}

// The object is there, yet may not outlive a power cut: a look at it settles nothing.
TEST_F(LocalStoreTest, StaysUnknownUnderRetry) {
    const auto random = base::seeded_random(1);
    const base::StopToken stop;
    const auto is = [](std::string_view wanted) {
        return [wanted](std::string_view asked, const std::string&) { return asked == wanted; };
    };
    files.fail_next(is("create"), EIO);
    files.fail_next(is("sync_directory"), EIO);
    const auto patient = with_retry(std::move(store), Backoff{}, clock, *random, stop);
    EXPECT_TRUE(fails(patient->put("a", base::view("x")), Code::OutcomeUnknown));
    EXPECT_TRUE(ok(patient->get("a")));
}

TEST_F(LocalStoreTest, IsWorthAnotherTryWhenADirectoryVanishesUnderIt) {
    files.fail_next([](std::string_view asked, const std::string&) { return asked == "create"; },
                    ENOENT);
    EXPECT_TRUE(fails(store->put("a/b", {}), Code::Unavailable));
    EXPECT_TRUE(ok(store->put("a/b", {})));
}

TEST_F(LocalStoreTest, RefusesToPutOneObjectBelowAnother) {
    ASSERT_TRUE(store->put("a", {}));
    ASSERT_TRUE(store->put("b/c", {}));
    EXPECT_TRUE(fails(store->put("a/b", {}), Code::Conflict));
    EXPECT_TRUE(fails(store->put("b", {}), Code::Conflict));
    EXPECT_EQ(names(), Names({"a", "b/c"}));
}

// ---- A disk that has gone -----------------------------------------------------------------------

TEST_F(LocalStoreTest, ProvesNothingAbsentWhenItsDirectoryHasGone) {
    ASSERT_TRUE(base::remove_tree(files, "/disk/store"));
    EXPECT_TRUE(fails(store->get("a"), Code::Unavailable));
    EXPECT_TRUE(fails(store->stat("a/b"), Code::Unavailable));
    EXPECT_TRUE(fails(store->remove("a"), Code::Unavailable));
    EXPECT_TRUE(fails(list_all(*store, ""), Code::Unavailable));
    for (const char* name : {"a", "a/b"}) {
        const auto put = store->put(name, {});
        EXPECT_TRUE(fails(put, Code::Unavailable));
        EXPECT_EQ(put.error().hint(),
                  "Mount the disk that holds '/disk/store', or restore the directory.");
    }
    EXPECT_FALSE(files.stat("/disk/store"))
        << "a put must not fill the mount point of a disk that is not there";
}

TEST_F(LocalStoreTest, P1_PutsNothingIntoTheMountPointOfADiskThatHasGone) {
    ASSERT_TRUE(store->put("s/a", {}));
    ASSERT_TRUE(ok(files.rename("/disk/store", "/disk/away", base::Replace::No)));
    ASSERT_TRUE(ok(files.create_directory("/disk/store", 0700)));
    EXPECT_TRUE(fails(store->put("s/b", {}), Code::Unavailable));
    EXPECT_TRUE(fails(store->get("s/a"), Code::Unavailable));
    EXPECT_TRUE(fails(store->stat("s/a"), Code::Unavailable));
    EXPECT_TRUE(fails(list_all(*store, ""), Code::Unavailable));
    const auto left = files.list("/disk/store");
    ASSERT_TRUE(ok(left));
    EXPECT_TRUE(left->empty());

    ASSERT_TRUE(ok(files.remove_directory("/disk/store")));
    ASSERT_TRUE(ok(files.rename("/disk/away", "/disk/store", base::Replace::No)));
    EXPECT_TRUE(ok(store->put("s/b", {})));
    EXPECT_EQ(names(), Names({"s/a", "s/b"}));
}

// ---- Hostile or damaged contents ----------------------------------------------------------------

class HostileStore : public LocalStoreTest {
  protected:
    HostileStore() {
        EXPECT_TRUE(base::create_directories(files, "/outside/dir"));
        write("/outside/secret", "secret");
        write("/outside/dir/object", "secret");
        EXPECT_TRUE(store->put("real/object", base::view("x")));
        EXPECT_TRUE(files.symlink("/outside/secret", "/disk/store/leaf"));
        EXPECT_TRUE(files.symlink("../../../outside/dir", "/disk/store/real/up"));
        EXPECT_TRUE(files.symlink("/outside/nothing", "/disk/store/dangling"));
    }
};

TEST_F(HostileStore, ReadsNothingThroughASymlink) {
    for (const char* name : {"leaf", "real/up/object", "dangling", "dangling/a"}) {
        Bytes out(1);
        const auto got = store->get(name);
        EXPECT_TRUE(fails(got, Code::Refused)) << name;
        EXPECT_FALSE(got.error().hint().empty());
        EXPECT_TRUE(fails(store->get_range(name, 0, out), Code::Refused)) << name;
        EXPECT_TRUE(fails(store->stat(name), Code::Refused)) << name;
    }
}

TEST_F(HostileStore, WritesAndRemovesNothingThroughASymlink) {
    EXPECT_TRUE(fails(store->put("real/up/new", base::view("x")), Code::Refused));
    EXPECT_TRUE(fails(store->put("real/up/below/new", base::view("x")), Code::Refused));
    EXPECT_TRUE(fails(store->put("dangling/new", base::view("x")), Code::Refused));
    EXPECT_TRUE(fails(store->put("leaf", base::view("x")), Code::Conflict));
    EXPECT_TRUE(fails(store->put("dangling", base::view("x")), Code::Conflict));
    EXPECT_TRUE(fails(store->remove("leaf"), Code::Refused));
    EXPECT_TRUE(fails(store->remove("real/up/object"), Code::Refused));
    EXPECT_EQ(*files.list("/outside"), Names({"dir", "secret"}));
    EXPECT_EQ(*files.list("/outside/dir"), Names({"object"}));
}

TEST_F(HostileStore, ListsAndSweepsNothingThroughASymlink) {
    write("/outside/dir/.tmp-1", "");
    clock.advance(std::chrono::hours(48));
    EXPECT_EQ(names(), Names({"real/object"}));
    EXPECT_EQ(*store->sweep(), 0U);
    EXPECT_TRUE(files.stat("/outside/dir/.tmp-1"));
}

TEST_F(LocalStoreTest, MayItselfBeReachedThroughASymlink) {
    ASSERT_TRUE(files.symlink("/disk/store", "/link"));
    const auto linked = LocalStore::open(files, clock, "/link", LocalStore::Create::Yes);
    ASSERT_TRUE(linked);
    EXPECT_TRUE((*linked)->put("a/b", base::view("x")));
    EXPECT_EQ(names(), Names({"a/b"}));
}

TEST_F(LocalStoreTest, ListsNoForeignFiles) {
    ASSERT_TRUE(store->put("a/1", {}));
    ASSERT_TRUE(files.create_directory("/disk/store/lost+found", 0700));
    write("/disk/store/lost+found/x", "");
    write("/disk/store/with space", "");
    write("/disk/store/a/.tmp-0123", "half an obj");
    EXPECT_EQ(names(), Names({"a/1"}));
}

TEST_F(LocalStoreTest, FailsAListThatItCannotFinish) {
    ASSERT_TRUE(store->put("a/1", {}));
    ASSERT_TRUE(store->put("b/1", {}));
    files.set_fault([](std::string_view operation, const std::string& path) {
        return operation == "list" && path == "/disk/store/b" ? std::optional(EACCES)
                                                              : std::nullopt;
    });
    const auto all = list_all(*store, "");
    EXPECT_TRUE(fails(all, Code::Denied));
    EXPECT_TRUE(list_all(*store, "a/"));
}

// ---- Sweeping -----------------------------------------------------------------------------------

TEST_F(LocalStoreTest, SweepsTemporaryFilesOlderThanADay) {
    ASSERT_TRUE(store->put("a/b/object", {}));
    write("/disk/store/.tmp-1", "");
    write("/disk/store/a/b/.tmp-2", "");
    clock.advance(std::chrono::hours(23));
    write("/disk/store/a/.tmp-young", "");
    EXPECT_EQ(*store->sweep(), 0U);
    clock.advance(std::chrono::hours(2));
    EXPECT_EQ(*store->sweep(), 2U);
    EXPECT_EQ(*files.list("/disk/store"), Names({"a"}));
    EXPECT_EQ(*files.list("/disk/store/a"), Names({".tmp-young", "b"}));
    EXPECT_EQ(*files.list("/disk/store/a/b"), Names({"object"}));
}

}  // namespace

}  // namespace lifeboat::store

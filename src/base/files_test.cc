#include "base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "tests/support/expect.h"
#include "tests/support/temp_dir.h"

// The helpers over Files on a real disk. The primitives are tested by
// tests/support/files_contract_test.cc, power loss by tests/support/sim_files_test.cc.

namespace lifeboat::base {
namespace {

using test::fails;
using test::ok;
using test::TempDir;

TEST(WriteDurably, TheSameTroubleReadsTheSameEachTime) {
    const test::TempDir directory;
    ASSERT_TRUE(ok(real_files().create_directory(directory / "taken")));
    const std::pair<std::string, std::string> cases[] = {{directory / "no/such/x", "No such file"},
                                                         {directory / "taken", "Is a directory"}};
    for (const auto& [path, why] : cases) {
        std::string first;
        for (int time = 0; time < 2; ++time) {
            const auto failed = write_durably(real_files(), path, view("x"), Replace::Yes);
            ASSERT_FALSE(failed.has_value());
            const std::string text = failed.error().message();
            EXPECT_EQ(text.find(".tmp-"), std::string::npos) << text;
            EXPECT_EQ(text.find("writing '" + path + "': "), 0U) << text;
            EXPECT_NE(text.find(why), std::string::npos) << text;
            EXPECT_NE(failed.error().os_error(), 0);
            first = first.empty() ? text : first;
            EXPECT_EQ(text, first);
        }
    }
}

TEST(Paths, SplitAndJoin) {
    struct Case {
        const char* path;
        const char* parent;
        const char* name;
    };

    const Case cases[] = {
        {"a/b", "a", "b"},       {"a", ".", "a"},    {"/a", "/", "a"},   {"/", "/", ""},
        {"/a/b/c", "/a/b", "c"}, {"a/b/", "a", "b"}, {"a//b", "a", "b"}, {"./a", ".", "a"},
    };
    for (const auto& [path, parent, name] : cases) {
        EXPECT_EQ(parent_of(path), parent) << path;
        if (std::string_view(path) != "/") {
            EXPECT_EQ(file_name_of(path), name) << path;
        }
    }
    EXPECT_EQ(join("a", "b"), "a/b");
    EXPECT_EQ(join("a/", "b"), "a/b");
    EXPECT_EQ(join("/", "b"), "/b");
    EXPECT_EQ(join("", "b"), "b");
}

TEST(ReadFile, ReadsWholeFilesUpToTheLimit) {
    const TempDir directory;
    for (const std::size_t size : {0U, 1U, 4095U, 4096U, 100'000U}) {
        const Bytes bytes(size, 'x');
        ASSERT_TRUE(ok(write_durably(real_files(), directory / "x", bytes, Replace::Yes)));
        EXPECT_EQ(read_file(real_files(), directory / "x").value(), bytes);
        EXPECT_TRUE(ok(read_file(real_files(), directory / "x", size)));
        if (size > 0) {
            EXPECT_TRUE(
                fails(read_file(real_files(), directory / "x", size - 1), Code::InvalidInput))
                << size;
        }
    }
    EXPECT_TRUE(fails(read_file(real_files(), directory / "absent"), Code::NotFound));
}

TEST(ReadFile, ReadsFilesThatCallThemselvesEmpty) {
    const auto status = read_file(real_files(), "/proc/self/status");
    ASSERT_TRUE(ok(status));
    EXPECT_THAT(text(*status), testing::HasSubstr("VmRSS"));
    EXPECT_TRUE(fails(read_file(real_files(), "/proc/self/status", 10), Code::InvalidInput));
}

TEST(WriteDurably, ReplacesOrRefuses) {
    const TempDir directory;
    const std::string path = directory / "x";
    ASSERT_TRUE(ok(write_durably(real_files(), path, view("one"), Replace::No)));
    EXPECT_TRUE(fails(write_durably(real_files(), path, view("two"), Replace::No), Code::Conflict));
    EXPECT_EQ(text(*read_file(real_files(), path)), "one");
    EXPECT_TRUE(ok(write_durably(real_files(), path, view("two"), Replace::Yes)));
    EXPECT_EQ(text(*read_file(real_files(), path)), "two");
    EXPECT_EQ(real_files().list(directory.path()).value(), std::vector<std::string>{"x"})
        << "no temporary file is left";
}

TEST(WriteDurably, SetsPermissions) {
    const TempDir directory;
    ASSERT_TRUE(ok(write_durably(real_files(), directory / "secret", view("x"), Replace::No)));
    EXPECT_EQ(real_files().stat(directory / "secret")->mode, 0600U);
    ASSERT_TRUE(ok(write_durably(real_files(), directory / "open", view("x"), Replace::No, 0400)));
    EXPECT_EQ(real_files().stat(directory / "open")->mode, 0400U);
}

TEST(WriteDurably, NamesTheFileWhenItFails) {
    const TempDir directory;
    const auto failed =
        write_durably(real_files(), directory / "no/such/x", view("x"), Replace::Yes);
    ASSERT_TRUE(fails(failed, Code::NotFound));
    EXPECT_TRUE(failed.error().message().starts_with("writing '" + directory / "no/such/x'"))
        << failed.error().message();
}

TEST(CreateDirectories, CreatesWhatIsMissing) {
    const TempDir directory;
    EXPECT_TRUE(ok(create_directories(real_files(), directory / "a/b/c/", 0750)));
    EXPECT_EQ(real_files().stat(directory / "a/b/c")->mode, 0750U);
    EXPECT_TRUE(ok(create_directories(real_files(), directory / "a/b/c")));
    EXPECT_TRUE(ok(create_directories(real_files(), "/")));
    EXPECT_TRUE(ok(create_directories(real_files(), ".")));
    ASSERT_TRUE(ok(write_durably(real_files(), directory / "file", {}, Replace::No)));
    EXPECT_TRUE(fails(create_directories(real_files(), directory / "file"), Code::Conflict));
    EXPECT_FALSE(create_directories(real_files(), directory / "file/below").has_value());
}

TEST(RemoveTree, RemovesATreeAndNotWhatItsLinksPointTo) {
    const TempDir directory;
    ASSERT_TRUE(ok(create_directories(real_files(), directory / "tree/deep/er")));
    ASSERT_TRUE(ok(write_durably(real_files(), directory / "tree/deep/x", view("x"), Replace::No)));
    ASSERT_TRUE(ok(create_directories(real_files(), directory / "kept")));
    ASSERT_TRUE(ok(write_durably(real_files(), directory / "kept/x", view("x"), Replace::No)));
    ASSERT_TRUE(ok(real_files().symlink("../../kept", directory / "tree/deep/link")));
    EXPECT_TRUE(ok(remove_tree(real_files(), directory / "tree")));
    EXPECT_FALSE(exists(real_files(), directory / "tree").value());
    EXPECT_TRUE(exists(real_files(), directory / "kept/x").value());
    EXPECT_TRUE(ok(remove_tree(real_files(), directory / "tree"))) << "an absent tree is success";
}

TEST(RealFiles, DescriptorsAreCloseOnExec) {
    const TempDir directory;
    const auto file = real_files().open(directory / "x", OpenMode::CreateNew, 0600);
    ASSERT_TRUE(ok(file));
    const auto names = real_files().list("/proc/self/fd");
    ASSERT_TRUE(ok(names));
    bool found = false;
    for (const std::string& name : *names) {
        const auto target = real_files().read_link("/proc/self/fd/" + name);
        if (target && *target == directory / "x") {
            const auto info = read_file(real_files(), "/proc/self/fdinfo/" + name);
            ASSERT_TRUE(ok(info));
            found = true;
            EXPECT_THAT(text(*info),
                        testing::ContainsRegex("flags:.*2......\n"));  // 02000000 is O_CLOEXEC
        }
    }
    EXPECT_TRUE(found);
}

TEST(RealFiles, KindsOtherThanFilesAreSeen) {
    EXPECT_EQ(real_files().stat("/dev/null")->kind, FileKind::Other);
    EXPECT_TRUE(
        fails(real_files().open("/proc/self/status", OpenMode::CreateNew, 0600), Code::Conflict));
}

TEST(RealFiles, LongLinkTargetsAreReadWhole) {
    const TempDir directory;
    const std::string target(3000, 'x');
    ASSERT_TRUE(ok(real_files().symlink(target, directory / "link")));
    EXPECT_EQ(real_files().read_link(directory / "link").value(), target);
}

TEST(RealFiles, OffsetsBeyondTheKernelsAreRefused) {
    const TempDir directory;
    const auto file = real_files().open(directory / "x", OpenMode::CreateNew, 0600);
    ASSERT_TRUE(ok(file));
    Bytes one(1);
    EXPECT_TRUE(fails((*file)->read_at(1ULL << 63, one), Code::InvalidInput));
    EXPECT_TRUE(fails((*file)->write_at(1ULL << 63, one), Code::InvalidInput));
    EXPECT_TRUE(fails((*file)->truncate(1ULL << 63), Code::InvalidInput));
}

TEST(RealFiles, CloseTwiceTouchesNoOtherFile) {
    const TempDir directory;
    const auto file = real_files().open(directory / "x", OpenMode::CreateNew, 0600);
    ASSERT_TRUE(ok(file));
    EXPECT_TRUE(ok((*file)->close()));
    const auto other =
        real_files().open(directory / "y", OpenMode::CreateNew, 0600);  // takes the same number
    ASSERT_TRUE(ok(other));
    EXPECT_TRUE(ok((*file)->close()));
    EXPECT_TRUE(ok((*other)->write_at(0, view("y"))));
    EXPECT_FALSE((*file)->write_at(0, view("x")).has_value());
}

}  // namespace
}  // namespace lifeboat::base

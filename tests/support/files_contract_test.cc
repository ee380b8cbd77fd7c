#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/aligned_buffer.h"
#include "base/files.h"
#include "tests/support/expect.h"
#include "tests/support/sim_files.h"
#include "tests/support/temp_dir.h"

// What every Files must do: the real one and the simulated one pass the same cases, so that a crash
// test on the second speaks for the first.

namespace lifeboat::test {
namespace {

using base::Bytes;
using base::Code;
using base::File;
using base::FileKind;
using base::Files;
using base::MutableBytes;
using base::OpenMode;
using base::Replace;

struct RealWorld {
    TempDir directory;
    Files& files = base::real_files();
    std::string root = directory.path();
};

struct SimWorld {
    SimFiles simulated;
    Files& files = simulated;
    std::string root = "/";
};

template <class World>
class FilesContract : public testing::Test {
  protected:
    std::string at(std::string_view name) const { return base::join(world_.root, name); }

    Files& files() { return world_.files; }

    void put(std::string_view name, std::string_view text) {
        auto file = files().open(at(name), OpenMode::CreateOrTruncate, 0600);
        ASSERT_TRUE(ok(file));
        ASSERT_TRUE(ok((*file)->write_at(0, base::view(text))));
        ASSERT_TRUE(ok((*file)->close()));
    }

    std::string get(std::string_view name) {
        auto bytes = base::read_file(files(), at(name));
        return bytes ? std::string(base::text(*bytes)) : "<" + bytes.error().message() + ">";
    }

    std::vector<std::string> names(std::string_view directory = "") {
        auto listed = files().list(directory.empty() ? world_.root : at(directory));
        return listed ? *std::move(listed) : std::vector<std::string>{listed.error().message()};
    }

    World world_;
};

using Worlds = testing::Types<RealWorld, SimWorld>;

class WorldNames {
  public:
    template <class World>
    static std::string GetName(int) {
        return std::is_same_v<World, RealWorld> ? "Real" : "Simulated";
    }
};

TYPED_TEST_SUITE(FilesContract, Worlds, WorldNames);

using Names = std::vector<std::string>;

TYPED_TEST(FilesContract, OpenModesSayWhatMustExist) {
    EXPECT_TRUE(fails(this->files().open(this->at("absent"), OpenMode::Read, 0), Code::NotFound));
    EXPECT_TRUE(
        fails(this->files().open(this->at("absent"), OpenMode::ReadWrite, 0), Code::NotFound));
    EXPECT_TRUE(fails(this->files().open(this->at("no/such/directory"), OpenMode::CreateNew, 0600),
                      Code::NotFound));
    this->put("x", "old");
    EXPECT_TRUE(
        fails(this->files().open(this->at("x"), OpenMode::CreateNew, 0600), Code::Conflict));
    EXPECT_EQ(this->get("x"), "old");
    EXPECT_TRUE(ok(this->files().open(this->at("x"), OpenMode::CreateOrTruncate, 0600)));
    EXPECT_EQ(this->get("x"), "");
    EXPECT_TRUE(fails(this->files().open(this->at("x/below"), OpenMode::Read, 0), Code::NotFound));
}

TYPED_TEST(FilesContract, WritesPastTheEndLeaveZeros) {
    auto file = this->files().open(this->at("x"), OpenMode::CreateNew, 0600);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok((*file)->write_at(3, base::view("abc"))));
    ASSERT_TRUE(ok((*file)->write_at(0, base::view("_"))));
    EXPECT_EQ(this->get("x"), std::string("_\0\0abc", 6));
    EXPECT_EQ(*(*file)->size(), 6U);
}

TYPED_TEST(FilesContract, ReadsStopAtTheEnd) {
    this->put("x", "hello");
    auto file = this->files().open(this->at("x"), OpenMode::Read, 0);
    ASSERT_TRUE(ok(file));
    Bytes buffer(8);
    EXPECT_EQ(*(*file)->read_at(0, buffer), 5U);
    EXPECT_EQ(*(*file)->read_at(3, buffer), 2U);
    EXPECT_EQ(base::text(buffer).substr(0, 2), "lo");
    EXPECT_EQ(*(*file)->read_at(5, buffer), 0U);
    EXPECT_EQ(*(*file)->read_at(500, buffer), 0U);
    EXPECT_EQ(*(*file)->read_at(0, MutableBytes(buffer).first(0)), 0U);
}

TYPED_TEST(FilesContract, TruncateCutsAndExtends) {
    this->put("x", "hello");
    auto file = this->files().open(this->at("x"), OpenMode::ReadWrite, 0);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok((*file)->truncate(2)));
    EXPECT_EQ(this->get("x"), "he");
    ASSERT_TRUE(ok((*file)->truncate(4)));
    EXPECT_EQ(this->get("x"), std::string("he\0\0", 4));
    EXPECT_TRUE(ok((*file)->sync()));
    EXPECT_TRUE(ok((*file)->close()));
}

// Whatever a file system makes of the hints, the bytes are those that were written.
TYPED_TEST(FilesContract, WritesPastThePageCacheAreWritesLikeOthers) {
    auto file = this->files().open(this->at("x"), OpenMode::CreateOrTruncate, 0600);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok((*file)->truncate(100'000)));
    (*file)->bypass_cache();
    (*file)->set_aside(0, 65536);
    base::AlignedBuffer buffer(65536);
    Bytes expected(100'000);
    // Whole blocks; a tail; an unaligned place; unaligned memory; nothing.
    const std::array<std::array<std::size_t, 3>, 6> writes = {{{0, 0, 8192},
                                                               {8192, 0, 5000},
                                                               {20'001, 0, 4096},
                                                               {40'960, 3, 8192},
                                                               {49'152, 0, 0},
                                                               {65'536, 0, 34'464}}};
    base::Byte value = 1;
    for (const auto& [offset, shift, count] : writes) {
        const MutableBytes bytes = buffer.first(shift + count).subspan(shift);
        std::fill(bytes.begin(), bytes.end(), value++);
        ASSERT_TRUE(ok((*file)->write_at(offset, bytes)));
        std::copy(bytes.begin(), bytes.end(),
                  expected.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    ASSERT_TRUE(ok((*file)->sync()));
    ASSERT_TRUE(ok((*file)->close()));
    EXPECT_EQ(base::read_file(this->files(), this->at("x")).value(), expected);
}

TYPED_TEST(FilesContract, AFileOpenForReadingIsNotWritten) {
    this->put("x", "hello");
    auto file = this->files().open(this->at("x"), OpenMode::Read, 0);
    ASSERT_TRUE(ok(file));
    EXPECT_FALSE((*file)->write_at(0, base::view("X")).has_value());
    EXPECT_FALSE((*file)->truncate(0).has_value());
    EXPECT_EQ(this->get("x"), "hello");
}

TYPED_TEST(FilesContract, AnOpenFileOutlivesItsName) {
    this->put("x", "hello");
    auto file = this->files().open(this->at("x"), OpenMode::Read, 0);
    ASSERT_TRUE(ok(file));
    ASSERT_TRUE(ok(this->files().remove(this->at("x"))));
    Bytes buffer(5);
    EXPECT_EQ(*(*file)->read_at(0, buffer), 5U);
    EXPECT_TRUE(fails(this->files().lstat(this->at("x")), Code::NotFound));
}

TYPED_TEST(FilesContract, StatTellsKindSizeAndMode) {
    this->put("x", "hello");
    ASSERT_TRUE(ok(this->files().create_directory(this->at("d"), 0750)));
    ASSERT_TRUE(ok(this->files().symlink("x", this->at("link"))));
    const auto file = this->files().stat(this->at("x"));
    ASSERT_TRUE(ok(file));
    EXPECT_EQ(file->kind, FileKind::Regular);
    EXPECT_EQ(file->size, 5U);
    EXPECT_EQ(file->mode, 0600U);
    const auto directory = this->files().stat(this->at("d"));
    ASSERT_TRUE(ok(directory));
    EXPECT_EQ(directory->kind, FileKind::Directory);
    EXPECT_EQ(directory->mode, 0750U);
    EXPECT_EQ(directory->device, file->device);
    EXPECT_NE(directory->inode, file->inode);
    const auto followed = this->files().stat(this->at("link"));
    ASSERT_TRUE(ok(followed));
    EXPECT_EQ(followed->inode, file->inode);
    const auto link = this->files().lstat(this->at("link"));
    ASSERT_TRUE(ok(link));
    EXPECT_EQ(link->kind, FileKind::Symlink);
    EXPECT_TRUE(fails(this->files().stat(this->at("absent")), Code::NotFound));
}

TYPED_TEST(FilesContract, AttributesCanBeSet) {
    this->put("x", "hello");
    const base::Timestamp then = base::from_unix_micros(1'700'000'000'123'456);
    ASSERT_TRUE(ok(this->files().set_mode(this->at("x"), 0640)));
    ASSERT_TRUE(ok(this->files().set_modified(this->at("x"), then)));
    const auto before = this->files().stat(this->at("x"));
    ASSERT_TRUE(ok(before));
    EXPECT_TRUE(ok(this->files().set_owner(this->at("x"), before->uid, before->gid)));
    const auto after = this->files().stat(this->at("x"));
    ASSERT_TRUE(ok(after));
    EXPECT_EQ(after->mode, 0640U);
    EXPECT_EQ(after->modified, then);
    EXPECT_TRUE(fails(this->files().set_mode(this->at("absent"), 0600), Code::NotFound));
}

TYPED_TEST(FilesContract, ListIsInByteOrder) {
    for (const char* name : {"b", "B", "a", ".hidden", "10", "9"}) {
        this->put(name, "");
    }
    EXPECT_EQ(this->names(), (Names{".hidden", "10", "9", "B", "a", "b"}));
    EXPECT_TRUE(fails(this->files().list(this->at("a")), Code::NotFound));
    EXPECT_TRUE(fails(this->files().list(this->at("absent")), Code::NotFound));
}

TYPED_TEST(FilesContract, RenameReplacesOnlyWhenAsked) {
    this->put("new", "new");
    this->put("old", "old");
    EXPECT_TRUE(
        fails(this->files().rename(this->at("new"), this->at("old"), Replace::No), Code::Conflict));
    EXPECT_EQ(this->get("old"), "old");
    EXPECT_EQ(this->get("new"), "new");
    EXPECT_TRUE(ok(this->files().rename(this->at("new"), this->at("old"), Replace::Yes)));
    EXPECT_EQ(this->get("old"), "new");
    EXPECT_EQ(this->names(), Names{"old"});
    EXPECT_TRUE(ok(this->files().rename(this->at("old"), this->at("fresh"), Replace::No)));
    EXPECT_TRUE(fails(this->files().rename(this->at("old"), this->at("fresh"), Replace::Yes),
                      Code::NotFound));
}

TYPED_TEST(FilesContract, RenameMovesDirectories) {
    ASSERT_TRUE(ok(base::create_directories(this->files(), this->at("a/b"), 0700)));
    this->put("a/b/x", "hello");
    EXPECT_TRUE(ok(this->files().rename(this->at("a/b"), this->at("c"), Replace::No)));
    EXPECT_EQ(this->get("c/x"), "hello");
    EXPECT_FALSE(
        this->files().rename(this->at("c"), this->at("c/inside"), Replace::No).has_value());
    EXPECT_TRUE(
        fails(this->files().rename(this->at("a"), this->at("c"), Replace::Yes), Code::Conflict));
    this->put("file", "");
    EXPECT_FALSE(this->files().rename(this->at("file"), this->at("a"), Replace::Yes).has_value());
    EXPECT_FALSE(this->files().rename(this->at("a"), this->at("file"), Replace::Yes).has_value());
    EXPECT_EQ(this->names(), (Names{"a", "c", "file"}));
}

TYPED_TEST(FilesContract, RemoveTakesFilesAndLinksOnly) {
    this->put("x", "hello");
    ASSERT_TRUE(ok(this->files().create_directory(this->at("d"), 0700)));
    ASSERT_TRUE(ok(this->files().symlink("d", this->at("link"))));
    EXPECT_FALSE(this->files().remove(this->at("d")).has_value());
    EXPECT_FALSE(this->files().remove_directory(this->at("x")).has_value());
    EXPECT_FALSE(this->files().remove_directory(this->at("link")).has_value());
    EXPECT_TRUE(ok(this->files().remove(this->at("link"))));
    EXPECT_EQ(this->names(), (Names{"d", "x"}));
    EXPECT_TRUE(fails(this->files().remove(this->at("absent")), Code::NotFound));
    this->put("d/below", "");
    EXPECT_TRUE(fails(this->files().remove_directory(this->at("d")), Code::Conflict));
    EXPECT_TRUE(ok(this->files().remove(this->at("d/below"))));
    EXPECT_TRUE(ok(this->files().remove_directory(this->at("d"))));
    EXPECT_TRUE(fails(this->files().create_directory(this->at("x"), 0700), Code::Conflict));
}

TYPED_TEST(FilesContract, LinksAreFollowedWhereNamesAre) {
    ASSERT_TRUE(ok(base::create_directories(this->files(), this->at("real/deep"), 0700)));
    this->put("real/deep/x", "hello");
    ASSERT_TRUE(ok(this->files().symlink("../real/deep", this->at("real/up"))));
    ASSERT_TRUE(ok(this->files().symlink(this->at("real"), this->at("absolute"))));
    ASSERT_TRUE(ok(this->files().symlink("loop", this->at("loop"))));
    ASSERT_TRUE(ok(this->files().symlink("nowhere", this->at("dangling"))));
    EXPECT_EQ(this->get("absolute/up/x"), "hello");
    EXPECT_EQ(this->get("real/deep/../deep/./x"), "hello");
    EXPECT_EQ(*this->files().read_link(this->at("real/up")), "../real/deep");
    EXPECT_TRUE(fails(this->files().read_link(this->at("real")), Code::InvalidInput));
    EXPECT_FALSE(this->files().stat(this->at("loop/x")).has_value());
    EXPECT_TRUE(fails(this->files().stat(this->at("dangling")), Code::NotFound));
    EXPECT_TRUE(
        fails(this->files().open(this->at("dangling"), OpenMode::CreateNew, 0600), Code::Conflict));
    EXPECT_TRUE(*base::exists(this->files(), this->at("dangling")));
    this->put("dangling", "found");
    EXPECT_EQ(this->get("nowhere"), "found");
    EXPECT_TRUE(fails(this->files().symlink("x", this->at("loop")), Code::Conflict));
}

TYPED_TEST(FilesContract, SyncsWantWhatTheySync) {
    this->put("x", "hello");
    EXPECT_TRUE(ok(this->files().sync_directory(this->world_.root)));
    EXPECT_TRUE(fails(this->files().sync_directory(this->at("x")), Code::NotFound));
    EXPECT_TRUE(fails(this->files().sync_directory(this->at("absent")), Code::NotFound));
    EXPECT_TRUE(ok(this->files().sync_filesystem(this->world_.root)));
    EXPECT_TRUE(fails(this->files().sync_filesystem(this->at("absent")), Code::NotFound));
}

TYPED_TEST(FilesContract, SpaceIsWithinTheTotal) {
    const auto space = this->files().space(this->world_.root);
    ASSERT_TRUE(ok(space));
    EXPECT_GT(space->total, 0U);
    EXPECT_LE(space->free, space->total);
    EXPECT_TRUE(fails(this->files().space(this->at("absent")), Code::NotFound));
}

}  // namespace
}  // namespace lifeboat::test

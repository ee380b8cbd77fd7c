// What LocalStore meets on a real file system and a simulated one does not show.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>

#include "store/local_store.h"
#include "tests/support/expect.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::store {

using base::Code;
using test::fails;
using test::ok;

namespace {

class LocalStoreOnDisk : public testing::Test {
  protected:
    LocalStoreOnDisk() {
        auto opened = LocalStore::open(files, base::system_clock(), directory.path(),
                                       LocalStore::Create::Yes);
        EXPECT_TRUE(ok(opened));
        store = std::move(opened).value();
    }

    base::Files& files = base::real_files();
    test::TempDir directory;
    std::unique_ptr<LocalStore> store;
};

TEST_F(LocalStoreOnDisk, DoesNotHangOnAPipe) {
    ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
    EXPECT_TRUE(fails(store->get("pipe"), Code::Refused));
    EXPECT_TRUE(fails(store->put("pipe", {}), Code::Conflict));
    EXPECT_TRUE(fails(store->put("pipe/below", {}), Code::Refused));
    const auto all = list_all(*store, "");
    ASSERT_TRUE(ok(all));
    EXPECT_TRUE(all->empty());
}

TEST_F(LocalStoreOnDisk, AllocatesNothingForAFileThatClaimsToBeHuge) {
    {
        const auto file = files.open(directory / "sparse", base::OpenMode::CreateNew);
        ASSERT_TRUE(ok(file));
        ASSERT_TRUE(ok((*file)->truncate(4096 * base::kGiB)));
    }
    EXPECT_TRUE(fails(store->get("sparse"), Code::Corrupt));
    base::Bytes out(512, 0xEE);
    EXPECT_TRUE(ok(store->get_range("sparse", 4095 * base::kGiB, out)));
    EXPECT_TRUE(base::is_zero(out));
}

TEST_F(LocalStoreOnDisk, KnowsWhatIsFree) {
    const auto space = store->free_space();
    ASSERT_TRUE(ok(space));
    EXPECT_GT(*space, 0U);
}

}  // namespace

}  // namespace lifeboat::store

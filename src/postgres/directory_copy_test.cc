#include "postgres/directory_copy.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/repo_world.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::postgres {
namespace {

using base::Bytes;
using base::kMiB;
using test::ok;

// Files that are listed, change, and are copied then.
class CopyFiles : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(ok(base::create_directories(base::real_files(), directory_ / "base/5")));
    }

    void put(const std::string& name, const Bytes& contents) {
        ASSERT_TRUE(ok(base::write_durably(base::real_files(), directory_ / name, contents,
                                           base::Replace::Yes)));
    }

    void take_away(const std::string& name) {
        ASSERT_TRUE(ok(base::real_files().remove(directory_ / name)));
    }

    void list(const std::string& name, const Bytes& contents) {
        put(name, contents);
        FoundFile found;
        found.path = name;
        found.absolute = directory_ / name;
        found.size = contents.size();
        found_.push_back(std::move(found));
    }

    base::Result<test::Tree> copy() {
        repo::CaptureRequest request;
        request.system = "prod";
        request.engine = "postgres";
        request.start = world_.clock.now();
        request.manifest_expires = policy::backup_expiry(request.start, std::chrono::days(7));
        request.pack_expires =
            policy::pack_expiry(request.start, std::chrono::days(7), std::chrono::days(28));
        request.lanes = 2;
        const base::StopToken stop;
        repo::CaptureProgress progress;
        const auto capture =
            TRY(repo::Capture::begin(*world_.repository, world_.keys.host, std::move(request),
                                     *world_.random, stop, progress));
        TRY(copy_files(base::real_files(), world_.clock, found_, {}, 2, *capture));
        const repo::Manifest manifest =
            TRY(std::move(*capture).commit(world_.clock.now(), base::Json::object()));
        return world_.restore(manifest);
    }

  private:
    test::TempDir directory_;
    test::RepoWorld world_;
    std::vector<FoundFile> found_;
};

TEST_F(CopyFiles, T4_TheSizeOfTheListingIsTheSize) {
    const Bytes large = test::table_like(1, 20 * kMiB + 8192);  // of several tasks
    const Bytes small = test::table_like(2, 5 * 8192);
    list("base/5/1", large);
    list("base/5/2", small);
    list("base/5/3", small);
    list("base/5/4", small);
    list("base/5/5", large);
    list("base/5/6", {});
    Bytes grown = small;
    grown.resize(9 * 8192, 7);
    put("base/5/2", grown);
    put("base/5/3", Bytes(small.begin(), small.begin() + 2 * 8192));
    take_away("base/5/4");
    put("base/5/5", Bytes(large.begin(), large.begin() + 3 * kMiB + 8192));
    put("base/5/6", small);
    const auto copied = copy();
    ASSERT_TRUE(ok(copied));
    const test::Tree expected = {
        {"base/5/1", large},
        {"base/5/2", small},
        {"base/5/3", Bytes(small.begin(), small.begin() + 2 * 8192)},
        {"base/5/5", Bytes(large.begin(), large.begin() + 3 * kMiB + 8192)},
        {"base/5/6", {}}};
    EXPECT_EQ(*copied, expected);
}

}  // namespace
}  // namespace lifeboat::postgres

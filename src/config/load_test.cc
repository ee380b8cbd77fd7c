#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "config/config.h"
#include "config/internal/sample.h"

namespace lifeboat::config {
namespace {

using base::Code;
using base::real_files;

class ConfigFile : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "lifeboat-config-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
        path_ = directory_ + "/lifeboat.yaml";
        unsetenv("LIFEBOAT_CONFIG");
    }

    void TearDown() override {
        unsetenv("LIFEBOAT_CONFIG");
        base::remove_tree(real_files(), directory_).discard("a temporary directory");
    }

    void write(std::string_view text, std::uint32_t mode = 0644) {
        base::write_durably(real_files(), path_, base::view(text), base::Replace::Yes).value();
        real_files().set_mode(path_, mode).value();
    }

    std::string directory_;
    std::string path_;
};

TEST_F(ConfigFile, IsReadWithItsPathsAbsolute) {
    write(kFull);
    const Config config = load_config(real_files(), path_).value();
    EXPECT_EQ(config.file, path_);
    EXPECT_EQ(config.site.state, directory_ + "/state");
}

TEST_F(ConfigFile, OfARelativeNameIsMadeAbsolute) {
    write(kFull);
    const std::string before = std::filesystem::current_path();
    ASSERT_EQ(::chdir(directory_.c_str()), 0);
    const auto config = load_config(real_files(), "./lifeboat.yaml");
    const auto found = find_config(real_files(), "");
    ASSERT_EQ(::chdir(before.c_str()), 0);
    EXPECT_EQ(config.value().site.state, directory_ + "/state");
    EXPECT_EQ(found.value(), "./lifeboat.yaml");
}

TEST_F(ConfigFile, IsRefusedWhenEverybodyMayWriteIt) {
    write(kMinimal, 0666);
    const auto got = load_config(real_files(), path_);
    EXPECT_EQ(got.error().code(), Code::Refused);
    EXPECT_EQ(got.error().message(),
              "reading configuration '" + path_ + "': every user may write it");
    EXPECT_EQ(got.error().hint(), "Run: chmod o-w '" + path_ + "'");
}

TEST_F(ConfigFile, ThatIsMissingOrADirectoryIsNamed) {
    EXPECT_EQ(load_config(real_files(), path_).error().code(), Code::NotFound);
    EXPECT_EQ(load_config(real_files(), directory_).error().message(),
              "reading configuration '" + directory_ + "': it is not a regular file");
    EXPECT_EQ(load_config(real_files(), directory_).error().hint(),
              "Name the file itself: --config FILE.");
}

TEST_F(ConfigFile, WithAnUnknownZoneIsReportedWhereThereIsADatabase) {
    std::string text(kMinimal);
    write(text.replace(text.find("{name: prod-eu}"), 15, "{name: prod-eu, zone: Europe/Berln}"));
    if (!real_files().stat("/usr/share/zoneinfo").has_value()) {
        GTEST_SKIP() << "this machine has no tz database";
    }
    EXPECT_EQ(load_config(real_files(), path_).error().message(),
              path_ + ":2:29: there is no time zone 'Europe/Berln'");
}

TEST_F(ConfigFile, IsSoughtInOrder) {
    write(kMinimal);
    EXPECT_EQ(find_config(real_files(), path_).value(), path_);
    setenv("LIFEBOAT_CONFIG", path_.c_str(), 1);
    EXPECT_EQ(find_config(real_files(), "").value(), path_);
    setenv("LIFEBOAT_CONFIG", "/nonexistent/a.yaml", 1);
    EXPECT_EQ(find_config(real_files(), path_).value(), path_);
}

TEST_F(ConfigFile, ThatWasAskedForByNameHasNoSubstitute) {
    write(kMinimal);
    setenv("LIFEBOAT_CONFIG", path_.c_str(), 1);
    const auto by_option = find_config(real_files(), "/nonexistent/b.yaml");
    EXPECT_EQ(by_option.error().code(), Code::NotFound);
    EXPECT_NE(by_option.error().message().find("looking for the configuration that --config names"),
              std::string::npos);
    setenv("LIFEBOAT_CONFIG", "/nonexistent/a.yaml", 1);
    const auto by_variable = find_config(real_files(), "");
    EXPECT_EQ(by_variable.error().code(), Code::NotFound);
    EXPECT_NE(by_variable.error().message().find("$LIFEBOAT_CONFIG"), std::string::npos);
}

TEST_F(ConfigFile, ThatIsNowhereIsExplained) {
    if (base::exists(real_files(), "/etc/lifeboat/lifeboat.yaml").value()) {
        GTEST_SKIP() << "this machine has a configuration of its own";
    }
    const std::string before = std::filesystem::current_path();
    ASSERT_EQ(::chdir(directory_.c_str()), 0);
    const auto got = find_config(real_files(), "");
    ASSERT_EQ(::chdir(before.c_str()), 0);
    EXPECT_EQ(got.error().code(), Code::NotFound);
    EXPECT_EQ(got.error().hint(),
              "Name one with --config or $LIFEBOAT_CONFIG, or write one with 'lifeboat init'.");
}

}  // namespace
}  // namespace lifeboat::config

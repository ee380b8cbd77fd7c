#include "config/secret_ref.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

namespace lifeboat::config {
namespace {

using base::Code;

class SecretFile : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "lifeboat-secret-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
    }

    void TearDown() override {
        base::remove_tree(base::real_files(), directory_).discard("a temporary directory");
    }

    base::Result<base::Secret> resolve_file(std::string_view contents, std::uint32_t mode) {
        const std::string path = directory_ + "/secret";
        base::write_durably(base::real_files(), path, base::view(contents), base::Replace::Yes,
                            mode)
            .value();
        base::real_files().set_mode(path, mode).value();
        return resolve({SecretRef::Kind::File, path}, base::real_files());
    }

    std::string directory_;
};

TEST(SecretRef, ReadsBothForms) {
    EXPECT_EQ(parse_secret_ref("${env:PGPASSWORD}").value(),
              (SecretRef{SecretRef::Kind::Environment, "PGPASSWORD"}));
    EXPECT_EQ(parse_secret_ref("${file:/etc/x y.pass}").value(),
              (SecretRef{SecretRef::Kind::File, "/etc/x y.pass"}));
    for (const char* text : {"${env:PGPASSWORD}", "${file:pg.pass}"}) {
        EXPECT_EQ(parse_secret_ref(text).value().text(), text);
    }
}

TEST(SecretRef, RefusesEverythingElseWithoutEchoingIt) {
    for (const char* text : {"", "hunter2", "$PGPASSWORD", "${PGPASSWORD}", "${env:}", "${env:1A}",
                             "${env:A-B}", "${file:}", "${file:a\nb}", "${vault:x}", "${env:A",
                             "env:A}", "x${env:A}", "${env:A}x", "${"}) {
        const auto got = parse_secret_ref(text);
        ASSERT_FALSE(got.has_value()) << text;
        EXPECT_EQ(got.error().message(), "not a reference to a secret");
    }
}

TEST_F(SecretFile, LosesOneNewlineAtTheEnd) {
    EXPECT_EQ(resolve_file("hunter2", 0600).value().reveal(), "hunter2");
    EXPECT_EQ(resolve_file("hunter2\n", 0600).value().reveal(), "hunter2");
    EXPECT_EQ(resolve_file("hunter2\r\n", 0400).value().reveal(), "hunter2");
    EXPECT_EQ(resolve_file("hunter2\n\n", 0600).value().reveal(), "hunter2\n");
    EXPECT_EQ(resolve_file(" hunter2 ", 0600).value().reveal(), " hunter2 ");
}

TEST_F(SecretFile, P10_IsRefusedWhenOthersCanReadIt) {
    for (const std::uint32_t mode : {0644U, 0604U, 0602U, 0601U, 0660U, 0620U}) {
        const auto got = resolve_file("hunter2", mode);
        ASSERT_FALSE(got.has_value()) << mode;
        EXPECT_EQ(got.error().code(), Code::Refused);
        EXPECT_EQ(got.error().message().find("hunter2"), std::string::npos);
        EXPECT_EQ(got.error().hint(), "Run: chmod 600 '" + directory_ + "/secret'");
    }
}

TEST_F(SecretFile, MayBeSharedWithAGroupOnlyByRoot) {
    const auto as_owner = resolve_file("hunter2", 0640);
    if (::geteuid() != 0) {
        EXPECT_EQ(as_owner.error().code(), Code::Refused);
        return;
    }
    EXPECT_TRUE(as_owner.has_value());
    base::real_files().set_owner(directory_ + "/secret", 12345, 12345).value();
    EXPECT_EQ(
        resolve({SecretRef::Kind::File, directory_ + "/secret"}, base::real_files()).error().code(),
        Code::Refused);
}

TEST_F(SecretFile, MustHoldSomething) {
    const std::string cases[] = {"", "\n", std::string("a\0b", 3), std::string(100000, 'x')};
    for (const std::string& contents : cases) {
        const auto got = resolve_file(contents, 0600);
        ASSERT_FALSE(got.has_value());
        EXPECT_EQ(got.error().code(), Code::InvalidInput);
        EXPECT_EQ(got.error().hint().find("Let it hold the secret and nothing else"), 0U);
    }
    EXPECT_EQ(
        resolve({SecretRef::Kind::File, directory_ + "/none"}, base::real_files()).error().code(),
        Code::NotFound);
    EXPECT_EQ(resolve({SecretRef::Kind::File, directory_}, base::real_files()).error().code(),
              Code::InvalidInput);
}

TEST(SecretVariable, IsReadWhenItIsNeeded) {
    const SecretRef ref{SecretRef::Kind::Environment, "LIFEBOAT_TEST_SECRET"};
    unsetenv("LIFEBOAT_TEST_SECRET");
    EXPECT_EQ(resolve(ref, base::real_files()).error().message(),
              "environment variable 'LIFEBOAT_TEST_SECRET' is not set");
    setenv("LIFEBOAT_TEST_SECRET", "hunter2", 1);
    EXPECT_EQ(resolve(ref, base::real_files()).value().reveal(), "hunter2");
    setenv("LIFEBOAT_TEST_SECRET", "", 1);
    EXPECT_EQ(resolve(ref, base::real_files()).error().code(), Code::InvalidInput);
    unsetenv("LIFEBOAT_TEST_SECRET");
}

}  // namespace
}  // namespace lifeboat::config

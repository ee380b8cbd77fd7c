#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <string>

#include "base/files.h"
#include "base/process.h"
#include "crypto/envelope.h"
#include "crypto/keys.h"

// Against the real age and age-keygen, both ways. Skipped, visibly, where they are not installed.

namespace lifeboat::crypto {
namespace {

using base::Bytes;
using base::view;

class AgeInterop : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_NE(mkdtemp(directory_.data()), nullptr);
        if (!run({"age", "--version"}) || !run({"age-keygen", "--version"})) {
            GTEST_SKIP() << "age and age-keygen are not installed (package age)";
        }
    }

    void TearDown() override {
        base::remove_tree(base::real_files(), directory_).discard("a leftover of a test in /tmp");
    }

    std::string path(const std::string& name) const { return directory_ + "/" + name; }

    void write(const std::string& name, base::BytesView bytes) {
        const auto result =
            base::write_durably(base::real_files(), path(name), bytes, base::Replace::Yes);
        ASSERT_TRUE(result.has_value()) << result.error().message();
    }

    Bytes read(const std::string& name) {
        auto bytes = base::read_file(base::real_files(), path(name));
        EXPECT_TRUE(bytes.has_value()) << name;
        return bytes ? std::move(bytes).value() : Bytes();
    }

    base::Result<base::Finished> run(std::vector<std::string> argv) const {
        base::Command command;
        command.argv = std::move(argv);
        command.directory = directory_;
        return base::run(command, std::chrono::seconds(30));
    }

    std::string must_run(std::vector<std::string> argv) const {
        const auto finished = run(std::move(argv));
        EXPECT_TRUE(finished.has_value());
        if (!finished) {
            return "";
        }
        EXPECT_EQ(finished->exit_status, 0) << finished->output;
        return finished->output;
    }

    IdentityFile new_identity(const std::string& name) {
        must_run({"age-keygen", "-o", name});
        auto file = parse_identity_file(base::text(read(name)));
        EXPECT_TRUE(file.has_value());
        return file ? std::move(file).value() : IdentityFile();
    }

    std::unique_ptr<base::Random> random_ = base::seeded_random(3);

  private:
    std::string directory_ = "/tmp/lifeboat-age-XXXXXX";
};

TEST_F(AgeInterop, KeygenAgreesOnThePublicKeyOfOurs) {
    const Identity identity = Identity::generate(*random_);
    write("key", view(identity.text().reveal() + "\n"));
    EXPECT_EQ(must_run({"age-keygen", "-y", "key"}), identity.recipient().text() + "\n");
}

TEST_F(AgeInterop, WeAgreeOnThePublicKeyOfKeygen) {
    const IdentityFile file = new_identity("key");
    ASSERT_EQ(file.identities.size(), 1U);
    EXPECT_EQ(file.identities[0].recipient().text() + "\n", must_run({"age-keygen", "-y", "key"}));
}

TEST_F(AgeInterop, AgeOpensWhatWeSeal) {
    const Identity other = Identity::generate(*random_);
    const Identity identity = Identity::generate(*random_);
    write("key", view(identity.text().reveal() + "\n"));
    const Recipient recipients[] = {other.recipient(), identity.recipient()};
    // Not zero: age writes no file for no bytes.
    for (const std::size_t size : {1UL, 32UL, 65535UL, 65536UL}) {
        Bytes secret(size);
        random_->fill(secret);
        write("sealed", seal_envelope(secret, recipients, *random_));
        must_run({"age", "-d", "-i", "key", "-o", "opened", "sealed"});
        EXPECT_EQ(read("opened"), secret) << size;
    }
}

TEST_F(AgeInterop, WeOpenWhatAgeSeals) {
    const IdentityFile ours = new_identity("ours");
    const IdentityFile other = new_identity("other");
    const std::string ours_text = ours.identities.at(0).recipient().text();
    const std::string other_text = other.identities.at(0).recipient().text();
    for (const std::size_t size : {0UL, 1UL, 32UL, 65535UL, 65536UL}) {
        Bytes secret(size);
        random_->fill(secret);
        write("plain", secret);
        must_run({"age", "-r", other_text, "-r", ours_text, "-o", "sealed", "plain"});
        const auto opened = open_envelope(read("sealed"), ours.identities);
        ASSERT_TRUE(opened.has_value()) << size << ": " << opened.error().message();
        EXPECT_EQ(*opened, secret);
    }
}

TEST_F(AgeInterop, WeOpenWhatAgeSealsToAnSshKeyAsWell) {
    const IdentityFile ours = new_identity("ours");
    base::Key256 seed;
    random_->fill(seed.reveal_mutable());
    Bytes blob = {0, 0, 0, 11, 's', 's', 'h', '-', 'e', 'd', '2', '5', '5', '1', '9', 0, 0, 0, 32};
    const auto key = SigningKey::from_seed(seed).verify_key().bytes();
    blob.insert(blob.end(), key.begin(), key.end());
    write("plain", view("a secret"));
    must_run({"age", "-r", "ssh-ed25519 " + base::base64(blob), "-r",
              ours.identities.at(0).recipient().text(), "-o", "sealed", "plain"});
    const auto opened = open_envelope(read("sealed"), ours.identities);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ(base::text(*opened), "a secret");
}

TEST_F(AgeInterop, AgeRefusesWhatWeRefuse) {
    const Identity identity = Identity::generate(*random_);
    write("key", view(identity.text().reveal() + "\n"));
    const Recipient recipients[] = {identity.recipient()};
    Bytes sealed = seal_envelope(view("a secret"), recipients, *random_);
    sealed.back() ^= 1;
    write("sealed", sealed);
    const auto finished = run({"age", "-d", "-i", "key", "-o", "opened", "sealed"});
    ASSERT_TRUE(finished.has_value());
    EXPECT_NE(finished->exit_status, 0);
    EXPECT_FALSE(open_envelope(sealed, std::span(&identity, 1)).has_value());
}

}  // namespace
}  // namespace lifeboat::crypto

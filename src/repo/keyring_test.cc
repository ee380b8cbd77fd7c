#include "repo/keyring.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::ok;

namespace {

bool same(const Key256& a, const Key256& b) {
    return base::equal_constant_time(a.reveal(), b.reveal());
}

TEST(HostKeys, ComeBackFromTheirFile) {
    const test::RepoKeys keys(41);
    const auto back = HostKeys::parse(keys.host.text().reveal());
    ASSERT_TRUE(ok(back));
    EXPECT_TRUE(same(back->secret, keys.host.secret));
    EXPECT_TRUE(same(back->signing_seed, keys.host.signing_seed));
    EXPECT_EQ(back->writer_id(), keys.host.writer_id());
    EXPECT_EQ(back->writer_id().size(), 16U);
}

TEST(HostKeys, P10_ErrorsNeverEchoTheFile) {
    const test::RepoKeys keys(42);
    const std::string text = keys.host.text().reveal();
    const std::vector<std::string> broken = {"",
                                             "secret",
                                             text.substr(1),
                                             text.substr(0, text.size() - 20),
                                             text.substr(0, text.find("secret:")),
                                             text.substr(0, text.find("signing:"))};
    const std::string secret = base::base64(keys.host.secret.reveal()).substr(0, 12);
    for (const std::string& file : broken) {
        const auto parsed = HostKeys::parse(file);
        ASSERT_TRUE(fails(parsed, Code::InvalidInput));
        EXPECT_EQ(parsed.error().message().find(secret), std::string::npos);
        EXPECT_FALSE(parsed.error().hint().empty());
    }
}

TEST(RepositoryKeys, DifferByRepositoryAndPurpose) {
    const test::RepoKeys keys(43);
    Id128 other{};
    other[0] = 1;
    const auto a = RepositoryKeys::derive(keys.host.secret, Id128{});
    const auto b = RepositoryKeys::derive(keys.host.secret, other);
    EXPECT_FALSE(same(a.map, b.map));
    EXPECT_FALSE(same(a.map, a.fingerprint));
    EXPECT_TRUE(same(a.map, RepositoryKeys::derive(keys.host.secret, Id128{}).map));
}

TEST(ReaderKeys, OpenASessionThatItsWriterCommittedTo) {
    test::RepoKeys keys(44);
    const Session session = Session::begin(keys.recipients(), *keys.random);
    ReaderKeys reader = keys.reader();
    for (int i = 0; i < 2; ++i) {  // the second time from the cache
        const auto key = reader.session_key(session.id, session.envelope, session.commitment);
        ASSERT_TRUE(ok(key));
        EXPECT_TRUE(same(*key, session.key));
    }
    ReaderKeys host = keys.host_reader();
    EXPECT_TRUE(fails(host.session_key(session.id, session.envelope, session.commitment),
                      Code::Denied));  // P4
    EXPECT_FALSE(host.has_identity());
}

// Anyone can seal to the recipients: the commitment is what ties the key to its writer. The cache
// must not weaken it.
TEST(ReaderKeys, AReplacedEnvelopeIsCorruptAlsoAfterTheRightOne) {
    test::RepoKeys keys(45);
    const Session session = Session::begin(keys.recipients(), *keys.random);
    const Session other = Session::begin(keys.recipients(), *keys.random);
    ReaderKeys reader = keys.reader();
    EXPECT_TRUE(
        fails(reader.session_key(session.id, other.envelope, session.commitment), Code::Corrupt));
    EXPECT_TRUE(ok(reader.session_key(session.id, session.envelope, session.commitment)));
    EXPECT_TRUE(
        fails(reader.session_key(session.id, session.envelope, other.commitment), Code::Corrupt));
    EXPECT_TRUE(
        fails(reader.session_key(other.id, session.envelope, session.commitment), Code::Corrupt));
}

TEST(ReaderKeys, AnEnvelopeThatHoldsNoKeyIsCorrupt) {
    test::RepoKeys keys(46);
    ReaderKeys reader = keys.reader();
    const Bytes envelope =
        crypto::seal_envelope(test::noise(1, 31), keys.recipients(), *keys.random);
    EXPECT_TRUE(fails(reader.host_secret(envelope), Code::Corrupt));
    EXPECT_TRUE(fails(reader.host_secret({}), Code::Corrupt));
}

TEST(Ids, Are32HexadecimalDigits) {
    EXPECT_TRUE(ok(parse_id("00112233445566778899aabbccddeeff")));
    for (const char* text :
         {"", "0011", "00112233445566778899aabbccddeef", "00112233445566778899aabbccddeeffaa",
          "zz112233445566778899aabbccddeeff"}) {
        EXPECT_TRUE(fails(parse_id(text), Code::Corrupt)) << text;
    }
}

}  // namespace

}  // namespace lifeboat::repo

#include "repo/manifest.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using base::Json;
using test::fails;
using test::ok;

namespace {

class ManifestTest : public testing::Test {
  protected:
    ManifestTest()
        : envelope(
              crypto::seal_envelope(keys.host.secret.reveal(), keys.recipients(), *keys.random)) {
        repository.fill(0x42);
    }

    PackRef pack(std::uint8_t n, const char* room = "pack") {
        PackRef ref;
        ref.object = {
            std::string("s/prod/") + room + "/20260301/" + std::string(31, '0') + std::to_string(n),
            1000U + n,
            {}};
        ref.object.sha256.fill(n);
        ref.pack.fill(n);
        ref.session.fill(static_cast<base::Byte>(n / 2));
        return ref;
    }

    Manifest sample() {
        Manifest m;
        m.system = "prod";
        m.backup = "20260123T020000Z-7f3a";
        m.engine = "postgres";
        m.kind = BackupKind::Incremental;
        m.start = base::parse_rfc3339("2026-01-23T02:00:00.250Z").value();
        m.stop = base::parse_rfc3339("2026-01-23T02:07:14.123456Z").value();
        m.expires = policy::ExpiryDay::parse("20260222").value();
        m.parent = "20260122T020000Z-0001";
        m.packs = {{0, pack(0)}, {7, pack(1)}, {4000000000U, pack(3)}};
        m.maps = {pack(8, "map"), pack(9, "map")};
        m.prints = {{2, pack(10, "map")}, {9, pack(11, "map")}};
        for (auto& map : m.maps) {
            map.session = {};
        }
        for (const auto& [index, ref] : m.packs) {
            m.sessions[ref.session].fill(static_cast<base::Byte>(index));
        }
        m.counts = {1022, 5'000'000'000'000, 1, 2, 3, 1};
        m.damage = {{"base/1/2", 12, "checksum says 1, page holds 2"}};
        m.details = Json::object()
                        .set("lsn", "0/16B3748")
                        .set("tablespaces", Json::array().push("a \"quoted\" one"));
        return m;
    }

    Bytes encode(const Manifest& m) {
        return encode_manifest(m, repository, keys.host, envelope).value();
    }

    test::RepoKeys keys{31};
    Id128 repository{};
    Bytes envelope;
};

void expect_same(const NeededObject& a, const NeededObject& b) {
    EXPECT_EQ(std::tie(a.name, a.size, a.sha256), std::tie(b.name, b.size, b.sha256));
}

void expect_same(const Manifest& a, const Manifest& b) {
    EXPECT_EQ(std::tie(a.system, a.backup, a.engine, a.kind, a.start, a.stop, a.expires, a.parent,
                       a.sessions),
              std::tie(b.system, b.backup, b.engine, b.kind, b.start, b.stop, b.expires, b.parent,
                       b.sessions));
    ASSERT_EQ(a.packs.size(), b.packs.size());
    for (const auto& [index, pack] : a.packs) {
        expect_same(pack.object, b.packs.at(index).object);
        EXPECT_EQ(pack.pack, b.packs.at(index).pack);
        EXPECT_EQ(pack.session, b.packs.at(index).session);
    }
    ASSERT_EQ(a.maps.size(), b.maps.size());
    for (std::size_t i = 0; i < a.maps.size(); ++i) {
        expect_same(a.maps[i].object, b.maps[i].object);
        EXPECT_EQ(a.maps[i].pack, b.maps[i].pack);
    }
    ASSERT_EQ(a.prints.size(), b.prints.size());
    for (const auto& [index, print] : a.prints) {
        expect_same(print.object, b.prints.at(index).object);
        EXPECT_EQ(print.pack, b.prints.at(index).pack);
    }
    EXPECT_EQ(std::tie(a.counts.files, a.counts.bytes, a.counts.zero_bytes, a.counts.changed_bytes,
                       a.counts.stored_bytes, a.counts.damaged_pages),
              std::tie(b.counts.files, b.counts.bytes, b.counts.zero_bytes, b.counts.changed_bytes,
                       b.counts.stored_bytes, b.counts.damaged_pages));
    ASSERT_EQ(a.damage.size(), b.damage.size());
    EXPECT_EQ(std::tie(a.damage[0].path, a.damage[0].page, a.damage[0].why),
              std::tie(b.damage[0].path, b.damage[0].page, b.damage[0].why));
    EXPECT_EQ(a.details.dump(), b.details.dump());
}

TEST_F(ManifestTest, ComesBackToAnIdentityAndToItsOwnHost) {
    const Bytes bytes = encode(sample());
    const ReaderKeys identity = keys.reader();
    const ReaderKeys host = keys.host_reader();
    for (const ReaderKeys* reader : {&identity, &host}) {
        const auto opened = open_manifest(bytes, repository, *reader);
        ASSERT_TRUE(ok(opened));
        expect_same(opened->manifest, sample());
        EXPECT_EQ(opened->manifest.signer, keys.host.signing_key().verify_key());
        EXPECT_TRUE(
            base::equal_constant_time(opened->host_secret.reveal(), keys.host.secret.reveal()));
        EXPECT_EQ(opened->manifest.needed_bytes(), 7000U + 0 + 1 + 3 + 8 + 9 + 10 + 11);
    }
}

TEST_F(ManifestTest, OutlineNeedsNoKey) {
    const auto outline = read_outline(encode(sample()));
    ASSERT_TRUE(ok(outline));
    EXPECT_EQ(outline->repository, repository);
    EXPECT_EQ(outline->system, sample().system);
    EXPECT_EQ(outline->backup, sample().backup);
    EXPECT_EQ(outline->stop, sample().stop);
    EXPECT_EQ(outline->expires, sample().expires);
    ASSERT_EQ(outline->objects.size(), 7U);
    expect_same(outline->objects[1], pack(1).object);
    expect_same(outline->objects[4], pack(9, "map").object);
}

TEST_F(ManifestTest, AWriterThatIsNotPinnedIsDenied) {
    const Bytes bytes = encode(sample());
    const test::RepoKeys other(32);
    const ReaderKeys wrong({keys.identities[0]}, keys.host.secret,
                           {other.host.signing_key().verify_key()});
    const ReaderKeys nobody({keys.identities[0]}, keys.host.secret, {});
    for (const ReaderKeys* reader : {&wrong, &nobody}) {
        const auto opened = open_manifest(bytes, repository, *reader);
        ASSERT_TRUE(fails(opened, Code::Denied));
        EXPECT_EQ(opened.error().message(),
                  "signed by '" + keys.host.signing_key().verify_key().text() +
                      "', which is not a trusted writer of this repository");
    }
}

// Another pinned host seals to the same recipients: its own secret fits its own manifests only, an
// identity fits all.
TEST_F(ManifestTest, AnotherHostsSecretOpensNothingAndAnIdentityDoes) {
    const Bytes bytes = encode(sample());
    const test::RepoKeys other(32);
    const auto signer = keys.host.signing_key().verify_key();
    EXPECT_TRUE(fails(open_manifest(bytes, repository, ReaderKeys({}, other.host.secret, {signer})),
                      Code::Denied));
    EXPECT_TRUE(ok(open_manifest(bytes, repository,
                                 ReaderKeys({keys.identities[0]}, other.host.secret, {signer}))));
    EXPECT_TRUE(fails(
        open_manifest(bytes, repository, ReaderKeys(other.identities, std::nullopt, {signer})),
        Code::Denied));
    EXPECT_TRUE(fails(open_manifest(bytes, repository, ReaderKeys({}, std::nullopt, {signer})),
                      Code::Denied));
}

TEST_F(ManifestTest, AnotherRepositorysManifestIsCorrupt) {
    Id128 elsewhere = repository;
    elsewhere[15] ^= 1U;
    EXPECT_TRUE(fails(open_manifest(encode(sample()), elsewhere, keys.reader()), Code::Corrupt));
}

TEST_F(ManifestTest, EveryFlippedByteIsSeenEvenWithoutKeys) {
    const Bytes good = encode(sample());
    for (std::size_t at = 0; at < good.size(); ++at) {
        Bytes bytes = good;
        bytes[at] ^= 0x02U;
        EXPECT_FALSE(read_outline(bytes)) << at;
        EXPECT_FALSE(at % 8 == 0 && open_manifest(bytes, repository, keys.host_reader())) << at;
    }
}

TEST_F(ManifestTest, EveryTruncationAndEveryTailIsSeen) {
    const Bytes good = encode(sample());
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_TRUE(fails(read_outline(BytesView(good).first(size)), Code::Corrupt)) << size;
    }
    Bytes longer = good;
    longer.push_back(0);
    EXPECT_TRUE(fails(read_outline(longer), Code::Corrupt));
}

TEST_F(ManifestTest, ANewerFormatIsUnsupportedAndNamed) {
    Bytes bytes = encode(sample());
    bytes[7] = 2;
    const auto newer = open_manifest(bytes, repository, keys.reader());
    ASSERT_TRUE(fails(newer, Code::Unsupported));
    EXPECT_EQ(newer.error().message(), "the manifest is of format 2; this lifeboat reads format 1");
}

// Two systems of one host that start in the same second can draw the same id. Their sealed parts
// must not share a key and nonce.
TEST_F(ManifestTest, TwoManifestsOfOneBackupIdShareNoKeyStream) {
    const Bytes a = encode(sample());
    envelope = crypto::seal_envelope(keys.host.secret.reveal(), keys.recipients(), *keys.random);
    Manifest other = sample();
    other.system = "second";
    const Bytes b = encode(other);
    const auto sealed = [](const Bytes& bytes) {
        return Bytes(bytes.end() - 64 - 200, bytes.end() - 64 - 16);
    };
    EXPECT_NE(sealed(a), sealed(b));
    envelope = crypto::seal_envelope(keys.host.secret.reveal(), keys.recipients(), *keys.random);
    const Bytes c = encode(sample());
    std::size_t equal = 0;
    for (std::size_t i = 0; i < 184; ++i) {
        equal += sealed(a)[i] == sealed(c)[i] ? 1 : 0;
    }
    EXPECT_LT(equal, 10U);  // the same plain text under the same key and nonce would be 184
}

// ---- Signed, and wrong all the same: a writer with a bug, or a stolen one
// --------------------------------------------

struct Halves {
    BytesView clear;
    BytesView envelope;
    BytesView sealed;
};

Halves halves_of(BytesView bytes) {
    base::ByteReader in(bytes.subspan(8));
    const auto clear = in.u32().value();
    const auto envelope = in.u32().value();
    const auto sealed = in.u32().value();
    return {in.raw(clear).value(), in.raw(envelope).value(), in.raw(sealed).value()};
}

Bytes join(const Halves& halves, const HostKeys& host) {
    base::ByteWriter out;
    out.raw(std::string_view("LBMANI\0\1", 8));
    for (const BytesView part : {halves.clear, halves.envelope, halves.sealed}) {
        out.u32(static_cast<std::uint32_t>(part.size()));
    }
    for (const BytesView part : {halves.clear, halves.envelope, halves.sealed}) {
        out.raw(part);
    }
    const auto signature = host.signing_key().sign(out.bytes());
    out.raw(signature);
    return out.take();
}

TEST_F(ManifestTest, HalvesOfTwoManifestsDoNotFitEvenIfSigned) {
    const Bytes a = encode(sample());
    Manifest m = sample();
    m.expires = policy::ExpiryDay::parse("20270101").value();
    const Bytes b = encode(m);
    EXPECT_EQ(join(halves_of(a), keys.host), a);
    const Halves mixed{halves_of(a).clear, halves_of(a).envelope, halves_of(b).sealed};
    EXPECT_TRUE(
        fails(open_manifest(join(mixed, keys.host), repository, keys.reader()), Code::Corrupt));
}

Bytes forge(const std::string& clear, const HostKeys& host) {
    return join({base::view(clear), {}, {}}, host);
}

TEST_F(ManifestTest, ImpossibleClearPartsAreCorrupt) {
    const std::string signer = keys.host.signing_key().verify_key().text();
    const std::string good =
        R"({"format":1,"repository":"42424242424242424242424242424242","system":"prod","backup":"b","stop":"2026-01-23T02:00:00Z",)"
        R"("expires":"20260222","signer":")" +
        signer + R"(","objects":[{"name":"a","size":1,"sha256":")" + std::string(64, '0') +
        R"("}]})";
    ASSERT_TRUE(ok(read_outline(forge(good, keys.host))));
    const std::vector<std::pair<std::string, std::string>> spoil = {
        {R"("size":1,)", R"("size":-1,)"},
        {R"("size":1,)", R"("size":9223372036854775807,)"},
        {R"("size":1,)", R"("size":18446744073709551615,)"},
        {R"("size":1,)", R"("size":"1",)"},
        {R"("size":1,)", ""},
        {R"("sha256":"00)", R"("sha256":"0)"},
        {R"("repository":"42)", R"("repository":"4)"},
        {R"("stop":"2026-01-23T02:00:00Z")", R"("stop":"yesterday")"},
        {R"("expires":"20260222")", R"("expires":"20260231")"},
        {R"("objects":[)", R"("objects":{}, "x":[)"},
    };
    for (const auto& [from, to] : spoil) {
        std::string clear = good;
        clear.replace(clear.find(from), from.size(), to);
        EXPECT_FALSE(read_outline(forge(clear, keys.host))) << to;
    }
    EXPECT_TRUE(fails(open_manifest(forge(good, keys.host), repository, keys.host_reader()),
                      Code::Denied));  // nothing sealed: not openable
}

}  // namespace

}  // namespace lifeboat::repo

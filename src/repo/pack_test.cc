#include "repo/pack.h"

#include <gtest/gtest.h>

#include "repo/pack_source.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::noise;
using test::ok;
using test::table_like;

namespace {

struct Made {
    Session session;
    Bytes bytes;
    std::vector<Bytes> frames;
};

// A pack with frames of several kinds and sizes, of bytes that shrink and bytes that do not.
Made make(std::uint64_t seed, const Id128& repository, PackKind kind = PackKind::Data,
          std::size_t scale = 1000) {
    const auto random = base::seeded_random(seed);
    const test::RepoKeys keys(seed);
    Made made{Session::begin(keys.recipients(), *random), {}, {}};
    made.frames = {table_like(seed, 8 * scale), noise(seed, scale), Bytes(1, 7),
                   table_like(seed + 1, 3 * scale)};
    PackBuilder builder(repository, random_id(*random), made.session, kind, 1, noise(seed, 9));
    for (const Bytes& frame : made.frames) {
        builder.add(frame.size() == 1 ? FrameKind::History : FrameKind::Pages, frame);
    }
    made.bytes = std::move(builder).finish();
    return made;
}

Id128 repository_id(base::Byte fill = 0x11) {
    Id128 id{};
    id.fill(fill);
    return id;
}

// Everything that can be read of a pack; an error as soon as one frame or the table does not open.
Result<std::vector<Bytes>> open_all(BytesView bytes, const Key256& key) {
    const PackHeader header = TRY(PackHeader::parse(bytes));
    FrameOpener opener(header, key);
    const auto table = TRY(opener.table(bytes, bytes.size(), header.frames_at));
    std::vector<Bytes> frames;
    for (std::uint32_t i = 0; i < table.size(); ++i) {
        Bytes plain = TRY(opener.open(i, table[i], bytes.subspan(table[i].offset)));
        frames.push_back(std::move(plain));
    }
    return frames;
}

TEST(Pack, GivesBackEveryFrame) {
    const Made made = make(1, repository_id());
    EXPECT_TRUE(ok(check_pack_bytes(made.bytes)));
    const auto frames = open_all(made.bytes, made.session.key);
    ASSERT_TRUE(ok(frames));
    EXPECT_EQ(*frames, made.frames);
}

TEST(Pack, HeaderSaysWhatItIs) {
    const Made made = make(2, repository_id(), PackKind::Wal);
    const auto header = PackHeader::parse(made.bytes);
    ASSERT_TRUE(ok(header));
    EXPECT_EQ(header->repository, repository_id());
    EXPECT_EQ(header->session, made.session.id);
    EXPECT_EQ(header->kind, PackKind::Wal);
    EXPECT_EQ(header->envelope, made.session.envelope);
    EXPECT_EQ(header->label, noise(2, 9));
}

TEST(Pack, AnEmptyOneIsWhole) {
    const auto random = base::seeded_random(3);
    const Session session{Id128{}, crypto::random_key(*random), {}, {}};
    const Bytes bytes =
        PackBuilder(repository_id(), random_id(*random), session, PackKind::Map, 1).finish();
    EXPECT_TRUE(ok(check_pack_bytes(bytes)));
    const auto frames = open_all(bytes, session.key);
    ASSERT_TRUE(ok(frames));
    EXPECT_TRUE(frames->empty());
}

TEST(Pack, AFrameMayBeAsLongAsTheLimit) {
    const auto random = base::seeded_random(4);
    const Session session{Id128{}, crypto::random_key(*random), {}, {}};
    PackBuilder builder(repository_id(), random_id(*random), session, PackKind::Map, 1);
    const Bytes longest = noise(4, kMaxFramePlain);
    builder.add(FrameKind::FileMaps, longest);
    const auto frames = open_all(std::move(builder).finish(), session.key);
    ASSERT_TRUE(ok(frames));
    EXPECT_TRUE(frames->front() == longest);
}

TEST(Pack, ReusedMemoryChangesNothing) {
    const auto random = base::seeded_random(5);
    const Session session{Id128{}, crypto::random_key(*random), {}, {}};
    const Id128 id = random_id(*random);
    const auto build = [&](bool adopt) {
        PackBuilder builder(repository_id(), id, session, PackKind::Data, 1);
        if (adopt) {
            builder.adopt(noise(5, 4000), 1 << 16);
        }
        builder.add(FrameKind::Pages, table_like(5, 9000));
        return std::move(builder).finish();
    };
    EXPECT_EQ(build(true), build(false));
}

// The CRC sees every single change without a key, so a mirror or a scrub does.
TEST(Pack, EveryFlippedByteIsSeenWithoutAKey) {
    const Made made = make(6, repository_id(), PackKind::Data, 120);
    Bytes bytes = made.bytes;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        const base::Byte was = bytes[at];
        for (const unsigned mask : {0x01U, 0x80U}) {
            bytes[at] = static_cast<base::Byte>(was ^ mask);
            EXPECT_FALSE(check_pack_bytes(bytes)) << "byte " << at;
        }
        bytes[at] = was;
    }
    EXPECT_TRUE(check_pack_bytes(bytes));
}

// With the CRC put right again, as an attacker would: what opens is what was sealed, or nothing
// opens.
TEST(Pack, EveryFlippedByteWithARepairedChecksumFailsToOpenOrChangesNothing) {
    const Made made = make(7, repository_id(), PackKind::Data, 120);
    std::size_t harmless = 0;
    for (std::size_t at = 0; at + 12 < made.bytes.size(); ++at) {
        Bytes bytes = made.bytes;
        bytes[at] ^= 0x10U;
        const std::uint32_t crc = base::crc32c(BytesView(bytes).first(bytes.size() - 12));
        for (std::size_t i = 0; i < 4; ++i) {
            bytes[bytes.size() - 12 + i] = static_cast<base::Byte>(crc >> (8 * i));
        }
        const auto frames = open_all(bytes, made.session.key);
        if (frames) {
            EXPECT_EQ(*frames, made.frames) << "byte " << at;
            ++harmless;
        }
    }
    // Only the envelope and the label are not bound to the frames: the commitment and a signature
    // hold those.
    EXPECT_EQ(harmless, made.session.envelope.size() + 9);
}

TEST(Pack, EveryTruncationIsSeen) {
    const Made made = make(8, repository_id(), PackKind::Data, 120);
    for (std::size_t size = 0; size < made.bytes.size(); ++size) {
        const BytesView cut = BytesView(made.bytes).first(size);
        EXPECT_FALSE(check_pack_bytes(cut)) << size;
        EXPECT_FALSE(open_all(cut, made.session.key)) << size;
    }
}

TEST(Pack, AnotherKeyOpensNothing) {
    const Made made = make(9, repository_id());
    const auto random = base::seeded_random(99);
    EXPECT_TRUE(fails(open_all(made.bytes, crypto::random_key(*random)), Code::Corrupt));
}

// ---- Frames are bound to their place
// ------------------------------------------------------------------------------

struct Opened {
    PackHeader header;
    std::vector<FrameEntry> table;
};

Opened open(const Made& made) {
    Opened out;
    out.header = PackHeader::parse(made.bytes).value();
    out.table = FrameOpener(out.header, made.session.key)
                    .table(made.bytes, made.bytes.size(), out.header.frames_at)
                    .value();
    return out;
}

TEST(Pack, AFrameOpensAtItsOwnNumberOnly) {
    const Made made = make(10, repository_id());
    const Opened pack = open(made);
    FrameOpener opener(pack.header, made.session.key);
    for (std::uint32_t at = 0; at < pack.table.size(); ++at) {
        for (std::uint32_t as = 0; as < pack.table.size(); ++as) {
            Bytes frame(made.bytes.begin() + static_cast<std::ptrdiff_t>(pack.table[at].offset),
                        made.bytes.end());
            frame[4] = static_cast<base::Byte>(as);  // the header says so, too
            EXPECT_EQ(opener.open(as, pack.table[at], frame).has_value(), at == as)
                << at << " as " << as;
        }
    }
}

// The same session key, the same frame number, the same bytes: another pack or repository all the
// same.
TEST(Pack, AFrameOpensInItsOwnPackAndRepositoryOnly) {
    const auto random = base::seeded_random(11);
    const Session session{random_id(*random), crypto::random_key(*random), {}, {}};
    const Bytes plain = table_like(11, 5000);
    const auto build = [&](const Id128& repository, const Id128& pack, PackKind kind) {
        PackBuilder builder(repository, pack, session, kind, 1);
        builder.add(FrameKind::Pages, plain);
        return std::move(builder).finish();
    };
    const Id128 id = random_id(*random);
    const Bytes home = build(repository_id(1), id, PackKind::Data);
    const auto header = PackHeader::parse(home);
    ASSERT_TRUE(ok(header));
    FrameOpener opener(*header, session.key);
    const auto table = opener.table(home, home.size(), header->frames_at);
    ASSERT_TRUE(ok(table));
    const std::vector<Bytes> others = {build(repository_id(2), id, PackKind::Data),
                                       build(repository_id(1), random_id(*random), PackKind::Data),
                                       build(repository_id(1), id, PackKind::Wal)};
    EXPECT_TRUE(ok(opener.open(0, (*table)[0], BytesView(home).subspan((*table)[0].offset))));
    for (const Bytes& other : others) {
        EXPECT_TRUE(fails(opener.open(0, (*table)[0], BytesView(other).subspan((*table)[0].offset)),
                          Code::Corrupt));
        EXPECT_TRUE(fails(opener.table(other, other.size(), header->frames_at), Code::Corrupt));
    }
}

TEST(Pack, TwoFramesThatChangedPlacesDoNotOpen) {
    const auto random = base::seeded_random(12);
    const Session session{random_id(*random), crypto::random_key(*random), {}, {}};
    PackBuilder builder(repository_id(), random_id(*random), session, PackKind::Data, 1);
    builder.add(FrameKind::Pages, noise(1, 500));
    builder.add(FrameKind::Pages, noise(2, 500));
    Bytes bytes = std::move(builder).finish();
    const Made made{session, bytes, {}};
    const Opened pack = open(made);
    const auto at = [&](std::size_t i) {
        return bytes.begin() + static_cast<std::ptrdiff_t>(pack.table[i].offset);
    };
    std::swap_ranges(at(0), at(1), at(1));
    EXPECT_TRUE(fails(open_all(bytes, session.key), Code::Corrupt));
}

// ---- Other versions, hostile headers
// ------------------------------------------------------------------------------

TEST(Pack, ANewerFormatIsUnsupportedAndNamed) {
    Bytes bytes = make(13, repository_id()).bytes;
    bytes[7] = 2;
    const auto newer = PackHeader::parse(bytes);
    ASSERT_TRUE(fails(newer, Code::Unsupported));
    EXPECT_EQ(newer.error().message(),
              "the pack is of format 2, suite 1; this lifeboat reads format 1, suite 1");
    EXPECT_EQ(newer.error().hint(), "Use a newer lifeboat.");
    bytes[7] = 1;
    bytes[57] = 3;
    EXPECT_TRUE(fails(PackHeader::parse(bytes), Code::Unsupported));
    EXPECT_TRUE(fails(check_pack_bytes(bytes), Code::Unsupported));
}

struct HostileByte {
    std::size_t at;
    base::Byte value;
    const char* what;
};

TEST(Pack, HostileHeadersAreCorrupt) {
    const Bytes good = make(14, repository_id()).bytes;
    const std::vector<HostileByte> cases = {
        {0, 'X', "magic"},          {5, 'X', "magic"},          {6, 1, "magic"},
        {56, 0, "kind 0"},          {56, 4, "kind 4"},          {63, 0xff, "a huge envelope"},
        {62, 1, "a long envelope"}, {67, 0xff, "a huge label"}, {66, 2, "a long label"}};
    for (const HostileByte& hostile : cases) {
        Bytes bytes = good;
        bytes[hostile.at] = hostile.value;
        EXPECT_TRUE(fails(PackHeader::parse(bytes), Code::Corrupt)) << hostile.what;
    }
}

// ---- Without a footer
// ---------------------------------------------------------------------------------------------

TEST(Pack, ScanFindsEveryFrameWithoutFooter) {
    const Made made = make(15, repository_id());
    const Opened pack = open(made);
    const BytesView cut = BytesView(made.bytes).first(pack.table.back().end());
    const auto frames = frames_by_scan(cut, pack.header.frames_at);
    ASSERT_EQ(frames.size(), pack.table.size());
    FrameOpener opener(pack.header, made.session.key);
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
        EXPECT_EQ(frames[i].offset, pack.table[i].offset);
        const auto plain = opener.open(i, frames[i], cut.subspan(frames[i].offset));
        ASSERT_TRUE(ok(plain));
        EXPECT_EQ(*plain, made.frames[i]);
    }
}

// Rot in one frame's header must not cost its neighbours: neither a lost magic nor a length that
// reaches over them.
TEST(Pack, ScanLosesOnlyTheFrameWhoseHeaderIsDamaged) {
    const Made made = make(16, repository_id());
    const Opened pack = open(made);
    FrameOpener opener(pack.header, made.session.key);
    for (std::uint32_t victim = 0; victim < pack.table.size(); ++victim) {
        for (std::size_t byte = 0; byte < kFrameHeaderSize; ++byte) {
            Bytes bytes = made.bytes;
            bytes[pack.table[victim].offset + byte] ^= 0x04U;
            const auto frames = frames_by_scan(bytes, pack.header.frames_at);
            for (std::uint32_t i = 0; i < pack.table.size(); ++i) {
                const bool opens =
                    i < frames.size() &&
                    opener.open(i, frames[i], BytesView(bytes).subspan(frames[i].offset))
                        .has_value();
                EXPECT_EQ(opens, i != victim) << "frame " << i << " with byte " << byte
                                              << " of frame " << victim << " damaged";
            }
        }
    }
}

TEST(Pack, ScanOfHostileBytesIsBounded) {
    Bytes bytes(100000);
    for (std::size_t at = 0; at + 20 < bytes.size(); at += 4) {
        std::copy_n("LBF1", 4, bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }
    bytes[16] = 0x10;
    for (const FoundFrame& frame : scan_frames(bytes)) {
        EXPECT_LE(frame.entry.end(), bytes.size());
    }
    EXPECT_LT(frames_by_scan(bytes, 0).size(), bytes.size());
}

// ---- From a store
// -------------------------------------------------------------------------------------------------

class OpenPackTest : public testing::Test {
  protected:
    Result<OpenPack> open_stored(const Made& made, BytesView bytes, std::uint64_t size) {
        world.replace("x", bytes);
        return open_pack(*world.store, "x", size,
                         [&](const PackHeader&) -> Result<Key256> { return made.session.key; });
    }

    test::RepoWorld world;
};

TEST_F(OpenPackTest, ReadsLittleOfALargePack) {
    const Made made = make(17, repository_id(), PackKind::Data, 300000);
    const auto before = world.meter->bytes_got.load();
    const auto pack = open_stored(made, made.bytes, made.bytes.size());
    ASSERT_TRUE(ok(pack));
    EXPECT_EQ(pack->frames.size(), made.frames.size());
    EXPECT_LT(world.meter->bytes_got.load() - before, 64 * base::kKiB);
}

TEST_F(OpenPackTest, ADamagedFooterCostsNoFrame) {
    const Made made = make(18, repository_id());
    const Opened sound = open(made);
    for (std::size_t at = sound.table.back().end(); at < made.bytes.size(); ++at) {
        Bytes bytes = made.bytes;
        bytes[at] ^= 0x40U;
        const auto pack = open_stored(made, bytes, bytes.size());
        ASSERT_TRUE(ok(pack)) << at;
        ASSERT_EQ(pack->frames.size(), made.frames.size());
    }
}

TEST_F(OpenPackTest, ATruncatedPackKeepsTheFramesThatAreLeft) {
    const Made made = make(19, repository_id(), PackKind::Data, 50000);
    const Opened sound = open(made);
    for (std::size_t left = 1; left < sound.table.size(); ++left) {
        const auto pack = open_stored(
            made, BytesView(made.bytes).first(sound.table[left].offset + 30), made.bytes.size());
        ASSERT_TRUE(ok(pack));
        EXPECT_EQ(pack->frames.size(), left);
    }
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{40}, static_cast<std::size_t>(sound.header.frames_at),
          static_cast<std::size_t>(sound.table[0].offset + 10)}) {
        EXPECT_TRUE(fails(open_stored(made, BytesView(made.bytes).first(size), made.bytes.size()),
                          Code::Corrupt))
            << size;
        EXPECT_TRUE(
            fails(open_stored(made, BytesView(made.bytes).first(size), size), Code::Corrupt))
            << size;
    }
}

}  // namespace

}  // namespace lifeboat::repo

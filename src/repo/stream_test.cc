#include "repo/stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::noise;
using test::ok;

namespace {

constexpr std::uint64_t kSource = 7'000'000'000'000'000'001;

policy::ExpiryDay day() {
    return policy::ExpiryDay::parse("20260301").value();
}

// The stream's bytes: a function of timeline and position, so that any range can be checked.
Bytes stream_bytes(const StreamRange& range) {
    Bytes out(range.to - range.from);
    for (std::uint64_t i = 0; i < out.size(); ++i) {
        const std::uint64_t at = range.from + i;
        out[i] = static_cast<base::Byte>(at * 2654435761U >> 13 ^ at >> 3 ^ range.timeline);
    }
    return out;
}

class StreamTest : public testing::Test {
  protected:
    StreamPut put_of(const StreamRange& range, StreamObject kind = StreamObject::Piece) {
        StreamPut put;
        put.kind = kind;
        put.range = range;
        put.expires = day();
        put.source = kSource;
        put.segment_size = 16 << 20;
        put.major = 15;
        put.captured = world.clock.now();
        return put;
    }

    Result<> store(const StreamRange& range, StreamObject kind = StreamObject::Piece) {
        return writer.put(put_of(range, kind), stream_bytes(range));
    }

    std::string name(const StreamRange& range, StreamObject kind = StreamObject::Piece) {
        return StreamName{kind, "prod", day(), range}.text();
    }

    Result<Bytes> read(const StreamRange& range, std::uint64_t source = kSource) {
        const StreamCatalog catalog = TRY(StreamCatalog::load(*world.repository, "prod"));
        StreamReader reader(*world.repository, catalog, world.reader, source);
        Bytes out(range.to - range.from);
        TRY(reader.read(range.timeline, range.from, out));
        return out;
    }

    void expect_readable(const StreamRange& range) {
        const auto got = read(range);
        ASSERT_TRUE(ok(got)) << range.from << "-" << range.to;
        EXPECT_TRUE(*got == stream_bytes(range));
    }

    StreamCatalog::Entry entry(const StreamRange& range, StreamObject kind = StreamObject::Piece) {
        return {{kind, "prod", day(), range}, world.store->stat(name(range, kind)).value().size};
    }

    test::RepoWorld world;
    StreamWriter writer{*world.repository, world.keys.host, "prod", world.clock, *world.random};
};

// ---- Pieces and gathered packs
// ------------------------------------------------------------------------------------

TEST_F(StreamTest, PiecesComeBackByteForByte) {
    const std::vector<StreamRange> pieces = {
        {1, 100, 101}, {1, 101, 5000}, {1, 5000, 5000 + 262144}, {1, 267144, 267144 + 700'001}};
    for (const StreamRange& piece : pieces) {
        ASSERT_TRUE(ok(store(piece)));
        EXPECT_TRUE(ok(check_pack_bytes(world.bytes(name(piece)))));
    }
    expect_readable({1, 100, 967145});
    expect_readable({1, 4999, 5001});
    expect_readable({1, 300'000, 300'001});
    EXPECT_TRUE(fails(read({1, 99, 101}), Code::NotFound));
    EXPECT_TRUE(fails(read({1, 967'000, 967'146}), Code::NotFound));
    EXPECT_TRUE(fails(read({2, 100, 101}), Code::NotFound));
}

TEST_F(StreamTest, LabelsSayWhatWasPut) {
    const StreamRange range{3, 0x1000, 0x3000};
    StreamPut put = put_of(range, StreamObject::Gathered);
    put.summary = noise(1, 500);
    ASSERT_TRUE(ok(writer.put(put, stream_bytes(range))));
    const auto label =
        read_label(*world.repository, entry(range, StreamObject::Gathered), world.reader);
    ASSERT_TRUE(ok(label));
    EXPECT_EQ(label->label.source, kSource);
    EXPECT_EQ(label->label.range, range);
    EXPECT_EQ(label->label.segment_size, 16U << 20);
    EXPECT_EQ(label->label.major, 15U);
    EXPECT_EQ(label->label.captured, world.clock.now());
    EXPECT_EQ(label->label.signer, world.keys.host.signing_key().verify_key());
    const auto keys = RepositoryKeys::derive(world.keys.host.secret, world.repository->id());
    const auto summary = open_summary(*label, keys.map);
    ASSERT_TRUE(ok(summary));
    EXPECT_EQ(*summary, put.summary);
    EXPECT_TRUE(fails(open_summary(*label, keys.fingerprint), Code::Corrupt));
    EXPECT_TRUE(ok(label_of(label->header)));  // what anyone can check
}

TEST_F(StreamTest, TheLargestSummaryIsReadableAndALargerOneIsRefused) {
    StreamPut put = put_of({1, 0, 10});
    put.summary = noise(2, 32 * base::kKiB);
    ASSERT_TRUE(ok(writer.put(put, stream_bytes(put.range))));
    const auto label = read_label(*world.repository, entry(put.range), world.reader);
    ASSERT_TRUE(ok(label));
    EXPECT_EQ(
        open_summary(*label,
                     RepositoryKeys::derive(world.keys.host.secret, world.repository->id()).map)
            .value(),
        put.summary);
    put.summary.push_back(0);
    put.range = {1, 10, 20};
    EXPECT_TRUE(fails(writer.put(put, stream_bytes(put.range)), Code::Bug));
    EXPECT_TRUE(fails(world.store->stat(name(put.range)), Code::NotFound));
}

TEST_F(StreamTest, GatheredPacksSupersedePieces) {
    ASSERT_TRUE(ok(store({1, 0, 1000})));
    ASSERT_TRUE(ok(store({1, 1000, 2000})));
    ASSERT_TRUE(ok(store({1, 0, 2000}, StreamObject::Gathered)));
    ASSERT_TRUE(ok(store({1, 2000, 2500})));
    const auto catalog = StreamCatalog::load(*world.repository, "prod");
    ASSERT_TRUE(ok(catalog));
    const auto holders = catalog->holding({1, 1500, 1501});
    ASSERT_EQ(holders.size(), 2U);
    EXPECT_EQ(holders[0]->name.kind, StreamObject::Gathered);
    expect_readable({1, 0, 2500});
    world.remove(name({1, 0, 1000}));
    world.remove(name({1, 1000, 2000}));
    expect_readable({1, 0, 2500});
}

TEST_F(StreamTest, OverlappingObjectsReadAsOneStream) {
    const auto random = base::seeded_random(77);
    std::uint64_t end = 0;
    for (int i = 0; i < 60; ++i) {
        const std::uint64_t from = end - random->u64() % (end / 2 + 1) / 4;
        end = std::max(end, from + 1 + random->u64() % 90000);
        const StreamRange range{1, from, end};
        auto put =
            store(range, random->u64() % 3 == 0 ? StreamObject::Gathered : StreamObject::Piece);
        ASSERT_TRUE(put || put.error().code() == Code::Conflict);
    }
    expect_readable({1, 0, end});
    for (int i = 0; i < 20; ++i) {
        const std::uint64_t from = random->u64() % end;
        expect_readable({1, from, from + 1 + random->u64() % (end - from)});
    }
}

// ---- The same range twice
// -----------------------------------------------------------------------------------------

TEST_F(StreamTest, T11_TheSameBytesAgainAreFine) {
    ASSERT_TRUE(ok(store({1, 0, 5000})));
    const Bytes first = world.bytes(name({1, 0, 5000}));
    EXPECT_TRUE(ok(store({1, 0, 5000})));
    StreamWriter reborn(*world.repository, world.keys.host, "prod", world.clock, *world.random);
    EXPECT_TRUE(ok(reborn.put(put_of({1, 0, 5000}), stream_bytes({1, 0, 5000}))));
    EXPECT_EQ(world.bytes(name({1, 0, 5000})), first);
}

// Whoever can write to the store can guess names: what is not ours says nothing of what we hold.
TEST_F(StreamTest, P4_AnotherSignersObjectIsNoConflict) {
    const test::RepoKeys other(99);
    StreamWriter stranger(*world.repository, other.host, "prod", world.clock, *world.random);
    const StreamRange range{1, 0, 1000};
    ASSERT_TRUE(ok(stranger.put(put_of(range), noise(77, 1000))));
    EXPECT_TRUE(fails(store(range), Code::Corrupt));
    ASSERT_TRUE(ok(store({1, 0, 500})));
    ASSERT_TRUE(ok(store({1, 500, 1000})));
    expect_readable(range);
}

TEST_F(StreamTest, T11_OtherBytesForTheSameRangeAreAConflict) {
    ASSERT_TRUE(ok(store({1, 0, 5000})));
    Bytes other = stream_bytes({1, 0, 5000});
    other[4999] ^= 1U;
    const auto again = writer.put(put_of({1, 0, 5000}), other);
    ASSERT_TRUE(fails(again, Code::Conflict));
    EXPECT_NE(again.error().message().find("other bytes for this range"), std::string::npos);
    EXPECT_FALSE(again.error().hint().empty());
    expect_readable({1, 0, 5000});
}

// P1: acknowledging on the strength of a rotten object would lose the bytes.
TEST_F(StreamTest, P1_ADamagedObjectOfTheSameRangeIsNotTakenForOurs) {
    const StreamRange range{1, 0, 5000};
    ASSERT_TRUE(ok(store(range)));
    const Bytes good = world.bytes(name(range));
    for (std::size_t at = 0; at < good.size(); at += 37) {
        Bytes bad = good;
        bad[at] ^= 0x80U;
        world.replace(name(range), bad);
        EXPECT_FALSE(store(range)) << at;
    }
    world.replace(name(range), BytesView(good).first(good.size() / 2));
    EXPECT_TRUE(fails(store(range), Code::Corrupt));
    world.replace(name(range), {});
    EXPECT_TRUE(fails(store(range), Code::Corrupt));
}

// A whole object that was signed for another range: its digest may even be equal.
TEST_F(StreamTest, P1_AnObjectMovedFromAnotherRangeIsNotTakenForOurs) {
    const Bytes bytes(5000, 9);
    ASSERT_TRUE(ok(writer.put(put_of({1, 0, 5000}), bytes)));
    world.replace(name({1, 5000, 10000}), world.bytes(name({1, 0, 5000})));
    EXPECT_TRUE(fails(writer.put(put_of({1, 5000, 10000}), bytes), Code::Corrupt));
}

// ---- What a writer may not ask for
// --------------------------------------------------------------------------------

TEST_F(StreamTest, ImpossiblePutsAreBugsAndStoreNothing) {
    const auto never = [](std::uint64_t, std::uint64_t) -> Result<BytesView> {
        return BytesView();
    };
    EXPECT_TRUE(fails(writer.put(put_of({1, 5, 5}), never), Code::Bug));
    EXPECT_TRUE(fails(writer.put(put_of({1, 6, 5}), never), Code::Bug));
    EXPECT_TRUE(fails(writer.put(put_of({1, 0, 1ULL << 40}), never), Code::Bug));
    EXPECT_TRUE(fails(writer.put(put_of({1, 0, 10}, StreamObject::Gap), never), Code::Bug));
    EXPECT_TRUE(
        fails(writer.put(put_of({1, 0, 10}), never), Code::Bug));  // fewer bytes than asked for
    EXPECT_TRUE(fails(writer.record_gap({1, 5, 5}, "nothing"), Code::Bug));
    EXPECT_TRUE(world.names("s/").empty());
}

TEST_F(StreamTest, AFailingSourceFailsThePut) {
    const auto broken = [](std::uint64_t, std::uint64_t) -> Result<BytesView> {
        return base::Error(Code::Unavailable, "the spool is gone");
    };
    EXPECT_TRUE(fails(writer.put(put_of({1, 0, 10}), broken), Code::Unavailable));
    EXPECT_TRUE(world.names("s/").empty());
}

TEST_F(StreamTest, ASessionServesForAnHour) {
    const auto session = [&](const StreamRange& range) {
        return PackHeader::parse(world.bytes(name(range))).value().session;
    };
    ASSERT_TRUE(ok(store({1, 0, 10})));
    world.clock.advance(std::chrono::minutes(59));
    ASSERT_TRUE(ok(store({1, 10, 20})));
    world.clock.advance(std::chrono::minutes(2));
    ASSERT_TRUE(ok(store({1, 20, 30})));
    EXPECT_EQ(session({1, 0, 10}), session({1, 10, 20}));
    EXPECT_NE(session({1, 10, 20}), session({1, 20, 30}));
    expect_readable({1, 0, 30});
}

// ---- Forgeries
// ----------------------------------------------------------------------------------------------------

TEST_F(StreamTest, EveryFlippedByteOfALabelIsRefused) {
    const StreamRange range{1, 0, 500};
    StreamPut put = put_of(range);
    put.summary = noise(3, 40);
    ASSERT_TRUE(ok(writer.put(put, stream_bytes(range))));
    const Bytes good = world.bytes(name(range));
    const auto header = PackHeader::parse(good);
    ASSERT_TRUE(ok(header));
    for (std::size_t at = header->frames_at - header->label.size(); at < header->frames_at; ++at) {
        Bytes bad = good;
        bad[at] ^= 0x01U;
        world.replace(name(range), bad);
        EXPECT_FALSE(read_label(*world.repository, entry(range), world.reader)) << at;
        EXPECT_FALSE(read(range)) << at;
    }
}

// Anyone can seal to public recipients; only a pinned writer is read.
TEST_F(StreamTest, AnotherWritersPieceIsDenied) {
    const test::RepoKeys thief(66);
    StreamWriter forger(*world.repository, thief.host, "prod", world.clock, *world.random);
    ASSERT_TRUE(ok(forger.put(put_of({1, 0, 100}), Bytes(100, 1))));
    EXPECT_TRUE(fails(read({1, 0, 100}), Code::Denied));
    EXPECT_TRUE(
        fails(read_label(*world.repository, entry({1, 0, 100}), world.reader), Code::Denied));
}

TEST_F(StreamTest, AMovedPieceIsCorrupt) {
    ASSERT_TRUE(ok(store({1, 0, 100})));
    const Bytes piece = world.bytes(name({1, 0, 100}));
    for (const StreamRange& elsewhere :
         {StreamRange{1, 100, 200}, StreamRange{2, 0, 100}, StreamRange{1, 0, 99}}) {
        world.replace(name(elsewhere), piece);
        EXPECT_TRUE(
            fails(read_label(*world.repository, entry(elsewhere), world.reader), Code::Corrupt));
    }
    EXPECT_TRUE(fails(read({1, 100, 200}), Code::Corrupt));
    EXPECT_TRUE(fails(read({2, 0, 50}), Code::Corrupt));
}

TEST_F(StreamTest, APieceOfAnotherRepositoryIsCorrupt) {
    test::RepoWorld other(2);
    StreamWriter there(*other.repository, world.keys.host, "prod", other.clock,
                       *world.random);  // the same writer
    ASSERT_NE(other.repository->id(), world.repository->id());
    ASSERT_TRUE(ok(there.put(put_of({1, 0, 100}), stream_bytes({1, 0, 100}))));
    world.replace(name({1, 0, 100}), other.bytes(name({1, 0, 100})));
    EXPECT_TRUE(fails(read({1, 0, 100}), Code::Corrupt));
}

// The frames of one piece under the label of another of the same length and session.
TEST_F(StreamTest, FramesUnderAnotherLabelDoNotOpen) {
    ASSERT_TRUE(ok(store({1, 0, 100})));
    ASSERT_TRUE(ok(store({1, 100, 200})));
    Bytes a = world.bytes(name({1, 0, 100}));
    const Bytes b = world.bytes(name({1, 100, 200}));
    const auto header = PackHeader::parse(a);
    ASSERT_TRUE(ok(header));
    Bytes mixed(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(header->frames_at));
    mixed.insert(mixed.end(), b.begin() + static_cast<std::ptrdiff_t>(header->frames_at), b.end());
    world.replace(name({1, 0, 100}), mixed);
    EXPECT_FALSE(read({1, 0, 100}));
}

TEST_F(StreamTest, T18_AnotherClustersStreamIsAConflict) {
    ASSERT_TRUE(ok(store({1, 0, 100})));
    EXPECT_TRUE(fails(read({1, 0, 100}, kSource + 1), Code::Conflict));
}

// ---- T13: "not there" is never confused with "cannot be read"
// -----------------------------------------------------

TEST_F(StreamTest, T13_OnlyBytesThatWereNeverListedAreNotFound) {
    ASSERT_TRUE(ok(store({1, 0, 1000})));
    const auto catalog = StreamCatalog::load(*world.repository, "prod");
    ASSERT_TRUE(ok(catalog));
    Bytes out(100);
    world.remove(name({1, 0, 1000}));
    StreamReader gone(*world.repository, *catalog, world.reader, kSource);
    EXPECT_TRUE(fails(gone.read(1, 0, out), Code::Unavailable));
    EXPECT_TRUE(fails(gone.read(1, 1000, out), Code::NotFound));
}

// An object that vanishes between two reads of one reader.
TEST_F(StreamTest, T13_AnObjectThatVanishesWhileItIsReadIsUnavailable) {
    ASSERT_TRUE(ok(store({1, 0, 600'000})));
    const auto catalog = StreamCatalog::load(*world.repository, "prod");
    ASSERT_TRUE(ok(catalog));
    StreamReader reader(*world.repository, *catalog, world.reader, kSource);
    Bytes out(100);
    ASSERT_TRUE(ok(reader.read(1, 0, out)));
    world.remove(name({1, 0, 600'000}));
    EXPECT_TRUE(fails(reader.read(1, 500'000, out), Code::Unavailable));
}

TEST_F(StreamTest, T13_EveryStoreErrorKeepsItsCode) {
    ASSERT_TRUE(ok(store({1, 0, 1000})));
    for (const auto& [fault, code] : {std::pair{store::Fault::Fail, Code::Unavailable},
                                      std::pair{store::Fault::Deny, Code::Denied},
                                      std::pair{store::Fault::Truncate, Code::Corrupt}}) {
        for (int call = 0; call < 3; ++call) {
            int calls = 0;
            auto copy = store::memory_store(world.clock);
            for (const std::string& object : world.names()) {
                ASSERT_TRUE(ok(copy->put(object, world.bytes(object))));
            }
            bool armed = false;
            auto faulty = store::with_faults(
                std::move(copy), [&, fault](store::Operation, const std::string&) {
                    return armed && calls++ >= call ? fault : store::Fault::None;
                });
            const auto repository = Repository::open(*faulty, world.keys.recipients());
            ASSERT_TRUE(ok(repository));
            const auto catalog = StreamCatalog::load(**repository, "prod");
            ASSERT_TRUE(ok(catalog));
            armed = true;
            StreamReader reader(**repository, *catalog, world.reader, kSource);
            Bytes out(1000);
            EXPECT_TRUE(fails(reader.read(1, 0, out), code)) << "call " << call;
        }
    }
}

TEST_F(StreamTest, ADamagedObjectIsNoLossWhileAnotherHoldsItsBytes) {
    ASSERT_TRUE(ok(store({1, 0, 3000}, StreamObject::Gathered)));
    ASSERT_TRUE(ok(store({1, 0, 1000})));
    ASSERT_TRUE(ok(store({1, 1000, 3000})));
    const std::string gathered = name({1, 0, 3000}, StreamObject::Gathered);
    const Bytes good = world.bytes(gathered);
    for (std::size_t at = 0; at < good.size(); at += 41) {
        Bytes bad = good;
        bad[at] ^= 0x08U;
        world.replace(gathered, bad);
        expect_readable({1, 0, 3000});
    }
    world.replace(gathered, BytesView(good).first(200));
    expect_readable({1, 0, 3000});
    world.remove(name({1, 1000, 3000}));
    EXPECT_TRUE(fails(read({1, 1000, 2000}), Code::Corrupt));
    expect_readable({1, 0, 1000});
}

// ---- Gaps, timelines, coverage
// ------------------------------------------------------------------------------------

TEST_F(StreamTest, GapsAreRecordedOnce) {
    EXPECT_TRUE(ok(writer.record_gap({1, 100, 200}, "the slot was lost")));
    EXPECT_TRUE(ok(writer.record_gap({1, 100, 200}, "the slot was lost")));
    const auto catalog = StreamCatalog::load(*world.repository, "prod");
    ASSERT_TRUE(ok(catalog));
    EXPECT_EQ(catalog->gaps(), (std::vector<StreamRange>{{1, 100, 200}}));
    const auto json = base::Json::parse(
        base::text(world.bytes("s/prod/gap/00000001/0000000000000064-00000000000000C8.gap")));
    ASSERT_TRUE(ok(json));
    EXPECT_EQ(json->text("reason").value(), "the slot was lost");
}

TEST_F(StreamTest, ForeignObjectsAreNoPartOfTheStream) {
    world.replace("s/prod/wal/20260301/00000001/nonsense.piece", Bytes(5));
    world.replace("s/prod/wal/20260301/00000001/0000000000000005-0000000000000001.piece", Bytes(5));
    world.replace("s/prod/history/notes.txt", Bytes(5));
    // Larger than any object can be: a claim to all that ever will be written.
    for (const std::uint64_t size : {kMaxStreamBytes + 1, ~std::uint64_t{0}}) {
        const auto day = policy::ExpiryDay::parse("20260301").value();
        world.replace(StreamName{StreamObject::Gathered, "prod", day, {1, 0, size}}.text(),
                      Bytes(5));
    }
    const auto catalog = StreamCatalog::load(*world.repository, "prod");
    ASSERT_TRUE(ok(catalog));
    EXPECT_TRUE(catalog->entries().empty());
    EXPECT_TRUE(catalog->histories().empty());
}

}  // namespace

}  // namespace lifeboat::repo

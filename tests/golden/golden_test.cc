// The bytes of format 1, pinned. tests/golden/v1 holds a small repository, object by object;
// docs/format promises that it stays readable.
//
// Two questions: does today's writer produce those bytes from the same keys and randomness, and
// does today's reader read the committed ones? Only the first may ever be answered anew, by a
// change that docs/format describes: LB_WRITE_GOLDEN=1 writes the files.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"
#include "repo/check.h"
#include "repo/stream.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Bytes;
using base::Code;
using base::Result;
using test::ok;

namespace {

constexpr std::uint64_t kSeed = 20260123;
constexpr std::uint64_t kSource = 7'000'000'000'000'000'001;

std::string folder() {
    return std::string(LB_SOURCE_DIR) + "/tests/golden/v1";
}

// Text that compresses, a page of noise that does not, a page of zeros, a short tail.
test::Tree first_tree() {
    Bytes table;
    for (int page = 0; page < 18; ++page) {
        for (std::size_t i = 0; i < kPageSize; ++i) {
            table.push_back(
                static_cast<base::Byte>("golden page "[(i + static_cast<std::size_t>(page)) % 12]));
        }
    }
    const Bytes noise = test::noise(9, kPageSize);
    table.insert(table.end(), noise.begin(), noise.end());
    table.insert(table.end(), kPageSize, base::Byte{0});
    table.insert(table.end(), 100, base::Byte{'t'});
    return {{"PG_VERSION", {'1', '5', '\n'}}, {"base/1/1259", std::move(table)}, {"empty", {}}};
}

test::Tree second_tree() {
    test::Tree tree = first_tree();
    tree["base/1/1259"][3 * kPageSize + 5] = '!';
    return tree;
}

Bytes stream_bytes(const StreamRange& range) {
    Bytes out;
    for (std::uint64_t at = range.from; at < range.to; ++at) {
        out.push_back(static_cast<base::Byte>(at % 7 * 31));
    }
    return out;
}

const StreamRange kPiece{1, 0x1000000, 0x1000800};
const StreamRange kGathered{1, 0x1000800, 0x1002000};
constexpr std::string_view kHistory = "1\t0/1002000\tno recovery target specified\n";

policy::ExpiryDay expires() {
    return policy::ExpiryDay::parse("20260301").value();
}

void put(StreamWriter& writer, const StreamRange& range, StreamObject kind,
         base::Timestamp captured) {
    StreamPut put;
    put.kind = kind;
    put.range = range;
    put.expires = expires();
    put.source = kSource;
    put.segment_size = 16 << 20;
    put.major = 15;
    put.captured = captured;
    put.summary = Bytes(kind == StreamObject::Gathered ? 40 : 0, 's');
    ASSERT_TRUE(ok(writer.put(put, stream_bytes(range))));
}

// Everything that a repository can hold, made from one seed.
std::unique_ptr<test::RepoWorld> make() {
    auto world = std::make_unique<test::RepoWorld>(kSeed);
    const test::Tree first = first_tree();
    const test::Tree second = second_tree();
    auto full = world->capture({.tree = &first});
    EXPECT_TRUE(ok(full));
    const auto previous = world->load(*full);
    EXPECT_TRUE(ok(previous));
    world->clock.advance(std::chrono::hours(24));
    EXPECT_TRUE(ok(world->capture({.tree = &second, .previous = &*previous})));
    EXPECT_TRUE(
        ok(world->repository->register_writer(world->keys.host, "golden.example", world->clock)));
    StreamWriter writer(*world->repository, world->keys.host, "prod", world->clock, *world->random);
    put(writer, kPiece, StreamObject::Piece, world->clock.now());
    put(writer, kGathered, StreamObject::Gathered, world->clock.now());
    EXPECT_TRUE(ok(writer.put_history(2, base::view(kHistory))));
    EXPECT_TRUE(ok(writer.record_gap({1, 0x1002000, 0x1003000}, "a golden gap")));
    return world;
}

// The committed objects, in a store of their own.
class Committed {
  public:
    Committed() { load(folder(), ""); }

    base::ManualClock clock{base::from_unix_micros(1'769'268'000'000'000)};
    std::unique_ptr<store::ObjectStore> store = store::memory_store(clock);

  private:
    void load(const std::string& directory, const std::string& prefix) {
        const auto names = base::real_files().list(directory);
        ASSERT_TRUE(ok(names));
        for (const std::string& name : *names) {
            const std::string path = base::join(directory, name);
            if (base::real_files().stat(path).value().kind == base::FileKind::Directory) {
                load(path, prefix + name + "/");
            } else {
                ASSERT_TRUE(ok(
                    store->put(prefix + name, base::read_file(base::real_files(), path).value())));
            }
        }
    }
};

void write_golden(test::RepoWorld& world) {
    base::remove_tree(base::real_files(), folder()).discard("it may not be there");
    for (const std::string& name : world.names()) {
        const std::string path = base::join(folder(), name);
        ASSERT_TRUE(ok(base::create_directories(base::real_files(), base::parent_of(path), 0755)));
        ASSERT_TRUE(ok(base::write_durably(base::real_files(), path, world.bytes(name),
                                           base::Replace::No, 0644)));
    }
}

// ---- Writing
// ------------------------------------------------------------------------------------------------------

TEST(Golden, TheWriterStillProducesTheseBytes) {
    const auto world = make();
    if (std::getenv("LB_WRITE_GOLDEN") != nullptr) {
        write_golden(*world);
    }
    Committed committed;
    const auto listed = store::list_all(*committed.store, "");
    ASSERT_TRUE(ok(listed));
    std::vector<std::string> names;
    for (const store::ObjectInfo& object : *listed) {
        names.push_back(object.name);
    }
    ASSERT_EQ(names, world->names());
    EXPECT_GE(names.size(), 12U);
    for (const std::string& name : names) {
        const Bytes expected = committed.store->get(name).value();
        const Bytes made = world->bytes(name);
        const auto differs =
            std::mismatch(expected.begin(), expected.end(), made.begin(), made.end());
        EXPECT_TRUE(expected == made)
            << name << " differs from byte " << differs.first - expected.begin()
            << " on: docs/format is a promise, and so is each of these bytes";
    }
}

// ---- Reading
// ------------------------------------------------------------------------------------------------------

class GoldenReader : public testing::Test {
  protected:
    GoldenReader() {
        auto opened = Repository::open(*committed.store);
        EXPECT_TRUE(ok(opened));
        repository = std::move(opened).value();
    }

    Committed committed;
    test::RepoKeys keys{kSeed};
    ReaderKeys reader = keys.reader();
    std::unique_ptr<Repository> repository;
};

TEST_F(GoldenReader, RestoresBothBackups) {
    const auto backups = repository->backups("prod");
    ASSERT_TRUE(ok(backups));
    ASSERT_EQ(backups->size(), 2U);
    const auto first = test::restore_tree(*repository, (*backups)[0], reader);
    ASSERT_TRUE(ok(first));
    EXPECT_TRUE(*first == first_tree());
    const auto second = test::restore_tree(*repository, (*backups)[1], reader);
    ASSERT_TRUE(ok(second));
    EXPECT_TRUE(*second == second_tree());
}

TEST_F(GoldenReader, ReadsTheManifestsMeaning) {
    const auto backups = repository->backups("prod");
    ASSERT_TRUE(ok(backups));
    const auto opened = repository->load((*backups)[1], reader);
    ASSERT_TRUE(ok(opened));
    const Manifest& m = opened->manifest;
    EXPECT_EQ(m.kind, BackupKind::Incremental);
    EXPECT_EQ(m.parent, (*backups)[0].backup);
    EXPECT_EQ(m.engine, "files");
    EXPECT_EQ(m.counts.files, 3U);
    EXPECT_EQ(m.counts.changed_bytes, kPageSize);
    EXPECT_EQ(m.counts.zero_bytes, kPageSize);
    EXPECT_EQ(m.packs.size(), 2U);
    EXPECT_EQ(m.details.dump(), R"({"made_by":"a test"})");
    EXPECT_EQ(base::format_time(m.stop), "2026-01-24T14:00:02Z");
}

TEST_F(GoldenReader, ReadsTheStream) {
    const auto catalog = StreamCatalog::load(*repository, "prod");
    ASSERT_TRUE(ok(catalog));
    StreamReader stream(*repository, *catalog, reader, kSource);
    Bytes out(kGathered.to - kPiece.from);
    ASSERT_TRUE(ok(stream.read(1, kPiece.from, out)));
    EXPECT_TRUE(out == stream_bytes({1, kPiece.from, kGathered.to}));
    EXPECT_EQ(catalog->gaps(), (std::vector<StreamRange>{{1, 0x1002000, 0x1003000}}));
    const Key256 map_key = RepositoryKeys::derive(keys.host.secret, repository->id()).map;
    ASSERT_EQ(catalog->histories().size(), 1U);
    const auto history = read_history(*repository, catalog->histories()[0], map_key);
    ASSERT_TRUE(ok(history));
    EXPECT_EQ(history->timeline, 2U);
    EXPECT_EQ(base::text(history->contents), kHistory);
    for (const StreamCatalog::Entry& entry : catalog->entries()) {
        const auto label = read_label(*repository, entry, reader);
        ASSERT_TRUE(ok(label));
        EXPECT_EQ(open_summary(*label, map_key).value().size(),
                  entry.name.kind == StreamObject::Gathered ? 40U : 0U);
    }
}

TEST_F(GoldenReader, ChecksWhole) {
    const base::StopToken stop;
    const auto report = check_repository(
        *repository, &reader, {.level = CheckLevel::Data, .workers = 1, .systems = {}}, {}, stop);
    ASSERT_TRUE(ok(report));
    EXPECT_TRUE(report->is_healthy()) << describe(*report).front();
}

// The first lines of the format pages, read off the bytes without any of our own code.
TEST_F(GoldenReader, ObjectsBeginAsTheFormatPagesSay) {
    const auto listed = store::list_all(*committed.store, "s/");
    ASSERT_TRUE(ok(listed));
    for (const store::ObjectInfo& object : *listed) {
        const Bytes bytes = committed.store->get(object.name).value();
        const std::string head = base::hex(BytesView(bytes).first(8));
        if (object.name.ends_with(".manifest")) {
            EXPECT_EQ(head, "4c424d414e490001");
        } else if (!object.name.ends_with(".gap")) {
            EXPECT_EQ(head, "4c425041434b0001");
            EXPECT_EQ(base::hex(BytesView(bytes).last(8)), "4c4250454e440001");
            EXPECT_EQ(base::hex(BytesView(bytes).subspan(8, 16)), base::hex(repository->id()));
            const bool keyless = object.name.ends_with(".map") || object.name.ends_with(".history");
            const bool wal = object.name.ends_with(".piece") ||
                             object.name.find("/walpack/") != std::string::npos;
            EXPECT_EQ(bytes[56], keyless ? 2 : wal ? 3 : 1) << object.name;
            EXPECT_EQ(bytes[57], 1);
        }
    }
}

}  // namespace

}  // namespace lifeboat::repo

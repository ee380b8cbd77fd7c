// Capture, maps and packs together, against an oracle that knows only bytes.
#include <gtest/gtest.h>

#include <algorithm>

#include "repo/capture.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using std::chrono::days;
using test::CaptureJob;
using test::fails;
using test::noise;
using test::ok;
using test::table_like;
using test::Tree;

namespace {

// ---- The oracle
// ---------------------------------------------------------------------------------------------------

// Knows, page by page, what was stored when. Compares whole pages, never fingerprints.
class Oracle {
  public:
    // Takes the next generation; returns how many bytes a backup of it must store.
    std::uint64_t take(const Tree& tree, const std::set<std::string>& rewrite,
                       policy::ExpiryDay manifest, policy::ExpiryDay packs) {
        std::uint64_t bytes = 0;
        std::map<std::string, std::vector<policy::ExpiryDay>> now;
        for (const auto& [path, contents] : tree) {
            std::vector<policy::ExpiryDay>& pages = now[path];
            for (std::size_t page = 0; page * kPageSize < contents.size(); ++page) {
                const bool stays = !rewrite.contains(path) &&
                                   is_stored(path, page, page_of(contents, page)) &&
                                   expires_[path][page] >= manifest;
                pages.push_back(stays ? expires_[path][page] : packs);
                bytes +=
                    stays || all_zero(page_of(contents, page)) ? 0 : page_of(contents, page).size();
            }
        }
        expires_ = std::move(now);
        before_ = tree;
        return bytes;
    }

  private:
    static BytesView page_of(const Bytes& contents, std::size_t page) {
        const std::size_t at = page * kPageSize;
        return BytesView(contents).subspan(at, std::min(kPageSize, contents.size() - at));
    }

    static bool all_zero(BytesView page) {
        return std::all_of(page.begin(), page.end(), [](base::Byte b) { return b == 0; });
    }

    bool is_stored(const std::string& path, std::size_t page, BytesView bytes) const {
        const auto file = before_.find(path);
        return file != before_.end() && page * kPageSize < file->second.size() &&
               std::ranges::equal(page_of(file->second, page), bytes);
    }

    Tree before_;
    std::map<std::string, std::vector<policy::ExpiryDay>> expires_;
};

// ---- Random life
// --------------------------------------------------------------------------------------------------

constexpr std::array<std::size_t, 12> kSizes = {
    0, 1, 8191, 8192, 8193, 16384, 131072, 131073, 1 << 20, (1 << 20) + 1, 5 << 20, 300000};

Tree first_tree(base::Random& random) {
    Tree tree;
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
        tree["base/" + std::to_string(i)] = table_like(random.u64(), kSizes[i]);
    }
    for (int i = 0; i < 40; ++i) {
        tree["small/" + std::to_string(i)] = noise(random.u64(), random.u64() % 3000);
    }
    tree["zeros"] = Bytes(1'500'000);
    return tree;
}

void mutate_file(Bytes& contents, base::Random& random) {
    const std::uint64_t dice = random.u64();
    if (dice % 9 == 0) {  // grows or shrinks
        const std::size_t size = random.u64() % (contents.size() * 2 + 10000);
        const Bytes tail = noise(random.u64(), size);
        const std::size_t kept = std::min(size, contents.size());
        contents.resize(size);
        std::copy(tail.begin() + static_cast<std::ptrdiff_t>(kept), tail.end(),
                  contents.begin() + static_cast<std::ptrdiff_t>(kept));
        return;
    }
    for (std::uint64_t i = 0; i < dice % 6 && !contents.empty(); ++i) {
        const std::size_t at = random.u64() % contents.size();
        const std::size_t count =
            std::min<std::size_t>(contents.size() - at, 1 + random.u64() % 40000);
        const auto from = contents.begin() + static_cast<std::ptrdiff_t>(at);
        if (random.u64() % 4 == 0) {
            std::fill_n(from, count, base::Byte{0});
        } else {
            std::ranges::copy(noise(random.u64(), count), from);
        }
    }
}

void mutate(Tree& tree, base::Random& random) {
    std::vector<std::string> gone;
    for (auto& [path, contents] : tree) {
        const std::uint64_t dice = random.u64() % 10;
        if (dice == 0) {
            gone.push_back(path);
        } else if (dice < 5) {
            mutate_file(contents, random);
        }
    }
    for (const std::string& path : gone) {
        tree.erase(path);
    }
    tree["new/" + std::to_string(random.u64() % 1000)] =
        table_like(random.u64(), random.u64() % 200000);
}

std::set<std::string> some_of(const Tree& tree, base::Random& random) {
    std::set<std::string> chosen;
    for (const auto& [path, contents] : tree) {
        if (random.u64() % 12 == 0) {
            chosen.insert(path);
        }
    }
    return chosen;
}

struct Generation {
    Tree tree;
    Manifest manifest;
};

class GenerationsTest : public testing::Test {
  protected:
    // Captures `tree` on top of the last generation, and holds it to what the oracle says.
    void add_generation(const Tree& tree, std::size_t lanes, std::set<std::string> rewrite,
                        test::Lifetimes lifetimes) {
        SCOPED_TRACE("generation " + std::to_string(generations.size()));
        CaptureJob job{.tree = &tree,
                       .rewrite = std::move(rewrite),
                       .lanes = lanes,
                       .pack_target = 400'000,
                       .lifetimes = lifetimes};
        std::optional<OpenedManifest> previous;
        if (!generations.empty()) {
            auto loaded = world.load(generations.back().manifest);
            ASSERT_TRUE(ok(loaded));
            previous = std::move(loaded).value();
            job.previous = &*previous;
        }
        const std::uint64_t expected = oracle.take(
            tree, previous ? job.rewrite : std::set<std::string>(),
            policy::backup_expiry(world.clock.now(), lifetimes.retention),
            policy::pack_expiry(world.clock.now(), lifetimes.retention, lifetimes.rolling));
        auto manifest = world.capture(job);
        ASSERT_TRUE(ok(manifest));
        EXPECT_EQ(manifest->counts.changed_bytes, expected);
        EXPECT_EQ(manifest->counts.files, tree.size());
        generations.push_back({tree, std::move(manifest).value()});
        expect_restorable(generations.back());
    }

    void expect_restorable(const Generation& generation) {
        const auto restored = world.restore(generation.manifest);
        ASSERT_TRUE(ok(restored));
        ASSERT_EQ(restored->size(), generation.tree.size());
        for (const auto& [path, contents] : generation.tree) {
            EXPECT_TRUE(restored->at(path) == contents) << path;
        }
    }

    // What retention does: deletes whatever may be deleted, by names alone.
    void prune() {
        for (const std::string& name : world.names("s/")) {
            const auto expires = expiry_of(name);
            if (expires && policy::may_delete(*expires, world.clock.now())) {
                world.remove(name);
            }
        }
    }

    test::RepoWorld world;
    Oracle oracle;
    std::vector<Generation> generations;
};

// ---- The whole of it
// ----------------------------------------------------------------------------------------------

struct Life {
    std::uint64_t seed;
    std::size_t lanes;
};

class EightGenerations : public GenerationsTest, public testing::WithParamInterface<Life> {};

TEST_P(EightGenerations, AreEachRestoredByteForByteAndStoreOnlyWhatChanged) {
    const auto random = base::seeded_random(GetParam().seed);
    Tree tree = first_tree(*random);
    for (int generation = 0; generation < 8; ++generation) {
        add_generation(tree, GetParam().lanes, some_of(tree, *random), {});
        ASSERT_FALSE(HasFatalFailure());
        mutate(tree, *random);
        world.clock.advance(std::chrono::hours(24));
    }
    for (const Generation& generation : generations) {
        expect_restorable(generation);
    }
}

// With a rolling time shorter than the life of the test, packs become too old to be named (W1), and
// pages are stored again from the plain text.
TEST_P(EightGenerations, W1_PagesOfPacksThatExpireTooSoonAreStoredAgain) {
    const auto random = base::seeded_random(GetParam().seed + 100);
    Tree tree = first_tree(*random);
    for (int generation = 0; generation < 8; ++generation) {
        add_generation(tree, GetParam().lanes, {}, {.retention = days(2), .rolling = days(1)});
        ASSERT_FALSE(HasFatalFailure());
        for (const auto& [index, pack] : generations.back().manifest.packs) {
            const auto expires = expiry_of(pack.object.name);
            ASSERT_TRUE(ok(expires));
            EXPECT_GE(*expires, generations.back().manifest.expires);
        }
        mutate(tree, *random);
        world.clock.advance(days(1 + generation % 2));
    }
}

// Retention runs every day; whatever manifest is left, all that it needs is left too.
TEST_P(EightGenerations, G1_PruningByNameNeverTakesWhatABackupNeeds) {
    const auto random = base::seeded_random(GetParam().seed + 200);
    Tree tree = first_tree(*random);
    std::size_t pruned = 0;
    for (int generation = 0; generation < 8; ++generation) {
        add_generation(tree, GetParam().lanes, some_of(tree, *random),
                       {.retention = days(2), .rolling = days(2)});
        ASSERT_FALSE(HasFatalFailure());
        mutate(tree, *random);
        world.clock.advance(days(1 + generation % 2));
        prune();
        std::erase_if(generations, [&](const Generation& g) {
            const bool gone = !world.store->stat(world.name_of(g.manifest).text());
            EXPECT_TRUE(!gone || policy::may_delete(g.manifest.expires, world.clock.now()));
            pruned += gone ? 1 : 0;
            return gone;
        });
        for (const Generation& left : generations) {
            expect_restorable(left);
        }
    }
    EXPECT_GT(pruned, 3U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, EightGenerations,
                         testing::Values(Life{1, 1}, Life{2, 3}, Life{3, 2}), [](const auto& life) {
                             return "seed" + std::to_string(life.param.seed) + "lanes" +
                                    std::to_string(life.param.lanes);
                         });

// ---- One fact each
// ------------------------------------------------------------------------------------------------

TEST_F(GenerationsTest, AnUnchangedTreeStoresNoDataAtAll) {
    const auto random = base::seeded_random(11);
    const Tree tree = first_tree(*random);
    add_generation(tree, 1, {}, {});
    const auto packs = world.names("s/prod/pack/");
    add_generation(tree, 2, {}, {});
    EXPECT_EQ(world.names("s/prod/pack/"), packs);
    EXPECT_EQ(generations[1].manifest.counts.changed_bytes, 0U);
    EXPECT_EQ(generations[1].manifest.kind, BackupKind::Incremental);
    EXPECT_EQ(generations[1].manifest.parent, generations[0].manifest.backup);
    EXPECT_EQ(generations[1].manifest.packs.size(), generations[0].manifest.packs.size());
}

TEST_F(GenerationsTest, OneChangedPageStoresOnePage) {
    Tree tree{{"base/1", noise(12, 40 * kPageSize)}};
    add_generation(tree, 1, {}, {});
    tree["base/1"][17 * kPageSize + 5] ^= 1U;
    const std::uint64_t before = world.meter->bytes_put.load();
    add_generation(tree, 1, {}, {});
    EXPECT_EQ(generations[1].manifest.counts.changed_bytes, kPageSize);
    EXPECT_LT(world.meter->bytes_put.load() - before,
              3 * kPageSize);  // the page, the map of 40 pages, the manifest
}

TEST_F(GenerationsTest, ZerosAreStoredNowhereAndCounted) {
    const Tree tree{{"a", Bytes(5 * kPageSize + 100)}, {"b", Bytes(1)}};
    add_generation(tree, 1, {}, {});
    EXPECT_TRUE(world.names("s/prod/pack/").empty());
    EXPECT_EQ(generations[0].manifest.counts.zero_bytes, 5 * kPageSize + 101);
    EXPECT_EQ(generations[0].manifest.counts.bytes, 5 * kPageSize + 101);
}

TEST_F(GenerationsTest, AManifestNamesOnlyWhatItsPagesNeed) {
    Tree tree{{"a", noise(1, 2'000'000)}, {"b", noise(2, 2'000'000)}};
    add_generation(tree, 1, {}, {});
    const std::size_t both = generations[0].manifest.packs.size();
    tree.erase("a");
    add_generation(tree, 1, {}, {});
    EXPECT_LT(generations[1].manifest.packs.size(), both);
    tree["b"] = noise(3, 2'000'000);
    add_generation(tree, 1, {}, {});
    EXPECT_EQ(generations[2].manifest.sessions.size(),
              1U);  // nothing of the first session is needed any more
}

TEST_F(GenerationsTest, P2_TheManifestIsTheLastObjectPut) {
    Tree tree{{"a", noise(1, 3'000'000)}};
    std::vector<std::string> order;
    auto faulty = store::with_faults(store::memory_store(world.clock),
                                     [&](store::Operation operation, const std::string& name) {
                                         if (operation == store::Operation::Put) {
                                             order.push_back(name);
                                         }
                                         return store::Fault::None;
                                     });
    const auto repository =
        Repository::create(*faulty, world.keys.recipients(), world.clock, *world.random);
    ASSERT_TRUE(ok(repository));
    const CaptureJob job{.tree = &tree};
    const auto manifest =
        test::capture_tree(**repository, world.keys.host, job, world.clock, *world.random);
    ASSERT_TRUE(ok(manifest));
    ASSERT_GT(order.size(), 4U);
    EXPECT_EQ(order.back(), world.name_of(*manifest).text());
    for (const auto& [index, pack] : manifest->packs) {
        EXPECT_NE(std::ranges::find(order, pack.object.name), order.end());
    }
}

TEST_F(GenerationsTest, ManifestsNameSizesAndDigestsAsTheStoreHasThem) {
    const Tree tree{{"a", noise(1, 900'000)}, {"b", table_like(2, 900'000)}};
    add_generation(tree, 1, {}, {});
    const auto outline = read_outline(world.bytes(world.name_of(generations[0].manifest).text()));
    ASSERT_TRUE(ok(outline));
    std::uint64_t sum = 0;
    for (const NeededObject& object : outline->objects) {
        const Bytes bytes = world.bytes(object.name);
        EXPECT_EQ(bytes.size(), object.size);
        EXPECT_EQ(crypto::sha256(bytes), object.sha256);
        EXPECT_TRUE(ok(check_pack_bytes(bytes)));
        sum += bytes.size();
    }
    EXPECT_EQ(sum, generations[0].manifest.counts.stored_bytes);
}

TEST_F(GenerationsTest, ABackupOfAnotherHostIsOpenedByAnIdentityOnly) {
    const Tree tree{{"a", noise(1, 90'000)}};
    add_generation(tree, 1, {}, {});
    const ManifestName name = world.name_of(generations[0].manifest);
    ReaderKeys host = world.keys.host_reader();
    EXPECT_TRUE(ok(world.repository->load(name, host)));
    EXPECT_TRUE(fails(test::restore_tree(*world.repository, name, host),
                      Code::Denied));  // P4: its own old data
    ReaderKeys stranger = world.keys.stranger();
    EXPECT_TRUE(fails(test::restore_tree(*world.repository, name, stranger), Code::Denied));
}

// ---- Maps of many files
// -------------------------------------------------------------------------

TEST_F(GenerationsTest, MapsOfManyFilesAreFoundOneByOne) {
    Tree tree;
    for (int i = 0; i < 3000; ++i) {
        tree["a/rather/long/path/to/file/number/" + std::to_string(i)] =
            Bytes(static_cast<std::size_t>(i % 5), 'x');
    }
    tree["large"] = noise(1, 6 << 20);
    add_generation(tree, 1, {}, {});
    const auto opened = world.load(generations[0].manifest);
    ASSERT_TRUE(ok(opened));
    const auto gets = world.meter->gets.load();
    const auto maps = MapIndex::open(*world.store, world.repository->id(), *opened);
    ASSERT_TRUE(ok(maps));
    EXPECT_EQ(world.meter->gets.load() - gets,
              opened->manifest.maps.size());  // each map pack is fetched once
    EXPECT_EQ((*maps)->summaries().size(), tree.size());
    for (const auto& [path, contents] : tree) {
        const auto map = (*maps)->map(path);
        ASSERT_TRUE(ok(map)) << path;
        EXPECT_EQ(map->size, contents.size());
        EXPECT_EQ((*maps)->summaries().at(path).size, contents.size());
    }
}

}  // namespace

}  // namespace lifeboat::repo

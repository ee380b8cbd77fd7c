#include "repo/fingerprint_list.h"

#include <gtest/gtest.h>

#include <random>

#include "repo/file_map.h"
#include "tests/support/expect.h"

namespace lifeboat::repo {

using base::Bytes;
using base::Code;
using crypto::Fingerprint;
using test::fails;
using test::ok;

namespace {

using Prints = std::vector<Fingerprint>;

Fingerprint print(std::uint64_t n) {
    Fingerprint out{};
    for (std::size_t i = 0; i < sizeof n; ++i) {
        out[i] = static_cast<base::Byte>(n >> (8 * i));
    }
    return out;
}

Prints prints(std::size_t count, std::uint64_t first = 0) {
    Prints out;
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(print(first + i));
    }
    return out;
}

FingerprintPatch patch_of(const Prints& pages) {
    return {"a/b", kPagesPerSlice, pages.size(), {7, 3}, {}};
}

FingerprintList list_of(const Prints& pages) {
    return {"a/b", kPagesPerSlice, pages};
}

// ---- Lists

TEST(Fingerprints, ComeBackAsTheyWent) {
    Prints pages(3);
    pages[1].fill(9);
    base::ByteWriter out;
    encode_fingerprints("a/b", 131072, pages, out);
    for (std::size_t size = 0; size < out.size(); ++size) {
        base::ByteReader cut(out.bytes().first(size));
        EXPECT_TRUE(fails(FingerprintList::decode(cut), Code::Corrupt));
    }
    base::ByteReader in(out.bytes());
    const auto list = FingerprintList::decode(in);
    ASSERT_TRUE(ok(list));
    EXPECT_EQ(list->path, "a/b");
    EXPECT_EQ(list->first_page, 131072U);
    EXPECT_EQ(list->pages, pages);
}

TEST(Fingerprints, ACountThatCannotBeIsCorrupt) {
    base::ByteWriter out;
    out.sized(std::string_view("a"));
    out.varint(0);
    out.varint(1ULL << 60);
    out.raw(Bytes(64));
    base::ByteReader in(out.bytes());
    EXPECT_TRUE(fails(FingerprintList::decode(in), Code::Corrupt));
}

TEST(Fingerprints, TheLongestOfEachFitsAFrame) {
    const std::string path(kMaxPath, 'p');
    const Prints pages = prints(kPagesPerSlice);
    base::ByteWriter list;
    encode_fingerprints(path, 0, pages, list);
    EXPECT_LE(list.size(), kMaxFramePlain);
    FingerprintPatch patch{path, 0, pages.size(), {4'000'000'000, 4'000'000'000}, {}};
    for (std::uint64_t page = 0; page < pages.size(); ++page) {
        patch.changes.emplace_back(page, pages[page]);
    }
    base::ByteWriter out;
    patch.encode(out);
    EXPECT_LE(out.size(), kMaxFramePlain);
}

// ---- Patches

TEST(FingerprintPatches, ComeBackAsTheyWent) {
    FingerprintPatch patch = patch_of(prints(900));
    patch.changes = {{0, print(1)}, {1, print(2)}, {899, print(3)}};
    base::ByteWriter out;
    patch.encode(out);
    for (std::size_t size = 0; size < out.size(); ++size) {
        base::ByteReader cut(out.bytes().first(size));
        EXPECT_TRUE(fails(FingerprintPatch::decode(cut), Code::Corrupt)) << size;
    }
    base::ByteReader in(out.bytes());
    const auto same = FingerprintPatch::decode(in);
    ASSERT_TRUE(ok(same));
    EXPECT_TRUE(in.at_end());
    EXPECT_EQ(same->path, patch.path);
    EXPECT_EQ(same->first_page, patch.first_page);
    EXPECT_EQ(same->count, patch.count);
    EXPECT_EQ(same->base, patch.base);
    EXPECT_EQ(same->changes, patch.changes);
}

struct BadPatch {
    const char* what;
    std::vector<std::uint64_t> numbers;  // behind the path
};

TEST(FingerprintPatches, WhatCannotBeIsCorrupt) {
    const BadPatch cases[] = {
        {"more pages than a slice has", {0, kPagesPerSlice + 1, 0, 0, 0}},
        {"a slice that starts nowhere", {5, 10, 0, 0, 0}},
        {"more changes than pages", {0, 1, 0, 0, 2, 0, 0}},
        {"a change behind the end", {0, 10, 0, 0, 1, 10}},
        {"a change that far behind it wraps", {0, 10, 0, 0, 1, ~std::uint64_t{0}}},
        {"a pack index beyond 32 bits", {0, 10, 1ULL << 32, 0, 0}},
        {"a frame beyond 32 bits", {0, 10, 0, 1ULL << 32, 0}},
    };
    for (const auto& [what, numbers] : cases) {
        base::ByteWriter out;
        out.sized(std::string_view("a"));
        for (const std::uint64_t number : numbers) {
            out.varint(number);
        }
        out.raw(Bytes(64));
        base::ByteReader in(out.bytes());
        EXPECT_TRUE(fails(FingerprintPatch::decode(in), Code::Corrupt)) << what;
    }
}

TEST(FingerprintPatches, RestOnTheListOfTheirOwnSliceOnly) {
    const FingerprintPatch patch = patch_of(prints(4));
    EXPECT_EQ(patch.apply(list_of(prints(4))).value(), prints(4));
    FingerprintList other = list_of(prints(4));
    other.path = "a/c";
    EXPECT_TRUE(fails(patch.apply(other), Code::Corrupt));
    other = list_of(prints(4));
    other.first_page = 0;
    EXPECT_TRUE(fails(patch.apply(other), Code::Corrupt));
    EXPECT_TRUE(fails(patch.apply(list_of(prints(3))), Code::Corrupt))
        << "a page that nothing tells";
}

TEST(FingerprintPatches, ANewListIsDueWhenMuchHasChanged) {
    const Prints before = prints(800);
    Prints now = before;
    for (std::size_t i = 0; i < 100; ++i) {
        now[i * 8] = print(5000 + i);
    }
    EXPECT_TRUE(patch_of(before).advanced(before, now).has_value());
    now[1] = print(9000);
    EXPECT_FALSE(patch_of(before).advanced(before, now).has_value());
}

// Oracle: the fingerprints themselves. A file that grows, shrinks, changes and changes back over
// many backups is always told exactly, by one list and one patch.
TEST(FingerprintPatches, TellEveryGenerationExactly) {
    for (unsigned seed = 1; seed <= 200; ++seed) {
        std::mt19937_64 random(seed);
        Prints now = prints(200 + random() % 200);
        FingerprintList list = list_of(now);
        FingerprintPatch patch = patch_of(now);
        for (std::uint64_t generation = 0; generation < 30; ++generation) {
            const Prints before = now;
            now.resize(
                now.size() + random() % 20 - std::min<std::size_t>(random() % 20, now.size()),
                print(generation));
            for (std::uint64_t i = random() % 10; i > 0 && !now.empty(); --i) {
                now[random() % now.size()] = print(random() % 500);
            }
            auto next = patch.advanced(before, now);
            if (!next) {
                list = list_of(now);
                next = patch_of(now);
            }
            base::ByteWriter out;
            next->encode(out);
            base::ByteReader in(out.bytes());
            patch = FingerprintPatch::decode(in).value();
            const auto told = patch.apply(list);
            ASSERT_TRUE(ok(told)) << "seed " << seed << ", generation " << generation;
            ASSERT_EQ(*told, now) << "seed " << seed << ", generation " << generation;
        }
    }
}

}  // namespace

}  // namespace lifeboat::repo

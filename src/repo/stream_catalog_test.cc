#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "repo/stream.h"

namespace lifeboat::repo {

namespace {

policy::ExpiryDay day() {
    return policy::ExpiryDay::parse("20260301").value();
}

TEST(StreamCatalog, CoverageIsThatOfABitmap) {
    const auto random = base::seeded_random(8);
    for (int round = 0; round < 400; ++round) {
        std::map<std::uint32_t, std::set<std::uint64_t>> bytes;
        std::vector<StreamCatalog::Entry> entries;
        for (std::uint64_t i = random->u64() % 12; i > 0; --i) {
            const auto timeline = static_cast<std::uint32_t>(1 + random->u64() % 2);
            const std::uint64_t from = random->u64() % 60;
            const StreamRange range{timeline, from, from + 1 + random->u64() % 20};
            for (std::uint64_t at = range.from; at < range.to; ++at) {
                bytes[timeline].insert(at);
            }
            entries.push_back(
                {{random->u64() % 2 == 0 ? StreamObject::Piece : StreamObject::Gathered, "x", day(),
                  range},
                 1});
        }
        const StreamCatalog catalog = StreamCatalog::of(entries, {});
        for (std::uint32_t timeline = 1; timeline <= 2; ++timeline) {
            for (std::uint64_t from = 0; from < 85; ++from) {
                std::uint64_t end = from;
                while (bytes[timeline].contains(end)) {
                    ++end;
                }
                ASSERT_EQ(catalog.covered_to(timeline, from), end);
                ASSERT_EQ(catalog.holding({timeline, from, from + 1}).empty(), end == from);
            }
            std::uint64_t in_ranges = 0;
            for (const StreamRange& range : catalog.ranges(timeline)) {
                in_ranges += range.to - range.from;
                EXPECT_FALSE(bytes[timeline].contains(range.to));  // maximal
                EXPECT_TRUE(range.from == 0 || !bytes[timeline].contains(range.from - 1));
            }
            EXPECT_EQ(in_ranges, bytes[timeline].size());
        }
    }
}

}  // namespace

}  // namespace lifeboat::repo

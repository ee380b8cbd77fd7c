#include "base/secret.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <set>
#include <type_traits>

#include "base/random.h"

namespace lifeboat::base {
namespace {

static_assert(!std::is_convertible_v<Secret, std::string> &&
              !std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<std::string, Secret>);
static_assert(!std::is_convertible_v<Key256, BytesView>);

TEST(Wipe, ClearsExactlyTheRange) {
    std::array<Byte, 6> bytes = {1, 2, 3, 4, 5, 6};
    wipe(bytes.data() + 1, 4);
    EXPECT_EQ(bytes, (std::array<Byte, 6>{1, 0, 0, 0, 0, 6}));
    wipe(nullptr, 0);
}

// Runs `use` on a Secret that lies in a buffer which can be looked at afterwards.
template <class Use>
bool text_remains(std::string_view text, Use use) {
    alignas(Secret) std::array<unsigned char, sizeof(Secret)> place{};
    auto* secret = new (place.data()) Secret(std::string(text));
    use(*secret);
    std::destroy_at(secret);
    const volatile unsigned char* raw = place.data();
    std::string left;
    for (std::size_t i = 0; i < place.size(); ++i) {
        left += static_cast<char>(raw[i]);
    }
    return left.find(text.substr(1)) != std::string::npos;
}

TEST(Secret, ShortTextDoesNotStayInTheObject) {
    EXPECT_FALSE(text_remains("hunter2", [](Secret&) {}));
    EXPECT_FALSE(text_remains("hunter2", [](Secret& s) { const Secret taken = std::move(s); }));
    EXPECT_FALSE(text_remains("hunter2", [](Secret& s) { s = Secret(); }));
    EXPECT_FALSE(text_remains("hunter2", [](Secret& s) {
        const Secret other("x");
        s = other;
    }));
}

TEST(Secret, MovesAndCopiesKeepTheValue) {
    const std::string text(100, 'k');
    Secret first{text};
    const Secret copy = first;
    Secret moved = std::move(first);
    EXPECT_EQ(copy.reveal(), text);
    EXPECT_EQ(moved.reveal(), text);
    EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): the move promises it
    Secret target("old");
    target = moved;
    EXPECT_EQ(target.reveal(), text);
    EXPECT_EQ(moved.reveal(), text);
    target = Secret("new");
    EXPECT_EQ(target.reveal(), "new");
    const Secret& self = target;
    target = self;
    EXPECT_EQ(target.reveal(), "new");
    EXPECT_FALSE(target.empty());
}

TEST(Secret, TheTextItIsMadeOfIsWiped) {
    std::string text = "hunter2";
    const Secret secret(std::move(text));
    EXPECT_EQ(secret.reveal(), "hunter2");
    EXPECT_TRUE(text.empty());  // NOLINT(bugprone-use-after-move): the constructor promises it
}

TEST(SecretArray, KeepsItsBytes) {
    std::array<Byte, 32> bytes{};
    bytes.fill(7);
    Key256 key(bytes);
    EXPECT_TRUE(std::ranges::equal(key.reveal(), bytes));
    key.reveal_mutable()[0] = 1;
    EXPECT_EQ(key.reveal()[0], 1);
}

TEST(Random, SeedsRepeatAndDiffer) {
    Bytes first(33);
    Bytes second(33);
    Bytes third(33);
    seeded_random(1)->fill(first);
    seeded_random(1)->fill(second);
    seeded_random(2)->fill(third);
    EXPECT_EQ(first, second);
    EXPECT_NE(first, third);
    const auto published = seeded_random(
        1234567);  // SplitMix64's own test vector: golden files depend on the sequence
    EXPECT_EQ(published->u64(), 6457827717110365317U);
    EXPECT_EQ(published->u64(), 3203168211198807973U);
}

TEST(Random, SystemBytesDoNotRepeat) {
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 1000; ++i) {
        seen.insert(system_random().u64());
    }
    EXPECT_EQ(seen.size(), 1000U);
    Bytes large(1 << 20);
    system_random().fill(large);
    EXPECT_FALSE(is_zero(BytesView(large).last(64)));
    system_random().fill({});
}

}  // namespace
}  // namespace lifeboat::base

#include "store/object_store.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "base/time.h"
#include "store/decorators.h"
#include "tests/support/expect.h"

namespace lifeboat::store {

using base::Code;
using test::fails;

namespace {

TEST(ObjectName, MayBe512BytesInPartsOf255) {
    const std::string part(255, 'x');
    EXPECT_TRUE(check_object_name(part + "/" + part).has_value());
    EXPECT_FALSE(check_object_name(part + "x").has_value());
    EXPECT_FALSE(check_object_name(part + "/" + part + "/a").has_value());
}

TEST(ObjectName, IsShownWithoutItsUnprintableBytes) {
    const auto checked = check_object_name("a\x1b[31m\xff");
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().message(), "object name 'a?[31m?' is not allowed");
    EXPECT_FALSE(checked.error().hint().empty());
}

TEST(ObjectName, IsCutShortInMessages) {
    const auto checked = check_object_name(std::string(5000, 'x'));
    ASSERT_FALSE(checked);
    EXPECT_LT(checked.error().message().size(), 150U);
}

TEST(Range, MustLieInsideTheObject) {
    EXPECT_TRUE(check_range("a", 10, 10, 0));
    EXPECT_TRUE(check_range("a", 10, 0, 10));
    EXPECT_TRUE(fails(check_range("a", 10, 4, UINT64_MAX - 3), Code::Corrupt));
    const auto outside = check_range("a", 10, 4, 7);
    ASSERT_FALSE(outside);
    EXPECT_EQ(outside.error().code(), Code::Corrupt);
    EXPECT_EQ(outside.error().message(),
              "object 'a' has 10 bytes, not the 7 asked for at offset 4");
}

TEST(ListAll, FailsWithTheStoresError) {
    base::ManualClock clock{base::Timestamp{}};
    const auto store =
        with_faults(memory_store(clock), [](Operation, const std::string&) { return Fault::Deny; });
    const auto all = list_all(*store, "");
    ASSERT_FALSE(all);
    EXPECT_EQ(all.error().code(), Code::Denied);
}

}  // namespace

}  // namespace lifeboat::store

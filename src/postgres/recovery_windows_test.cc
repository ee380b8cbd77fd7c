#include "postgres/recovery_windows.h"

#include <gtest/gtest.h>

namespace lifeboat::postgres {
namespace {

TEST(Windows, HoldPositionsOfTheirOwnTimelineOnly) {
    const engine::Window window{"0/2000028", "1/3000000", {}, {}, "timeline 2, and more",
                                "timeline 2"};
    EXPECT_TRUE(window_reaches(window, "0/2000028 on timeline 2"));
    EXPECT_TRUE(window_reaches(window, "0/FFFFFFFF on timeline 2"));
    EXPECT_TRUE(window_reaches(window, "1/3000000 on timeline 2"));
    EXPECT_FALSE(window_reaches(window, "1/3000001 on timeline 2"));
    EXPECT_FALSE(window_reaches(window, "0/2000027 on timeline 2"));
    EXPECT_FALSE(window_reaches(window, "1/1 on timeline 21"));
    EXPECT_FALSE(window_reaches(window, "1/1 on timeline 1"));
    EXPECT_FALSE(window_reaches(window, "1/1"));
    EXPECT_FALSE(window_reaches(window, ""));
}

}  // namespace
}  // namespace lifeboat::postgres

#include "config/nearest.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace lifeboat::config {
namespace {

TEST(Nearest, FindsWhatWasMeant) {
    static constexpr std::array<std::string_view, 5> kKnown = {"retention", "rolling_full",
                                                               "workers", "rto", "rpo"};
    EXPECT_EQ(nearest("retension", kKnown), "retention");
    EXPECT_EQ(nearest("retnetion", kKnown), "retention");
    EXPECT_EQ(nearest("worker", kKnown), "workers");
    EXPECT_EQ(nearest("rolling-full", kKnown), "rolling_full");
    EXPECT_EQ(nearest("rot", kKnown), "rto");
    EXPECT_EQ(nearest("Retention", kKnown), "retention");
    EXPECT_EQ(nearest("compression", kKnown), std::nullopt);
    EXPECT_EQ(nearest("", kKnown), std::nullopt);
    EXPECT_EQ(nearest("x", {}), std::nullopt);
    EXPECT_EQ(nearest(std::string(100000, 'r'), kKnown), std::nullopt);
}

}  // namespace
}  // namespace lifeboat::config

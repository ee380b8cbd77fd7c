#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/result.h"

namespace lifeboat::test {

// `EXPECT_TRUE(ok(f()))`: prints the failure and its hint.
template <class T>
testing::AssertionResult ok(const base::Result<T>& result) {
    if (result.has_value()) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure()
           << base::name(result.error().code()) << ": " << result.error().message()
           << " [hint: " << result.error().hint() << "]";
}

// `EXPECT_TRUE(fails(f(), Code::Corrupt))`.
template <class T>
testing::AssertionResult fails(const base::Result<T>& result, base::Code code) {
    if (result.has_value()) {
        return testing::AssertionFailure() << "succeeded, should fail with " << base::name(code);
    }
    if (result.error().code() == code) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure()
           << "failed with " << base::name(result.error().code()) << " ("
           << result.error().message() << "), should fail with " << base::name(code);
}

}  // namespace lifeboat::test

#pragma once

#include <gtest/gtest.h>

#include "tests/e2e/recovery_world.h"

namespace lifeboat::test {

// One world for all tests of the program: see RecoveryWorld.
class RecoveryTest : public testing::Test {
  public:
    static void SetUpTestSuite() {
        const std::string missing = postgres::PgServer{15, 1, false}.missing();
        if (missing.empty()) {
            world_ = new RecoveryWorld;
        }
    }

    static void TearDownTestSuite() {
        delete world_;
        world_ = nullptr;
    }

  protected:
    void SetUp() override {
        if (world_ == nullptr) {
            GTEST_SKIP() << postgres::PgServer{15, 1, false}.missing();
        }
        world_->set_faults(nullptr);
    }

    static RecoveryWorld& world() { return *world_; }

  private:
    inline static RecoveryWorld* world_ = nullptr;
};

}  // namespace lifeboat::test

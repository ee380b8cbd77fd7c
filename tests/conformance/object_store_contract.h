#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "store/object_store.h"

namespace lifeboat::conformance {

// A store with all that must outlive it. Each test makes a fresh, empty one; the destructor leaves
// nothing behind.
class StoreWorld {
  public:
    virtual ~StoreWorld() = default;
    virtual store::ObjectStore& store() = 0;
};

struct StoreKind {
    std::string name;  // of the test's instance: letters and digits
    std::function<std::unique_ptr<StoreWorld>()> make;
    // The store repeats calls whose reply was lost, so it cannot tell its own earlier success from
    // another's: a second remove of an object may succeed.
    bool repeats_calls = false;
};

// The contract of store/object_store.h, as tests. A store passes it by
//
//     INSTANTIATE_TEST_SUITE_P(Local, ObjectStoreContract, testing::Values(StoreKind{...}),
//     kind_name);
//
// in a program that also compiles object_store_contract.cc.
class ObjectStoreContract : public testing::TestWithParam<StoreKind> {
  protected:
    ObjectStoreContract() : world_(GetParam().make()) {}

    store::ObjectStore& store() { return world_->store(); }

  private:
    std::unique_ptr<StoreWorld> world_;
};

inline std::string kind_name(const testing::TestParamInfo<StoreKind>& kind) {
    return kind.param.name;
}

}  // namespace lifeboat::conformance

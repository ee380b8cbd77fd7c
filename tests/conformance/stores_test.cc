// Every store of this room, and every decorator, through the contract.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "base/mutex.h"
#include "store/decorators.h"
#include "store/local_store.h"
#include "tests/conformance/object_store_contract.h"
#include "tests/support/sim_files.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::conformance {

using store::Fault;
using store::LocalStore;
using store::ObjectStore;

namespace {

std::unique_ptr<ObjectStore> open_local(base::Files& files, base::Clock& clock,
                                        const std::string& directory) {
    auto opened = LocalStore::open(files, clock, directory, LocalStore::Create::Yes);
    if (!opened) {
        ADD_FAILURE() << opened.error().message();
        std::abort();
    }
    return std::move(opened).value();
}

class LocalWorld final : public StoreWorld {
  public:
    ObjectStore& store() override { return *store_; }

  private:
    test::TempDir temporary_;
    std::unique_ptr<ObjectStore> store_ =
        open_local(base::real_files(), base::system_clock(), temporary_ / "store");
};

// Time passes only while somebody sleeps on it: backoff costs a test nothing.
class SimulatedWorld : public StoreWorld {
  protected:
    base::ManualClock clock_{base::from_unix_micros(1'769'176'800'000'000)};
};

class LocalOnSimFilesWorld final : public SimulatedWorld {
  public:
    ObjectStore& store() override { return *store_; }

  private:
    test::SimFiles files_{&clock_};
    std::unique_ptr<ObjectStore> store_ = open_local(files_, clock_, "/backups/store");
};

class MemoryWorld : public SimulatedWorld {
  public:
    ObjectStore& store() override { return *store_; }

  protected:
    std::unique_ptr<ObjectStore> store_ = store::memory_store(clock_);
};

class MeterWorld final : public MemoryWorld {
  public:
    MeterWorld() {
        store_ = store::with_meter(std::move(store_), std::make_shared<store::Meter>());
    }
};

class FaultlessWorld final : public MemoryWorld {
  public:
    FaultlessWorld() {
        store_ = store::with_faults(
            std::move(store_), [](store::Operation, const std::string&) { return Fault::None; });
    }
};

// Of every five calls, one fails and one loses its reply.
class RetryOverFaultsWorld final : public SimulatedWorld {
  public:
    RetryOverFaultsWorld() {
        auto unreliable = store::with_faults(
            store::memory_store(clock_), [this](store::Operation, const std::string&) {
                const std::uint64_t draw = random_->u64() % 5;
                return draw == 0 ? Fault::Fail : draw == 1 ? Fault::LoseReply : Fault::None;
            });
        const store::Backoff patient{60, std::chrono::milliseconds(1),
                                     std::chrono::milliseconds(50)};
        store_ = store::with_retry(std::move(unreliable), patient, clock_, *random_, stop_);
    }

    ObjectStore& store() override { return *store_; }

  private:
    std::unique_ptr<base::Random> random_ = base::seeded_random(20260123);
    base::StopToken stop_;
    std::unique_ptr<ObjectStore> store_;
};

template <class World>
std::unique_ptr<StoreWorld> make() {
    return std::make_unique<World>();
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(
    Stores, ObjectStoreContract,
    testing::Values(StoreKind{"Local", make<LocalWorld>},
                    StoreKind{"LocalOnSimFiles", make<LocalOnSimFilesWorld>},
                    StoreKind{"Memory", make<MemoryWorld>}, StoreKind{"Meter", make<MeterWorld>},
                    StoreKind{"Faultless", make<FaultlessWorld>},
                    StoreKind{"RetryOverFaults", make<RetryOverFaultsWorld>, true}),
    kind_name);

}  // namespace lifeboat::conformance

#include "base/workers.h"

#include <exception>
#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace lifeboat::base {

namespace {

using Body = std::function<Result<>(std::size_t worker)>;

// The top of a thread: nothing may pass it but a Result.
Result<> contained(const Body& body, std::size_t worker) {
    try {
        return body(worker);
    } catch (const std::bad_alloc&) {
        return Error(Code::Unavailable, "out of memory")
            .hint("Give the process more memory, or lower the number of workers.");
    } catch (const std::exception& e) {
        return Error(Code::Bug, "worker threw '" + std::string(e.what()) + "'");
    } catch (...) {
        return Error(Code::Bug, "worker threw something unknown");
    }
}

class FirstFailure {
  public:
    void keep(Result<> result) {
        const Lock lock(mutex_);
        if (first_.has_value() && !result.has_value()) {
            first_ = std::move(result);
        }
    }

    Result<> take() {
        const Lock lock(mutex_);
        return std::move(first_);
    }

  private:
    Mutex mutex_;
    Result<> first_ LB_GUARDED_BY(mutex_);
};

}  // namespace

Result<> run_parallel(std::size_t count, const Body& body) {
    FirstFailure failure;
    // No body starts before every thread exists: bodies may wait for each other, and one that is
    // missing would hang the rest.
    std::promise<bool> gate;
    const std::shared_future<bool> all_started = gate.get_future().share();
    std::vector<std::thread> threads;
    threads.reserve(count);
    bool complete = true;
    for (std::size_t worker = 0; worker < count && complete; ++worker) {
        try {
            threads.emplace_back([&failure, &body, all_started, worker] {
                if (all_started.get()) {
                    failure.keep(contained(body, worker));
                }
            });
        } catch (const std::system_error& e) {
            failure.keep(os_failure(
                "starting thread " + std::to_string(worker + 1) + " of " + std::to_string(count),
                e.code().value()));
            complete = false;
        }
    }
    gate.set_value(complete);
    for (std::thread& thread : threads) {
        thread.join();
    }
    return failure.take();
}

}  // namespace lifeboat::base

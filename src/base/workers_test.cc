#include "base/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>

#include "tests/support/expect.h"

namespace lifeboat::base {
namespace {

using test::fails;
using test::ok;

TEST(RunParallel, GivesEveryWorkerItsNumber) {
    Mutex mutex;
    std::set<std::size_t> seen;
    EXPECT_TRUE(ok(run_parallel(5, [&](std::size_t worker) -> Result<> {
        const Lock lock(mutex);
        seen.insert(worker);
        return {};
    })));
    EXPECT_EQ(seen, (std::set<std::size_t>{0, 1, 2, 3, 4}));
    EXPECT_TRUE(ok(
        run_parallel(0, [](std::size_t) -> Result<> { return Error(Code::Bug, "never called"); })));
}

TEST(RunParallel, WorkersRunAtTheSameTime) {
    BoundedQueue<int> there(1);
    BoundedQueue<int> back(1);
    EXPECT_TRUE(ok(run_parallel(2, [&](std::size_t worker) -> Result<> {
        const bool met =
            worker == 0 ? there.push(1) && back.pop() == 2 : there.pop() == 1 && back.push(2);
        if (!met) {
            return Error(Code::Bug, "did not meet");
        }
        return {};
    })));
}

// Tells when the thread that touched it has ended, hence after run_parallel took its result.
struct ThreadEnd {
    std::atomic<bool>* ended = nullptr;

    ~ThreadEnd() {
        if (ended != nullptr) {
            *ended = true;
            ended->notify_all();
        }
    }
};

TEST(RunParallel, ReturnsTheFirstFailure) {
    std::atomic<bool> first_ended = false;
    const auto result = run_parallel(2, [&](std::size_t worker) -> Result<> {
        if (worker == 1) {
            thread_local ThreadEnd end;
            end.ended = &first_ended;
            return Error(Code::NoSpace, "the disk is full");
        }
        first_ended.wait(false);
        return Error(Code::Cancelled, "stopped because of the other");
    });
    EXPECT_TRUE(fails(result, Code::NoSpace));
}

TEST(RunParallel, OneFailureAmongSuccessesIsReported) {
    for (std::size_t bad = 0; bad < 4; ++bad) {
        const auto result = run_parallel(4, [&](std::size_t worker) -> Result<> {
            if (worker == bad) {
                return Error(Code::Corrupt, "worker " + std::to_string(worker));
            }
            return {};
        });
        ASSERT_TRUE(fails(result, Code::Corrupt));
        EXPECT_EQ(result.error().message(), "worker " + std::to_string(bad));
    }
}

TEST(RunParallel, ContainsExceptions) {
    const auto known = run_parallel(2, [](std::size_t worker) -> Result<> {
        if (worker == 1) {
            throw std::runtime_error("boom");
        }
        return {};
    });
    ASSERT_TRUE(fails(known, Code::Bug));
    EXPECT_EQ(known.error().message(), "worker threw 'boom'");
    EXPECT_TRUE(fails(run_parallel(1, [](std::size_t) -> Result<> { throw 7; }), Code::Bug));
    EXPECT_TRUE(fails(run_parallel(1, [](std::size_t) -> Result<> { throw std::bad_alloc(); }),
                      Code::Unavailable));
}

TEST(BoundedQueue, KeepsOrderAndDrainsAfterClose) {
    BoundedQueue<int> queue(3);
    EXPECT_TRUE(queue.push(1));
    EXPECT_TRUE(queue.push(2));
    queue.close();
    EXPECT_FALSE(queue.push(3));
    EXPECT_EQ(queue.pop(), 1);
    EXPECT_EQ(queue.pop(), 2);
    EXPECT_EQ(queue.pop(), std::nullopt);
    EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueue, NeverHoldsMoreThanItsCapacity) {
    BoundedQueue<int> queue(2);
    std::atomic<int> pushed = 0;
    std::atomic<int> popped = 0;
    std::atomic<int> most = 0;
    std::thread producer([&] {
        for (int i = 0; i < 1000; ++i) {
            EXPECT_TRUE(queue.push(i));
            const int held = ++pushed - popped;
            most = std::max(most.load(), held);
        }
        queue.close();
    });
    int expected = 0;
    while (const auto item = queue.pop()) {
        EXPECT_EQ(*item, expected++);
        ++popped;
    }
    producer.join();
    EXPECT_EQ(expected, 1000);
    EXPECT_LE(most, 4) << "two in the queue, and one in each hand";
}

TEST(BoundedQueue, CloseWakesThoseWhoWait) {
    BoundedQueue<int> full(1);
    BoundedQueue<int> empty(1);
    ASSERT_TRUE(full.push(1));
    std::thread pusher([&] { EXPECT_FALSE(full.push(2)); });
    std::thread popper([&] { EXPECT_EQ(empty.pop(), std::nullopt); });
    full.close();
    empty.close();
    pusher.join();
    popper.join();
}

TEST(BoundedQueue, CarriesWhatCannotBeCopied) {
    BoundedQueue<std::unique_ptr<int>> queue(1);
    ASSERT_TRUE(queue.push(std::make_unique<int>(5)));
    EXPECT_EQ(**queue.pop(), 5);
}

TEST(BoundedQueue, ManyThreadsLoseNothing) {
    BoundedQueue<int> queue(8);
    std::atomic<long> sum = 0;
    std::atomic<int> producers = 3;
    EXPECT_TRUE(ok(run_parallel(6, [&](std::size_t worker) -> Result<> {
        if (worker < 3) {
            for (int i = 1; i <= 1000; ++i) {
                EXPECT_TRUE(queue.push(i));
            }
            if (--producers == 0) {
                queue.close();
            }
            return {};
        }
        while (const auto item = queue.pop()) {
            sum += *item;
        }
        return {};
    })));
    EXPECT_EQ(sum, 3 * 500'500);
}

TEST(CondVar, WaitForEndsAtItsLimit) {
    Mutex mutex;
    CondVar condition;
    const Lock lock(mutex);
    bool woken = true;
    for (int i = 0; i < 100 && woken;
         ++i) {  // a spurious wake-up is allowed, a hundred in a row are not
        woken = condition.wait_for(mutex, std::chrono::microseconds(100));
    }
    EXPECT_FALSE(woken);
}

}  // namespace
}  // namespace lifeboat::base

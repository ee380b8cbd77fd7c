#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"

namespace lifeboat::base {

// Runs `body(worker)` on `count` threads and waits for all. Returns the first failure; each body is
// expected to end soon after another's failure (share a StopToken, or a queue that is closed). An
// exception is contained and becomes Code::Bug.
Result<> run_parallel(std::size_t count, const std::function<Result<>(std::size_t worker)>& body);

// A bounded queue between threads. push blocks while it is full, pop while it is empty; close()
// wakes everyone.
template <class T>
class BoundedQueue {
  public:
    explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

    // False when the queue was closed: the item was not taken.
    bool push(T item) {
        Lock lock(mutex_);
        while (items_.size() >= capacity_ && !closed_) {
            room_.wait(mutex_);
        }
        if (closed_) {
            return false;
        }
        items_.push_back(std::move(item));
        filled_.notify_one();
        return true;
    }

    // Nothing when the queue is closed and drained.
    std::optional<T> pop() {
        Lock lock(mutex_);
        while (items_.empty() && !closed_) {
            filled_.wait(mutex_);
        }
        if (items_.empty()) {
            return std::nullopt;
        }
        std::optional<T> item(std::move(items_.front()));
        items_.pop_front();
        room_.notify_one();
        return item;
    }

    void close() {
        Lock lock(mutex_);
        closed_ = true;
        filled_.notify_all();
        room_.notify_all();
    }

  private:
    const std::size_t capacity_;
    Mutex mutex_;
    CondVar room_;
    CondVar filled_;
    std::deque<T> items_ LB_GUARDED_BY(mutex_);
    bool closed_ LB_GUARDED_BY(mutex_) = false;
};

}  // namespace lifeboat::base

#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

// Clang proves these annotations (-Wthread-safety); other compilers see plain standard types.
#if defined(__clang__)
#define LB_ATTRIBUTE(x) __attribute__((x))
#else
#define LB_ATTRIBUTE(x)
#endif
#define LB_GUARDED_BY(mutex) LB_ATTRIBUTE(guarded_by(mutex))
#define LB_REQUIRES(mutex) LB_ATTRIBUTE(requires_capability(mutex))

namespace lifeboat::base {

class LB_ATTRIBUTE(capability("mutex")) Mutex {
  public:
    void lock() LB_ATTRIBUTE(acquire_capability()) { m_.lock(); }

    void unlock() LB_ATTRIBUTE(release_capability()) { m_.unlock(); }

  private:
    friend class CondVar;
    std::mutex m_;
};

class LB_ATTRIBUTE(scoped_lockable) Lock {
  public:
    explicit Lock(Mutex& mutex) LB_ATTRIBUTE(acquire_capability(mutex)) : mutex_(mutex) {
        mutex_.lock();
    }

    ~Lock() LB_ATTRIBUTE(release_capability()) { mutex_.unlock(); }

    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

  private:
    Mutex& mutex_;
};

// Waits with the Mutex held; callers loop over their condition.
class CondVar {
  public:
    void wait(Mutex& mutex) LB_REQUIRES(mutex) {
        std::unique_lock<std::mutex> lock(mutex.m_, std::adopt_lock);
        c_.wait(lock);
        lock.release();
    }

    // False on timeout.
    template <class Rep, class Period>
    bool wait_for(Mutex& mutex, std::chrono::duration<Rep, Period> limit) LB_REQUIRES(mutex) {
        std::unique_lock<std::mutex> lock(mutex.m_, std::adopt_lock);
        const bool woken = c_.wait_for(lock, limit) == std::cv_status::no_timeout;
        lock.release();
        return woken;
    }

    void notify_one() { c_.notify_one(); }

    void notify_all() { c_.notify_all(); }

  private:
    std::condition_variable c_;
};

}  // namespace lifeboat::base

#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/workers.h"
#include "repo/manifest.h"
#include "store/object_store.h"

namespace lifeboat::repo {

// Puts finished packs while the next ones are filled. Bounded: submit() blocks when `queue` packs
// wait. The first failure is kept, and every later submit() and finish() returns it. Thread-safe.
// The destructor abandons what was not put.
class Uploader {
  public:
    // Called on an upload thread once the object is durable.
    using Done = std::function<void(NeededObject object)>;

    Uploader(store::ObjectStore& store, std::size_t threads, std::size_t queue);
    ~Uploader();
    Uploader(const Uploader&) = delete;
    Uploader& operator=(const Uploader&) = delete;

    Result<> submit(std::string name, Bytes bytes, Done done);
    // Waits until everything that was submitted is durable.
    Result<> finish();
    // A buffer of an earlier pack, or an empty one: its memory is already mapped. Few are kept.
    Bytes spare_buffer();

    std::uint64_t stored_bytes() const { return stored_.load(std::memory_order_relaxed); }

  private:
    struct Job {
        std::string name;
        Bytes bytes;
        Done done;
    };

    void work();
    Result<> contained_put(Job& job);
    Result<> put(Job& job);
    void fail(base::Error error);
    Result<> failure();
    void retire(Bytes buffer);

    store::ObjectStore& store_;
    base::BoundedQueue<Job> queue_;
    std::atomic<std::uint64_t> stored_ = 0;
    base::Mutex mutex_;
    std::optional<base::Error> failure_ LB_GUARDED_BY(mutex_);
    std::vector<Bytes> spare_ LB_GUARDED_BY(mutex_);
    std::vector<std::thread> threads_;
};

}  // namespace lifeboat::repo

#include "repo/uploader.h"

#include <exception>

#include "crypto/seal.h"

namespace lifeboat::repo {

namespace {

constexpr std::size_t kSpares = 2;

}  // namespace

Uploader::Uploader(store::ObjectStore& store, std::size_t threads, std::size_t queue)
    : store_(store), queue_(queue) {
    for (std::size_t i = 0; i < threads; ++i) {
        threads_.emplace_back([this] { work(); });
    }
}

Uploader::~Uploader() {
    fail(base::Error(base::Code::Cancelled, "the upload was abandoned"));
    finish().discard("the destructor abandons; finish() is where a caller learns of failures");
}

void Uploader::work() {
    while (auto job = queue_.pop()) {
        if (!failure().has_value()) {
            continue;  // drain: producers must not block for ever
        }
        auto done = contained_put(*job);
        if (!done) {
            fail(std::move(done).error());
        }
        retire(std::move(job->bytes));
    }
}

// The top of a thread: nothing may pass it but a Result.
Result<> Uploader::contained_put(Job& job) {
    try {
        return put(job);
    } catch (const std::exception& e) {
        return base::Error(base::Code::Bug,
                           "the upload of '" + job.name + "' threw '" + e.what() + "'");
    }
}

Result<> Uploader::put(Job& job) {
    NeededObject object{job.name, job.bytes.size(), crypto::sha256(job.bytes)};
    TRY(store_.put(job.name, job.bytes).during("writing '" + job.name + "'"));
    stored_.fetch_add(job.bytes.size(), std::memory_order_relaxed);
    job.done(std::move(object));
    return {};
}

Result<> Uploader::submit(std::string name, Bytes bytes, Done done) {
    TRY(failure());
    if (!queue_.push({std::move(name), std::move(bytes), std::move(done)})) {
        return base::Error(base::Code::Bug, "a pack was submitted after the end");
    }
    return {};
}

Result<> Uploader::finish() {
    queue_.close();
    for (std::thread& thread : threads_) {
        if (thread.joinable()) {
            thread.join();
        }
    }
    return failure();
}

void Uploader::fail(base::Error error) {
    const base::Lock lock(mutex_);
    if (!failure_) {
        failure_ = std::move(error);
    }
}

Result<> Uploader::failure() {
    const base::Lock lock(mutex_);
    if (failure_) {
        return failure_->clone();
    }
    return {};
}

Bytes Uploader::spare_buffer() {
    const base::Lock lock(mutex_);
    if (spare_.empty()) {
        return {};
    }
    Bytes buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
}

void Uploader::retire(Bytes buffer) {
    const base::Lock lock(mutex_);
    if (spare_.size() < kSpares) {  // map packs return buffers and take none: without a bound all
                                    // of them would stay
        spare_.push_back(std::move(buffer));
    }
}

}  // namespace lifeboat::repo

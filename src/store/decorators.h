#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/random.h"
#include "base/stop.h"
#include "store/object_store.h"

namespace lifeboat::store {

// Decorators own the store that they wrap, and pass the conformance suite like any store.

struct Backoff {
    int attempts = 6;
    base::Duration first = std::chrono::milliseconds(100);  // doubles each time, with full jitter
    base::Duration most = std::chrono::seconds(10);
};

// The one place that retries: it answers Unavailable with another try.
//
// - put: once a try may have landed, the last word is what lies in the store (stat, then a compare
//   of the bytes). The same bytes are success, others are Conflict; where the look fails it is
//   OutcomeUnknown. A store's own OutcomeUnknown is passed on.
// - remove: nothing there after a try that may have landed is success.
// - list: each object is shown once, however often it starts anew. An error of `each` is the
//   caller's own and is not retried.
// - A stop ends the waiting: Cancelled, or OutcomeUnknown when a put or remove may have landed.
//   First tries are made even after a stop, so that a caller can still record that it stopped.
//
// `clock`, `random` and `stop` must outlive the store.
std::unique_ptr<ObjectStore> with_retry(std::unique_ptr<ObjectStore> inner, Backoff backoff,
                                        base::Clock& clock, base::Random& random,
                                        const base::StopToken& stop);

// Counts, for reports and tests; readable at any time from any thread. Bytes count when the call
// succeeded, calls always; an error of list()'s own `each` is no failure of the store.
struct Meter {
    std::atomic<std::uint64_t> puts = 0, gets = 0, lists = 0, stats = 0, removes = 0, failures = 0;
    std::atomic<std::uint64_t> bytes_put = 0, bytes_got = 0;
};

std::unique_ptr<ObjectStore> with_meter(std::unique_ptr<ObjectStore> inner,
                                        std::shared_ptr<Meter> meter);  // shared: caller and store

// Fault injection. `decide` sees every call before it is made and says what shall happen to it.
// Thread-safe if `decide` is.
enum class Fault {
    None,
    Fail,       // Unavailable, and nothing happened
    LoseReply,  // it happened, and Unavailable is returned
    Deny,       // Denied
    NoSpace,    // put: NoSpace
    Truncate,   // get, get_range: the transfer ends early; a store reports that as Corrupt
    FlipBit,    // get, get_range: one bit differs: what rot looks like to the reader
};
enum class Operation { Put, Get, GetRange, Stat, List, Remove };
// `name` is the prefix for List. A fault that does not fit the operation (NoSpace for a get) is
// None.
using FaultPlan = std::function<Fault(Operation operation, const std::string& name)>;
std::unique_ptr<ObjectStore> with_faults(std::unique_ptr<ObjectStore> inner, FaultPlan decide);

// Objects in memory, for tests and dry runs: as durable as the process. `clock` must outlive the
// store.
std::unique_ptr<ObjectStore> memory_store(base::Clock& clock);

}  // namespace lifeboat::store

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "service/installation.h"

namespace lifeboat::service {

// Takes the backups that a stream with a hole needs, while the stream goes on: capture must not
// wait for them, least of all when it is a synchronous standby, or when the server drops WAL that
// is not fetched soon. A backup that fails is tried again, with growing pauses, until one exists
// that begins where the hole has ended.
class Anchor {
  public:
    struct Wanted {
        std::string system;
        std::string repository;
        base::Duration first_pause{};  // after a failure; doubled up to kLargestFactor times it
    };

    // `from` must outlive it, and its repository has been opened; nothing else of it is touched.
    Anchor(const Installation& from, Wanted wanted)
        : world_(from.world()), config_(from.config()), wanted_(std::move(wanted)) {}

    // From any thread; returns at once.
    void ask(engine::BaseNeed need);
    // One thread's work, until end(): what was asked by then is tried once more, unless a stop was
    // requested.
    void run();
    void end();
    // What is needed and what became of it, for the status; empty when nothing is.
    std::string state() const;

  private:
    static constexpr int kLargestFactor = 64;

    bool await_need();
    bool await_retry(base::Duration pause);
    Result<> attempt();
    Result<> back_up(Installation& installation);
    void drop_met(const repo::Manifest& newest);
    void say(const std::string& what);

    const World& world_;
    const config::Config config_;  // an installation is one thread's: this makes our own
    const Wanted wanted_;
    mutable base::Mutex mutex_;
    base::CondVar change_;
    std::vector<engine::BaseNeed> needs_ LB_GUARDED_BY(mutex_);
    std::uint64_t asked_ LB_GUARDED_BY(mutex_) = 0;
    bool ended_ LB_GUARDED_BY(mutex_) = false;
    std::string state_ LB_GUARDED_BY(mutex_);
};

}  // namespace lifeboat::service

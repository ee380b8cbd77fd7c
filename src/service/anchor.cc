#include "service/anchor.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "service/backup.h"

namespace lifeboat::service {

using base::Code;
using base::Duration;
using base::Error;
using base::Lock;

void Anchor::ask(engine::BaseNeed need) {
    const Lock lock(mutex_);
    state_ = "a backup is needed: " + need.reason;
    needs_.push_back(std::move(need));
    ++asked_;
    change_.notify_all();
}

void Anchor::end() {
    const Lock lock(mutex_);
    ended_ = true;
    change_.notify_all();
}

std::string Anchor::state() const {
    const Lock lock(mutex_);
    return state_;
}

void Anchor::say(const std::string& what) {
    const Lock lock(mutex_);
    state_ = needs_.empty() ? "" : "a backup is needed: " + needs_.back().reason + "; " + what;
}

void Anchor::run() {
    Duration pause = wanted_.first_pause;
    std::uint64_t tried = 0;
    while (await_need()) {
        {
            const Lock lock(mutex_);
            if (ended_ && tried == asked_) {
                return;
            }
            tried = asked_;
        }
        auto done = attempt();
        if (done) {
            pause = wanted_.first_pause;
            continue;
        }
        if (world_.stop.requested()) {
            return;
        }
        base::log(base::LogLevel::Error, "the backup that should anchor the stream failed",
                  {{"system", wanted_.system}, {"error", done.error().message()}});
        say("the last try failed: " + done.error().message());
        if (!await_retry(pause)) {
            return;
        }
        pause = std::min(pause * 2, wanted_.first_pause * kLargestFactor);
    }
}

// False: it is over, and nothing is left to do.
bool Anchor::await_need() {
    const Lock lock(mutex_);
    while (needs_.empty() && !ended_) {
        change_.wait_for(mutex_, std::chrono::seconds(1));
    }
    return !needs_.empty() && !world_.stop.requested();
}

// False: it is over.
bool Anchor::await_retry(Duration pause) {
    const auto until = std::chrono::steady_clock::now() + pause;
    const Lock lock(mutex_);
    while (!ended_ && !world_.stop.requested()) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= until) {
            return true;
        }
        change_.wait_for(mutex_, std::chrono::ceil<Duration>(until - now));
    }
    return false;
}

Result<> Anchor::attempt() {
    Installation installation(world_, config_);
    OpenRepository* repository = TRY(installation.repository(wanted_.repository));
    const auto keys = TRY(installation.reader_keys(*repository, {}));
    const auto drop_if_there = [&]() -> Result<> {
        auto newest = newest_backup(*repository->repository, wanted_.system, *keys);
        if (newest && *newest) {
            drop_met((*newest)->manifest);
        }
        return newest ? Result<>() : Result<>(std::move(newest).error());
    };
    // Another host's, or one that cannot be read, is no reason not to take our own.
    drop_if_there().discard("a backup is taken when no other is known to do");
    {
        const Lock lock(mutex_);
        if (needs_.empty()) {
            return {};
        }
    }
    TRY(back_up(installation));
    TRY(drop_if_there());
    const Lock lock(mutex_);
    if (!needs_.empty()) {
        return Error(Code::Unavailable, "the new backup begins before the hole has ended");
    }
    return {};
}

Result<> Anchor::back_up(Installation& installation) {
    say("it is being taken");
    base::log(base::LogLevel::Warn, "taking a backup because the stream has a gap",
              {{"system", wanted_.system}, {"reason", state()}});
    auto report = TRY(backup(installation, {{wanted_.system}, wanted_.repository, false},
                             [](const std::string&, const repo::CaptureProgress*) {}));
    if (report.outcomes.empty()) {
        return Error(Code::Bug, "no system was backed up");
    }
    auto& error = report.outcomes.front().error;
    return error ? Result<>(std::move(*error)) : Result<>();
}

void Anchor::drop_met(const repo::Manifest& newest) {
    const Lock lock(mutex_);
    std::erase_if(needs_, [&](const engine::BaseNeed& need) { return need.met_by(newest); });
    state_ = needs_.empty() ? "" : state_;
}

}  // namespace lifeboat::service

#include "postgres/wal_coverage.h"

namespace lifeboat::postgres {

namespace {

constexpr std::size_t kMost = 4096;
// More than commits overtake one another: the server's clock was set back.
constexpr auto kSetBack = std::chrono::seconds(1);

}  // namespace

void WalCoverage::promise(Lsn end, base::Timestamp moment) {
    if (newest_ && moment < *newest_ - kSetBack) {
        forget();
    }
    if (newest_ && moment <= *newest_) {
        return;
    }
    while (!open_.empty() && open_.back().end >= end) {
        open_.pop_back();
    }
    if (!open_.empty() && moment - open_.back().moment < interval_) {
        return;
    }
    open_.push_back({end, moment});
    newest_ = moment;
    if (open_.size() > kMost) {
        std::deque<Promise> fewer;
        for (std::size_t i = 0; i < open_.size(); i += 2) {
            fewer.push_back(open_[i]);
        }
        open_ = std::move(fewer);
        interval_ *= 2;
    }
}

std::optional<base::Timestamp> WalCoverage::reach(Lsn to) {
    std::optional<base::Timestamp> covered;
    while (!open_.empty() && open_.front().end <= to) {
        covered = open_.front().moment;
        open_.pop_front();
    }
    interval_ = open_.empty() ? kInterval : interval_;
    return covered;
}

void WalCoverage::forget() {
    open_.clear();
    interval_ = kInterval;
    newest_.reset();
}

}  // namespace lifeboat::postgres

#include "postgres/wal_receiver_ranges.h"

#include <algorithm>
#include <iterator>

namespace lifeboat::postgres {

using repo::StreamRange;

void WalRanges::add(const StreamRange& range) {
    if (range.from >= range.to) {
        return;
    }
    Spans& spans = timelines_[range.timeline];
    std::uint64_t from = range.from;
    std::uint64_t to = range.to;
    auto at = spans.upper_bound(from);
    if (at != spans.begin() && std::prev(at)->second >= from) {
        --at;
    }
    while (at != spans.end() && at->first <= to) {
        from = std::min(from, at->first);
        to = std::max(to, at->second);
        at = spans.erase(at);
    }
    spans[from] = to;
}

std::uint64_t WalRanges::covered_to(TimelineId timeline, std::uint64_t from) const {
    const auto spans = timelines_.find(timeline);
    if (spans == timelines_.end()) {
        return from;
    }
    const auto after = spans->second.upper_bound(from);
    return after == spans->second.begin() ? from : std::max(from, std::prev(after)->second);
}

std::optional<StreamRange> WalRanges::first_missing(const StreamRange& range) const {
    const std::uint64_t from = covered_to(range.timeline, range.from);
    if (from >= range.to) {
        return std::nullopt;
    }
    StreamRange missing{range.timeline, from, range.to};
    const auto spans = timelines_.find(range.timeline);
    if (spans != timelines_.end()) {
        const auto next = spans->second.upper_bound(from);
        missing.to = next == spans->second.end() ? range.to : std::min(range.to, next->first);
    }
    return missing;
}

std::optional<StreamRange> WalRanges::first(TimelineId timeline) const {
    const auto spans = timelines_.find(timeline);
    if (spans == timelines_.end() || spans->second.empty()) {
        return std::nullopt;
    }
    const auto first = spans->second.begin();
    return StreamRange{timeline, first->first, first->second};
}

std::optional<StreamRange> WalRanges::last(TimelineId timeline) const {
    const auto spans = timelines_.find(timeline);
    if (spans == timelines_.end() || spans->second.empty()) {
        return std::nullopt;
    }
    const auto last = std::prev(spans->second.end());
    return StreamRange{timeline, last->first, last->second};
}

std::vector<StreamRange> WalRanges::ranges(TimelineId timeline) const {
    std::vector<StreamRange> out;
    const auto spans = timelines_.find(timeline);
    if (spans != timelines_.end()) {
        for (const auto& [from, to] : spans->second) {
            out.push_back({timeline, from, to});
        }
    }
    return out;
}

std::vector<TimelineId> WalRanges::timelines() const {
    std::vector<TimelineId> out;
    for (const auto& [timeline, spans] : timelines_) {
        out.push_back(timeline);
    }
    return out;
}

}  // namespace lifeboat::postgres

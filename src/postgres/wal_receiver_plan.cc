#include "postgres/wal_receiver_plan.h"

#include <algorithm>

#include "postgres/wal_format.h"

namespace lifeboat::postgres {

using repo::StreamRange;

namespace {

// The way that the server came, oldest first; the last one is open (end not set).
std::vector<TimelineSpan> way_of(const TimelineHistory& history) {
    std::vector<TimelineSpan> way;
    Lsn begin;
    for (const Departure& departure : history.ancestors) {
        way.push_back({departure.timeline, begin, departure.at});
        begin = departure.at;
    }
    way.push_back({history.timeline, begin, {}});
    return way;
}

Lsn segment_start(Lsn at, SegmentSize size) {
    return size.start_of(size.number_at(at));
}

std::size_t index_of(const std::vector<TimelineSpan>& way, TimelineId timeline) {
    const auto at = std::find_if(way.begin(), way.end(), [&](const TimelineSpan& span) {
        return span.timeline == timeline;
    });
    return static_cast<std::size_t>(at - way.begin());
}

bool lies_on(const std::vector<TimelineSpan>& way, const WalStart& at) {
    const std::size_t i = index_of(way, at.timeline);
    return i < way.size() && (!way[i].end.is_set() || at.from <= way[i].end);
}

std::optional<WalStart> first_held(const std::vector<TimelineSpan>& way, const WalRanges& held) {
    for (const TimelineSpan& span : way) {
        const auto first = held.first(span.timeline);
        if (first && (!span.end.is_set() || Lsn{first->from} < span.end)) {
            return WalStart{span.timeline, Lsn{first->from}};
        }
    }
    return std::nullopt;
}

// The end of what is held of the timeline before `limit`; nothing when none of it is.
std::optional<Lsn> held_before(const WalRanges& held, TimelineId timeline, Lsn limit) {
    std::optional<Lsn> end;
    for (const StreamRange& range : held.ranges(timeline)) {
        if (range.from < limit.value) {
            end = Lsn{std::min(range.to, limit.value)};
        }
    }
    return end;
}

}  // namespace

bool is_on_the_way(const WalRanges& held, const std::optional<WalStart>& base,
                   const TimelineHistory& history) {
    const std::vector<TimelineSpan> way = way_of(history);
    return (base && lies_on(way, *base)) || first_held(way, held);
}

bool is_anchored(const WalRanges& held, const std::optional<WalStart>& base,
                 const TimelineHistory& history) {
    const std::vector<TimelineSpan> way = way_of(history);
    return base ? lies_on(way, *base) : held.timelines().empty() || first_held(way, held);
}

WalStart plan_first_needed(const WalRanges& held, const std::optional<WalStart>& base,
                           const WalStart& kept, const TimelineHistory& history, SegmentSize size) {
    const std::vector<TimelineSpan> way = way_of(history);
    std::optional<WalStart> first = first_held(way, held);
    if (base && lies_on(way, *base)) {
        first = WalStart{base->timeline, segment_start(base->from, size)};
    }
    return first && is_before(*first, kept, history) ? *first : kept;
}

WalStart plan_start(const WalRanges& held, const WalStart& first, const TimelineHistory& history,
                    SegmentSize size) {
    const std::vector<TimelineSpan> way = way_of(history);
    const std::size_t start = index_of(way, first.timeline);
    for (std::size_t i = start; i < way.size(); ++i) {
        const TimelineSpan& span = way[i];
        const Lsn begin = i == start ? first.from : span.begin;
        const Lsn end{held.covered_to(span.timeline, begin.value)};
        if (span.end.is_set() && end >= span.end) {
            continue;
        }
        const bool whole_segment = end == begin && i != start;
        return {span.timeline, whole_segment ? segment_start(begin, size) : end};
    }
    return first;
}

WalStart plan_first_start(Lsn kept, const TimelineHistory& history, SegmentSize size) {
    for (const TimelineSpan& span : way_of(history)) {
        if (!span.end.is_set() || kept < span.end) {
            return {span.timeline, segment_start(kept, size)};
        }
    }
    return {history.timeline, segment_start(kept, size)};
}

std::optional<StreamRange> plan_gap(const WalRanges& held, const WalStart& from,
                                    const WalStart& kept, const TimelineHistory& history) {
    constexpr std::uint64_t kOpen = ~std::uint64_t{0};
    const std::vector<TimelineSpan> way = way_of(history);
    const std::size_t at = index_of(way, from.timeline);
    if (at == way.size()) {
        return std::nullopt;
    }
    const std::uint64_t end = way[at].end.is_set() ? way[at].end.value : kOpen;
    auto gap = held.first_missing({from.timeline, from.from.value, end});
    if (!gap || gap->from != from.from.value) {
        return std::nullopt;
    }
    if (kept.timeline == from.timeline && kept.from > from.from) {
        gap->to = std::min(gap->to, kept.from.value);
    }
    return gap->to == kOpen ? std::nullopt : gap;
}

std::vector<StreamRange> plan_skipped(const WalRanges& held, const WalStart& start,
                                      const TimelineHistory& history, SegmentSize size) {
    const std::vector<TimelineSpan> way = way_of(history);
    std::vector<StreamRange> skipped;  // newest first
    const std::size_t last = index_of(way, start.timeline);
    for (std::size_t back = 0; last < way.size() && back <= last; ++back) {
        const TimelineSpan& span = way[last - back];
        const Lsn limit = back == 0 ? start.from : span.end;
        const auto end = held_before(held, span.timeline, limit);
        const Lsn from = end ? *end : segment_start(span.begin, size);
        if (from < limit) {
            skipped.push_back({span.timeline, from.value, limit.value});
        }
        if (end) {
            std::reverse(skipped.begin(), skipped.end());
            return skipped;
        }
    }
    return {};
}

bool is_before(const WalStart& a, const WalStart& b, const TimelineHistory& history) {
    const std::vector<TimelineSpan> way = way_of(history);
    const std::size_t a_at = index_of(way, a.timeline);
    const std::size_t b_at = index_of(way, b.timeline);
    return a_at != b_at ? a_at < b_at : a.from < b.from;
}

WalStart plan_request(const WalStart& start, const std::optional<StreamRange>& spooled,
                      SegmentSize size) {
    const Lsn segment = segment_start(start.from, size);
    if (!spooled || Lsn{spooled->to} < segment || Lsn{spooled->to} > start.from) {
        return {start.timeline, segment};
    }
    const std::uint64_t page = (spooled->to - 1) / kWalPage * kWalPage;
    // Not into the segment before: the slot no longer keeps that.
    const std::uint64_t least = std::max(spooled->from, segment.value);
    return {start.timeline, Lsn{std::max(page, least)}};
}

}  // namespace lifeboat::postgres

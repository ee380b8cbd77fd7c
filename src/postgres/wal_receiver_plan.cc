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

}  // namespace

std::optional<WalStart> plan_start(const WalRanges& held, const TimelineHistory& history,
                                   SegmentSize size) {
    const std::vector<TimelineSpan> way = way_of(history);
    for (std::size_t i = way.size(); i-- > 0;) {
        const auto last = held.last(way[i].timeline);
        if (!last) {
            continue;
        }
        if (!way[i].end.is_set() || Lsn{last->to} < way[i].end) {
            return WalStart{way[i].timeline, Lsn{last->to}};
        }
        return WalStart{way[i + 1].timeline, segment_start(way[i].end, size)};
    }
    return std::nullopt;
}

WalStart plan_first_start(Lsn kept, const TimelineHistory& history, SegmentSize size) {
    for (const TimelineSpan& span : way_of(history)) {
        if (!span.end.is_set() || kept < span.end) {
            return {span.timeline, segment_start(kept, size)};
        }
    }
    return {history.timeline, segment_start(kept, size)};
}

std::vector<StreamRange> plan_gap(const WalStart& from, const WalStart& to,
                                  const TimelineHistory& history, SegmentSize size) {
    const std::vector<TimelineSpan> way = way_of(history);
    std::vector<StreamRange> gaps;
    for (std::size_t i = index_of(way, from.timeline); i < way.size(); ++i) {
        const TimelineSpan& span = way[i];
        const bool last = span.timeline == to.timeline;
        const Lsn begin =
            span.timeline == from.timeline ? from.from : segment_start(span.begin, size);
        const Lsn end = last ? to.from : span.end;
        if (begin < end) {
            gaps.push_back({span.timeline, begin.value, end.value});
        }
        if (last) {
            break;
        }
    }
    return gaps;
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

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "postgres/lsn.h"
#include "repo/names.h"

namespace lifeboat::postgres {

// A set of WAL bytes, on any number of timelines. Pure.
class WalRanges {
  public:
    void add(const repo::StreamRange& range);

    // End of the contiguous bytes from `from` on; `from` itself when that byte is missing.
    std::uint64_t covered_to(TimelineId timeline, std::uint64_t from) const;

    bool contains(const repo::StreamRange& range) const {
        return covered_to(range.timeline, range.from) >= range.to;
    }

    // The first part of `range` that is missing; nothing when it is all here.
    std::optional<repo::StreamRange> first_missing(const repo::StreamRange& range) const;
    // The contiguous range that begins first, and the one that ends last; nothing when the timeline
    // is empty.
    std::optional<repo::StreamRange> first(TimelineId timeline) const;
    std::optional<repo::StreamRange> last(TimelineId timeline) const;
    // All contiguous ranges of a timeline, ascending.
    std::vector<repo::StreamRange> ranges(TimelineId timeline) const;
    std::vector<TimelineId> timelines() const;

  private:
    using Spans =
        std::map<std::uint64_t, std::uint64_t>;  // first byte -> one past the last; none touch
    std::map<TimelineId, Spans> timelines_;
};

}  // namespace lifeboat::postgres

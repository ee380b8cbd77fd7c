// Gathering. Tested by wal_gather_test.cc and tests/e2e/stream_test.cc.
//
// Order matters and is all there is: read the spool, put the pack, wait until it is durable, and
// only then remove files. A crash between any two steps leaves files that are gathered already; the
// catalog says so at the next start, and they go then.

#include "postgres/wal_gather.h"

#include <algorithm>
#include <utility>

#include "postgres/wal_format.h"

namespace lifeboat::postgres {

using base::Bytes;
using base::BytesView;
using repo::StreamRange;
using std::chrono::steady_clock;

namespace {

constexpr std::uint64_t kSegmentsPerPack = 4;
constexpr std::uint64_t kLargestGather = 64 * base::kMiB;
constexpr auto kLongestWait = std::chrono::minutes(10);

}  // namespace

std::uint64_t gather_bytes(SegmentSize size) {
    return std::min(kSegmentsPerPack * size.bytes(), kLargestGather);
}

std::optional<StreamRange> plan_gather(const std::vector<StreamRange>& held, const WalRanges& done,
                                       const GatherRules& rules) {
    const std::uint64_t group = gather_bytes(rules.size);
    for (std::size_t i = 0; i < held.size(); ++i) {
        const StreamRange& range = held[i];
        const bool grows = rules.growing ? is_growing(range, *rules.growing) : i + 1 == held.size();
        const std::uint64_t whole = rules.size.start_of(rules.size.number_at(Lsn{range.to})).value;
        const std::uint64_t from = done.covered_to(range.timeline, range.from);
        const std::uint64_t end = grows ? whole : range.to;
        if (from >= end) {
            continue;
        }
        // Groups are cut at multiples, so that two writers of the same bytes make the same packs.
        const std::uint64_t to = std::min(end, (from / group + 1) * group);
        if (to - from == group || to % group == 0 || !grows || rules.at_once) {
            return StreamRange{range.timeline, from, to};
        }
    }
    return std::nullopt;
}

bool is_growing(const StreamRange& range, const WalStart& current) {
    return range.timeline == current.timeline && range.from <= current.from.value &&
           current.from.value <= range.to;
}

Lsn droppable_before(Lsn end, SegmentSize size) {
    const Lsn segment = size.start_of(size.number_at(end));
    return Lsn{segment.value - std::min(segment.value, size.bytes())};
}

WalGatherer::WalGatherer(const RepositorySide& side)
    : side_(side),
      writer_(side.job.repository, side.job.host, side.system, side.context.clock,
              side.context.random) {}

Result<> WalGatherer::run() {
    while (!side_.share.ended()) {
        const bool busy = TRY(step());
        if (!busy) {
            seen_ = side_.share.wait(seen_, std::chrono::seconds(1));
        }
    }
    return {};
}

Result<bool> WalGatherer::step() {
    WalShare& share = side_.share;
    if (share.spool() == nullptr || !share.catalog_known() || share.draining() ||
        !share.open_claims().empty()) {
        return false;
    }
    // In this order: what came since belongs to the range that grows.
    const auto current = share.current();
    const auto held = share.spool()->ranges();
    const GatherRules rules{share.spool()->cluster().segment_size, current,
                            share.pressure() || has_waited_long(held, current)};
    const auto range = plan_gather(held, share.gathered_ranges(), rules);
    if (!range) {
        TRY(drop_gathered());
        return false;
    }
    const bool done =
        TRY(persist(side_, TroubleSource::Gather, "gathering WAL", [&] { return gather(*range); }));
    if (done) {
        share.gathered(*range);
        TRY(drop_gathered());
    }
    return done;
}

bool WalGatherer::has_waited_long(const std::vector<StreamRange>& held,
                                  const std::optional<WalStart>& current) {
    const GatherRules patient{side_.share.spool()->cluster().segment_size, current, true};
    const auto candidate = plan_gather(held, side_.share.gathered_ranges(), patient);
    if (!candidate || !candidate_ || candidate->timeline != candidate_->timeline ||
        candidate->from != candidate_->from) {
        candidate_ = candidate;
        candidate_since_ = steady_clock::now();
    }
    return candidate && steady_clock::now() - candidate_since_ >= kLongestWait;
}

Result<> WalGatherer::gather(const StreamRange& range) {
    const WalSpool& spool = *side_.share.spool();
    if (!follower_) {
        follower_.emplace(spool, KeepPoints::No);
    }
    Bytes summary;
    const Lsn read_to = TRY(follower_->follow(range));
    if (read_to == Lsn{range.to}) {
        summary = follower_->take_summary();
    }
    follower_->passed(Lsn{range.to});
    const auto read = [&](std::uint64_t offset, std::uint64_t count) -> Result<BytesView> {
        buffer_.resize(count);
        TRY(spool.read(range.timeline, Lsn{range.from + offset}, buffer_));
        return BytesView(buffer_);
    };
    return put(describe_put(side_, repo::StreamObject::Gathered, range, std::move(summary)), read);
}

// Like a piece's: what lies damaged under the name cannot be replaced, and the bytes go into two
// other packs.
Result<> WalGatherer::put(const repo::StreamPut& put, const repo::StreamWriter::Read& read) {
    auto done = writer_.put(put, read);
    const std::uint64_t size = put.range.to - put.range.from;
    if (done || done.error().code() != Code::Corrupt || size < 2 * kWalPage) {
        return done;
    }
    const std::uint64_t half = size / 2 / kWalPage * kWalPage;
    repo::StreamPut first = put;
    repo::StreamPut second = put;
    first.range.to = second.range.from = put.range.from + half;
    first.summary.clear();
    first.captured = {};  // what is covered is so at the end only
    TRY(this->put(first, read));
    return this->put(second, [&](std::uint64_t offset, std::uint64_t count) {
        return read(half + offset, count);
    });
}

StreamRange droppable(const StreamRange& held, const WalRanges& done,
                      const std::optional<WalStart>& current, SegmentSize size) {
    const Lsn end{done.covered_to(held.timeline, held.from)};
    const bool left_behind = current && !is_growing(held, *current) && end >= Lsn{held.to};
    const Lsn to = left_behind ? end : droppable_before(end, size);
    return {held.timeline, held.from, std::max(held.from, to.value)};
}

// S5.
Result<> WalGatherer::drop_gathered() {
    WalSpool& spool = *side_.share.spool();
    const WalRanges done = side_.share.gathered_ranges();
    const auto current = side_.share.current();
    for (const StreamRange& range : spool.ranges()) {
        auto dropped = spool.drop(droppable(range, done, current, spool.cluster().segment_size));
        if (!dropped) {
            side_.share.complain(TroubleSource::Gather, dropped.error().message());
            return {};
        }
    }
    return {};
}

}  // namespace lifeboat::postgres

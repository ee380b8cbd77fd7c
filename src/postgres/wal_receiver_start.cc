// Where the receiver begins. Tested by wal_receiver_plan_test.cc and tests/e2e/stream_hole_test.cc.
//
// Capture begins at the first byte that is missing, not behind the last one that is there: WAL also
// comes from archive_command, from receivers before us and from a spool that may have rotted, so
// there can be holes, and a server that still has what belongs in them loses it once we acknowledge
// what lies behind. The oldest hole is tried first. What the server answers to with "removed" is
// recorded as a gap, and a new base backup has to anchor what follows (T17, S1). What lies before
// the newest backup is not asked for: between it and what is held, that is recorded as a gap as
// well.

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "postgres/backup_details.h"
#include "postgres/wal_receiver_claims.h"
#include "postgres/wal_receiver_loop.h"

namespace lifeboat::postgres {

using repo::StreamRange;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr auto kCatalogPatience = seconds(2);

// True for a backup from which the way goes on at `from` or later.
bool begins_behind(const repo::Manifest& manifest, const WalStart& from,
                   const TimelineHistory& history) {
    const auto backup = BackupDetails::from_json(manifest.details);
    if (!backup) {
        return false;
    }
    const WalStart start{backup->timeline, backup->start};
    const bool later = start.timeline > history.timeline;  // the server has gone on since
    return later || (is_on_the_way({}, start, history) && !is_before(start, from, history));
}

}  // namespace

// With the repository's part when it answers; else what the spool says of itself is enough to go
// on, and look_again() corrects it.
Result<WalStart> WalReceiver::find_start(ServerVisit& visit) {
    auto slot = TRY(ensure_slot(*visit.sql, slot_name(config_), OldSlot::Keep));
    lost_slot_ += slot.lost;
    kept_ = *slot.state.restart;
    floor_ = slot.made ? Lsn{} : kept_;
    if (spool_->ranges().empty() || removed_) {
        TRY(await_catalog());
    } else {
        await_catalog_a_little();
    }
    planned_with_catalog_ = share_.catalog_known();
    note_timelines(visit);
    TRY(anchor_if_new(visit));
    WalStart next = TRY(plan_proven(visit));
    while (removed_ && *removed_ == next) {
        TRY(cross_gap(visit, next));
        next = TRY(plan_proven(visit));
    }
    removed_.reset();
    if (next.timeline == visit.identity.timeline && next.from > visit.identity.flushed) {
        return Error(Code::Unavailable, "the server's WAL ends at " +
                                            format_lsn(visit.identity.flushed) + " of timeline " +
                                            std::to_string(next.timeline) + ", before " +
                                            format_lsn(next.from) + " where capture stands")
            .hint(
                "A standby that lags catches up; a server that was set back to an earlier state "
                "needs a promotion, or a system of its own.");
    }
    TRY(record_skipped(visit, next));
    return next;
}

// What need not be asked for: stored, in the spool, or known to be lost; and what is claimed to be
// stored, up to where the server still has it all.
WalRanges WalReceiver::held(const ServerVisit& visit) const {
    const SegmentSize size = visit.cluster.segment_size;
    WalRanges all = claims_before(share_.claimed_ranges(),
                                  plan_first_start(kept_, visit.history, size), visit.history);
    for (const WalRanges& known = share_.stored_ranges();
         const TimelineId timeline : known.timelines()) {
        for (const StreamRange& range : known.ranges(timeline)) {
            all.add(range);
        }
    }
    for (const StreamRange& range : spool_->ranges()) {
        all.add(range);
    }
    for (const StreamRange& gap : lost_) {
        all.add(gap);
    }
    return all;
}

WalStart WalReceiver::plan_next(const ServerVisit& visit) const {
    const SegmentSize size = visit.cluster.segment_size;
    const WalRanges held = this->held(visit);
    const WalStart kept = plan_first_start(kept_, visit.history, size);
    const WalStart first = plan_first_needed(held, share_.base(), kept, visit.history, size);
    return plan_start(held, first, visit.history, size);
}

// The object that ends where capture begins decides where that is: it is looked at before it is
// believed. A rotten one before that one is as lost as it would be without us, and `repo check`
// finds it.
Result<WalStart> WalReceiver::plan_proven(const ServerVisit& visit) {
    while (true) {
        const WalStart next = plan_next(visit);
        const auto before = byte_before(next, visit.history);
        const auto claims = before ? share_.claims_of(*before) : std::vector<WalShare::Claim>();
        if (claims.empty() || spool_->holds(*before) || share_.stored_ranges().contains(*before)) {
            return next;
        }
        const bool proven =
            TRY(prove_claim(job_.repository, job_.host, visit.cluster, claims.front()));
        share_.settle(claims.front(), proven);
    }
}

// The repository did not answer when the start was planned, and may show holes now that the spool
// does not know of.
Result<> WalReceiver::look_again(const ServerVisit& visit) {
    if (planned_with_catalog_ || !share_.catalog_known()) {
        return {};
    }
    planned_with_catalog_ = true;
    TRY(anchor_if_new(visit));
    const WalStart next = plan_next(visit);
    if (is_before(next, {timeline_, received_}, visit.history)) {
        return Error(Code::Unavailable, "the repository answers again and misses WAL from " +
                                            format_lsn(next.from) + " of timeline " +
                                            std::to_string(next.timeline) +
                                            ": capture goes back to it");
    }
    return {};
}

void WalReceiver::note_timelines(const ServerVisit& visit) {
    const TimelineId now = visit.identity.timeline;
    auto timelines = share_.claimed_ranges().timelines();
    for (const TimelineId timeline : held(visit).timelines()) {
        timelines.push_back(timeline);
    }
    std::sort(timelines.begin(), timelines.end());
    const bool older = !timelines.empty() && timelines.back() > now;
    share_.complain(TroubleSource::Timeline,
                    older ? "the server is on timeline " + std::to_string(now) + ", but timeline " +
                                std::to_string(timelines.back()) +
                                " was captured before: is it a primary that was replaced?"
                          : "");
}

Result<> WalReceiver::anchor_if_new(const ServerVisit& visit) {
    if (asked_anew_ || is_anchored(held(visit), share_.base(), visit.history)) {
        return {};
    }
    asked_anew_ = true;
    const SegmentSize size = visit.cluster.segment_size;
    ask_for_base(visit, plan_first_start(kept_, visit.history, size),
                 "the newest backup lies on no timeline of the server's history");
    return {};
}

void WalReceiver::ask_for_base(const ServerVisit& visit, const WalStart& from,
                               const std::string& reason) {
    if (job_.need_base) {
        job_.need_base({reason, [from, history = visit.history](const repo::Manifest& manifest) {
                            return begins_behind(manifest, from, history);
                        }});
    }
}

// T17: a hole is recorded before the first byte behind it is captured, and a new base backup
// anchors what follows.
Result<> WalReceiver::cross_gap(ServerVisit& visit, const WalStart& from) {
    enter(Phase::Gap);
    const SegmentSize size = visit.cluster.segment_size;
    std::string why = std::exchange(lost_slot_, {});
    auto gap =
        plan_gap(held(visit), from, plan_first_start(kept_, visit.history, size), visit.history);
    if (!gap) {  // the slot promises what the server does not have
        const auto slot = TRY(ensure_slot(*visit.sql, slot_name(config_), OldSlot::Replace));
        kept_ = *slot.state.restart;
        floor_ = {};
        why += slot.lost;
        gap = plan_gap(held(visit), from, plan_first_start(kept_, visit.history, size),
                       visit.history);
    }
    if (!gap) {
        removed_.reset();
        return Error(Code::Unavailable, "the server has removed WAL from " + format_lsn(from.from) +
                                            " on, and has none behind it yet");
    }
    const std::string reason = "the server removed the WAL between " + format_lsn(Lsn{gap->from}) +
                               " and " + format_lsn(Lsn{gap->to}) + " of timeline " +
                               std::to_string(gap->timeline) + (why.empty() ? "" : ": " + why);
    TRY(record_gap(*gap, reason));
    ask_for_base(visit, {gap->timeline, Lsn{gap->to}}, reason);
    return {};
}

// A backup was taken while nothing was captured, and the slot keeps nothing of what lies between:
// capture goes on from that backup, so it is its own anchor, and nobody asks for what is before it.
// Without the repository's part it is not known what is held, and nothing is left out.
Result<> WalReceiver::record_skipped(const ServerVisit& visit, const WalStart& next) {
    if (!planned_with_catalog_) {
        return {};
    }
    const auto skipped = plan_skipped(held(visit), next, visit.history, visit.cluster.segment_size);
    if (skipped.empty()) {
        return {};
    }
    enter(Phase::Gap);
    const std::string why = std::exchange(lost_slot_, {});
    for (const StreamRange& gap : skipped) {
        TRY(record_gap(gap, "capture goes on at " + format_lsn(next.from) + " of timeline " +
                                std::to_string(next.timeline) + ", and the WAL between " +
                                format_lsn(Lsn{gap.from}) + " and " + format_lsn(Lsn{gap.to}) +
                                " of timeline " + std::to_string(gap.timeline) +
                                " was not captured" + (why.empty() ? "" : ": " + why)));
    }
    return {};
}

Result<> WalReceiver::record_gap(const StreamRange& gap, const std::string& reason) {
    base::log(base::LogLevel::Error, "stream: a gap",
              {{"system", config_.system}, {"reason", reason}});
    share_.record_gap({gap, reason});
    TRY(await_side_work());
    lost_.push_back(gap);
    ++gaps_;
    return {};
}

Result<> WalReceiver::await_catalog() {
    return await([this] { return share_.catalog_known(); });
}

Result<> WalReceiver::await_side_work() {
    return await([this] { return !share_.side_work_waits(); });
}

void WalReceiver::await_catalog_a_little() {
    const auto until = steady_clock::now() + kCatalogPatience;
    await([&] {
        return share_.catalog_known() || steady_clock::now() >= until;
    }).discard("the caller looks at what is known");
}

Result<> WalReceiver::await(const std::function<bool()>& done) {
    for (std::uint64_t seen = 0; !done();) {
        TRY(context_.stop.check());
        if (share_.ended()) {
            return Error(Code::Cancelled, "capture ends");
        }
        seen = share_.wait(seen, milliseconds(100));
        report(false);
    }
    return {};
}

}  // namespace lifeboat::postgres

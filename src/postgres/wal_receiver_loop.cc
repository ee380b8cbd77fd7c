// The receiver while it streams. Three rules: what the server sends goes into the spool before
// anything else is done with it; what is acknowledged as flushed is what safe_position() says and
// never more (P1, T16); and the server hears from us in time whatever else goes on.

#include "postgres/wal_receiver_loop.h"

#include <algorithm>
#include <utility>

namespace lifeboat::postgres {

using base::Duration;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr std::uint64_t kBatch = 4 * base::kMiB;  // received before anything else is looked at
constexpr auto kBatchTime = milliseconds(50);
constexpr std::uint64_t kLazySync =
    16 * base::kMiB;  // of the spool, while the repository is what counts
constexpr auto kLazySyncTime = seconds(1);
constexpr std::uint64_t kNotice = base::kMiB;
constexpr auto kReportTime = milliseconds(500);
constexpr auto kRepeatTime = milliseconds(900);
constexpr auto kWatchTime = seconds(1);
constexpr auto kWatchAgainTime = seconds(20);
constexpr auto kSendLimit = seconds(5);
constexpr auto kWindDownLimit = seconds(10);
constexpr std::uint64_t kWindDownBacklog = 64 * base::kMiB;

}  // namespace

Result<std::optional<TimelineId>> WalReceiver::stream(ServerVisit& visit, const WalStart& start) {
    const SegmentSize size = visit.cluster.segment_size;
    const WalStart request =
        plan_request(start, spool_->range_before(start.timeline, start.from), size);
    timeline_ = start.timeline;
    began_ = received_ = request.from;
    coverage_.forget();
    covered_ = spool_->captured_at(timeline_, received_).value_or(base::Timestamp{});
    said_last_.reset();
    by_messages_ = visit.primary && timeline_ == visit.identity.timeline;
    acknowledged_ = {};
    share_.set_current(request);
    ReplicationStream stream = TRY(ReplicationStream::start(
        visit.replication, {request.from, request.timeline, slot_name(config_)}, seconds(30)));
    streaming_ = true;
    enter(Phase::Streaming);
    next_watch_ = steady_clock::now() + milliseconds(200);
    const auto end = TRY(pump(visit, stream));
    if (!end) {
        return std::optional<TimelineId>();
    }
    if (received_ < end->switched_at) {
        return Error(Code::Corrupt, "the server ended timeline " + std::to_string(timeline_) +
                                        " at " + format_lsn(end->switched_at) +
                                        ", but sent it up to " + format_lsn(received_) + " only");
    }
    TRY(sync_spool(true));
    return std::optional(end->next);
}

Result<std::optional<EndOfTimeline>> WalReceiver::pump(ServerVisit& visit,
                                                       ReplicationStream& stream) {
    while (true) {
        if (context_.stop.requested()) {
            wind_down(&stream);
            return std::optional<EndOfTimeline>();
        }
        if (share_.ended()) {
            return std::optional<EndOfTimeline>();
        }
        if (spool_is_full()) {
            seen_ = share_.wait(seen_, milliseconds(50));
        } else {
            const auto end = TRY(read_batch(stream));
            if (end) {
                return end;
            }
        }
        TRY(acknowledge(stream, visit.status_interval));
        TRY(look_again(visit));
        watch(visit);
        report(false);
    }
}

// Waits for the first message only: what is there with it is taken along, and synced once.
Result<std::optional<EndOfTimeline>> WalReceiver::read_batch(ReplicationStream& stream) {
    const auto began = steady_clock::now();
    const Lsn before = received_;
    Deadline deadline = deadline_in(patience());
    while (received_ - before < kBatch && steady_clock::now() - began < kBatchTime) {
        const StreamEvent event = TRY(stream.next(deadline));
        if (const auto* data = std::get_if<WalData>(&event)) {
            TRY(take(*data));
            hear_clock(data->sent);
        } else if (const auto* keepalive = std::get_if<Keepalive>(&event)) {
            server_end_ = std::max(server_end_, keepalive->server_end);
            hear_clock(keepalive->sent);
            reply_due_ = reply_due_ || keepalive->reply_requested;
        } else if (const auto* end = std::get_if<EndOfTimeline>(&event)) {
            return std::optional(*end);
        } else {
            break;
        }
        deadline = steady_clock::now();
    }
    TRY(sync_spool(false));
    return std::optional<EndOfTimeline>();
}

// A sender reads where its server's WAL ends before it reads the bytes, and the clock after that:
// what a message says of the end was still true when the message before was sent. A keepalive says
// where the sender is, which is no promise.
void WalReceiver::hear_clock(base::Timestamp sent) {
    if (by_messages_) {
        said_last_ = sent;
    }
}

void WalReceiver::promise(Lsn end, base::Timestamp moment) {
    server_end_ = std::max(server_end_, end);
    coverage_.promise(end, moment);
    if (const auto covered = coverage_.reach(received_)) {
        covered_ = *covered;
        spool_->cover(timeline_, received_, covered_);
    }
}

Result<> WalReceiver::take(const WalData& data) {
    server_end_ = std::max(server_end_, data.server_end);
    if (said_last_) {
        coverage_.promise(data.server_end, *said_last_);
    }
    covered_ = coverage_.reach(data.start + data.bytes.size()).value_or(covered_);
    auto stored = spool_->append(timeline_, data.start, data.bytes, covered_);
    if (!stored) {
        share_.complain(TroubleSource::Spool,
                        "the spool takes no more WAL: " + stored.error().message());
        return stored;
    }
    share_.complain(TroubleSource::Spool, "");
    lost_slot_.clear();  // the WAL behind it was still there
    received_ = data.start + data.bytes.size();
    share_.set_current({timeline_, received_});
    unsynced_ += data.bytes.size();
    unnotified_ += data.bytes.size();
    return {};
}

// Where the spool is what counts, each batch is synced. Where the repository is, the spool only
// spares sending again.
Result<> WalReceiver::sync_spool(bool now) {
    const auto time = steady_clock::now();
    if (unnotified_ > 0 &&
        (share_.eager() || unnotified_ >= kNotice || time - last_notice_ >= job_.interval / 4)) {
        share_.received();
        unnotified_ = 0;
        last_notice_ = time;
    }
    const bool due = now || !job_.acknowledge_repository || unsynced_ >= kLazySync ||
                     time - last_sync_ >= kLazySyncTime;
    if (unsynced_ == 0 || !due) {
        return {};
    }
    auto synced = spool_->sync();
    if (!synced) {
        share_.complain(TroubleSource::Spool,
                        "the spool cannot be made durable: " + synced.error().message());
        return synced;
    }
    unsynced_ = 0;
    last_sync_ = time;
    return {};
}

// How long a message may be waited for: less while something is on its way to the repository, since
// that is to be acknowledged.
Duration WalReceiver::patience() const {
    if (!job_.acknowledge_repository || safe_position() >= received_) {
        return milliseconds(100);
    }
    return milliseconds(share_.eager() ? 1 : 20);
}

bool WalReceiver::spool_is_full() {
    const std::uint64_t held = spool_->bytes();
    const std::uint64_t segment = spool_->cluster().segment_size.bytes();
    const bool was_full = phase_ == Phase::Degraded;
    const bool full = held >= (was_full ? job_.spool_limit - segment : job_.spool_limit);
    if (full != was_full) {
        share_.set_pressure(full);
        share_.complain(TroubleSource::Spool,
                        full ? "the spool is full (" + base::human_size(held) + " of " +
                                   base::human_size(job_.spool_limit) +
                                   "): the server keeps its WAL until the repository takes what is "
                                   "here; make the repository reachable or "
                                   "faster, or raise the spool's limit"
                             : "");
        enter(full ? Phase::Degraded : Phase::Streaming);
    }
    return full;
}

// ---- Acknowledging ----------------------------------------------------------------------------

// What was received and is still here: a sync that fails takes back what it could not make durable
// (S3), and nothing else remembers these bytes.
Lsn WalReceiver::kept_end() const {
    return std::min(received_, share_.held_to({timeline_, began_}));
}

// The end of what the repository has.
Lsn WalReceiver::stored_end() const {
    const Lsn kept = kept_end();
    const auto unstored = share_.lowest_unstored();
    return unstored ? std::min(*unstored, kept) : kept;
}

// The end of what would survive the loss that acknowledgement promises to survive.
Lsn WalReceiver::safe_position() const {
    if (job_.acknowledge_repository) {
        return stored_end();
    }
    const Lsn kept = kept_end();
    const Lsn synced = spool_->synced_end(timeline_);
    return synced.is_set() ? std::min(kept, synced) : kept;
}

Result<> WalReceiver::tell(ReplicationStream& stream, Lsn safe, Duration limit) {
    return stream.report({kept_end(), safe, safe, context_.clock.now(), false}, deadline_in(limit));
}

Result<> WalReceiver::acknowledge(ReplicationStream& stream, Duration interval) {
    // Never back behind what was acknowledged before us: a slot that is set back may ask for more
    // than the server lets it keep, and be lost.
    const Lsn safe = std::max(safe_position(), floor_);
    const auto now = steady_clock::now();
    if (safe <= acknowledged_ && !reply_due_ && now - last_status_ < interval) {
        return {};
    }
    TRY(tell(stream, safe, kSendLimit));
    acknowledged_ = safe;
    reply_due_ = false;
    last_status_ = now;
    return {};
}

// Questions about the slot and about who waits for us. Their failure is no reason to end a stream
// that works.
void WalReceiver::watch(ServerVisit& visit) {
    if (steady_clock::now() < next_watch_) {
        return;
    }
    next_watch_ = steady_clock::now() + (visit.sql ? kWatchTime : kWatchAgainTime);
    if (!visit.sql) {
        auto sql = open_sql(config_, *visit.stop, seconds(1));
        if (!sql) {
            return;
        }
        visit.sql = std::move(sql).value();
    }
    auto facts = read_replication_facts(*visit.sql, slot_name(config_));
    if (!facts) {
        share_.complain(TroubleSource::Slot,
                        "the slot cannot be watched: " + facts.error().message());
        visit.sql.reset();
        return;
    }
    if (facts->moment) {
        promise(facts->end, *facts->moment);
    }
    share_.set_eager(facts->synchronous);
    share_.complain(TroubleSource::Slot, facts->trouble);
}

// The last piece and the last acknowledgement, as far as the repository takes it now.
void WalReceiver::wind_down(ReplicationStream* stream) {
    enter(Phase::Stopping);
    wound_down_ = true;
    if (spool_ == nullptr) {
        return;
    }
    spool_->sync().discard("what is not durable is not acknowledged, and is sent again");
    const auto unstored = share_.first_unstored();
    const bool short_work = !unstored || unstored->to - unstored->from <= kWindDownBacklog;
    const std::uint64_t failures = share_.repository_failures();
    const auto until = steady_clock::now() + kWindDownLimit;
    share_.drain();
    std::uint64_t seen = 0;
    while (short_work && share_.first_unstored() && share_.repository_failures() == failures &&
           !share_.ended() && steady_clock::now() < until) {
        seen = share_.wait(seen, milliseconds(100));
        report(false);
    }
    if (stream != nullptr) {
        auto sent = tell(*stream, std::max(safe_position(), floor_), seconds(1));
        if (sent) {
            sent = stream->stop(deadline_in(seconds(1)));
        }
        std::move(sent).discard("the next start tells the server again");
    }
}

// ---- Reporting --------------------------------------------------------------------------------

void WalReceiver::enter(Phase phase) {
    const bool changed = phase_ != phase;
    phase_ = phase;
    report(changed);
}

engine::StreamState WalReceiver::state() const {
    static constexpr const char* kNames[] = {"connecting", "streaming", "waiting", "degraded",
                                             "gap",        "stopping",  "draining"};
    engine::StreamState state;
    state.phase = kNames[static_cast<std::size_t>(phase_)];
    state.reconnects = reconnects_;
    state.gaps = gaps_;
    state.trouble = share_.trouble();
    state.updated = context_.clock.now();
    if (spool_ == nullptr || timeline_ == 0) {
        return state;
    }
    const Lsn durable = stored_end();
    state.position = format_lsn(durable) + " on timeline " + std::to_string(timeline_);
    state.captured = spool_->captured_at(timeline_, durable);
    const Lsn end = std::max(server_end_, received_);
    state.lag_bytes = end > durable ? end - durable : 0;
    state.spool_bytes = spool_->bytes();
    return state;
}

void WalReceiver::report(bool now) {
    const auto time = steady_clock::now();
    if (!job_.report || (!now && time - last_report_ < kReportTime)) {
        return;
    }
    last_report_ = time;
    engine::StreamState current = state();
    const base::Lock lock(report_mutex_);
    job_.report(current);
    reported_ = std::move(current);
    reported_at_ = time;
}

// While the server keeps the other thread waiting.
void WalReceiver::repeat_report() {
    const base::Lock lock(report_mutex_);
    const auto time = steady_clock::now();
    if (!job_.report || reported_.phase.empty() || time - reported_at_ < kRepeatTime) {
        return;
    }
    reported_at_ = time;
    reported_.updated = context_.clock.now();
    reported_.trouble = share_.trouble();
    job_.report(reported_);
}

void WalReceiver::report_end(const Result<>& outcome) {
    if (!job_.report) {
        return;
    }
    engine::StreamState last = state();
    last.phase = outcome ? "stopped" : "failed";
    last.trouble = outcome ? last.trouble : outcome.error().message();
    job_.report(last);
}

}  // namespace lifeboat::postgres

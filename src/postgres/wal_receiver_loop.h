#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/stop.h"
#include "engine/data_engine.h"
#include "postgres/postgres_config.h"
#include "postgres/replication.h"
#include "postgres/wal_coverage.h"
#include "postgres/wal_receiver_plan.h"
#include "postgres/wal_receiver_server.h"
#include "postgres/wal_receiver_share.h"

namespace lifeboat::postgres {

// The receiver's thread that talks to the server: the state machine at the head of wal_receiver.cc.
// run() is for one thread, relay_stop() for another.
class WalReceiver {
  public:
    WalReceiver(const PostgresConfig& config, engine::StreamJob& job,
                const engine::Context& context, WalShare& share);

    Result<> run();
    // Ends calls that wait for the server once a stop is requested, until the share ends. What
    // streams is wound down in good order instead.
    void relay_stop();
    // For after run(): the last state, with what went wrong.
    void report_end(const Result<>& outcome);

  private:
    enum class Phase { Connecting, Streaming, Waiting, Degraded, Gap, Stopping, Draining };

    // ---- wal_receiver.cc: the arrows ----
    Result<> visit();
    Result<> drain();
    Result<> open_kept_spool();
    Result<> open_spool(const ClusterIdentity& cluster);
    bool is_drained() const;
    void tell_drained();
    Result<> identify(ServerVisit& visit);
    Result<> capture_histories(ServerVisit& visit, TimelineId timeline);
    void wait_before_retry(const Error& why, base::Duration pause);
    bool must_end() const;

    // ---- wal_receiver_start.cc: where to begin ----
    Result<WalStart> find_start(ServerVisit& visit);
    WalRanges held(const ServerVisit& visit) const;
    WalStart plan_next(const ServerVisit& visit) const;
    Result<WalStart> plan_proven(const ServerVisit& visit);
    Result<> look_again(const ServerVisit& visit);
    void note_timelines(const ServerVisit& visit);
    Result<> anchor_if_new(const ServerVisit& visit);
    void ask_for_base(const ServerVisit& visit, const WalStart& from, const std::string& reason);
    Result<> cross_gap(ServerVisit& visit, const WalStart& from);
    Result<> record_skipped(const ServerVisit& visit, const WalStart& next);
    Result<> record_gap(const repo::StreamRange& gap, const std::string& reason);
    Result<> await_catalog();
    Result<> await_side_work();
    void await_catalog_a_little();
    Result<> await(const std::function<bool()>& done);

    // ---- wal_receiver_loop.cc: streaming ----
    // Nothing: a stop. Else the timeline that the server goes on with.
    Result<std::optional<TimelineId>> stream(ServerVisit& visit, const WalStart& start);
    Result<std::optional<EndOfTimeline>> pump(ServerVisit& visit, ReplicationStream& stream);
    Result<std::optional<EndOfTimeline>> read_batch(ReplicationStream& stream);
    Result<> take(const WalData& data);
    void hear_clock(base::Timestamp sent);
    void promise(Lsn end, base::Timestamp moment);
    Result<> sync_spool(bool now);
    bool spool_is_full();
    void watch(ServerVisit& visit);
    Result<> acknowledge(ReplicationStream& stream, base::Duration interval);
    Result<> tell(ReplicationStream& stream, Lsn safe, base::Duration limit);
    Lsn kept_end() const;
    Lsn stored_end() const;
    Lsn safe_position() const;
    void wind_down(ReplicationStream* stream);
    base::Duration patience() const;

    // ---- reporting ----
    void enter(Phase phase);
    void report(bool now);
    void repeat_report();
    engine::StreamState state() const;

    const PostgresConfig& config_;
    engine::StreamJob& job_;
    const engine::Context& context_;
    WalShare& share_;

    base::Mutex session_mutex_;
    std::shared_ptr<base::StopToken> session_stop_
        LB_GUARDED_BY(session_mutex_);  // shared: the visit and relay_stop
    std::atomic<bool> streaming_ = false;

    std::unique_ptr<WalSpool> spool_;
    std::optional<WalStart> removed_;      // where the server said that it has no WAL any more
    std::string lost_slot_;                // why the slot before was given up
    std::vector<repo::StreamRange> lost_;  // holes that are not filled any more: recorded
    Lsn kept_;                             // from where on the slot keeps WAL
    Lsn floor_;  // what an earlier run acknowledged; not set for a slot that is new
    bool planned_with_catalog_ = false;
    bool asked_anew_ = false;
    Phase phase_ = Phase::Connecting;
    TimelineId timeline_ = 0;
    Lsn began_;  // where this stream, or what an earlier run left, begins: whole from there on
    Lsn received_;
    Lsn server_end_;
    WalCoverage coverage_;
    base::Timestamp covered_;                   // at received_; no time: not known
    std::optional<base::Timestamp> said_last_;  // by the sender of this stream, where that counts
    bool by_messages_ = false;                  // it is a primary, and this its last timeline
    std::uint64_t unsynced_ = 0;
    std::uint64_t unnotified_ = 0;
    Lsn acknowledged_;
    bool reply_due_ = false;
    std::uint64_t reconnects_ = 0;
    std::uint64_t gaps_ = 0;
    using Time = std::chrono::steady_clock::time_point;
    Time last_sync_{};
    Time last_notice_{};
    Time last_status_{};
    Time last_report_{};
    Time next_watch_{};
    std::uint64_t seen_ = 0;
    bool wound_down_ = false;
    bool told_drained_ = true;  // until there is something to tell

    base::Mutex report_mutex_;  // one report at a time
    engine::StreamState reported_ LB_GUARDED_BY(report_mutex_);
    Time reported_at_ LB_GUARDED_BY(report_mutex_){};
};

}  // namespace lifeboat::postgres

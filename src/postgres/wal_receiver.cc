// The WAL receiver. Tested by tests/e2e/stream_test.cc against real servers.
//
//   Connecting --visit_server--> Identified
//
//   Identified --identify: another cluster--> the end, loudly (T18)
//
//   Identified --find_start--> Streaming
//
//   Identified --find_start: what comes next is gone--> Gap (T17)
//
//   Gap --recorded, need_base--> Streaming
//
//   Streaming --end of timeline--> Identified on the next one (T15)
//
//   Streaming --spool full--> Degraded --uploads made room--> Streaming
//
//   any --connection lost, server down, refused--> Waiting --pause--> Connecting
//
//   Streaming --stop--> Stopping --last piece, last acknowledgement--> the end
//
//   any other --stop--> Stopping
//
//   job.drain: Draining --all of the spool is stored--> the end; no server is asked
//
// Three threads and what they share (wal_receiver_share.h): this one appends what the server sends
// to the spool and answers it; the uploader turns the spool into pieces; the gatherer turns whole
// segments into packs and clears the spool. The spool is the only way between them, so each can
// die, fail or lag without the others noticing more than a growing or shrinking spool. Where
// capture stands is never remembered, but read: from the spool and from the names of objects. That
// makes a kill at any instant the same as a pause.

#include "postgres/wal_receiver.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/fd.h"
#include "base/log.h"
#include "base/workers.h"
#include "postgres/server_error.h"
#include "postgres/wal_gather.h"
#include "postgres/wal_receiver_loop.h"
#include "postgres/wal_receiver_upload.h"

namespace lifeboat::postgres {

using base::Duration;
using base::Lock;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr std::string_view kUndefinedFile =
    "58P01";  // "requested WAL segment has already been removed"
constexpr std::uint64_t kFewestSegments =
    8;  // a full group, the segments around it, and room to receive

// The kernel lets go of the lock when the process dies, however it dies. Not through base::Files: a
// simulated disk has no processes.
Result<base::Fd> lock_spool(const std::string& directory) {
    const std::string path = base::join(directory, "lock");
    base::Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock.is_open()) {
        return base::os_failure("opening '" + path + "'", errno);
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return Error(Code::Conflict, "another lifeboat captures into spool '" + directory + "'")
            .hint(
                "One process captures a system at a time: stop the other one, or look for a daemon "
                "that runs already.");
    }
    return lock;
}

// However a thread's work ends, thrown exceptions included, the others must not wait for it.
class EndForAll {
  public:
    explicit EndForAll(WalShare& share) : share_(share) {}

    EndForAll(const EndForAll&) = delete;
    EndForAll& operator=(const EndForAll&) = delete;

    ~EndForAll() { share_.end(); }

  private:
    WalShare& share_;
};

}  // namespace

WalReceiver::WalReceiver(const PostgresConfig& config, engine::StreamJob& job,
                         const engine::Context& context, WalShare& share)
    : config_(config), job_(job), context_(context), share_(share) {}

bool WalReceiver::must_end() const {
    return context_.stop.requested() || share_.ended();
}

Result<> WalReceiver::run() {
    if (job_.drain) {
        return drain();
    }
    RetryPause pause(context_.random);
    while (!must_end()) {
        const Lsn before = received_;
        auto done = visit();
        if (done || must_end()) {
            continue;
        }
        if (is_hopeless(done.error())) {
            return done;
        }
        if (received_ != before) {
            pause.reset();
        }
        wait_before_retry(done.error(), removed_ ? Duration{} : pause.next());
    }
    if (!share_.ended() && !wound_down_) {
        wind_down(nullptr);
    }
    return {};
}

// ---- What is left of a server that may be lost ------------------------------------------------

Result<> WalReceiver::open_spool(const ClusterIdentity& cluster) {
    spool_ = TRY(WalSpool::open(context_.files, job_.spool, cluster));
    auto kept = TRY(spool_->histories());
    for (auto& [timeline, contents] : kept) {
        share_.store_history({timeline, std::move(contents)});
    }
    share_.use_spool(*spool_);
    return {};
}

// The spool says itself whose it is, so what it holds need not wait for a server.
Result<> WalReceiver::open_kept_spool() {
    const auto cluster = TRY(WalSpool::identity_of(context_.files, job_.spool));
    if (!cluster) {
        return {};
    }
    TRY(open_spool(*cluster));
    const auto held = spool_->ranges();
    if (held.empty()) {
        return {};
    }
    timeline_ = held.back().timeline;
    began_ = Lsn{held.back().from};
    received_ = Lsn{held.back().to};
    told_drained_ = false;
    return {};
}

bool WalReceiver::is_drained() const {
    return share_.catalog_known() && !share_.side_work_waits() && !share_.first_unstored();
}

void WalReceiver::tell_drained() {
    if (told_drained_ || !is_drained()) {
        return;
    }
    told_drained_ = true;
    base::log(base::LogLevel::Info, "stream: all that the spool holds is in the repository",
              {{"system", config_.system},
               {"to", format_lsn(received_) + " on timeline " + std::to_string(timeline_)}});
}

Result<> WalReceiver::drain() {
    TRY(open_kept_spool());
    if (spool_ == nullptr) {
        return Error(Code::NotFound, "there is no spool in '" + job_.spool + "'")
            .hint(
                "Run it where 'lifeboat stream' ran, with the same configuration: what was "
                "captured and not stored yet lies there, or nowhere.");
    }
    enter(Phase::Draining);
    for (std::uint64_t seen = 0; !is_drained() && !share_.ended();) {
        TRY(context_.stop.check());
        seen = share_.wait(seen, milliseconds(100));
        report(false);
    }
    tell_drained();
    return {};
}

// ---- The server -------------------------------------------------------------------------------

// One connection's life.
Result<> WalReceiver::visit() {
    enter(Phase::Connecting);
    if (spool_ == nullptr) {
        TRY(open_kept_spool());
    }
    const auto stop = std::make_shared<base::StopToken>();
    {
        const Lock lock(session_mutex_);
        session_stop_ = stop;
    }
    ServerVisit visit = TRY(visit_server(config_, *stop));
    TRY(identify(visit));
    WalStart start = TRY(find_start(visit));
    share_.complain(TroubleSource::Server, "");
    while (!must_end()) {
        auto next = stream(visit, start);
        streaming_ = false;
        if (!next && sqlstate_of(next.error().message()) == kUndefinedFile) {
            removed_ = start;  // the next visit sees to it
        }
        const auto timeline = TRY(std::move(next));
        if (!timeline) {
            break;
        }
        TRY(capture_histories(visit, *timeline));
        start = plan_next(visit);
    }
    return {};
}

Result<> WalReceiver::identify(ServerVisit& visit) {
    if (job_.spool_limit < kFewestSegments * visit.cluster.segment_size.bytes()) {
        return Error(Code::InvalidInput, "a spool of " + base::human_size(job_.spool_limit) +
                                             " is too small for segments of " +
                                             base::human_size(visit.cluster.segment_size.bytes()))
            .hint("Allow the spool room for at least eight segments.");
    }
    if (spool_ == nullptr) {
        // Before anything is made here, or on the server. A spool that is there says itself whose
        // it is, and the uploader compares it with the repository.
        TRY(check_system_cluster(job_.repository, job_.host, config_.system, visit.cluster)
                .during("looking whose the system is"));
        TRY(open_spool(visit.cluster));
    } else if (spool_->cluster() != visit.cluster) {
        TRY(WalSpool::open(context_.files, job_.spool, visit.cluster));  // says how they differ
    }
    return capture_histories(visit, visit.identity.timeline);
}

// T14. Uploaded before the WAL that follows.
Result<> WalReceiver::capture_histories(ServerVisit& visit, TimelineId timeline) {
    auto files = TRY(fetch_ancestry(visit.replication, timeline));
    visit.identity.timeline = timeline;
    visit.history = {timeline, {}};
    if (!files.empty()) {
        visit.history = TRY(parse_history(timeline, base::text(files.back().contents)));
    }
    for (HistoryToStore& file : files) {
        TRY(spool_->keep_history(file.timeline, file.contents));
        share_.store_history(std::move(file));
    }
    return {};
}

// ---- Waiting and stopping ---------------------------------------------------------------------

void WalReceiver::wait_before_retry(const Error& why, Duration pause) {
    const std::string text = why.message() + (why.hint().empty() ? "" : " (" + why.hint() + ")");
    share_.complain(TroubleSource::Server, text);
    ++reconnects_;
    enter(Phase::Waiting);
    const auto until = steady_clock::now() + pause;
    for (std::uint64_t seen = 0; steady_clock::now() < until && !must_end();) {
        seen = share_.wait(seen, milliseconds(100));
        tell_drained();
        report(false);
    }
}

void WalReceiver::relay_stop() {
    std::uint64_t seen = 0;
    while (!share_.ended()) {
        repeat_report();
        if (context_.stop.requested() && !streaming_) {
            const Lock lock(session_mutex_);
            if (session_stop_) {
                session_stop_->request();
            }
        }
        seen = share_.wait(seen, milliseconds(50));
    }
    const Lock lock(session_mutex_);
    if (session_stop_) {
        session_stop_->request();
    }
}

Result<> stream_wal(const PostgresConfig& config, engine::StreamJob& job,
                    const engine::Context& context) {
    const auto capturing = "capturing the WAL of '" + config.system + "'";
    TRY(check_slot_name(slot_name(config)).during(capturing));
    TRY(base::create_directories(context.files, job.spool).during(capturing));
    const base::Fd lock = TRY(lock_spool(job.spool).during(capturing));
    WalShare share;
    WalReceiver receiver(config, job, context, share);
    const RepositorySide side{job, context, config.system, share};
    const auto body = [&](std::size_t worker) -> Result<> {
        const EndForAll end(share);
        switch (worker) {
            case 0:
                return receiver.run();
            case 1:
                return WalUploader(side).run();
            case 2:
                return WalGatherer(side).run();
            default:
                receiver.relay_stop();
                return {};
        }
    };
    auto outcome = base::run_parallel(4, body);
    receiver.report_end(outcome);
    return std::move(outcome).during(capturing);
}

}  // namespace lifeboat::postgres

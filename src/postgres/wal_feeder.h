#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/mutex.h"
#include "base/stop.h"
#include "postgres/wal_feed_plan.h"
#include "postgres/wal_feed_source.h"
#include "repo/repository.h"

namespace lifeboat::postgres {

// Gives a recovering server its WAL: resident, so that the program behind restore_command has
// nothing to open or to fetch.
//
//   server --restore_command--> wal_fetch_client --socket--> WalFeeder --rename--> server
//
// It keeps some segments ready ahead of the one that was asked for last, as files beside the
// server's own, so that handing one over is a rename. It lives in pg_wal/lifeboat.feed below the
// data directory (mode 0700, the directory's owner): `socket`, `lock`, and `*.ready`.
//
// The answer to each request is one of three, and never a guess (T13, P5): found, and the file is
// whole; absent, proven by the plan; failed, with a sentence, for everything else.
struct FeedAnswer {
    enum class Kind : char { Found = 'f', Absent = 'a', Failed = 'x' };
    Kind kind = Kind::Failed;
    std::string message;  // of Failed
};

inline constexpr char kStillWorking = 'w';  // sent every now and then before the answer
inline constexpr std::string_view kFeedDirectory = "pg_wal/lifeboat.feed";
inline constexpr std::string_view kFeedSocket = "socket";
inline constexpr std::string_view kReadySuffix = ".ready";

struct FeedOptions {
    std::size_t ahead = 4;    // segments kept ready
    std::size_t workers = 2;  // threads that make them
    static FeedOptions for_segments_of(
        std::uint64_t bytes);  // as many as fit 256 MiB, within reason
};

// What pg_wal needs room for while a server recovers by this plan, at the least: the segments that
// are kept ready, and the one that is replayed.
std::uint64_t feed_room(const FeedPlan& plan);

class WalFeeder {
  public:
    // Makes the directory, binds the socket, starts the threads. Conflict when another feeder is at
    // work there. All references must outlive it. `target` is the data directory, which must exist.
    static Result<std::unique_ptr<WalFeeder>> start(FeedPlan plan, std::string target,
                                                    repo::Repository& repository,
                                                    repo::ReaderKeys& keys, base::Files& files,
                                                    FeedOptions options);
    // Stops the threads and removes the directory; a request at work is answered with Failed.
    ~WalFeeder();
    WalFeeder(const WalFeeder&) = delete;
    WalFeeder& operator=(const WalFeeder&) = delete;

    // What the socket does, for tests and for callers in this process. Thread-safe; waits until it
    // is known.
    FeedAnswer answer(std::string_view name) {
        return answer(name, [] {});
    }

    // The first failure since the start: what a server that gave up was told.
    std::optional<Error> failure() const;
    // How long ago the last request was.
    base::Duration idle() const;

  private:
    enum class State { Pending, Working, Ready, Failed };

    struct Slot {
        TimelineId timeline = 0;
        std::uint64_t number = 0;
        State state = State::Pending;
        std::string trouble;
    };

    WalFeeder(FeedPlan plan, std::string target, repo::Repository& repository,
              repo::ReaderKeys& keys, base::Files& files, FeedOptions options);
    Result<> open_directory();
    Result<> listen();
    void run();

    void serve();
    void serve_one(int connection);
    bool may_ask(int connection) const;

    using Beat = std::function<void()>;  // called every now and then while an answer is awaited
    FeedAnswer answer(std::string_view name, const Beat& beat);
    FeedAnswer answer_history(TimelineId timeline);
    FeedAnswer answer_segment(TimelineId timeline, std::uint64_t number, const Beat& beat);
    FeedAnswer make_now(TimelineId timeline, std::uint64_t number, const FeedSegment& segment);
    FeedAnswer await(std::size_t slot, const Beat& beat);
    bool is_ready(std::size_t slot);
    FeedAnswer fail(const Error& error);

    void make_ahead();
    std::optional<std::size_t> next_slot() LB_REQUIRES(mutex_);
    Result<> make(FeedSource& source, TimelineId timeline, std::uint64_t number,
                  const FeedSegment& segment) const;
    Result<> publish(const std::string& made, const std::string& name) const;
    std::string path_of(std::string_view file) const;

    const FeedPlan plan_;
    const std::string target_;
    repo::Repository& repository_;
    repo::ReaderKeys& keys_;
    base::Files& files_;
    const FeedOptions options_;
    base::FileStat owner_;
    base::Fd directory_;
    base::Fd lock_;
    base::Fd socket_;
    base::Fd wake_;  // an eventfd: readable once the feeder stops
    base::StopToken stop_;
    std::map<std::pair<TimelineId, std::uint64_t>, std::size_t> slot_of_;
    std::vector<std::thread> threads_;

    mutable base::Mutex mutex_;
    base::CondVar changed_;
    std::vector<Slot> slots_ LB_GUARDED_BY(mutex_);
    std::size_t wanted_ LB_GUARDED_BY(mutex_) = 0;  // the slot that was asked for last
    std::optional<Error> failure_ LB_GUARDED_BY(mutex_);
    std::chrono::steady_clock::time_point last_request_ LB_GUARDED_BY(mutex_);

    base::Mutex direct_mutex_;  // one request at a time may need the source below
    FeedSource direct_ LB_GUARDED_BY(direct_mutex_);
};

// The plan in a restored directory. NotFound with a hint when there is none.
Result<FeedPlan> read_feed_plan(base::Files& files, const std::string& target);

struct ResidentRequest {
    std::string target;
    base::Duration idle_limit =
        std::chrono::minutes(10);  // ends by itself after so long without a request
};

// A feeder as a process of its own ('lifeboat wal-feed'): serves until the server has left
// recovery, whose settings it then takes away (forget_recovery), nobody asks any more, or a stop.
// Refused when `repository` is not the one of the plan.
Result<> run_resident_feeder(const ResidentRequest& request, repo::Repository& repository,
                             repo::ReaderKeys& keys, base::Files& files, base::Clock& clock,
                             const base::StopToken& stop);

}  // namespace lifeboat::postgres

#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/random.h"
#include "base/time.h"
#include "engine/data_engine.h"
#include "postgres/wal_receiver_follow.h"
#include "postgres/wal_receiver_share.h"
#include "repo/stream.h"

namespace lifeboat::postgres {

// Growing pauses between tries: 1 s to 30 s, each a random part of what it could be.
class RetryPause {
  public:
    explicit RetryPause(base::Random& random) : random_(random) {}

    base::Duration next();

    void reset() { limit_ = kFirst; }

  private:
    static constexpr base::Duration kFirst = std::chrono::seconds(1);
    static constexpr base::Duration kMost = std::chrono::seconds(30);
    base::Random& random_;
    base::Duration limit_ = kFirst;
};

// True for what no waiting cures: another cluster, a newer format, words that are wrong, a bug.
bool is_hopeless(base::Code code);

// One thread's work with the repository. All references must outlive it.
struct RepositorySide {
    engine::StreamJob& job;
    const engine::Context& context;
    const std::string& system;
    WalShare& share;
};

// Tries `step` until it succeeds, pausing in between and saying so; gives up quietly once all
// threads shall end. Fails with what is hopeless only. True: it succeeded.
Result<bool> persist(const RepositorySide& side, TroubleSource source, const std::string& doing,
                     const std::function<Result<>()>& step);

// What to put for `range` of the spool's cluster.
repo::StreamPut describe_put(const RepositorySide& side, repo::StreamObject kind,
                             const repo::StreamRange& range, base::Bytes summary);

// Conflict when the system's stream, or the newest backup of it that `host` can open, is of another
// cluster (T18). What cannot be read says nothing.
Result<> check_system_cluster(repo::Repository& repository, const repo::HostKeys& host,
                              const std::string& system, const ClusterIdentity& cluster);

// Makes pieces of what the spool holds and the repository does not, until the share ends. One
// thread.
class WalUploader {
  public:
    explicit WalUploader(const RepositorySide& side);
    Result<> run();

  private:
    struct Piece {
        repo::StreamPut put;
        base::Bytes bytes;  // read once: the spool may lose them to a gathered pack while the
                            // repository fails
    };

    Result<bool> step();
    Result<> prepare();
    Result<> settle(const std::vector<WalShare::Claim>& claims);
    Result<> do_side_work();
    Result<std::optional<Piece>> next_piece();
    std::optional<Lsn> choose_end(const repo::StreamRange& pending, Lsn read_to, bool closed) const;
    std::optional<Piece> read_piece(const repo::StreamRange& range);
    Result<> put(const repo::StreamPut& put, base::BytesView bytes);

    RepositorySide side_;
    repo::StreamWriter writer_;
    std::optional<WalFollower> follower_;
    std::chrono::steady_clock::time_point next_cut_{};
    std::uint64_t seen_ = 0;
};

}  // namespace lifeboat::postgres

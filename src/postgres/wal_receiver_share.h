#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/time.h"
#include "postgres/lsn.h"
#include "postgres/wal_receiver_plan.h"
#include "postgres/wal_receiver_ranges.h"
#include "postgres/wal_spool.h"
#include "repo/stream.h"

namespace lifeboat::postgres {

// What the threads of one receiver share: the one that talks to the server, the one that uploads
// pieces, the one that gathers. Thread-safe; never locked across a system call.

struct HistoryToStore {
    TimelineId timeline = 0;
    base::Bytes contents;
};

struct GapToRecord {
    repo::StreamRange range;
    std::string reason;
};

// Who has something to complain about. The order is that in which a person should hear of it.
enum class TroubleSource { Server, Spool, Repository, Gather, Wal, Timeline, Slot };

class WalShare {
  public:
    using Claim = repo::StreamCatalog::Entry;

    // ---- Ends: one thread's end is everyone's ----
    void end();
    bool ended() const;

    // ---- From the server's thread ----
    // The spool is open; it must outlive every thread. Uploads begin.
    void use_spool(WalSpool& spool);
    // The next byte that is to come: the range of the spool that ends or lies there is the one that
    // grows. Wakes nobody.
    void set_current(const WalStart& next);
    void received();  // the spool has more
    void set_eager(bool eager);
    void set_pressure(bool pressure);  // the spool is full: gather whatever can be
    void store_history(HistoryToStore history);
    void record_gap(GapToRecord gap);
    // Uploads everything that the spool holds, now.
    void drain();

    // ---- From the repository's threads ----
    void stored(const repo::StreamRange& range);
    void gathered(const repo::StreamRange& range);
    // What the repository is said to hold (claims: see wal_receiver_claims.h), and where its newest
    // backup stopped; nothing when there is none that can be read.
    void set_catalog(const repo::StreamCatalog& catalog, const std::optional<WalStart>& base);
    // A claim was looked at: from now on it counts as stored, or not at all.
    void settle(const Claim& claim, bool proven);
    // The first so many of histories() and gaps() are in the repository.
    void side_work_done(std::size_t histories, std::size_t gaps);

    // ---- Asked by all ----
    WalSpool* spool() const;
    std::optional<WalStart> current() const;
    bool eager() const;
    bool pressure() const;
    bool draining() const;
    bool catalog_known() const;
    std::optional<WalStart> base() const;
    bool side_work_waits() const;
    // What this process stored, and claims that were proven.
    WalRanges stored_ranges() const;
    WalRanges claimed_ranges() const;
    // Claims of bytes of `range`, gathered ones first.
    std::vector<Claim> claims_of(const repo::StreamRange& range) const;
    // Some of the claims that would make bytes of the spool count as stored or gathered: they must
    // be settled before these are uploaded, or removed.
    std::vector<Claim> open_claims() const;
    // What of the spool is not durable in the repository: the first byte of all, by timeline and
    // position. Nothing when all is.
    std::optional<repo::StreamRange> first_unstored() const;
    // The lowest position of a byte, on any timeline, that the repository does not have (T16): what
    // must not be acknowledged yet.
    std::optional<Lsn> lowest_unstored() const;
    // End of the contiguous bytes from `from` on that are in the spool or stored; `from` itself
    // when that byte is in neither.
    Lsn held_to(const WalStart& from) const;
    WalRanges gathered_ranges() const;
    std::vector<HistoryToStore> histories() const;
    std::vector<GapToRecord> gaps() const;

    // ---- Trouble ----
    void complain(TroubleSource source, std::string text);  // empty: no longer
    bool complains(TroubleSource source) const;
    std::uint64_t repository_failures() const;  // how many there ever were
    std::string trouble() const;

    // Waits until something changed since `seen`, or for `most`. Returns what to pass as `seen` the
    // next time.
    std::uint64_t wait(std::uint64_t seen, base::Duration most);

  private:
    void changed() LB_REQUIRES(mutex_);

    mutable base::Mutex mutex_;
    base::CondVar change_;
    std::uint64_t changes_ LB_GUARDED_BY(mutex_) = 0;
    bool ended_ LB_GUARDED_BY(mutex_) = false;
    WalSpool* spool_ LB_GUARDED_BY(mutex_) = nullptr;
    std::optional<WalStart> current_ LB_GUARDED_BY(mutex_);
    bool eager_ LB_GUARDED_BY(mutex_) = false;
    bool pressure_ LB_GUARDED_BY(mutex_) = false;
    bool draining_ LB_GUARDED_BY(mutex_) = false;
    bool catalog_known_ LB_GUARDED_BY(mutex_) = false;
    std::optional<WalStart> base_ LB_GUARDED_BY(mutex_);
    std::vector<Claim> claims_ LB_GUARDED_BY(mutex_);
    WalRanges stored_ LB_GUARDED_BY(mutex_);
    WalRanges gathered_ LB_GUARDED_BY(mutex_);
    std::vector<HistoryToStore> histories_ LB_GUARDED_BY(mutex_);
    std::vector<GapToRecord> gaps_ LB_GUARDED_BY(mutex_);
    std::map<TroubleSource, std::string> trouble_ LB_GUARDED_BY(mutex_);
    std::uint64_t repository_failures_ LB_GUARDED_BY(mutex_) = 0;
};

}  // namespace lifeboat::postgres

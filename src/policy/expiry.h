#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace lifeboat::policy {

// Retention by expiry in the name (docs/architecture: the repository). Every object's name
// carries the day on which it expires; a manifest may name only packs that expire no earlier than
// itself (W1); an object may be deleted a day after its expiry day has ended, by the store's
// clock (G1). Together they need no mark phase, no lock and no lease:
//
//   stop --backup_expiry--> X(manifest)        pack_expiry(written) = E(pack)
//   commit requires E(pack) >= X(manifest)     deletion requires store_now >= end of E + 24 h
//
// so whatever a committed manifest names outlives it, however long the backup ran. All of this is
// pure.

// A day in UTC: the last day on which an object is promised to be there. As text "20260222",
// which sorts as it counts.
class ExpiryDay {
  public:
    ExpiryDay() = default;
    // The day that `t` lies in.
    static ExpiryDay of(base::Timestamp t);
    // Exactly YYYYMMDD and a real day, or InvalidInput.
    static base::Result<ExpiryDay> parse(std::string_view text);

    std::string text() const;
    base::Timestamp end() const;  // the first moment after the day
    auto operator<=>(const ExpiryDay&) const = default;

  private:
    explicit ExpiryDay(std::chrono::sys_days day) : day_(day) {}

    std::chrono::sys_days day_{};
};

// Beyond the rewriting cycle, a pack lives this much longer than a backup that ends when the pack
// is written: so that the backup that writes it, and the one R days later, may run past midnight.
inline constexpr std::chrono::days kSessionMargin{2};
// What a deletion leaves between the end of the expiry day and itself.
inline constexpr std::chrono::hours kDeletionMargin{24};
// W2: a writer whose clock is further than this from the store's must not start.
inline constexpr std::chrono::minutes kClockTolerance{5};

// X of a backup that ended at `stop` and shall be restorable for `retention`.
ExpiryDay backup_expiry(base::Timestamp stop, std::chrono::days retention);

// E of a pack written at `now`, when every page is rewritten within `rolling` days: backups of
// the next `rolling` days may name it. With rolling = 0 it is for pages that are expected to
// change by the next backup.
ExpiryDay pack_expiry(base::Timestamp now, std::chrono::days retention, std::chrono::days rolling);

// How old the newest backup of a system may be whose stream is kept for `retention`: what verify
// complains about, and what wal_expiry() reckons with. One number, so that the stream never goes
// before the backup that needs it is missed.
base::Duration oldest_base(std::chrono::days retention);

// The expiry of stream data (WAL) captured at `captured`. A point in the window needs the stream
// back to the base backup before it, so the data outlive the window of `retention` by as much as
// that backup may be older, and a day for the backup to take.
ExpiryDay wal_expiry(base::Timestamp captured, std::chrono::days retention);

// W1. When it is false the writer stores those pages again: it has the plain text.
bool may_reference(ExpiryDay pack, ExpiryDay manifest);

// G1. `store_now` is the store's own time, never ours. Holds are checked elsewhere.
bool may_delete(ExpiryDay expiry, base::Timestamp store_now);

// W2: Refused when the two clocks differ by more than kClockTolerance.
base::Result<> check_clocks(base::Timestamp host_now, base::Timestamp store_now);

}  // namespace lifeboat::policy

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "postgres/lsn.h"
#include "postgres/timeline.h"
#include "postgres/wal_receiver_ranges.h"

namespace lifeboat::postgres {

// Decides from where to stream. Pure.

struct WalStart {
    TimelineId timeline = 0;
    Lsn from;

    friend bool operator==(const WalStart&, const WalStart&) = default;
};

// False when a new backup must be asked for: the newest lies elsewhere, so nothing of the server's
// WAL can be recovered, however much of it is held; or none is known, and what is held lies
// elsewhere. The first backup of all is nobody's to ask for.
bool is_anchored(const WalRanges& held, const std::optional<WalStart>& base,
                 const TimelineHistory& history);

// True when capture, or the newest backup, stands on the way that the server came. False: what the
// server has is new to us. `base` is where the newest backup stopped; nothing when none is known.
bool is_on_the_way(const WalRanges& held, const std::optional<WalStart>& base,
                   const TimelineHistory& history);

// The first byte that matters: where the newest backup stopped, since nothing before it is needed
// to go on from there; where no backup is known, the first byte that is held; and never behind
// `kept`, from which the server promises its WAL.
WalStart plan_first_needed(const WalRanges& held, const std::optional<WalStart>& base,
                           const WalStart& kept, const TimelineHistory& history, SegmentSize size);

// Where capture goes on: at the first byte from `first` on, along the way that the server came,
// that is not held, however much is held behind it. Where that is the first byte of a timeline, at
// the beginning of its segment (T15). `history` is the server's own; `first` lies on its way.
WalStart plan_start(const WalRanges& held, const WalStart& first, const TimelineHistory& history,
                    SegmentSize size);

// Where the WAL that is kept from `kept` on begins: on the timeline that holds it, at its segment's
// first byte.
WalStart plan_first_start(Lsn kept, const TimelineHistory& history, SegmentSize size);

// What is lost when the server has removed the byte at `from`: on its timeline, up to the first
// byte that is held, or that the server keeps (`kept`), or to the timeline's end, whichever comes
// first. Nothing when nothing of this lies behind `from`.
std::optional<repo::StreamRange> plan_gap(const WalRanges& held, const WalStart& from,
                                          const WalStart& kept, const TimelineHistory& history);

// What is left out for good when capture goes on at `start`: all between the end of what is held
// before it on the server's way, and `start`; a range for each timeline, oldest first. Empty when
// capture goes on where that ends, or nothing is held before `start`.
std::vector<repo::StreamRange> plan_skipped(const WalRanges& held, const WalStart& start,
                                            const TimelineHistory& history, SegmentSize size);

// True when `a` comes before `b` on the server's way.
bool is_before(const WalStart& a, const WalStart& b, const TimelineHistory& history);

// From where to ask the server, to go on at `start`: from the page before it, so that what the
// server sends is compared with what the spool holds (a server whose history was set back is found
// out that way), but never from an earlier segment, which the slot does not keep; from the spool's
// end where the repository is ahead of it; from the segment's first byte where the spool has
// nothing of it. `spooled` is the spool's last range of that timeline that begins before `start`.
WalStart plan_request(const WalStart& start, const std::optional<repo::StreamRange>& spooled,
                      SegmentSize size);

}  // namespace lifeboat::postgres

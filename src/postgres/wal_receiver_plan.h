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

// Where capture goes on: at the end of what is held on the newest timeline of the server's ancestry
// that holds anything; or, where the server has left that timeline already, at the beginning of the
// next one's first segment, whatever more of the old one is held (T15). Nothing when no timeline of
// the server's ancestry holds anything. `history` is the server's own.
std::optional<WalStart> plan_start(const WalRanges& held, const TimelineHistory& history,
                                   SegmentSize size);

// Where the WAL that is kept from `kept` on begins: on the timeline that holds it, at its segment's
// first byte.
WalStart plan_first_start(Lsn kept, const TimelineHistory& history, SegmentSize size);

// What is lost when capture must go on at `to` instead of at `from`: a range for each timeline on
// the way. Empty when nothing is.
std::vector<repo::StreamRange> plan_gap(const WalStart& from, const WalStart& to,
                                        const TimelineHistory& history, SegmentSize size);

// From where to ask the server, to go on at `start`: from the page before it, so that what the
// server sends is compared with what the spool holds (a server whose history was set back is found
// out that way), but never from an earlier segment, which the slot does not keep; from the spool's
// end where the repository is ahead of it; from the segment's first byte where the spool has
// nothing of it. `spooled` is the spool's last range of that timeline.
WalStart plan_request(const WalStart& start, const std::optional<repo::StreamRange>& spooled,
                      SegmentSize size);

}  // namespace lifeboat::postgres

#pragma once

#include <string>
#include <string_view>

#include "base/files.h"
#include "base/result.h"
#include "base/time.h"
#include "policy/zone.h"

namespace lifeboat::policy {

// A moment that someone named, resolved once and for all (P6).
struct ResolvedTime {
    base::Timestamp at;
    // For echoing back: "2026-01-23 14:00:00 Europe/Berlin = 2026-01-23 13:00:00 UTC".
    std::string text;
};

// What people write for a moment, at `now`:
//
//   now
//   5 minutes ago, 90s ago, 1h 30m ago, 1 day ago     (a day is 24 hours)
//   2026-01-23T14:00:00Z, 2026-01-23T14:00:00+01:00   (RFC 3339)
//   2026-01-23 14:00[:05[.123]] [ZONE]
//   yesterday 14:00 [ZONE], today 09:30 [ZONE]
//   14:00 [ZONE]                                      (today)
//
// ZONE is UTC, Z, an offset or a name of the tz database; without one `zone` holds. Seconds
// beyond microseconds are cut off.
//
// InvalidInput for anything else; for a time of today that has not come yet, naming yesterday's;
// for a local time that clocks skipped or showed twice, naming both readings; for a moment before
// 1970 or after 9999; for an unknown ZONE. A `zone` whose file cannot be read fails as Zone::load
// does. A date may lie in the future: the caller knows whether that makes sense.
base::Result<ResolvedTime> resolve_time(std::string_view text, base::Timestamp now,
                                        const ZoneName& zone,
                                        base::Files& files = base::real_files());

}  // namespace lifeboat::policy

#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace lifeboat::policy {

// Quantities as people write them. Every number carries its unit, so that nobody has to remember
// one; only "0" may stand alone. All of these are pure. A failure is InvalidInput and says what
// was expected.

// "5m", "5 minutes", "500ms", "1 hour 30 minutes", "1h30m". Units: ms, s, m (min), h, d, w and
// their English names. Whole numbers only, each unit at most once, never negative; at most 100
// years. Months and years are refused: they differ in length.
base::Result<base::Duration> parse_duration(std::string_view text);
// The shortest text that parse_duration reads back to `d`, which must be whole milliseconds:
// "30d", "90m", "500ms", "0".
std::string format_duration(base::Duration d);

// A duration that is a whole number of days: "30d", "4 weeks".
base::Result<std::chrono::days> parse_days(std::string_view text);
std::string format_days(std::chrono::days d);  // "30d"

// "64MiB", "10 GB", "512 B": KiB, MiB, GiB, TiB are powers of 1024 and kB, MB, GB, TB powers of
// 1000. A bare "10G" is refused: it means one to some programs and the other to the rest. Below
// 2^63.
base::Result<std::uint64_t> parse_size(std::string_view text);
// The shortest text that parse_size reads back to `bytes`.
std::string format_size(std::uint64_t bytes);

}  // namespace lifeboat::policy

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/files.h"
#include "base/result.h"
#include "base/time.h"

namespace lifeboat::policy {

// Wall-clock time in some zone, without saying which.
using LocalTime = std::chrono::local_time<std::chrono::microseconds>;

// The name of a time zone, well formed but not looked up: "UTC" (also "Z", in any case), a fixed
// offset "+02:00", or a name of the tz database such as "Europe/Berlin". Safe to use as a
// relative path.
class ZoneName {
  public:
    ZoneName() = default;                                        // UTC
    static base::Result<ZoneName> parse(std::string_view text);  // InvalidInput

    const std::string& text() const { return text_; }  // "UTC", "+02:00", "Europe/Berlin"

    // Of UTC and of offsets; nothing for the tz database's names.
    std::optional<std::chrono::seconds> fixed_offset() const;
    bool operator==(const ZoneName&) const = default;

  private:
    explicit ZoneName(std::string text) : text_(std::move(text)) {}

    std::string text_ = "UTC";
};

// One date on which clocks change, every year: the day and the time of a POSIX TZ rule.
struct YearlyChange {
    enum class Kind { JulianWithoutLeapDay, DayOfYear, WeekdayOfMonth };
    Kind kind = Kind::DayOfYear;
    int day = 0;    // Jn: 1..365; n: 0..365; M: weekday, 0 is Sunday
    int week = 0;   // M: 1..5, 5 is the last
    int month = 0;  // M: 1..12
    // After local midnight; may be negative or beyond a day.
    std::chrono::seconds time = std::chrono::hours(2);
};

// What holds after the last listed transition.
struct YearlyRule {
    std::chrono::seconds standard{};

    struct Summer {
        std::chrono::seconds offset{};
        YearlyChange start;
        YearlyChange end;
    };

    std::optional<Summer> summer;
};

// The offsets of one zone, for all time. Immutable; any thread may use it.
class Zone {
  public:
    static Zone fixed(std::chrono::seconds offset);
    // UTC and offsets need no file. Others are read from the tz database under `directory`;
    // NotFound when it has no such zone.
    static base::Result<Zone> load(const ZoneName& name, base::Files& files,
                                   const std::string& directory = "/usr/share/zoneinfo");
    // A TZif file (RFC 9636) of version 2 or later, read strictly: Corrupt when a count, an
    // order, a range or the footer is wrong, Unsupported for version 1, leap seconds, and a
    // footer that leaves the future open. Bytes may be hostile.
    static base::Result<Zone> parse(base::BytesView tzif);

    std::chrono::seconds offset_at(base::Timestamp t) const;

    LocalTime local(base::Timestamp t) const {
        return LocalTime(t.time_since_epoch() + offset_at(t));
    }

    // The moments at which this zone's clocks show `local`, earliest first: one as a rule, none
    // when clocks jumped over it, two when they were set back.
    std::vector<base::Timestamp> moments(LocalTime local) const;
    // For a local time without a moment: what it means to those who did not change their clocks
    // (the offset before the jump), then to those who had already (the offset after).
    std::optional<std::pair<base::Timestamp, base::Timestamp>> around_jump(LocalTime local) const;

  private:
    struct Transition {
        std::chrono::sys_seconds at;
        std::chrono::seconds offset{};
    };
    friend class TzifReader;

    std::vector<std::chrono::seconds> all_offsets() const;  // distinct

    std::chrono::seconds before_{};        // until the first transition
    std::vector<Transition> transitions_;  // ascending
    std::optional<YearlyRule> after_;      // from the last transition; absent for fixed offsets
};

// "+02:00", "-00:30"; seconds only where there are some.
std::string format_offset(std::chrono::seconds offset);

}  // namespace lifeboat::policy

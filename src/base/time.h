#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace lifeboat::base {

// A moment on the one clock: UTC, microseconds (PostgreSQL's own resolution).
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;
using Duration = std::chrono::microseconds;

// "2026-01-23T14:00:00Z", with ".123456" when it is not a whole second.
std::string format_time(Timestamp t);
// "2026-01-23 14:00:00 UTC": for people; `decimals` (0, 3 or 6) of a second.
std::string human_time(Timestamp t, int decimals = 0);
// "20260123T140000Z": sorts as text, legal in object names.
std::string compact_time(Timestamp t);
Result<Timestamp> parse_compact_time(std::string_view text);
// RFC 3339 with a zone ("Z" or "+02:00"); "T" may be a space. InvalidInput when the zone is
// missing.
Result<Timestamp> parse_rfc3339(std::string_view text);
// "940 ms", "4.3 s", "2 min 5 s", "3 h 4 min", "2 d 3 h".
std::string human_duration(Duration d);

inline std::int64_t to_unix_micros(Timestamp t) {
    return t.time_since_epoch().count();
}

inline Timestamp from_unix_micros(std::int64_t micros) {
    return Timestamp(std::chrono::microseconds(micros));
}

// The world's time, passed in so that tests own it. Thread-safe.
class Clock {
  public:
    virtual ~Clock() = default;
    virtual Timestamp now() = 0;
    // Never jumps; only differences mean something.
    virtual std::chrono::steady_clock::time_point steady() = 0;
    virtual void sleep_for(Duration d) = 0;
};

Clock& system_clock();

// A clock that moves only when told to, or when somebody sleeps on it.
class ManualClock final : public Clock {
  public:
    explicit ManualClock(Timestamp start);
    ~ManualClock() override;
    Timestamp now() override;
    std::chrono::steady_clock::time_point steady() override;
    void sleep_for(Duration d) override;

    void advance(Duration d) { sleep_for(d); }

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace lifeboat::base

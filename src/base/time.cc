#include "base/time.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <thread>

namespace lifeboat::base {

namespace {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::seconds;

struct Fields {
    int year, month, day, hour, minute, second, micro;
};

Fields fields_of(Timestamp t) {
    const auto day = floor<days>(t);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{t - day};
    return {static_cast<int>(date.year()),
            static_cast<int>(static_cast<unsigned>(date.month())),
            static_cast<int>(static_cast<unsigned>(date.day())),
            static_cast<int>(clock.hours().count()),
            static_cast<int>(clock.minutes().count()),
            static_cast<int>(clock.seconds().count()),
            static_cast<int>(clock.subseconds().count())};
}

Result<Timestamp> moment(const Fields& f) {
    const std::chrono::year_month_day date{std::chrono::year{f.year},
                                           std::chrono::month{static_cast<unsigned>(f.month)},
                                           std::chrono::day{static_cast<unsigned>(f.day)}};
    if (!date.ok() || f.hour > 23 || f.minute > 59 || f.second > 60) {
        return Error(Code::InvalidInput, "no such date or time of day");
    }
    return Timestamp(std::chrono::sys_days{date}.time_since_epoch() + hours(f.hour) +
                     minutes(f.minute) + seconds(f.second) + microseconds(f.micro));
}

// Reads exactly `width` digits at the front of `text` and drops them.
bool eat_number(std::string_view& text, std::size_t width, int& out) {
    if (text.size() < width) {
        return false;
    }
    const auto parsed = std::from_chars(text.data(), text.data() + width, out);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + width || text[0] == '-') {
        return false;
    }
    text.remove_prefix(width);
    return true;
}

bool eat(std::string_view& text, std::string_view any_of) {
    if (text.empty() || any_of.find(text.front()) == std::string_view::npos) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

bool eat_fraction(std::string_view& text, int& micro) {
    micro = 0;
    if (!eat(text, ".,")) {
        return true;
    }
    int digits = 0;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
        if (digits < 6) {
            micro = micro * 10 + (text.front() - '0');
            ++digits;
        }
        text.remove_prefix(1);
    }
    for (int i = digits; i < 6; ++i) {
        micro *= 10;
    }
    return digits > 0;
}

bool eat_zone(std::string_view& text, minutes& offset) {
    if (eat(text, "Zz")) {
        offset = minutes(0);
        return true;
    }
    if (text.empty()) {
        return false;
    }
    const bool west = text.front() == '-';
    int hour = 0;
    int minute = 0;
    if (!eat(text, "+-") || !eat_number(text, 2, hour) || hour > 15) {
        return false;
    }
    const bool minutes_follow = eat(text, ":") || !text.empty();
    if (minutes_follow && (!eat_number(text, 2, minute) || minute > 59)) {
        return false;
    }
    offset = minutes((hour * 60 + minute) * (west ? -1 : 1));
    return true;
}

}  // namespace

std::string format_time(Timestamp t) {
    const Fields f = fields_of(t);
    std::array<char, 64> out{};
    const int n = std::snprintf(out.data(), out.size(), "%04d-%02d-%02dT%02d:%02d:%02d", f.year,
                                f.month, f.day, f.hour, f.minute, f.second);
    std::string text(out.data(), static_cast<std::size_t>(n));
    if (f.micro != 0) {
        std::snprintf(out.data(), out.size(), ".%06d", f.micro);
        text += out.data();
    }
    return text + "Z";
}

std::string human_time(Timestamp t, int decimals) {
    const Fields f = fields_of(t);
    std::array<char, 64> out{};
    std::snprintf(out.data(), out.size(), "%04d-%02d-%02d %02d:%02d:%02d", f.year, f.month, f.day,
                  f.hour, f.minute, f.second);
    std::string text = out.data();
    if (decimals > 0) {
        std::snprintf(out.data(), out.size(), ".%06d", f.micro);
        text += std::string_view(out.data(), static_cast<std::size_t>(decimals) + 1);
    }
    return text + " UTC";
}

std::string compact_time(Timestamp t) {
    const Fields f = fields_of(t);
    std::array<char, 64> out{};
    std::snprintf(out.data(), out.size(), "%04d%02d%02dT%02d%02d%02dZ", f.year, f.month, f.day,
                  f.hour, f.minute, f.second);
    return out.data();
}

Result<Timestamp> parse_compact_time(std::string_view text) {
    Fields f{};
    if (eat_number(text, 4, f.year) && eat_number(text, 2, f.month) && eat_number(text, 2, f.day) &&
        eat(text, "T") && eat_number(text, 2, f.hour) && eat_number(text, 2, f.minute) &&
        eat_number(text, 2, f.second) && eat(text, "Z") && text.empty()) {
        return moment(f);
    }
    return Error(Code::InvalidInput, "not a time of the form 20260123T140000Z");
}

Result<Timestamp> parse_rfc3339(std::string_view text) {
    const std::string whole(text);
    Fields f{};
    minutes offset{0};
    const bool date_and_time =
        eat_number(text, 4, f.year) && eat(text, "-") && eat_number(text, 2, f.month) &&
        eat(text, "-") && eat_number(text, 2, f.day) && eat(text, "Tt ") &&
        eat_number(text, 2, f.hour) && eat(text, ":") && eat_number(text, 2, f.minute) &&
        eat(text, ":") && eat_number(text, 2, f.second) && eat_fraction(text, f.micro);
    if (!date_and_time || !eat_zone(text, offset) || !text.empty()) {
        return Error(Code::InvalidInput, "'" + whole + "' is not a time with a zone")
            .hint("Write it as 2026-01-23T14:00:00Z.");
    }
    const Timestamp local = TRY(moment(f));
    return local - offset;
}

std::string human_duration(Duration d) {
    std::array<char, 64> out{};
    const bool negative = d.count() < 0;
    const double s = std::chrono::duration<double>(negative ? -d : d).count();
    const long long whole = std::llround(s);  // so that 59.7 s carries into the minute
    if (s < 0.9995) {
        std::snprintf(out.data(), out.size(), "%.0f ms", s * 1000);
    } else if (s < 9.95) {
        std::snprintf(out.data(), out.size(), "%.1f s", s);
    } else if (whole < 60) {
        std::snprintf(out.data(), out.size(), "%lld s", whole);
    } else if (whole < 3600) {
        std::snprintf(out.data(), out.size(), "%lld min %lld s", whole / 60, whole % 60);
    } else if (whole < 86400) {
        std::snprintf(out.data(), out.size(), "%lld h %lld min", whole / 3600, whole / 60 % 60);
    } else {
        std::snprintf(out.data(), out.size(), "%lld d %lld h", whole / 86400, whole / 3600 % 24);
    }
    return (negative ? "-" : "") + std::string(out.data());
}

namespace {

class SystemClock final : public Clock {
  public:
    Timestamp now() override { return floor<microseconds>(std::chrono::system_clock::now()); }

    std::chrono::steady_clock::time_point steady() override {
        return std::chrono::steady_clock::now();
    }

    void sleep_for(Duration d) override { std::this_thread::sleep_for(d); }
};

}  // namespace

Clock& system_clock() {
    static SystemClock clock;
    return clock;
}

struct ManualClock::State {
    std::mutex mutex;
    Timestamp now;
    std::chrono::steady_clock::time_point steady{};
};

ManualClock::ManualClock(Timestamp start) : state_(std::make_unique<State>()) {
    state_->now = start;
}

ManualClock::~ManualClock() = default;

Timestamp ManualClock::now() {
    const std::scoped_lock lock(state_->mutex);
    return state_->now;
}

std::chrono::steady_clock::time_point ManualClock::steady() {
    const std::scoped_lock lock(state_->mutex);
    return state_->steady;
}

void ManualClock::sleep_for(Duration d) {
    const std::scoped_lock lock(state_->mutex);
    state_->now += d;
    state_->steady += d;
}

}  // namespace lifeboat::base

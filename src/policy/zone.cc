#include "policy/zone.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "policy/text.h"

namespace lifeboat::policy {

namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Timestamp;
using std::chrono::days;
using std::chrono::floor;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year;

int number(std::string_view digits) {
    int out = 0;
    for (const char c : digits) {
        out = out * 10 + (c - '0');
    }
    return out;
}

// "+02:00", "+0200", "-03"; nothing for anything else.
std::optional<seconds> parse_offset(std::string_view text) {
    if (text.empty() || (text.front() != '+' && text.front() != '-')) {
        return std::nullopt;
    }
    const int sign = text.front() == '-' ? -1 : 1;
    std::string digits(text.substr(1));
    if (digits.size() == 5 && digits[2] == ':') {
        digits.erase(2, 1);
    }
    if ((digits.size() != 2 && digits.size() != 4) || !std::ranges::all_of(digits, is_digit)) {
        return std::nullopt;
    }
    const int hours = number(std::string_view(digits).substr(0, 2));
    const int minutes = number(std::string_view(digits).substr(2));
    if (hours > 15 || minutes > 59) {
        return std::nullopt;
    }
    return seconds(sign * (hours * 3600 + minutes * 60));
}

bool is_database_name(std::string_view text) {
    const auto legal = [](char c) {
        return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '+' || c == '/';
    };
    return text.size() <= 64 && !text.empty() && is_letter(text.front()) && text.back() != '/' &&
           text.find("//") == std::string_view::npos && std::ranges::all_of(text, legal);
}

bool is_leap(int y) {
    return year(y).is_leap();
}

sys_days day_of(const YearlyChange& change, int y) {
    const sys_days first = sys_days(year(y) / 1 / 1);
    switch (change.kind) {
        case YearlyChange::Kind::JulianWithoutLeapDay:
            return first + days(change.day - 1 + (is_leap(y) && change.day >= 60 ? 1 : 0));
        case YearlyChange::Kind::DayOfYear:
            return first + days(change.day);
        case YearlyChange::Kind::WeekdayOfMonth:
            break;
    }
    const std::chrono::weekday weekday(static_cast<unsigned>(change.day));
    const auto month = year(y) / std::chrono::month(static_cast<unsigned>(change.month));
    if (change.week == 5) {
        return sys_days(month / weekday[std::chrono::last]);
    }
    return sys_days(month / weekday[static_cast<unsigned>(change.week)]);
}

seconds offset_by_rule(const YearlyRule& rule, sys_seconds t) {
    if (!rule.summer) {
        return rule.standard;
    }
    const std::chrono::year_month_day date(floor<days>(t + rule.standard));
    const int y = static_cast<int>(date.year());
    const sys_seconds start =
        day_of(rule.summer->start, y) + rule.summer->start.time - rule.standard;
    const sys_seconds end =
        day_of(rule.summer->end, y) + rule.summer->end.time - rule.summer->offset;
    const bool summer = start < end ? start <= t && t < end : t < end || t >= start;
    return summer ? rule.summer->offset : rule.standard;
}

}  // namespace

Result<ZoneName> ZoneName::parse(std::string_view text) {
    const std::string word = lower(text);
    if (word == "utc" || word == "z") {
        return ZoneName();
    }
    if (const auto offset = parse_offset(text)) {
        return ZoneName(format_offset(*offset));
    }
    if (!is_database_name(text)) {
        return Error(Code::InvalidInput, quoted(text) + " is not a time zone")
            .hint(
                "Write UTC, an offset such as +02:00, or a name such as "
                "Europe/Berlin.");
    }
    return ZoneName(std::string(text));
}

std::optional<seconds> ZoneName::fixed_offset() const {
    return text_ == "UTC" ? seconds(0) : parse_offset(text_);
}

Zone Zone::fixed(seconds offset) {
    Zone zone;
    zone.before_ = offset;
    return zone;
}

seconds Zone::offset_at(Timestamp t) const {
    const sys_seconds second = floor<seconds>(t);
    const auto next = std::ranges::upper_bound(transitions_, second, {}, &Transition::at);
    if (next == transitions_.end() && after_) {
        return offset_by_rule(*after_, second);
    }
    return next == transitions_.begin() ? before_ : std::prev(next)->offset;
}

std::vector<seconds> Zone::all_offsets() const {
    std::vector<seconds> out = {before_};
    for (const Transition& transition : transitions_) {
        out.push_back(transition.offset);
    }
    if (after_) {
        out.push_back(after_->standard);
        out.push_back(after_->summer ? after_->summer->offset : after_->standard);
    }
    std::ranges::sort(out);
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

std::vector<Timestamp> Zone::moments(LocalTime local) const {
    std::vector<Timestamp> out;
    for (const seconds offset : all_offsets()) {
        const Timestamp candidate(local.time_since_epoch() - offset);
        if (offset_at(candidate) == offset) {
            out.push_back(candidate);
        }
    }
    std::ranges::sort(out);
    return out;
}

// In a jump from offset a to offset b, reading by a lands after the jump, where b holds, and
// reading by b lands before it, where a does: that crossing is how the pair is recognised.
std::optional<std::pair<Timestamp, Timestamp>> Zone::around_jump(LocalTime local) const {
    for (const seconds before : all_offsets()) {
        const Timestamp by_before(local.time_since_epoch() - before);
        const seconds after = offset_at(by_before);
        const Timestamp by_after(local.time_since_epoch() - after);
        if (after > before && offset_at(by_after) == before) {
            return std::pair(by_before, by_after);
        }
    }
    return std::nullopt;
}

std::string format_offset(seconds offset) {
    const long long total = std::llabs(offset.count());
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), "%c%02lld:%02lld", offset.count() < 0 ? '-' : '+',
                  total / 3600, total / 60 % 60);
    std::string text = out.data();
    if (total % 60 != 0) {
        std::snprintf(out.data(), out.size(), ":%02lld", total % 60);
        text += out.data();
    }
    return text;
}

}  // namespace lifeboat::policy

#include "policy/time_expression.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

#include "policy/quantity.h"
#include "policy/text.h"

namespace lifeboat::policy {

namespace {

using base::Code;
using base::Duration;
using base::Error;
using base::Result;
using base::Timestamp;
using std::chrono::days;
using std::chrono::floor;
using std::chrono::local_days;
using std::chrono::year_month_day;

constexpr std::size_t kLongestText = 100;
constexpr Timestamp kFirst{};
constexpr Timestamp kLast = std::chrono::sys_days(std::chrono::year(9999) / 12 / 31);

// "2026-01-23 14:00[:05[.123]]", as a clock on the wall shows it.
std::string wall_text(LocalTime local) {
    const auto micros = local.time_since_epoch().count() % 1'000'000;
    const int decimals = micros == 0 ? 0 : micros % 1000 == 0 ? 3 : 6;
    std::string text = base::human_time(Timestamp(local.time_since_epoch()), decimals);
    text.resize(text.size() - std::string_view(" UTC").size());
    return text;
}

std::string utc_text(Timestamp t) {
    return wall_text(LocalTime(t.time_since_epoch())) + " UTC";
}

Result<ResolvedTime> resolved(std::string_view text, Timestamp at, const Zone& zone,
                              const ZoneName& name) {
    if (at < kFirst || at > kLast) {
        return Error(Code::InvalidInput, quoted(text) + " lies before 1970 or after 9999");
    }
    if (name == ZoneName()) {
        return ResolvedTime{at, utc_text(at)};
    }
    return ResolvedTime{at, wall_text(zone.local(at)) + " " + name.text() + " = " + utc_text(at)};
}

// ---- Reading --------------------------------------------------------------------------------

enum class DayWord { None, Today, Yesterday, Date };

struct Expression {
    DayWord day = DayWord::None;
    year_month_day date{};
    Duration time_of_day{};
    std::string_view time_text;
    std::string_view zone;  // empty: the configured one
};

class Reader {
  public:
    explicit Reader(std::string_view text) : rest_(text) {}

    // Nothing when the text is not of the form [day] time [zone]; its numbers are not checked
    // yet.
    std::optional<Expression> read() {
        Expression out;
        if (!read_day(out) || !read_time(out)) {
            return std::nullopt;
        }
        out.zone = trimmed(rest_);
        return out;
    }

  private:
    bool read_day(Expression& out) {
        for (const auto& [word, day] :
             {std::pair<std::string_view, DayWord>{"today", DayWord::Today},
              {"yesterday", DayWord::Yesterday}}) {
            if (lower(rest_.substr(0, word.size())) == word) {
                rest_.remove_prefix(word.size());
                out.day = day;
                return skip_spaces();
            }
        }
        const bool dated = rest_.size() > 4 && rest_[4] == '-';
        return !dated || read_date(out);
    }

    bool read_date(Expression& out) {
        const auto year = digits(4);
        const auto month = take("-") ? digits(2) : std::nullopt;
        const auto day = take("-") ? digits(2) : std::nullopt;
        if (!year || !month || !day) {
            return false;
        }
        out.day = DayWord::Date;
        out.date = {std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                    std::chrono::day(static_cast<unsigned>(*day))};
        return take("Tt") || skip_spaces();
    }

    bool read_time(Expression& out) {
        const std::string_view start = rest_;
        const auto hour = digits(2);
        const auto minute = take(":") ? digits(2) : std::nullopt;
        if (!hour || !minute || *hour > 23 || *minute > 59) {
            return false;
        }
        out.time_of_day = std::chrono::hours(*hour) + std::chrono::minutes(*minute);
        if (take(":") && !read_seconds(out)) {
            return false;
        }
        out.time_text = start.substr(0, start.size() - rest_.size());
        return true;
    }

    bool read_seconds(Expression& out) {
        const auto second = digits(2);
        // RFC 3339 writes a leap second as 60. This clock counts none: it is the second after.
        if (!second || *second > 60) {
            return false;
        }
        out.time_of_day += std::chrono::seconds(*second);
        return !take(".,") || read_fraction(out);
    }

    bool read_fraction(Expression& out) {
        std::size_t count = 0;
        std::int64_t unit = 100'000;
        for (; !rest_.empty() && is_digit(rest_.front()); ++count, unit /= 10) {
            out.time_of_day += Duration(unit * (rest_.front() - '0'));
            rest_.remove_prefix(1);
        }
        return count > 0;
    }

    std::optional<int> digits(std::size_t width) {
        if (rest_.size() < width ||
            !std::all_of(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(width),
                         is_digit)) {
            return std::nullopt;
        }
        int out = 0;
        for (const char c : rest_.substr(0, width)) {
            out = out * 10 + (c - '0');
        }
        rest_.remove_prefix(width);
        return out;
    }

    bool take(std::string_view any_of) {
        if (rest_.empty() || any_of.find(rest_.front()) == std::string_view::npos) {
            return false;
        }
        rest_.remove_prefix(1);
        return true;
    }

    // False when there are none.
    bool skip_spaces() {
        const std::string_view before = rest_;
        rest_ = trimmed(rest_);
        return rest_.size() != before.size();
    }

    std::string_view rest_;
};

Error not_a_time(std::string_view text) {
    const std::string word = lower(text);
    if (word == "today" || word == "yesterday" || (text.size() == 10 && text[4] == '-')) {
        return Error(Code::InvalidInput, quoted(text) + " does not say which time of the day")
            .hint("Add it, as in '" + std::string(text) + " 14:00'.");
    }
    return Error(Code::InvalidInput, quoted(text) + " is not a time")
        .hint(
            "Write '2026-01-23 14:00 UTC', '5 minutes ago', 'yesterday 14:00', "
            "'now', or RFC 3339 such as 2026-01-23T14:00:00Z.");
}

// ---- From the wall clock to the one clock ---------------------------------------------------

std::string with_offset(LocalTime local, Timestamp reading) {
    const auto offset =
        floor<std::chrono::seconds>(local.time_since_epoch() - reading.time_since_epoch());
    return "'" + wall_text(local) + format_offset(offset) + "' is " + utc_text(reading);
}

std::string both_readings(LocalTime local, Timestamp first, Timestamp second) {
    return "Write it with an offset: " + with_offset(local, first) + ", " +
           with_offset(local, second) + ".";
}

Result<Timestamp> moment(LocalTime local, const Zone& zone, const ZoneName& name) {
    const std::vector<Timestamp> readings = zone.moments(local);
    if (readings.size() == 1) {
        return readings.front();
    }
    const std::string what = "'" + wall_text(local) + "' in " + name.text();
    if (!readings.empty()) {
        return Error(Code::InvalidInput, what + " happened twice: clocks were set back")
            .hint(both_readings(local, readings.front(), readings.back()));
    }
    const auto around = zone.around_jump(local);
    return Error(Code::InvalidInput, what + " never happened: clocks were set forward over it")
        .hint(around ? both_readings(local, around->first, around->second) : "Write it in UTC.");
}

// "today" and "yesterday" are days of the calendar in the zone of the expression.
Result<LocalTime> local_time_of(const Expression& e, std::string_view text, LocalTime now) {
    if (e.day == DayWord::Date) {
        if (!e.date.ok()) {
            return Error(Code::InvalidInput,
                         quoted(text) + " is not a time: there is no such day in the calendar");
        }
        return local_days(e.date) + e.time_of_day;
    }
    const auto today = floor<days>(now);
    if (e.day == DayWord::Yesterday) {
        return today - days(1) + e.time_of_day;
    }
    return today + e.time_of_day;
}

Result<Zone> zone_of(const ZoneName& name, bool written, base::Files& files) {
    auto zone = Zone::load(name, files);
    if (!zone.has_value() && written && zone.error().code() == Code::NotFound) {
        return std::move(zone).error().recode(Code::InvalidInput);
    }
    return zone;
}

Result<ResolvedTime> resolve_clock(const Expression& e, std::string_view text, Timestamp now,
                                   const ZoneName& name, base::Files& files) {
    const Zone zone = TRY(zone_of(name, !e.zone.empty(), files));
    const LocalTime local = TRY(local_time_of(e, text, zone.local(now)));
    const Timestamp at = TRY(moment(local, zone, name));
    if (at > now && e.day != DayWord::Date) {
        const std::string suffix = e.zone.empty() ? "" : " " + std::string(e.zone);
        return Error(Code::InvalidInput,
                     quoted(text) + " has not come yet: it would be " + utc_text(at))
            .hint("If you mean the day before, write 'yesterday " + std::string(e.time_text) +
                  suffix + "'.");
    }
    return resolved(text, at, zone, name);
}

// Needs the zone for the echo only, so it does without: a bare machine in a disaster may have no
// tz database.
Result<ResolvedTime> resolve_back(std::string_view span, std::string_view text, Timestamp now,
                                  const ZoneName& name, base::Files& files) {
    const Duration back = TRY(parse_duration(span));
    const auto zone = Zone::load(name, files);
    if (!zone.has_value()) {
        return resolved(text, now - back, Zone::fixed(std::chrono::seconds(0)), ZoneName());
    }
    return resolved(text, now - back, *zone, name);
}

}  // namespace

Result<ResolvedTime> resolve_time(std::string_view text, Timestamp now, const ZoneName& zone,
                                  base::Files& files) {
    const std::string_view trim = trimmed(text);
    if (trim.empty() || trim.size() > kLongestText) {
        return not_a_time(trim);
    }
    const std::string words = lower(trim);
    if (words == "now") {
        return resolve_back("0", trim, now, zone, files);
    }
    if (words.ends_with(" ago")) {
        return resolve_back(trim.substr(0, trim.size() - 4), trim, now, zone, files);
    }
    const auto expression = Reader(trim).read();
    if (!expression) {
        return not_a_time(trim);
    }
    if (expression->zone.empty()) {
        return resolve_clock(*expression, trim, now, zone, files);
    }
    const ZoneName written =
        TRY(ZoneName::parse(expression->zone).during("reading time " + quoted(trim)));
    return resolve_clock(*expression, trim, now, written, files);
}

}  // namespace lifeboat::policy

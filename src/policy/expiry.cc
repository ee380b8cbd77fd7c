#include "policy/expiry.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "policy/text.h"

namespace lifeboat::policy {

using base::Code;
using base::Error;
using base::Result;
using base::Timestamp;
using std::chrono::days;
using std::chrono::year_month_day;

ExpiryDay ExpiryDay::of(Timestamp t) {
    return ExpiryDay(std::chrono::floor<days>(t));
}

Result<ExpiryDay> ExpiryDay::parse(std::string_view text) {
    if (text.size() != 8 || !std::ranges::all_of(text, is_digit)) {
        return Error(Code::InvalidInput, quoted(text) + " is not an expiry day such as 20260222");
    }
    int number = 0;
    for (const char c : text) {
        number = number * 10 + (c - '0');
    }
    const year_month_day date(std::chrono::year(number / 10000),
                              std::chrono::month(static_cast<unsigned>(number / 100 % 100)),
                              std::chrono::day(static_cast<unsigned>(number % 100)));
    if (!date.ok()) {
        return Error(Code::InvalidInput, quoted(text) + " is not a day of the calendar");
    }
    return ExpiryDay(std::chrono::sys_days(date));
}

std::string ExpiryDay::text() const {
    const year_month_day date(day_);
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), "%04d%02u%02u", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
    return out.data();
}

Timestamp ExpiryDay::end() const {
    return day_ + days(1);
}

ExpiryDay backup_expiry(Timestamp stop, days retention) {
    return ExpiryDay::of(stop + retention);
}

ExpiryDay pack_expiry(Timestamp now, days retention, days rolling) {
    return ExpiryDay::of(now + retention + rolling + kSessionMargin);
}

base::Duration oldest_base(days retention) {
    return std::chrono::duration_cast<base::Duration>(retention) / 2;
}

ExpiryDay wal_expiry(Timestamp captured, days retention) {
    return ExpiryDay::of(captured + retention + oldest_base(retention) + days(1));
}

bool may_reference(ExpiryDay pack, ExpiryDay manifest) {
    return pack >= manifest;
}

bool may_delete(ExpiryDay expiry, Timestamp store_now) {
    return store_now >= expiry.end() + kDeletionMargin;
}

Result<> check_clocks(Timestamp host_now, Timestamp store_now) {
    const base::Duration apart = host_now > store_now ? host_now - store_now : store_now - host_now;
    if (apart <= kClockTolerance) {
        return {};
    }
    return Error(Code::Refused, "this host's clock is " + base::human_duration(apart) +
                                    (host_now > store_now ? " ahead of" : " behind") +
                                    " the repository's")
        .hint(
            "Expiry days are computed from the clock: set it right (for "
            "example by NTP) and try again.");
}

}  // namespace lifeboat::policy

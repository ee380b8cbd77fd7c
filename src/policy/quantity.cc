#include "policy/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>

#include "policy/text.h"

namespace lifeboat::policy {

namespace {

using base::Code;
using base::Duration;
using base::Error;
using base::Result;

struct Unit {
    std::string_view name;
    std::int64_t factor;
};

constexpr std::int64_t kMillisecond = 1000;
constexpr std::int64_t kSecond = 1000 * kMillisecond;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::int64_t kWeek = 7 * kDay;
constexpr std::int64_t kLongest = 36525 * kDay;

constexpr std::array kTimeUnits = std::to_array<Unit>({
    {"ms", kMillisecond},
    {"millisecond", kMillisecond},
    {"milliseconds", kMillisecond},
    {"s", kSecond},
    {"sec", kSecond},
    {"secs", kSecond},
    {"second", kSecond},
    {"seconds", kSecond},
    {"m", kMinute},
    {"min", kMinute},
    {"mins", kMinute},
    {"minute", kMinute},
    {"minutes", kMinute},
    {"h", kHour},
    {"hr", kHour},
    {"hrs", kHour},
    {"hour", kHour},
    {"hours", kHour},
    {"d", kDay},
    {"day", kDay},
    {"days", kDay},
    {"w", kWeek},
    {"week", kWeek},
    {"weeks", kWeek},
});

constexpr std::array kSizeUnits = std::to_array<Unit>({
    {"B", 1},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000'000},
    {"GB", 1000'000'000},
    {"TB", 1000'000'000'000},
    {"KiB", 1LL << 10},
    {"MiB", 1LL << 20},
    {"GiB", 1LL << 30},
    {"TiB", 1LL << 40},
});

struct Quantity {
    std::int64_t number;
    std::string_view unit;
};

// Takes "<digits><spaces><letters><spaces>" off the front of `text`.
std::optional<Quantity> take_quantity(std::string_view& text) {
    Quantity out{};
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out.number);
    if (text.empty() || !is_digit(text.front()) || parsed.ec != std::errc{}) {
        return std::nullopt;
    }
    text = trimmed(text.substr(static_cast<std::size_t>(parsed.ptr - text.data())));
    const auto* const end = std::find_if_not(text.begin(), text.end(), is_letter);
    out.unit = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text = trimmed(text.substr(out.unit.size()));
    return out;
}

// number * factor, unless it exceeds `most`.
std::optional<std::int64_t> product(const Quantity& q, const Unit& unit, std::int64_t most) {
    if (q.number > most / unit.factor) {
        return std::nullopt;
    }
    return q.number * unit.factor;
}

// One letter means what it says; a word may be written in any case.
const Unit* find_time_unit(std::string_view name) {
    const std::string wanted = name.size() > 2 ? lower(name) : std::string(name);
    const auto* const found = std::ranges::find(kTimeUnits, wanted, &Unit::name);
    return found == kTimeUnits.end() ? nullptr : found;
}

Error not_a_duration(std::string_view text) {
    return Error(Code::InvalidInput, quoted(text) + " is not a duration")
        .hint(
            "Write a whole number and a unit: 500ms, 90s, 5m, 1h, 30d, or '5 "
            "minutes'.");
}

Error no_such_time_unit(std::string_view text, std::string_view unit) {
    const std::string word = lower(unit);
    if (word.starts_with("month") || word.starts_with("year") || word == "y" || word == "mo") {
        return Error(Code::InvalidInput,
                     quoted(text) + " is not a duration: months and years differ in length")
            .hint("Write days or weeks, such as 30d or 52w.");
    }
    return not_a_duration(text);
}

Error not_a_size(std::string_view text) {
    return Error(Code::InvalidInput, quoted(text) + " is not a size")
        .hint(
            "Write a whole number and a unit: 512KiB, 64MiB, 8GiB (powers of "
            "1024) or 10GB (of 1000).");
}

// The unit of `units` in which `value` takes the fewest characters.
std::string shortest(std::int64_t value, std::span<const Unit> units) {
    std::string best;
    for (const Unit& unit : units) {
        if (value % unit.factor == 0) {
            const std::string text = std::to_string(value / unit.factor) + std::string(unit.name);
            best = best.empty() || text.size() < best.size() ? text : best;
        }
    }
    return best;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
    std::string_view rest = trimmed(text);
    if (rest == "0") {
        return Duration(0);
    }
    std::int64_t total = 0;
    std::int64_t last_factor = std::numeric_limits<std::int64_t>::max();
    do {
        const auto quantity = take_quantity(rest);
        if (!quantity) {
            return not_a_duration(text);
        }
        const Unit* unit = find_time_unit(quantity->unit);
        if (unit == nullptr) {
            return no_such_time_unit(text, quantity->unit);
        }
        if (unit->factor >= last_factor) {
            return Error(
                Code::InvalidInput,
                quoted(text) + " is not a duration: its units do not go from large to small");
        }
        last_factor = unit->factor;
        const auto part = product(*quantity, *unit, kLongest - total);
        if (!part) {
            return Error(Code::InvalidInput, quoted(text) + " is longer than 100 years");
        }
        total += *part;
    } while (!rest.empty());
    return Duration(total);
}

std::string format_duration(Duration d) {
    static constexpr std::array kUnits = std::to_array<Unit>(
        {{"d", kDay}, {"h", kHour}, {"m", kMinute}, {"s", kSecond}, {"ms", kMillisecond}});
    return d.count() == 0 ? "0" : shortest(d.count(), kUnits);
}

Result<std::chrono::days> parse_days(std::string_view text) {
    const Duration d = TRY(parse_duration(text));
    if (d.count() % kDay != 0) {
        return Error(Code::InvalidInput, quoted(text) + " is not a whole number of days")
            .hint("Write it as 1d, 7d or 30d.");
    }
    return std::chrono::days(d.count() / kDay);
}

std::string format_days(std::chrono::days d) {
    return std::to_string(d.count()) + "d";
}

Result<std::uint64_t> parse_size(std::string_view text) {
    std::string_view rest = trimmed(text);
    if (rest == "0") {
        return std::uint64_t{0};
    }
    const auto quantity = take_quantity(rest);
    if (!quantity || !rest.empty()) {
        return not_a_size(text);
    }
    const auto* const unit = std::ranges::find(kSizeUnits, quantity->unit, &Unit::name);
    if (unit == kSizeUnits.end()) {
        return not_a_size(text);
    }
    const auto bytes = product(*quantity, *unit, std::numeric_limits<std::int64_t>::max());
    if (!bytes) {
        return Error(Code::InvalidInput, quoted(text) + " is larger than any disk");
    }
    return static_cast<std::uint64_t>(*bytes);
}

std::string format_size(std::uint64_t bytes) {
    return bytes == 0 ? "0" : shortest(static_cast<std::int64_t>(bytes), kSizeUnits);
}

}  // namespace lifeboat::policy

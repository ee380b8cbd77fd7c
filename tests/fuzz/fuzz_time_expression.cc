// Written times and compiled time zones from hostile bytes. The first byte chooses: a time in UTC
// or at an offset, a duration, a size, or a TZif file. Never crashes; a moment that is accepted
// lies within 1970..9999 and its own text means the same moment.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "policy/expiry.h"
#include "policy/quantity.h"
#include "policy/time_expression.h"

namespace {

using namespace lifeboat;

const base::Timestamp kNow = base::parse_rfc3339("2026-01-23T14:30:00Z").value();

void check_time(std::string_view text, std::string_view zone) {
    // Names of the tz database would make the result depend on the machine; they are looked up
    // all the same.
    const auto resolved = policy::resolve_time(text, kNow, policy::ZoneName::parse(zone).value());
    if (!resolved.has_value()) {
        return;
    }
    LB_CHECK(resolved->at >= base::Timestamp{});
    const auto again =
        policy::resolve_time(base::format_time(resolved->at), kNow, policy::ZoneName());
    LB_CHECK(again.has_value() && again->at == resolved->at);
}

void check_quantities(std::string_view text) {
    if (const auto d = policy::parse_duration(text); d.has_value()) {
        LB_CHECK(policy::parse_duration(policy::format_duration(*d)).value() == *d);
    }
    if (const auto bytes = policy::parse_size(text); bytes.has_value()) {
        LB_CHECK(policy::parse_size(policy::format_size(*bytes)).value() == *bytes);
    }
    if (const auto day = policy::ExpiryDay::parse(text); day.has_value()) {
        LB_CHECK(day->text() == text);
    }
}

void check_zone(base::BytesView tzif) {
    const auto zone = policy::Zone::parse(tzif);
    if (!zone.has_value()) {
        return;
    }
    for (std::int64_t day = -40000; day < 60000; day += 997) {
        const base::Timestamp t = base::Timestamp(std::chrono::days(day));
        const auto moments = zone->moments(zone->local(t));
        bool found = false;
        for (const base::Timestamp moment : moments) {
            found = found || moment == t;
        }
        LB_CHECK(found);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 4) {
        case 0:
            check_time(text, "UTC");
            break;
        case 1:
            check_time(text, "-09:30");
            break;
        case 2:
            check_quantities(text);
            break;
        default:
            check_zone(base::view(text));
    }
    return 0;
}

#include "config/keys.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace lifeboat::config {

namespace {

constexpr KeySpec kTop[] = {
    {"version", ValueKind::Integer, Presence::Required},
    {"site", ValueKind::Mapping, Presence::Required},
    {"repositories", ValueKind::List, Presence::Required},
    {"recipients", ValueKind::List, Presence::RequiredWithReason},
    {"keys", ValueKind::Mapping},
    {"tiers", ValueKind::Mapping},
    {"systems", ValueKind::Mapping},
    {"contacts", ValueKind::Opaque},
    {"escalation", ValueKind::Opaque},
    {"severities", ValueKind::Opaque},
    {"channels", ValueKind::Opaque},
    {"alerts", ValueKind::Opaque},
    {"runbooks", ValueKind::Opaque},
    {"calendar", ValueKind::Opaque},
};

constexpr KeySpec kSite[] = {
    {"name", ValueKind::Name, Presence::Required},
    {"zone", ValueKind::Text, Presence::Optional, "UTC"},
    {"state", ValueKind::Path, Presence::Optional, "/var/lib/lifeboat"},
};

constexpr KeySpec kRepository[] = {
    {"name", ValueKind::Name, Presence::Required},
    {"url", ValueKind::Text, Presence::Required},
    {"signers", ValueKind::List},
};

constexpr KeySpec kKeys[] = {
    {"host", ValueKind::Path},
    {"identity", ValueKind::Path},
};

constexpr KeySpec kTier[] = {
    {"rto", ValueKind::Duration, Presence::Required},
    {"rpo", ValueKind::Duration, Presence::Required},
};

constexpr KeySpec kSystem[] = {
    {"engine", ValueKind::Choice, Presence::Required},
    {"tier", ValueKind::Name},
    {"connection", ValueKind::Text, Presence::Required},
    {"password", ValueKind::Secret},
    {"data_directory", ValueKind::Path, Presence::Optional, "auto"},
    {"backup", ValueKind::Mapping},
    {"stream", ValueKind::Mapping},
    {"restore", ValueKind::Mapping},
};

constexpr KeySpec kBackup[] = {
    {"retention", ValueKind::Days, Presence::Optional, "30d"},
    {"rolling_full", ValueKind::Days, Presence::Optional, "28d"},
    {"workers", ValueKind::Integer, Presence::Optional, "2"},
    {"compression", ValueKind::Integer, Presence::Optional, "2"},
    {"schedule", ValueKind::Text},
};

constexpr KeySpec kStream[] = {
    {"enabled", ValueKind::Boolean, Presence::Optional, "true"},
    {"slot", ValueKind::Text},
    {"spool", ValueKind::Path},
    {"spool_limit", ValueKind::Size, Presence::Optional, "8GiB"},
    {"interval", ValueKind::Duration, Presence::Optional, "500ms"},
    {"acknowledge", ValueKind::Choice, Presence::Optional, "repository"},
    {"retention", ValueKind::Days, Presence::Optional, "7d"},
};

constexpr KeySpec kRestore[] = {
    {"validate", ValueKind::List},
    {"owner", ValueKind::Text, Presence::Optional, "postgres"},
    {"bin_directory", ValueKind::Path, Presence::Optional, "auto"},
};

constexpr std::array kSections = std::to_array<SectionSpec>({
    {"", kTop},
    {"site", kSite},
    {"repositories[]", kRepository},
    {"keys", kKeys},
    {"tiers.*", kTier},
    {"systems.*", kSystem},
    {"systems.*.backup", kBackup},
    {"systems.*.stream", kStream},
    {"systems.*.restore", kRestore},
});

}  // namespace

std::span<const SectionSpec> sections() {
    return kSections;
}

const SectionSpec& section(std::string_view path) {
    const auto* const found = std::ranges::find(kSections, path, &SectionSpec::path);
    LB_CHECK(found != kSections.end());
    return *found;
}

}  // namespace lifeboat::config

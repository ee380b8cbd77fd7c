#pragma once

#include <span>
#include <string_view>

namespace lifeboat::config {

// Every key that lifeboat.yaml may hold, as data: the parser, the JSON Schema and
// docs/configuration.md are all held to this table.

enum class ValueKind {
    Text,
    Name,  // [a-z0-9-]{1,40}, not starting with '-'
    Boolean,
    Integer,
    Duration,  // "5m"
    Days,      // "30d"
    Size,      // "8GiB"
    Path,      // relative ones start at the directory of the configuration file
    Secret,    // ${env:X} or ${file:X}
    Choice,    // one of a few words
    List,
    Mapping,
    Opaque,  // a mapping or a list that another part of Lifeboat reads
};

enum class Presence {
    Optional,
    Required,
    RequiredWithReason,  // its reader reports the absence, with more to say than that it is missing
};

struct KeySpec {
    std::string_view name;
    ValueKind kind = ValueKind::Text;
    Presence presence = Presence::Optional;
    std::string_view fallback = {};  // what its absence means, as it would be written; empty when
                                     // that is nothing, or depends on others
};

// A mapping with fixed keys. The path is empty at the top; '*' stands for any name and '[]' for
// any element: "systems.*.backup".
struct SectionSpec {
    std::string_view path;
    std::span<const KeySpec> keys;
};

std::span<const SectionSpec> sections();
const SectionSpec& section(std::string_view path);  // must exist

}  // namespace lifeboat::config

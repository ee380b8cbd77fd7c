#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/internal/problems.h"

namespace lifeboat::config {

// A YAML document as it was written: every value with its place, scalars as text, and nothing
// expanded.
struct Node {
    enum class Kind { Null, Scalar, Sequence, Mapping };

    struct Key {
        std::string name;
        Mark mark;
    };

    Kind kind = Kind::Null;
    Mark mark = {};
    std::string scalar = {};
    bool plain =
        false;  // the scalar had no quotes: true, 5 and null may mean more than their letters
    std::vector<Key> keys = {};    // of a mapping, one for each item
    std::vector<Node> items = {};  // of a sequence or a mapping

    const Node* find(
        std::string_view key) const;  // the first; nullptr when absent or not a mapping
};

// "a mapping", "a list", "text", "nothing": for messages.
std::string_view describe(const Node& node);

// Reads one document from hostile text. Reports syntax errors, keys that are given twice or are
// not text, anchors, aliases, tags, and more nesting or more values than a configuration needs.
// Nothing when the text cannot be read at all. Aliases are refused, not expanded, so no input
// grows.
std::optional<Node> parse_yaml(std::string_view text, Problems& problems);

}  // namespace lifeboat::config

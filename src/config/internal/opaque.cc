#include "config/internal/opaque.h"

#include <charconv>

namespace lifeboat::config {

namespace {

base::Json scalar_to_json(const Node& node) {
    const std::string& text = node.scalar;
    if (node.plain && (text == "true" || text == "false")) {
        return text == "true";
    }
    std::int64_t number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() &&
                       std::to_string(number) == text;
    if (node.plain && whole) {
        return number;
    }
    return text;
}

base::Json to_json(const Node& node) {
    switch (node.kind) {
        case Node::Kind::Null:
            return {};
        case Node::Kind::Scalar:
            return scalar_to_json(node);
        case Node::Kind::Sequence:
        case Node::Kind::Mapping:
            break;
    }
    base::Json out = node.kind == Node::Kind::Mapping ? base::Json::object() : base::Json::array();
    for (std::size_t i = 0; i < node.items.size(); ++i) {
        if (node.kind == Node::Kind::Mapping) {
            out.set(node.keys[i].name, to_json(node.items[i]));
        } else {
            out.push(to_json(node.items[i]));
        }
    }
    return out;
}

}  // namespace

std::vector<OpaqueSection> read_others(Fields& fields, Problems& problems) {
    std::vector<OpaqueSection> out;
    for (const KeySpec& key : section("").keys) {
        if (key.kind != ValueKind::Opaque) {
            continue;
        }
        const Node* node = fields.value(key.name);
        if (node == nullptr) {
            continue;
        }
        if (node->kind != Node::Kind::Mapping && node->kind != Node::Kind::Sequence) {
            problems.add(node->mark, "expected a mapping or a list for '" + std::string(key.name) +
                                         "', found " + std::string(describe(*node)));
            continue;
        }
        out.push_back({std::string(key.name), to_json(*node)});
    }
    return out;
}

}  // namespace lifeboat::config

// Holds the parser, docs/lifeboat.schema.json and docs/configuration.md to the one table of keys.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "config/config.h"
#include "config/internal/sample.h"
#include "config/keys.h"

namespace lifeboat::config {
namespace {

using base::Json;

std::string read_doc(const std::string& name) {
    const base::Bytes bytes =
        base::read_file(base::real_files(), std::string(LB_SOURCE_DIR) + "/docs/" + name).value();
    return std::string(base::text(bytes));
}

class Schema : public testing::Test {
  protected:
    const Json& resolved(const Json& node) const {
        const Json* ref = node.find("$ref");
        if (ref == nullptr) {
            return node;
        }
        const Json* definition =
            root_.find("$defs")->find(ref->as_text().substr(std::string_view("#/$defs/").size()));
        EXPECT_NE(definition, nullptr) << ref->as_text();
        return *definition;
    }

    // The schema of the mapping at "systems.*.backup" or "repositories[]".
    const Json& section_at(std::string_view path) const {
        const Json* node = &root_;
        while (!path.empty()) {
            std::string_view step = path.substr(0, path.find('.'));
            path.remove_prefix(std::min(path.size(), step.size() + 1));
            const bool element = step.ends_with("[]");
            step.remove_suffix(element ? 2 : 0);
            node = step == "*" ? node->find("additionalProperties")
                               : node->find("properties")->find(step);
            node = element ? node->find("items") : node;
        }
        return *node;
    }

    const Json root_ = Json::parse(read_doc("lifeboat.schema.json")).value();
};

std::set<std::string> names(const Json& object) {
    std::set<std::string> out;
    for (const auto& member : object.members()) {
        out.insert(member.first);
    }
    return out;
}

TEST_F(Schema, KnowsTheKeysOfTheParserAndNoOther) {
    for (const SectionSpec& spec : sections()) {
        const Json& schema = section_at(spec.path);
        std::set<std::string> known;
        std::set<std::string> required;
        for (const KeySpec& key : spec.keys) {
            known.emplace(key.name);
            if (key.presence != Presence::Optional) {
                required.emplace(key.name);
            }
        }
        EXPECT_EQ(names(*schema.find("properties")), known) << spec.path;
        std::set<std::string> required_by_schema;
        if (const Json* list = schema.find("required")) {
            for (const Json& item : list->items()) {
                required_by_schema.insert(item.as_text());
            }
        }
        EXPECT_EQ(required_by_schema, required) << spec.path;
        EXPECT_EQ(schema.find("additionalProperties")->dump(), "false") << spec.path;
    }
}

// Every object of the schema is a section of the table, so nothing in the schema goes unread
// either.
TEST_F(Schema, HasNoMappingThatTheParserDoesNotRead) {
    std::size_t objects = 0;
    const auto count = [&](const auto& self, const Json& node) -> void {
        objects += node.find("properties") != nullptr && node.find("type") != nullptr ? 1 : 0;
        for (const auto& member : node.members()) {
            self(self, member.second);
        }
    };
    count(count, root_);
    EXPECT_EQ(objects, sections().size());
}

std::string kind_of(const Json& property) {
    if (const Json* ref = property.find("$ref")) {
        return ref->as_text().substr(std::string_view("#/$defs/").size());
    }
    return property.find("enum") != nullptr ? "enum" : property.find("type")->as_text();
}

std::string kind_in_schema(ValueKind kind) {
    switch (kind) {
        case ValueKind::Text:
            return "string";
        case ValueKind::Name:
            return "name";
        case ValueKind::Boolean:
            return "boolean";
        case ValueKind::Integer:
            return "integer";
        case ValueKind::Duration:
            return "duration";
        case ValueKind::Days:
            return "days";
        case ValueKind::Size:
            return "size";
        case ValueKind::Path:
            return "path";
        case ValueKind::Secret:
            return "secret";
        case ValueKind::Choice:
            return "enum";
        case ValueKind::List:
            return "array";
        case ValueKind::Mapping:
            return "object";
        case ValueKind::Opaque:
            return "opaque";
    }
    return "";
}

TEST_F(Schema, AgreesOnKindsAndDefaultsAndExplainsEveryKey) {
    for (const SectionSpec& spec : sections()) {
        const Json& properties = *section_at(spec.path).find("properties");
        for (const KeySpec& key : spec.keys) {
            const Json& property = *properties.find(key.name);
            const std::string where = std::string(spec.path) + "." + std::string(key.name);
            EXPECT_EQ(kind_of(property), kind_in_schema(key.kind)) << where;
            EXPECT_NE(property.find("description"), nullptr) << where;
            const Json* fallback = property.find("default");
            const std::string written =
                fallback == nullptr ? "" : fallback->as_text(fallback->dump());
            EXPECT_EQ(written, key.fallback) << where;
            resolved(property);
        }
    }
}

// The lines of kMinimal that give `key` of `path` its default value.
std::string minimal_with(std::string_view path, const KeySpec& key) {
    const std::string pair = std::string(key.name) + ": " + std::string(key.fallback);
    std::string text(kMinimal);
    if (path == "site") {
        return text.replace(text.find("prod-eu}"), 8, "prod-eu, " + pair + "}");
    }
    if (path == "systems.*") {
        return text + "    " + pair + "\n";
    }
    const std::string last(path.substr(path.rfind('.') + 1));
    return text + "    " + last + ": {" + pair + "}\n";
}

TEST(Keys, WritingADefaultOutChangesNothing) {
    const Config minimal = parse_config(kMinimal, "/etc/lifeboat.yaml").value();
    int checked = 0;
    for (const SectionSpec& spec : sections()) {
        for (const KeySpec& key : spec.keys) {
            if (!key.fallback.empty()) {
                const auto got = parse_config(minimal_with(spec.path, key), "/etc/lifeboat.yaml");
                ASSERT_TRUE(got.has_value()) << got.error().message();
                EXPECT_TRUE(*got == minimal) << spec.path << "." << key.name;
                ++checked;
            }
        }
    }
    EXPECT_GE(checked, 14);
}

// ---- docs/configuration.md ------------------------------------------------------------------

std::string page_section(const std::string& page, std::string_view path) {
    const std::string heading =
        path.empty() ? "\n## Top level\n" : "\n## `" + std::string(path) + "`\n";
    const std::size_t start = page.find(heading);
    EXPECT_NE(start, std::string::npos) << heading;
    return start == std::string::npos ? ""
                                      : page.substr(start, page.find("\n## ", start + 1) - start);
}

TEST(Page, HasARowForEveryKeyAndNoOther) {
    const std::string page = read_doc("configuration.md");
    for (const SectionSpec& spec : sections()) {
        const std::string text = page_section(page, spec.path);
        for (const KeySpec& key : spec.keys) {
            const std::size_t row = text.find("\n| `" + std::string(key.name) + "` | ");
            ASSERT_NE(row, std::string::npos) << spec.path << "." << key.name;
            const std::string line = text.substr(row + 1, text.find('\n', row + 1) - row);
            const std::string fallback = key.presence != Presence::Optional ? "| required |"
                                         : key.fallback.empty()
                                             ? "|"
                                             : "| `" + std::string(key.fallback) + "` |";
            EXPECT_NE(line.find(fallback), std::string::npos) << line;
        }
        const auto rows = std::count(text.begin(), text.end(), '\n');
        std::size_t listed = 0;
        for (std::size_t at = text.find("\n| `"); at != std::string::npos;
             at = text.find("\n| `", at + 1)) {
            ++listed;
        }
        EXPECT_EQ(listed, spec.keys.size()) << spec.path << " in " << rows << " lines";
    }
}

TEST(Page, ItsExampleIsValid) {
    const std::string page = read_doc("configuration.md");
    const std::size_t start = page.find("```yaml\n") + 8;
    const auto got =
        parse_config(page.substr(start, page.find("```", start) - start), "lifeboat.yaml");
    ASSERT_TRUE(got.has_value()) << got.error().message();
    EXPECT_EQ(got->systems.size(), 1U);
}

}  // namespace
}  // namespace lifeboat::config

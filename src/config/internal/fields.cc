#include "config/internal/fields.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/files.h"
#include "config/config.h"
#include "config/nearest.h"
#include "policy/quantity.h"
#include "policy/text.h"

namespace lifeboat::config {

using base::Duration;
using policy::quoted;

namespace {

std::string joined(const std::vector<std::string_view>& words) {
    std::string out;
    for (const std::string_view word : words) {
        out += (out.empty() ? "" : ", ") + std::string(word);
    }
    return out;
}

std::vector<std::string_view> names_of(const SectionSpec& spec) {
    std::vector<std::string_view> out;
    for (const KeySpec& key : spec.keys) {
        out.push_back(key.name);
    }
    return out;
}

bool knows(const SectionSpec& spec, std::string_view name) {
    return std::ranges::find(spec.keys, name, &KeySpec::name) != spec.keys.end();
}

// Where else the key belongs: "systems.*.backup"; empty when nowhere.
std::string home_of(std::string_view name) {
    std::vector<std::string_view> homes;
    for (const SectionSpec& other : sections()) {
        if (knows(other, name)) {
            homes.push_back(other.path.empty() ? "the top level" : other.path);
        }
    }
    return joined(homes);
}

}  // namespace

PathBase::PathBase(const std::string& file_name) : directory_(base::parent_of(file_name)) {}

std::string PathBase::resolve(std::string_view path) const {
    const bool as_written = path.starts_with('/') || directory_ == ".";
    return as_written ? std::string(path) : base::join(directory_, path);
}

bool check_text(const Node& scalar, Problems& problems) {
    if (scalar.scalar.empty()) {
        problems.add(scalar.mark, "expected text, found an empty one");
        return false;
    }
    if (scalar.scalar.find("${") != std::string::npos) {
        problems.add(scalar.mark, "a reference ${...} is not read here",
                     "Only passwords and other secrets are references; write the value itself.");
        return false;
    }
    if (scalar.scalar.find('\n') != std::string::npos) {
        problems.add(scalar.mark, "expected one line of text, found several");
        return false;
    }
    return true;
}

bool check_name(std::string_view name, Mark mark, Problems& problems) {
    if (is_name(name)) {
        return true;
    }
    problems.add(mark, quoted(name) + " is not a name",
                 "Use 1 to 40 of a-z, 0-9 and '-', not starting with '-'.");
    return false;
}

Fields::Fields(const Node& mapping, std::string_view path, std::string where, const PathBase& paths,
               Problems& problems)
    : mapping_(mapping),
      spec_(section(path)),
      where_(std::move(where)),
      paths_(paths),
      problems_(problems) {
    for (const Node::Key& key : mapping_.keys) {
        if (!knows(spec_, key.name)) {
            report_unknown(key);
        }
    }
    for (const KeySpec& key : spec_.keys) {
        if (key.presence == Presence::Required && mapping_.find(key.name) == nullptr) {
            problems_.add(mapping_.mark, "missing key " + quoted(this->where(key.name)));
        }
    }
}

void Fields::finish() const {
    LB_CHECK(asked_.size() == spec_.keys.size());
}

std::string Fields::where(std::string_view key) const {
    return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
}

void Fields::report_unknown(const Node::Key& key) {
    const std::vector<std::string_view> known = names_of(spec_);
    std::string text = "unknown key " + quoted(key.name);
    if (const auto meant = nearest(key.name, known)) {
        text += "; did you mean '" + std::string(*meant) + "'?";
    } else if (const std::string home = home_of(key.name); !home.empty()) {
        text += "; it belongs to " + home;
    }
    problems_.add(key.mark, std::move(text), "Known here: " + joined(known) + ".");
}

void Fields::report_expected(const Node& found, std::string_view what) {
    const bool shown = found.kind == Node::Kind::Scalar;
    problems_.add(found.mark, "expected " + std::string(what) + ", found " +
                                  (shown ? quoted(found.scalar) : std::string(describe(found))));
}

const Node* Fields::value(std::string_view key) {
    LB_CHECK(knows(spec_, key));
    if (std::ranges::find(asked_, key) == asked_.end()) {
        asked_.push_back(key);
    }
    return mapping_.find(key);
}

const Node* Fields::mapping(std::string_view key) {
    const Node* node = value(key);
    if (node != nullptr && node->kind != Node::Kind::Mapping) {
        report_expected(*node, "a mapping");
        return nullptr;
    }
    return node;
}

const Node* Fields::list(std::string_view key) {
    const Node* node = value(key);
    if (node != nullptr && node->kind != Node::Kind::Sequence) {
        report_expected(*node, "a list");
        return nullptr;
    }
    return node;
}

const Node* Fields::scalar(std::string_view key, std::string_view expectation) {
    const Node* node = value(key);
    if (node == nullptr) {
        return nullptr;
    }
    if (node->kind != Node::Kind::Scalar) {
        report_expected(*node, expectation);
        return nullptr;
    }
    return check_text(*node, problems_) ? node : nullptr;
}

std::string Fields::text(std::string_view key, std::string otherwise) {
    const Node* node = scalar(key, "text");
    return node == nullptr ? std::move(otherwise) : node->scalar;
}

std::string Fields::name(std::string_view key, std::string otherwise) {
    const Node* node = scalar(key, "a name");
    const bool good = node != nullptr && check_name(node->scalar, node->mark, problems_);
    return good ? node->scalar : std::move(otherwise);
}

std::string Fields::path(std::string_view key, std::string otherwise) {
    const Node* node = scalar(key, "a path");
    if (node == nullptr) {
        return otherwise;
    }
    if (node->scalar.starts_with('~')) {
        problems_.add(node->mark, "a path may not start with '~'",
                      "Write the directory in full, such as /home/me.");
        return otherwise;
    }
    return paths_.resolve(node->scalar);
}

std::string Fields::key_file(std::string_view key, std::string otherwise) {
    const Node* node = value(key);
    if (node != nullptr && node->kind == Node::Kind::Scalar) {
        const auto ref = parse_secret_ref(node->scalar);
        if (ref.has_value() && ref->kind == SecretRef::Kind::File) {
            return paths_.resolve(ref->name);
        }
    }
    return path(key, std::move(otherwise));
}

bool Fields::boolean(std::string_view key, bool otherwise) {
    const Node* node = scalar(key, "true or false");
    if (node == nullptr) {
        return otherwise;
    }
    if (!node->plain || (node->scalar != "true" && node->scalar != "false")) {
        report_expected(*node, "true or false");
        return otherwise;
    }
    return node->scalar == "true";
}

int Fields::integer(std::string_view key, int otherwise, int least, int most) {
    const std::string range =
        "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    const Node* node = scalar(key, range);
    if (node == nullptr) {
        return otherwise;
    }
    const std::string& digits = node->scalar;
    int number = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool whole = parsed.ec == std::errc{} && parsed.ptr == digits.data() + digits.size();
    if (!node->plain || !whole || number < least || number > most) {
        report_expected(*node, range);
        return otherwise;
    }
    return number;
}

Duration Fields::duration(std::string_view key, Duration otherwise, Duration least, Duration most) {
    const Node* node = scalar(key, "a duration such as 5m");
    if (node == nullptr) {
        return otherwise;
    }
    const auto parsed = policy::parse_duration(node->scalar);
    if (!parsed.has_value()) {
        problems_.add(node->mark, parsed.error().what(), parsed.error().hint());
        return otherwise;
    }
    if (*parsed < least || *parsed > most) {
        report_expected(*node, "a duration from " + policy::format_duration(least) + " to " +
                                   policy::format_duration(most));
        return otherwise;
    }
    return *parsed;
}

std::chrono::days Fields::days(std::string_view key, std::chrono::days otherwise,
                               std::chrono::days most) {
    const Node* node = scalar(key, "a number of days such as 30d");
    if (node == nullptr) {
        return otherwise;
    }
    const auto parsed = policy::parse_days(node->scalar);
    if (!parsed.has_value()) {
        problems_.add(node->mark, parsed.error().what(), parsed.error().hint());
        return otherwise;
    }
    if (parsed->count() < 1 || *parsed > most) {
        report_expected(*node, "a number of days from 1d to " + policy::format_days(most));
        return otherwise;
    }
    return *parsed;
}

std::uint64_t Fields::size(std::string_view key, std::uint64_t otherwise, std::uint64_t least) {
    const Node* node = scalar(key, "a size such as 8GiB");
    if (node == nullptr) {
        return otherwise;
    }
    const auto parsed = policy::parse_size(node->scalar);
    if (!parsed.has_value()) {
        problems_.add(node->mark, parsed.error().what(), parsed.error().hint());
        return otherwise;
    }
    if (*parsed < least) {
        report_expected(*node, "a size of at least " + policy::format_size(least));
        return otherwise;
    }
    return *parsed;
}

std::size_t Fields::choice(std::string_view key, std::size_t otherwise,
                           std::initializer_list<std::string_view> words) {
    const std::string expectation =
        (words.size() > 1 ? "one of " : "") + joined(std::vector(words));
    const Node* node = scalar(key, expectation);
    if (node == nullptr) {
        return otherwise;
    }
    const auto* const found = std::ranges::find(words, node->scalar);
    if (found == words.end()) {
        report_expected(*node, expectation);
        return otherwise;
    }
    return static_cast<std::size_t>(found - words.begin());
}

std::optional<SecretRef> Fields::secret(std::string_view key) {
    const Node* node = value(key);
    if (node == nullptr) {
        return std::nullopt;
    }
    if (node->kind != Node::Kind::Scalar) {
        report_expected(*node, "a reference ${env:NAME} or ${file:PATH}");
        return std::nullopt;
    }
    auto ref = parse_secret_ref(node->scalar);
    if (!ref.has_value()) {
        return std::nullopt;
    }
    if (ref->kind == SecretRef::Kind::File) {
        ref->name = paths_.resolve(ref->name);
    }
    return *ref;
}

std::vector<std::string> Fields::texts(std::string_view key) {
    std::vector<std::string> out;
    const Node* node = list(key);
    if (node == nullptr) {
        return out;
    }
    for (const Node& item : node->items) {
        if (item.kind != Node::Kind::Scalar || item.scalar.empty()) {
            report_expected(item, "text");
        } else {
            out.push_back(item.scalar);
        }
    }
    return out;
}

}  // namespace lifeboat::config

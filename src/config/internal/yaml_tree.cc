// The only file that knows yaml-cpp. Tested by yaml_tree_test.cc and tests/fuzz/fuzz_config.cc.
//
// yaml-cpp's events are used, not its nodes: they carry the place of every key, show whether a
// scalar was quoted, and let aliases be refused before anything is expanded. Three of its habits
// are mended here: it accepts a quoted text that never ends, it may hand out empty documents for
// ever when text follows the first one, and it reports too deep nesting as a bad file.

#include "config/internal/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <numeric>
#include <sstream>

#include "policy/text.h"

namespace lifeboat::config {

namespace {

constexpr std::size_t kDeepest = 32;
constexpr std::size_t kMostValues = 10000;

Mark mark_of(const YAML::Mark& mark) {
    return mark.is_null() ? Mark{} : Mark{mark.line + 1, mark.column + 1};
}

// Builds the tree; never throws of its own, since it is called from inside the library.
class TreeBuilder final : public YAML::EventHandler {
  public:
    TreeBuilder(std::string_view text, Problems& problems) : text_(text), problems_(problems) {}

    // An empty document is Null. Nothing when there are more values than anyone should go through.
    std::optional<Node> take_root() {
        if (count_ > kMostValues) {
            return std::nullopt;
        }
        return std::move(root_);
    }

    void OnDocumentStart(const YAML::Mark&) override {}

    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        check_bare(mark, "", anchor);
        add(Node{.mark = mark_of(mark)});
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        problems_.add(mark_of(mark), "aliases (*name) are not supported",
                      "Write the value again in full.");
        add(Node{.mark = mark_of(mark)});
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check_bare(mark, tag, anchor);
        check_scalar(mark, tag, value);
        const bool plain = tag == "?";
        const bool null = plain && (value == "~" || value == "null");
        add(Node{.kind = null ? Node::Kind::Null : Node::Kind::Scalar,
                 .mark = mark_of(mark),
                 .scalar = value,
                 .plain = plain});
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        check_bare(mark, tag, anchor);
        open(Node{.kind = Node::Kind::Sequence, .mark = mark_of(mark)});
    }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        check_bare(mark, tag, anchor);
        open(Node{.kind = Node::Kind::Mapping, .mark = mark_of(mark)});
    }

    void OnSequenceEnd() override { close(); }

    void OnMapEnd() override {
        check_duplicates(open_.back());
        close();
    }

  private:
    void check_bare(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        if (anchor != YAML::NullAnchor) {
            problems_.add(mark_of(mark), "anchors (&name) are not supported",
                          "Write the value again in full where it is needed.");
        }
        if (!tag.empty() && tag != "?" && tag != "!") {
            problems_.add(mark_of(mark), "tags (!name) are not supported", "Leave the tag out.");
        }
    }

    void check_scalar(const YAML::Mark& mark, const std::string& tag, const std::string& value) {
        const auto illegal = [](char c) { return c >= '\0' && c < ' ' && c != '\n' && c != '\t'; };
        if (std::ranges::any_of(value, illegal)) {
            problems_.add(mark_of(mark), "text holds a control character");
        }
        const auto start = static_cast<std::size_t>(std::max(mark.pos, 0));
        if (tag == "!" && start < text_.size() && !is_closed(text_.substr(start))) {
            problems_.add(mark_of(mark), "a quoted text begins here and never ends",
                          "Close the quote, or double it inside the text.");
        }
    }

    // Whether the quoted text at the front of `text` ends; anything else does.
    static bool is_closed(std::string_view text) {
        const char quote = text.front();
        if (quote != '\'' && quote != '"') {
            return true;
        }
        for (std::size_t i = 1; i < text.size(); ++i) {
            if (quote == '"' && text[i] == '\\') {
                ++i;
            } else if (text[i] == quote && quote == '\'' && i + 1 < text.size() &&
                       text[i + 1] == '\'') {
                ++i;
            } else if (text[i] == quote) {
                return true;
            }
        }
        return false;
    }

    void check_duplicates(const Node& mapping) {
        std::vector<std::size_t> order(mapping.keys.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::sort(order, {}, [&](std::size_t i) {
            return std::pair(std::string_view(mapping.keys[i].name), i);
        });
        for (std::size_t i = 1; i < order.size(); ++i) {
            const Node::Key& first = mapping.keys[order[i - 1]];
            const Node::Key& again = mapping.keys[order[i]];
            if (first.name == again.name && !first.name.empty()) {
                problems_.add(again.mark, "key " + policy::quoted(again.name) +
                                              " was given already in line " +
                                              std::to_string(first.mark.line));
            }
        }
    }

    void open(Node node) {
        if (open_.size() == kDeepest) {
            problems_.add(node.mark,
                          "nested more than " + std::to_string(kDeepest) + " levels deep");
        }
        open_.push_back(std::move(node));
    }

    void close() {
        Node done = std::move(open_.back());
        open_.pop_back();
        add(std::move(done));
    }

    void add(Node node) {
        if (++count_ == kMostValues + 1) {
            problems_.add(node.mark,
                          "a configuration has at most " + std::to_string(kMostValues) + " values");
        }
        if (open_.empty()) {
            root_ = std::move(node);
            return;
        }
        Node& parent = open_.back();
        if (parent.kind == Node::Kind::Mapping && parent.keys.size() == parent.items.size()) {
            add_key(parent, std::move(node));
        } else {
            parent.items.push_back(std::move(node));
        }
    }

    void add_key(Node& mapping, Node key) {
        if (key.kind != Node::Kind::Scalar) {
            problems_.add(key.mark,
                          "a key must be text, and this is " + std::string(describe(key)));
        }
        mapping.keys.push_back({std::move(key.scalar), key.mark});
    }

    std::string_view text_;
    Problems& problems_;
    std::vector<Node> open_;
    Node root_;
    std::size_t count_ = 0;
};

std::string_view line_at(std::string_view text, int line) {
    for (; line > 1 && !text.empty(); --line) {
        const std::size_t end = text.find('\n');
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
    return text.substr(0, text.find('\n'));
}

std::string hint_for(std::string_view line) {
    if (line.find("${") != std::string_view::npos) {
        return "Inside { } and [ ] a reference needs quotes: \"${file:/path}\".";
    }
    if (line.find_first_not_of(" \t") != std::string_view::npos &&
        line.substr(0, line.find_first_not_of(" \t")).find('\t') != std::string_view::npos) {
        return "Indent with spaces; YAML does not allow tabs there.";
    }
    return {};
}

void report_syntax(std::string_view text, const YAML::Mark& at, const std::string& what,
                   Problems& problems) {
    const Mark mark = mark_of(at);
    const std::string reason = what == YAML::ErrorMsg::BAD_FILE ? "nested too deeply" : what;
    problems.add(mark, "not valid YAML: " + reason, hint_for(line_at(text, mark.line)));
}

// Ignores what it is told, except that there was something.
class Trailer final : public YAML::EventHandler {
  public:
    void OnDocumentStart(const YAML::Mark& mark) override { found = mark_of(mark); }

    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark&, YAML::anchor_t) override {}

    void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}

    void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  const std::string&) override {}

    void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                         YAML::EmitterStyle::value) override {}

    void OnSequenceEnd() override {}

    void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                    YAML::EmitterStyle::value) override {}

    void OnMapEnd() override {}

    std::optional<Mark> found;
};

std::optional<Node> read_document(std::string_view text, Problems& problems) {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    TreeBuilder builder(text, problems);
    parser.HandleNextDocument(builder);
    Trailer trailer;
    parser.HandleNextDocument(trailer);
    if (trailer.found) {
        problems.add(*trailer.found, "text follows after the end of the document",
                     "A configuration is one YAML document.");
    }
    return builder.take_root();
}

}  // namespace

const Node* Node::find(std::string_view key) const {
    const auto found = std::ranges::find(keys, key, &Key::name);
    if (found == keys.end()) {
        return nullptr;
    }
    return &items[static_cast<std::size_t>(found - keys.begin())];
}

std::string_view describe(const Node& node) {
    switch (node.kind) {
        case Node::Kind::Null:
            return "nothing";
        case Node::Kind::Scalar:
            return "text";
        case Node::Kind::Sequence:
            return "a list";
        case Node::Kind::Mapping:
            break;
    }
    return "a mapping";
}

std::optional<Node> parse_yaml(std::string_view text, Problems& problems) {
    try {
        return read_document(text, problems);
    } catch (const YAML::ParserException& failure) {
        report_syntax(text, failure.mark, failure.msg, problems);
    } catch (const std::exception& failure) {
        problems.add(Mark{}, "not valid YAML: " + std::string(failure.what()));
    }
    return std::nullopt;
}

}  // namespace lifeboat::config

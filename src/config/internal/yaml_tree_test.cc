#include "config/internal/yaml_tree.h"

#include <gtest/gtest.h>

namespace lifeboat::config {
namespace {

Node read(std::string_view text) {
    Problems problems("f");
    auto node = parse_yaml(text, problems);
    EXPECT_FALSE(problems.any()) << (problems.any() ? std::move(problems).error().message() : "");
    return node ? std::move(*node) : Node{};
}

void expect_problem(std::string_view text, std::string_view wanted) {
    Problems problems("f");
    parse_yaml(text, problems);
    ASSERT_TRUE(problems.any()) << text;
    const std::string message = std::move(problems).error().message();
    EXPECT_NE(message.find(wanted), std::string::npos) << message;
}

TEST(YamlTree, KeepsThePlaceOfEveryKeyAndValue) {
    const Node root = read("a: 1\nlist:\n  - x\n  - {b: 'y'}\n");
    ASSERT_EQ(root.kind, Node::Kind::Mapping);
    EXPECT_EQ(root.keys[1].mark, (Mark{2, 1}));
    const Node& list = *root.find("list");
    EXPECT_EQ(list.items[0].mark, (Mark{3, 5}));
    EXPECT_EQ(list.items[1].keys[0].mark, (Mark{4, 6}));
    EXPECT_EQ(list.items[1].find("b")->mark, (Mark{4, 9}));
    EXPECT_EQ(root.find("absent"), nullptr);
}

TEST(YamlTree, TellsPlainFromQuoted) {
    const Node root = read("a: true\nb: 'true'\nc: ~\nd:\ne: '~'\nf: null\n");
    EXPECT_TRUE(root.find("a")->plain);
    EXPECT_FALSE(root.find("b")->plain);
    EXPECT_EQ(root.find("c")->kind, Node::Kind::Null);
    EXPECT_EQ(root.find("d")->kind, Node::Kind::Null);
    EXPECT_EQ(root.find("e")->scalar, "~");
    EXPECT_EQ(root.find("f")->kind, Node::Kind::Null);
}

TEST(YamlTree, AnEmptyDocumentIsNothing) {
    for (const char* text : {"", "\n", "# only a comment\n", "---\n"}) {
        EXPECT_EQ(read(text).kind, Node::Kind::Null) << text;
    }
    EXPECT_EQ(read("---\na: 1\n...\n").kind, Node::Kind::Mapping);
    EXPECT_EQ(read("a: 1\r\nb: 2\r\n").find("b")->scalar, "2");
}

TEST(YamlTree, ReportsKeysThatAreGivenTwice) {
    expect_problem("a: 1\nb: 2\na: 3\n", "f:3:1: key 'a' was given already in line 1");
    expect_problem("x: {a: 1, 'a': 2}\n", "f:1:11: key 'a' was given already in line 1");
}

TEST(YamlTree, RefusesWhatGrowsOrChangesMeaning) {
    expect_problem("a: &x 1\n", "f:1:4: anchors (&name) are not supported");
    expect_problem("a: &x 1\nb: *x\n", "f:2:4: aliases (*name) are not supported");
    expect_problem("a: !!str 1\n", "tags (!name) are not supported");
    expect_problem("a: !secret 1\n", "tags (!name) are not supported");
    expect_problem("[a, b]: 1\n", "a key must be text, and this is a list");
    expect_problem("~: 1\n", "a key must be text, and this is nothing");
    expect_problem("a: \"x\\0y\"\n", "f:1:4: text holds a control character");
}

TEST(YamlTree, RefusesTheExpandingBomb) {
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 30; ++i) {
        const std::string last = "*a" + std::to_string(i - 1);
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last + ", " + last +
                ", " + last + "]\n";
    }
    expect_problem(bomb, "aliases (*name) are not supported");
}

TEST(YamlTree, BoundsDepthAndNumber) {
    expect_problem(std::string(40, '[') + std::string(40, ']'), "nested more than 32 levels deep");
    expect_problem(std::string(100000, '['), "f:1:1: not valid YAML: nested too deeply");
    expect_problem(std::string(100000, '{'), "nested too deeply");
    std::string many = "[";
    for (int i = 0; i < 10001; ++i) {
        many += "a,";
    }
    expect_problem(many + "]", "a configuration has at most 10000 values");
}

TEST(YamlTree, ReportsSyntaxWithItsPlace) {
    expect_problem("a: b: c\n", "f:1:5: not valid YAML: illegal map value");
    expect_problem("a:\n\t- b\n", "f:2:2: not valid YAML");
    expect_problem("a: [1, 2\n", "not valid YAML: end of sequence flow not found");
    expect_problem("a: @x\n", "f:1:4: not valid YAML: unknown token");
}

TEST(YamlTree, HintsAtCommonSlips) {
    const auto hint = [](std::string_view text) {
        Problems problems("f");
        parse_yaml(text, problems);
        return std::move(problems).error().hint();
    };
    EXPECT_EQ(hint("a:\n\t- b\n"), "Indent with spaces; YAML does not allow tabs there.");
    EXPECT_EQ(hint("keys: {host: ${file:/etc/x}, identity: y}\n"),
              "Inside { } and [ ] a reference needs quotes: \"${file:/path}\".");
}

TEST(YamlTree, SeesAQuotedTextThatNeverEnds) {
    expect_problem("a: 'x\nb: 2\n", "f:1:4: a quoted text begins here and never ends");
    expect_problem("a: \"x\nb: 2\n", "f:1:4: a quoted text begins here and never ends");
    expect_problem("\xc3\xa9: 1\nb: 'x\n", "f:2:4: a quoted text begins here and never ends");
    EXPECT_EQ(read("\xc3\xa9: '\xc3\xa9'\na: 'it''s'\nb: \"say \\\"x\\\"\"\nc: |\n  'x\n")
                  .find("a")
                  ->scalar,
              "it's");
    EXPECT_EQ(read("\xc3\xa9\xc3\xa9\xc3\xa9: 1\r\na: 'x'\n").find("a")->scalar, "x");
}

TEST(YamlTree, IsOneDocument) {
    expect_problem("a: 1\n---\nb: 2\n", "text follows after the end of the document");
    expect_problem("a: 1\n}\n", "not valid YAML: illegal flow end");
    expect_problem("a: 1\n, , ,\n", "f:");
    expect_problem(", , , , ,", "text follows after the end of the document");
}

}  // namespace
}  // namespace lifeboat::config

#include "cli/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lifeboat::cli {
namespace {

using testing::HasSubstr;

std::variant<Arguments, ParseStop> parse_words(std::vector<const char*> words) {
    words.insert(words.begin(), "lifeboat");
    return parse(static_cast<int>(words.size()), words.data());
}

template <class T>
T parsed(const std::vector<const char*>& words) {
    auto result = parse_words(words);
    const auto* arguments = std::get_if<Arguments>(&result);
    const T* what = arguments != nullptr ? std::get_if<T>(&arguments->what) : nullptr;
    EXPECT_NE(what, nullptr) << words.front();
    return what != nullptr ? *what : T{};
}

TEST(Parse, EveryVerbIsKnownByItsName) {
    const std::vector<std::pair<std::vector<const char*>, std::string>> cases = {
        {{"init"}, "init"},
        {{"backup"}, "backup"},
        {{"stream"}, "stream"},
        {{"list"}, "list"},
        {{"restore", "main", "--target", "/x"}, "restore"},
        {{"verify"}, "verify"},
        {{"repo", "check"}, "repo check"},
        {{"status"}, "status"},
        {{"doctor"}, "doctor"},
        {{"wal-push", "main", "/x"}, "wal-push"},
        {{"wal-feed", "main", "/x"}, "wal-feed"},
    };
    for (const auto& [words, name] : cases) {
        const auto result = parse_words(words);
        const auto* arguments = std::get_if<Arguments>(&result);
        ASSERT_NE(arguments, nullptr) << name;
        EXPECT_EQ(arguments->verb, name);
    }
}

TEST(Parse, CommonOptionsStandBeforeOrBehindTheVerb) {
    for (const auto& words : {std::vector<const char*>{"--json", "--config", "/c", "status"},
                              std::vector<const char*>{"status", "--config", "/c", "--json"}}) {
        const auto result = parse_words(words);
        const auto* arguments = std::get_if<Arguments>(&result);
        ASSERT_NE(arguments, nullptr);
        EXPECT_TRUE(arguments->common.json);
        EXPECT_EQ(arguments->common.config, "/c");
    }
}

TEST(Parse, ARestoreKeepsEveryWord) {
    const auto a = parsed<RestoreArguments>(
        {"restore",  "main",         "--target",  "/srv/pg",    "--at",     "5 minutes ago",
         "--start",  "--port",       "5433",      "--validate", "SELECT 1", "--validate",
         "SELECT 2", "--tablespace", "/a=/b",     "--timeline", "3",        "--delta",
         "--owner",  "pg",           "--workers", "4"});
    EXPECT_EQ(a.system, "main");
    EXPECT_EQ(a.at, "5 minutes ago");
    EXPECT_EQ(a.port, 5433);
    EXPECT_EQ(a.validate, (std::vector<std::string>{"SELECT 1", "SELECT 2"}));
    EXPECT_EQ(a.tablespaces, std::vector<std::string>{"/a=/b"});
    EXPECT_EQ(a.timeline, 3U);
    EXPECT_TRUE(a.start && a.delta);
    EXPECT_EQ(a.workers, 4U);
}

TEST(Parse, ABackupTakesAnyNumberOfSystems) {
    EXPECT_EQ(parsed<BackupArguments>({"backup"}).systems.size(), 0U);
    const auto two = parsed<BackupArguments>({"backup", "a", "b", "--full"});
    EXPECT_EQ(two.systems, (std::vector<std::string>{"a", "b"}));
    EXPECT_TRUE(two.full);
}

struct Wrong {
    std::vector<const char*> words;
    const char* message;
    const char* hint;
};

TEST(Parse, WrongWordsAreNamedAndTheNearestRightOnesToo) {
    const Wrong cases[] = {
        {{"bakcup"}, "unknown verb 'bakcup'", "Did you mean 'backup'?"},
        {{"zzz"}, "unknown verb 'zzz'", "See 'lifeboat --help'."},
        {{}, "a subcommand is required", "See 'lifeboat --help'."},
        {{"backup", "--ful"}, "unknown option '--ful' for 'backup'", "Did you mean '--full'?"},
        {{"backup", "--jsno"}, "unknown option '--jsno' for 'backup'", "Did you mean '--json'?"},
        {{"backup", "--qqqqqqqqq"},
         "unknown option '--qqqqqqqqq'",
         "See 'lifeboat backup --help'."},
        {{"restore", "main", "--target", "/x", "--tim=3"}, "unknown option '--tim'", "See "},
        {{"restore", "main", "--target", "/x", "--xdi", "3"}, "'--xdi'", "Did you mean '--xid'?"},
        {{"list", "a", "b"}, "unexpected argument 'b' for 'list'", "See 'lifeboat list --help'."},
        {{"repo"}, "repo: a subcommand is required", "See 'lifeboat repo --help'."},
        {{"repo", "chekc"}, "unknown verb 'chekc' for 'repo'", "Did you mean 'check'?"},
        {{"restore", "main"}, "restore: --target is required", "See 'lifeboat restore --help'."},
        {{"restore", "--target", "/x"}, "restore: system is required", ""},
        {{"restore", "main", "--target"}, "--target", ""},
        {{"restore", "main", "--target", "/x", "--port", "0"}, "--port", ""},
        {{"restore", "main", "--target", "/x", "--port", "many"}, "--port", ""},
        {{"restore", "main", "--target", "/x", "--workers", "65"}, "--workers", ""},
        {{"restore", "main", "--target", "/x", "--xid", "-3"}, "--xid", ""},
        {{"restore", "main", "--target", "/x", "--xid", "99999999999999999999"}, "--xid", ""},
        {{"restore", "main", "--target", "/x", "--timeline", "-1"}, "--timeline", ""},
        {{"restore", "main", "--target", "/x", "--timeline", "4294967296"}, "--timeline", ""},
        {{"restore", "main", "--target", "/x", "--before-xid", "7x"}, "--before-xid", ""},
        {{"restore", "main", "--target", "/x", "--lsn", "0/1", "--at", "now"},
         "restore: '--at' and '--lsn' contradict each other",
         "lifeboat restore --help"},
        {{"restore", "main", "--target", "/x", "--at", ""}, "--at: '' is empty", ""},
        {{"restore", "main", "--target", ""}, "--target: '' is empty", ""},
        {{"wal-push", "main"}, "wal-push: path is required", ""},
    };
    for (const Wrong& c : cases) {
        const auto result = parse_words(c.words);
        const auto* stop = std::get_if<ParseStop>(&result);
        ASSERT_NE(stop, nullptr) << c.message;
        ASSERT_TRUE(stop->error) << c.message;
        EXPECT_EQ(base::exit_code(stop->error->code()), 2);
        EXPECT_THAT(stop->error->message(), HasSubstr(c.message));
        EXPECT_THAT(stop->error->hint(), HasSubstr(c.hint));
        EXPECT_FALSE(stop->error->hint().empty());
    }
}

// "--config $C" with no C set must not mean the default, whatever the option.
TEST(Parse, AnEmptyWordIsNeverTheDefault) {
    const std::vector<std::vector<const char*>> cases = {
        {"--config", "", "status"},
        {"status", "--repository", ""},
        {"backup", ""},
        {"stream", ""},
        {"doctor", ""},
        {"list", ""},
        {"verify", ""},
        {"verify", "--identity", ""},
        {"repo", "check", "--identity", ""},
        {"restore", "", "--target", "/x"},
        {"restore", "main", "--target", "/x", "--identity", ""},
        {"restore", "main", "--target", "/x", "--validate", ""},
        {"restore", "main", "--target", "/x", "--tablespace", ""},
        {"init", "--repository", ""},
        {"init", "--state", ""},
        {"init", "--keys-directory", ""},
        {"init", "--site", ""},
        {"init", "--system", ""},
        {"init", "--connection", ""},
        {"init", "--data-directory", ""},
        {"init", "--recipient", ""},
        {"wal-push", "main", ""},
        {"wal-feed", "main", ""},
    };
    for (const auto& words : cases) {
        const auto result = parse_words(words);
        const auto* stop = std::get_if<ParseStop>(&result);
        ASSERT_NE(stop, nullptr) << testing::PrintToString(words);
        ASSERT_TRUE(stop->error) << testing::PrintToString(words);
        EXPECT_THAT(stop->error->message(), HasSubstr("'' is empty"));
    }
}

TEST(Parse, HelpAndVersionEndWell) {
    for (const auto& words :
         {std::vector<const char*>{"--help"}, std::vector<const char*>{"restore", "--help"},
          std::vector<const char*>{"repo", "check", "--help"},
          std::vector<const char*>{"--version"}}) {
        const auto result = parse_words(words);
        const auto* stop = std::get_if<ParseStop>(&result);
        ASSERT_NE(stop, nullptr);
        EXPECT_FALSE(stop->error);
        EXPECT_THAT(stop->text, HasSubstr("ifeboat"));
    }
}

TEST(Parse, TheHelpOfEveryVerbHasExamples) {
    for (const char* verb : {"init", "backup", "stream", "list", "restore", "verify", "status",
                             "doctor", "wal-push", "wal-feed"}) {
        const auto result = parse_words({verb, "--help"});
        const auto* stop = std::get_if<ParseStop>(&result);
        ASSERT_NE(stop, nullptr);
        EXPECT_THAT(stop->text, HasSubstr("Examples:")) << verb;
        EXPECT_THAT(stop->text, HasSubstr("--config")) << verb;
    }
}

TEST(Parse, WrongWordsWithJsonAreToldInJson) {
    const auto result = parse_words({"backup", "--ful", "--json"});
    const auto* stop = std::get_if<ParseStop>(&result);
    ASSERT_NE(stop, nullptr);
    EXPECT_TRUE(stop->common.json);
}

}  // namespace
}  // namespace lifeboat::cli

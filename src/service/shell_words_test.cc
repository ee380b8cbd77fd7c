#include "service/shell_words.h"

#include <gtest/gtest.h>

namespace lifeboat::service {
namespace {

struct Word {
    const char* plain;
    const char* quoted;
    const char* typed;
};

TEST(ShellWords, SurviveEveryByteAndArePlainWhereTheyMayBe) {
    const Word cases[] = {
        {"", "''", "''"},
        {"/etc/lifeboat-1/a_b.key", "'/etc/lifeboat-1/a_b.key'", "/etc/lifeboat-1/a_b.key"},
        {"a b", "'a b'", "'a b'"},
        {"it's", "'it'\\''s'", "'it'\\''s'"},
        {"$x", "'$x'", "'$x'"},
        {"~root", "'~root'", "'~root'"},
        {"a;b", "'a;b'", "'a;b'"},
        {"l\xC3\xA4ngste", "'l\xC3\xA4ngste'", "'l\xC3\xA4ngste'"},
    };
    for (const Word& word : cases) {
        EXPECT_EQ(quote_for_shell(word.plain), word.quoted);
        EXPECT_EQ(shell_word(word.plain), word.typed);
    }
}

}  // namespace
}  // namespace lifeboat::service

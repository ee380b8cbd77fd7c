#include "service/shell_words.h"

#include <algorithm>
#include <string_view>

namespace lifeboat::service {

namespace {

constexpr std::string_view kPlainSigns = "/._-+:,@%";

}  // namespace

std::string quote_for_shell(const std::string& word) {
    std::string quoted = "'";
    for (const char c : word) {
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return quoted + "'";
}

std::string shell_word(const std::string& word) {
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               kPlainSigns.find(c) != std::string_view::npos;
    });
    return plain ? word : quote_for_shell(word);
}

}  // namespace lifeboat::service

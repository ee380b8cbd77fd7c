#include "policy/text.h"

#include <cstddef>

namespace lifeboat::policy {

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') {
            c = static_cast<char>(c - 'A' + 'a');
        }
    }
    return out;
}

std::string quoted(std::string_view text) {
    constexpr std::size_t kMost = 80;
    std::string out = "'";
    for (const char c : text.substr(0, kMost)) {
        out += c >= ' ' && c <= '~' ? c : '?';
    }
    return out + (text.size() > kMost ? "...'" : "'");
}

}  // namespace lifeboat::policy

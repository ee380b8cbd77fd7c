#pragma once

#include <string>
#include <string_view>

namespace lifeboat::policy {

// ASCII only, whatever the locale says: what users write must mean the same on every machine.

inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

inline bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Without spaces and tabs at either end.
std::string_view trimmed(std::string_view text);
std::string lower(std::string_view text);
// 'text' in single quotes, fit for an error message: cut at 80 bytes, and every byte that is not
// printable ASCII shown as '?'.
std::string quoted(std::string_view text);

}  // namespace lifeboat::policy

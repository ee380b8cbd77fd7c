#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace lifeboat::test {

// Forges tar archives, right and wrong ones.
struct TarHeader {
    std::string name = {};
    char type = '0';
    std::uint64_t size = 0;
    std::string link = {};
    std::string prefix = {};
    std::string magic = std::string("ustar\00000", 8);
    std::string size_field = {};  // instead of `size`, as it shall stand
    int checksum_off_by = 0;
};

inline std::string octal(std::uint64_t value, int digits) {
    char text[32];
    std::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(value));
    return std::string(text) + '\0';
}

inline std::string tar_header(const TarHeader& header) {
    std::string block(512, '\0');
    const auto put = [&](std::size_t at, std::string_view text) {
        block.replace(at, text.size(), text);
    };
    put(0, header.name);
    put(100, octal(0100640, 7));
    put(108, octal(101, 7));
    put(116, octal(104, 7));
    put(124, header.size_field.empty() ? octal(header.size, 11) : header.size_field);
    put(136, octal(1769176800, 11));
    put(148, "        ");
    block[156] = header.type;
    put(157, header.link);
    put(257, header.magic);
    put(345, header.prefix);
    unsigned sum = 0;
    for (const char c : block) {
        sum += static_cast<unsigned char>(c);
    }
    put(148, octal(sum + static_cast<unsigned>(header.checksum_off_by), 6) + " ");
    return block;
}

inline std::string padded(std::string body) {
    body.resize((body.size() + 511) / 512 * 512, '\0');
    return body;
}

inline std::string tar_member(TarHeader header, const std::string& body) {
    header.size = body.size();
    return tar_header(header) + padded(body);
}

inline std::string tar_file(const std::string& name, const std::string& body) {
    return tar_member({.name = name}, body);
}

// "LENGTH KEY=VALUE\n" with the length that counts itself.
inline std::string pax_record(const std::string& key, const std::string& value) {
    const std::string rest = " " + key + "=" + value + "\n";
    std::size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) {
        ++length;
    }
    return std::to_string(length) + rest;
}

inline std::string pax(const std::string& records, char type = 'x') {
    return tar_member({.name = "PaxHeader", .type = type}, records);
}

inline std::string tar_end() {
    return std::string(1024, '\0');
}

}  // namespace lifeboat::test

#include "config/internal/literal_secrets.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>

#include "config/secret_ref.h"
#include "policy/text.h"

namespace lifeboat::config {

namespace {

using policy::is_digit;
using policy::is_letter;
using policy::lower;

constexpr std::array<std::string_view, 9> kSecretNames = {"password", "passwd",     "passphrase",
                                                          "secret",   "token",      "api_key",
                                                          "apikey",   "secret_key", "private_key"};
constexpr std::array<std::string_view, 6> kSecretConninfo = {
    "password",         "sslpassword",      "oauth_client_secret",
    "scram_client_key", "scram_server_key", "passwd"};

constexpr const char* kHowToRefer =
    "Put it into a file that only its owner can read and write ${file:/path/to/file}, or write "
    "${env:NAME}.";

bool names_a_secret(std::string_view key) {
    const std::string name = lower(key);
    return std::ranges::any_of(kSecretNames, [&](std::string_view secret) {
        return name == secret || name.ends_with("_" + std::string(secret)) ||
               name.ends_with("-" + std::string(secret));
    });
}

void check_secret(const Node::Key& key, const Node& value, Problems& problems) {
    if (value.kind != Node::Kind::Scalar || parse_secret_ref(value.scalar).has_value()) {
        return;
    }
    if (value.scalar.starts_with("${") && value.scalar.ends_with('}')) {
        problems.add(value.mark, policy::quoted(key.name) + " is not a reference to a secret",
                     "Write ${env:NAME} or ${file:/path/to/file}.");
        return;
    }
    problems.refuse(value.mark,
                    policy::quoted(key.name) + " is written out: a configuration holds no secrets",
                    kHowToRefer);
}

// ---- libpq connection strings ---------------------------------------------------------------

// Walks `host=/run user = 'a b'` as libpq does, without keeping the values.
class ConninfoReader {
  public:
    explicit ConninfoReader(std::string_view text) : rest_(text) {}

    // The next keyword; nothing at the end, or when the text is malformed.
    std::optional<std::string_view> next() {
        skip_spaces();
        if (rest_.empty()) {
            return std::nullopt;
        }
        const std::size_t end = std::min(rest_.find_first_of("= \t\n\r"), rest_.size());
        const std::string_view keyword = rest_.substr(0, end);
        rest_.remove_prefix(end);
        skip_spaces();
        if (keyword.empty() || !rest_.starts_with('=')) {
            malformed_ = true;
            return std::nullopt;
        }
        rest_.remove_prefix(1);
        skip_spaces();
        malformed_ = !skip_value();
        return malformed_ ? std::nullopt : std::optional(keyword);
    }

    bool malformed() const { return malformed_; }

  private:
    void skip_spaces() {
        rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n\r"), rest_.size()));
    }

    bool skip_value() {
        const bool quote = rest_.starts_with('\'');
        std::size_t i = quote ? 1 : 0;
        for (; i < rest_.size(); ++i) {
            if (rest_[i] == '\\') {
                ++i;
            } else if (quote
                           ? rest_[i] == '\''
                           : std::string_view(" \t\n\r").find(rest_[i]) != std::string_view::npos) {
                break;
            }
        }
        const bool ended = i < rest_.size();
        rest_.remove_prefix(std::min(rest_.size(), i + (quote ? 1 : 0)));
        return ended || !quote;
    }

    std::string_view rest_;
    bool malformed_ = false;
};

bool is_secret_keyword(std::string_view keyword) {
    return std::ranges::find(kSecretConninfo, lower(keyword)) != kSecretConninfo.end();
}

// "user:password@" between the scheme and the path.
bool has_password_in_authority(std::string_view url) {
    const std::size_t start = url.find("://") + 3;
    const std::string_view authority = url.substr(start, url.find_first_of("/?#", start) - start);
    const std::size_t at = authority.rfind('@');
    return at != std::string_view::npos &&
           authority.substr(0, at).find(':') != std::string_view::npos;
}

bool has_secret_parameter(std::string_view url) {
    const std::size_t question = url.find('?');
    std::string_view rest =
        question == std::string_view::npos ? std::string_view() : url.substr(question + 1);
    while (!rest.empty()) {
        const std::string_view parameter = rest.substr(0, rest.find('&'));
        if (is_secret_keyword(parameter.substr(0, parameter.find('=')))) {
            return true;
        }
        rest.remove_prefix(std::min(rest.size(), parameter.size() + 1));
    }
    return false;
}

bool has_secret_keyword(std::string_view conninfo) {
    ConninfoReader reader(conninfo);
    while (const auto keyword = reader.next()) {
        if (is_secret_keyword(*keyword)) {
            return true;
        }
    }
    // Text that libpq cannot read is searched by eye: a forgotten quote must not hide a password.
    const std::string text = lower(conninfo);
    return reader.malformed() && text.find("password") != std::string::npos;
}

bool is_malformed(std::string_view conninfo) {
    ConninfoReader reader(conninfo);
    while (reader.next()) {
    }
    return reader.malformed();
}

}  // namespace

void refuse_literal_secrets(const Node& root, Problems& problems) {
    for (std::size_t i = 0; i < root.items.size(); ++i) {
        if (root.kind == Node::Kind::Mapping && names_a_secret(root.keys[i].name)) {
            check_secret(root.keys[i], root.items[i], problems);
        }
        refuse_literal_secrets(root.items[i], problems);
    }
}

void refuse_private_keys(std::string_view text, Problems& problems) {
    constexpr std::string_view kStart = "age-secret-key-1";
    const std::string all = lower(text);
    for (std::size_t at = all.find(kStart); at != std::string::npos;
         at = all.find(kStart, at + 1)) {
        const std::size_t end = at + kStart.size();
        if (end == all.size() || (!is_letter(all[end]) && !is_digit(all[end]))) {
            continue;
        }
        const auto line =
            1 + std::count(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at), '\n');
        const std::size_t before = all.rfind('\n', at);
        const std::size_t column = before == std::string::npos ? at + 1 : at - before;
        problems.refuse(
            Mark{static_cast<int>(line), static_cast<int>(column)},
            "a private key is written out: whoever reads this file could read every backup",
            "Remove it here and treat it as lost: make a new key, and list only its recipient "
            "(age1...).");
        return;
    }
}

void check_connection(const Node& scalar, Problems& problems) {
    const std::string_view text = scalar.scalar;
    const bool is_uri = text.starts_with("postgresql://") || text.starts_with("postgres://");
    const bool has_secret = is_uri ? has_password_in_authority(text) || has_secret_parameter(text)
                                   : has_secret_keyword(text);
    if (has_secret) {
        problems.refuse(
            scalar.mark, "the connection holds a password: a configuration holds no secrets",
            "Take it out and add the key 'password' with ${file:/path/to/file} or ${env:NAME}.");
    } else if (!is_uri && is_malformed(text)) {
        problems.add(
            scalar.mark, "the connection is not in libpq's form",
            "Write key=value pairs such as 'host=/run/postgresql user=postgres dbname=postgres'.");
    }
}

void check_repository_url(const Node& scalar, Problems& problems) {
    const std::string_view url = scalar.scalar;
    const std::size_t end = url.find("://");
    const std::string_view scheme = url.substr(0, end == std::string_view::npos ? 0 : end);
    const auto legal = [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c); };
    if (end != std::string_view::npos && has_password_in_authority(url)) {
        problems.refuse(scalar.mark, "the URL holds a password: a configuration holds no secrets",
                        "Write the URL without 'user:password@'.");
    } else if (scheme.empty() || !std::ranges::all_of(scheme, legal) || url.size() == end + 3) {
        problems.add(scalar.mark, policy::quoted(url) + " is not a repository's URL",
                     "Write file:///var/backups/lifeboat, with the directory in full.");
    } else if (scheme == "file" && url[end + 3] != '/') {
        problems.add(scalar.mark, policy::quoted(url) + " does not name a directory in full",
                     "Three slashes: file:///var/backups/lifeboat.");
    }
}

}  // namespace lifeboat::config

#include "config/secret_ref.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "policy/text.h"

namespace lifeboat::config {

namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Secret;

constexpr std::uint64_t kLargestSecret = 64 * base::kKiB;
constexpr const char* kSecretHint =
    "Let it hold the secret and nothing else, or correct the reference in the configuration.";

bool is_variable_name(std::string_view name) {
    const auto legal = [](char c) {
        return policy::is_letter(c) || policy::is_digit(c) || c == '_';
    };
    return !name.empty() && !policy::is_digit(name.front()) && std::ranges::all_of(name, legal);
}

bool is_path(std::string_view path) {
    return !path.empty() && std::ranges::none_of(path, [](char c) { return c >= '\0' && c < ' '; });
}

std::string octal(std::uint32_t mode) {
    std::array<char, 16> out{};
    std::snprintf(out.data(), out.size(), "%04o", mode);
    return out.data();
}

// PostgreSQL's rule for private keys: root may share a file with a group of readers (0640),
// nobody may share one with the world.
Result<> check_permissions(const std::string& path, const base::FileStat& stat) {
    if (stat.kind != base::FileKind::Regular) {
        return Error(Code::InvalidInput, "secret file '" + path + "' is not a regular file")
            .hint(kSecretHint);
    }
    const std::uint32_t too_open = stat.uid == 0 ? 037 : 077;
    if ((stat.mode & too_open) == 0) {
        return {};
    }
    return Error(Code::Refused, "secret file '" + path + "' is open to other users (mode " +
                                    octal(stat.mode) + ")")
        .hint("Run: chmod 600 '" + path + "'");
}

Result<Secret> checked(Secret secret, const std::string& where) {
    if (secret.empty()) {
        return Error(Code::InvalidInput, where + " is empty").hint(kSecretHint);
    }
    if (secret.reveal().find('\0') != std::string::npos) {
        return Error(Code::InvalidInput, where + " holds a NUL byte").hint(kSecretHint);
    }
    return secret;
}

Result<Secret> from_environment(const std::string& name) {
    const char* const value =
        std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nothing here calls setenv
    if (value == nullptr) {
        return Error(Code::NotFound, "environment variable '" + name + "' is not set")
            .hint("Set it for this process, or write ${file:PATH} in the configuration.");
    }
    return checked(Secret(value), "environment variable '" + name + "'");
}

std::string_view without_last_newline(std::string_view text) {
    if (text.ends_with('\n')) {
        text.remove_suffix(text.ends_with("\r\n") ? 2 : 1);
    }
    return text;
}

Result<Secret> from_file(const std::string& path, base::Files& files) {
    const base::FileStat stat = TRY(files.stat(path).during("reading secret file '" + path + "'"));
    TRY(check_permissions(path, stat));
    auto read = base::read_file(files, path, kLargestSecret);
    if (!read && read.error().code() == Code::InvalidInput) {  // too large
        read = std::move(read).hint(kSecretHint);
    }
    base::Bytes bytes = TRY(std::move(read).during("reading secret file '" + path + "'"));
    Secret secret{std::string(without_last_newline(base::text(bytes)))};
    base::wipe(bytes.data(), bytes.size());
    return checked(std::move(secret), "secret file '" + path + "'");
}

}  // namespace

std::string SecretRef::text() const {
    return (kind == Kind::Environment ? "${env:" : "${file:") + name + "}";
}

Result<SecretRef> parse_secret_ref(std::string_view text) {
    if (text.starts_with("${") && text.ends_with("}")) {
        const std::string_view inside = text.substr(2, text.size() - 3);
        if (inside.starts_with("env:") && is_variable_name(inside.substr(4))) {
            return SecretRef{SecretRef::Kind::Environment, std::string(inside.substr(4))};
        }
        if (inside.starts_with("file:") && is_path(inside.substr(5))) {
            return SecretRef{SecretRef::Kind::File, std::string(inside.substr(5))};
        }
    }
    return Error(Code::InvalidInput, "not a reference to a secret")
        .hint("Write ${env:NAME} or ${file:/path/to/file}.");
}

Result<Secret> resolve(const SecretRef& ref, base::Files& files) {
    return ref.kind == SecretRef::Kind::Environment ? from_environment(ref.name)
                                                    : from_file(ref.name, files);
}

}  // namespace lifeboat::config

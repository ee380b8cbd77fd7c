#include "crypto/keys.h"

#include <sodium.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "crypto/internal/bech32.h"
#include "crypto/internal/sodium.h"

namespace lifeboat::crypto {

using base::Byte;
using base::Bytes;
using base::Code;
using base::Error;
using base::Key256;
using base::Secret;

namespace {

constexpr std::string_view kRecipientPrefix = "age";
constexpr std::string_view kIdentityPrefix = "AGE-SECRET-KEY-";
constexpr std::string_view kSignerPrefix = "ed25519:";
constexpr const char* kSignerHint =
    "Copy it from another recovery key ('# signer:'), or from the writer's object in the "
    "repository, 'writers/*.json'.";

static_assert(kSignatureSize == crypto_sign_BYTES);

// What a message calls a recipient. Text that cannot be a public key is not repeated: it may be a
// private one, pasted by mistake.
std::string named(std::string_view text) {
    const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    if (text.size() > internal::kMaxBech32 || !std::ranges::all_of(text, is_plain)) {
        return "recipient";
    }
    return "recipient '" + std::string(text) + "'";
}

bool looks_private(std::string_view text) {
    const auto same = [](char a, char b) {
        return a == b || (a >= 'a' && a <= 'z' && a - 'a' + 'A' == b);
    };
    return !std::ranges::search(text, kIdentityPrefix, same).empty();
}

// True for every point whose multiples are all zero; a clamped scalar is a multiple of eight, the
// largest such order.
bool has_low_order(const internal::Point& point) {
    Key256 scalar;
    scalar.reveal_mutable()[0] = 8;
    Key256 shared;
    return !internal::x25519(scalar, point, shared);
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r";
    const std::size_t first = text.find_first_not_of(kSpace);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string_view take_line(std::string_view& text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return trimmed(line);
}

// The value of the comment `# name: value`.
std::optional<std::string_view> comment_value(std::string_view line, std::string_view name) {
    line = trimmed(line.substr(1));
    if (!line.starts_with(name) || !line.substr(name.size()).starts_with(':')) {
        return std::nullopt;
    }
    return trimmed(line.substr(name.size() + 1));
}

Result<> read_comment(std::string_view line, IdentityFile& file) {
    if (const auto signer = comment_value(line, "signer")) {
        const VerifyKey key = TRY(VerifyKey::parse(*signer));
        file.signers.push_back(key.text());
    }
    if (const auto repository = comment_value(line, "repository")) {
        if (repository->empty() || (!file.repository.empty() && file.repository != *repository)) {
            return Error(Code::InvalidInput, "names no repository, or a second one")
                .hint("Keep one identity file for each repository.");
        }
        file.repository = *repository;
    }
    return {};
}

Result<> read_line(std::string_view line, IdentityFile& file) {
    if (line.empty()) {
        return {};
    }
    if (line.starts_with('#')) {
        return read_comment(line, file);
    }
    const Identity identity = TRY(Identity::parse(line));
    file.identities.push_back(identity);
    return {};
}

bool is_encrypted(std::string_view contents) {
    return contents.starts_with("age-encryption.org/") ||
           contents.starts_with("-----BEGIN AGE ENCRYPTED FILE");
}

}  // namespace

Result<Recipient> Recipient::parse(std::string_view text) {
    if (looks_private(text)) {
        return Error(Code::InvalidInput, "a private key stands where a recipient belongs")
            .hint("Use the public half, which starts with 'age1': 'age-keygen -y FILE' prints it.");
    }
    const std::string name = named(text);
    const internal::Bech32 parts = TRY(internal::decode_bech32(text).during(name).hint(
        "Compare it with the key file it comes from: 'age-keygen -y FILE' prints it."));
    if (parts.prefix != kRecipientPrefix || parts.bytes.size() != 32) {
        return Error(Code::InvalidInput, name + " is not an X25519 key")
            .hint("Recipients are age keys of 62 characters that start with 'age1'.");
    }
    Recipient out;
    std::ranges::copy(parts.bytes, out.point_.begin());
    if (has_low_order(out.point_)) {
        return Error(Code::InvalidInput, name + " is a point that protects nothing");
    }
    return out;
}

std::string Recipient::text() const {
    return internal::encode_bech32(kRecipientPrefix, point_);
}

Identity Identity::generate(base::Random& random) {
    Identity out;
    random.fill(out.scalar_.reveal_mutable());
    return out;
}

Result<Identity> Identity::parse(std::string_view text) {
    const internal::Bech32 parts =
        TRY(internal::decode_bech32(text)
                .during("identity")
                .hint("Compare the line with another copy of this key: characters of it are wrong, "
                      "missing or "
                      "too many. Any other key of a recipient will do."));
    if (parts.prefix != kIdentityPrefix || parts.bytes.size() != 32) {
        return Error(Code::InvalidInput, "identity is not an X25519 key")
            .hint("Identities start with 'AGE-SECRET-KEY-1' and have 74 characters.");
    }
    Identity out;
    std::ranges::copy(parts.bytes, out.scalar_.reveal_mutable().begin());
    return out;
}

Recipient Identity::recipient() const {
    Recipient out;
    out.point_ = internal::x25519_public(scalar_);
    return out;
}

Secret Identity::text() const {
    std::string text = internal::encode_bech32("age-secret-key-", scalar_.reveal());
    for (char& c : text) {
        if (c >= 'a' && c <= 'z') {
            c = static_cast<char>(c - 'a' + 'A');
        }
    }
    return Secret(std::move(text));
}

Result<IdentityFile> parse_identity_file(std::string_view contents) {
    if (is_encrypted(contents)) {
        return Error(Code::InvalidInput, "identity file is encrypted")
            .hint("Decrypt it first, with 'age -d FILE'.");
    }
    IdentityFile file;
    for (std::size_t number = 1; !contents.empty(); ++number) {
        const std::string_view line = take_line(contents);
        TRY(read_line(line, file).during("line " + std::to_string(number)));
    }
    if (file.identities.empty()) {
        return Error(Code::InvalidInput, "identity file holds no identity")
            .hint("It needs a line that starts with 'AGE-SECRET-KEY-1'; 'age-keygen' writes one.");
    }
    return file;
}

Result<VerifyKey> VerifyKey::parse(std::string_view text) {
    if (!text.starts_with(kSignerPrefix)) {
        return Error(Code::InvalidInput, "signer does not start with 'ed25519:'").hint(kSignerHint);
    }
    const Bytes bytes = TRY(
        base::from_base64(text.substr(kSignerPrefix.size())).during("signer").hint(kSignerHint));
    VerifyKey out;
    if (bytes.size() != out.bytes_.size()) {
        return Error(Code::InvalidInput, "signer does not hold 32 bytes").hint(kSignerHint);
    }
    std::ranges::copy(bytes, out.bytes_.begin());
    internal::start_sodium();
    if (out.text() != text || crypto_core_ed25519_is_valid_point(bytes.data()) != 1) {
        return Error(Code::InvalidInput, "signer is not an Ed25519 public key").hint(kSignerHint);
    }
    return out;
}

VerifyKey VerifyKey::from_bytes(const std::array<Byte, 32>& bytes) {
    VerifyKey out;
    out.bytes_ = bytes;
    return out;
}

std::string VerifyKey::text() const {
    return std::string(kSignerPrefix) + base::base64(bytes_, false);
}

bool VerifyKey::verifies(BytesView message, BytesView signature) const {
    internal::start_sodium();
    return signature.size() == kSignatureSize &&
           crypto_sign_verify_detached(signature.data(), message.data(), message.size(),
                                       bytes_.data()) == 0;
}

SigningKey SigningKey::from_seed(const Key256& seed) {
    internal::start_sodium();
    SigningKey out;
    std::array<Byte, 32> ignored{};  // the public half, which the expanded key ends with
    const int status = crypto_sign_seed_keypair(
        ignored.data(), out.expanded_.reveal_mutable().data(), seed.reveal().data());
    LB_CHECK(status == 0);
    return out;
}

VerifyKey SigningKey::verify_key() const {
    std::array<Byte, 32> bytes{};
    std::ranges::copy(expanded_.reveal().last(bytes.size()), bytes.begin());
    return VerifyKey::from_bytes(bytes);
}

std::array<Byte, kSignatureSize> SigningKey::sign(BytesView message) const {
    internal::start_sodium();
    std::array<Byte, kSignatureSize> out{};
    const int status = crypto_sign_detached(out.data(), nullptr, message.data(), message.size(),
                                            expanded_.reveal().data());
    LB_CHECK(status == 0);
    return out;
}

}  // namespace lifeboat::crypto

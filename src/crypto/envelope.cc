#include "crypto/envelope.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "crypto/internal/hkdf.h"
#include "crypto/internal/sodium.h"
#include "crypto/seal.h"

// The age v1 file format, X25519 only. Tested by envelope_test.cc, by age_interop_test.cc against
// the real age, and by tests/fuzz/fuzz_envelope.cc.
//
//   age-encryption.org/v1
//   -> X25519 <ephemeral share>          one stanza for each recipient: the file key, wrapped
//   <wrapped file key>
//   --- <MAC of all bytes before, under a key from the file key>
//   16 random bytes, then the payload: one STREAM chunk, under a key from the file key and them
//
// Every byte is authenticated, and each value has one spelling only: base64 is unpadded and
// canonical, a line ends in one LF.

namespace lifeboat::crypto {

using base::Byte;
using base::Bytes;
using base::Code;
using base::Error;
using internal::Point;

namespace {

using FileKey = base::SecretArray<16>;
using Wrapped = std::array<Byte, 32>;  // a file key and its tag

constexpr std::string_view kVersionLine = "age-encryption.org/v1\n";
constexpr std::string_view kStanzaMark = "-> ";
constexpr std::string_view kMacMark = "---";
constexpr std::string_view kX25519 = "X25519";
constexpr std::string_view kX25519Purpose = "age-encryption.org/v1/X25519";
constexpr std::size_t kBodyColumns = 64;
constexpr std::size_t kMaxLine = 4096;  // a post-quantum share takes about 1500
constexpr std::size_t kMaxStanzas = 64;
constexpr std::size_t kMaxBodyLines = 64;  // of one stanza
constexpr std::size_t kPayloadNonceSize = 16;
constexpr std::size_t kMaxSecret = 64 * base::kKiB;
constexpr internal::ChachaNonce kWrapNonce{};  // each wrap key is used once

// Counter 0 in eleven bytes, and the flag of the last chunk.
constexpr internal::ChachaNonce kOnlyChunk = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

struct Stanza {
    Point share{};
    Wrapped wrapped{};
};

struct Envelope {
    std::vector<Stanza> stanzas;  // the X25519 ones
    std::size_t recipients = 0;   // of any kind
    BytesView authenticated;      // what the MAC covers
    std::array<Byte, 32> mac{};
    BytesView payload;
};

Key256 wrap_key(const Key256& shared, const Point& share, const Point& recipient) {
    std::array<Byte, 64> salt{};
    std::ranges::copy(share, salt.begin());
    std::ranges::copy(recipient, salt.begin() + share.size());
    return derive_key(shared, salt, kX25519Purpose);
}

Key256 from_file_key(const FileKey& file_key, BytesView salt, std::string_view purpose) {
    Key256 out;
    internal::hkdf_sha256(file_key.reveal(), salt, base::view(purpose), out.reveal_mutable());
    return out;
}

std::array<Byte, 32> header_mac(const FileKey& file_key, BytesView authenticated) {
    return hmac_sha256(from_file_key(file_key, {}, "header"), authenticated);
}

std::string stanza_for(const Recipient& recipient, const FileKey& file_key, base::Random& random) {
    const Key256 ephemeral = random_key(random);
    const Point share = internal::x25519_public(ephemeral);
    Key256 shared;
    LB_CHECK(internal::x25519(ephemeral, recipient.point(), shared));
    const Bytes wrapped = internal::chacha_seal(wrap_key(shared, share, recipient.point()),
                                                kWrapNonce, file_key.reveal());
    return std::string(kStanzaMark) + std::string(kX25519) + " " + base::base64(share, false) +
           "\n" + base::base64(wrapped, false) + "\n";
}

Error malformed(std::string what) {
    return Error(Code::Corrupt, "envelope " + std::move(what));
}

// Takes text up to the next LF, which is within `limit` characters.
Result<std::string_view> take_line(std::string_view& rest, std::size_t limit) {
    const std::size_t end = rest.substr(0, limit + 1).find('\n');
    if (end == std::string_view::npos) {
        return malformed("is cut short, or has a line that is too long");
    }
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return line;
}

Result<> check_base64(std::string_view digits) {
    const auto bytes = base::from_base64(digits);
    if (!bytes || base::base64(*bytes, false) != digits) {
        return malformed("has a stanza that is not canonical base64");
    }
    return {};
}

// Unpadded canonical base64 of exactly 32 bytes.
Result<std::array<Byte, 32>> decode_32(std::string_view digits) {
    auto bytes = base::from_base64(digits);
    std::array<Byte, 32> out{};
    if (!bytes || bytes->size() != out.size() || base::base64(*bytes, false) != digits) {
        return malformed("has a field that is not the base64 of 32 bytes");
    }
    std::ranges::copy(*bytes, out.begin());
    return out;
}

// The body of a stanza: full lines of 64 columns, then one that is shorter, maybe empty. Joined,
// not decoded.
Result<std::string> take_body(std::string_view& rest) {
    std::string body;
    for (std::size_t i = 0; i < kMaxBodyLines; ++i) {
        const std::string_view line = TRY(take_line(rest, kBodyColumns));
        body += line;
        if (line.size() < kBodyColumns) {
            return body;
        }
    }
    return malformed("has a stanza that is too long");
}

std::vector<std::string_view> split(std::string_view line) {
    std::vector<std::string_view> words;
    for (std::size_t at = 0; at <= line.size();) {
        const std::size_t end = std::min(line.find(' ', at), line.size());
        words.push_back(line.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

bool is_word(std::string_view word) {
    return !word.empty() && std::ranges::all_of(word, [](char c) { return c > ' ' && c <= '~'; });
}

Result<> take_stanza(std::string_view& rest, Envelope& out) {
    const std::string_view line = TRY(take_line(rest, kMaxLine));
    const std::vector<std::string_view> words = split(line.substr(kStanzaMark.size()));
    const std::string body = TRY(take_body(rest));
    if (!std::ranges::all_of(words, is_word) || ++out.recipients > kMaxStanzas) {
        return malformed("has a malformed stanza, or more than " + std::to_string(kMaxStanzas));
    }
    if (words[0] != kX25519) {
        // Another kind of recipient: not ours to open, but still age's grammar.
        return check_base64(body);
    }
    if (words.size() != 2) {
        return malformed("has an X25519 stanza without exactly one share");
    }
    const Point share = TRY(decode_32(words[1]));
    const Wrapped wrapped = TRY(decode_32(body));
    out.stanzas.push_back({.share = share, .wrapped = wrapped});
    return {};
}

Result<> take_mac(std::string_view& rest, BytesView whole, Envelope& out) {
    const std::size_t start = whole.size() - rest.size();
    const std::string_view line = TRY(take_line(rest, kMaxLine));
    if (!line.starts_with(kMacMark) || !line.substr(kMacMark.size()).starts_with(' ')) {
        return malformed("has neither a stanza nor a MAC where one belongs");
    }
    const auto mac = TRY(decode_32(line.substr(kMacMark.size() + 1)));
    out.mac = mac;
    out.authenticated = whole.first(start + kMacMark.size());
    return {};
}

Result<Envelope> parse(BytesView whole) {
    std::string_view rest = base::text(whole);
    if (!rest.starts_with(kVersionLine)) {
        return Error(Code::Corrupt, "not an envelope: the bytes do not begin as an age file does");
    }
    rest.remove_prefix(kVersionLine.size());
    Envelope out;
    while (rest.starts_with(kStanzaMark)) {
        TRY(take_stanza(rest, out));
    }
    TRY(take_mac(rest, whole, out));
    out.payload = base::view(rest);
    if (out.recipients == 0) {
        return malformed("has no recipient");
    }
    const std::size_t overhead = kPayloadNonceSize + internal::kChachaTagSize;
    if (out.payload.size() < overhead || out.payload.size() > overhead + kMaxSecret) {
        return malformed("holds nothing, or more than 64 KiB");
    }
    return out;
}

// Nothing when the stanza is for someone else.
Result<std::optional<FileKey>> unwrap(const Stanza& stanza, const Identity& identity,
                                      const Recipient& recipient) {
    Key256 shared;
    if (!internal::x25519(identity.scalar(), stanza.share, shared)) {
        return malformed("has a share of low order");
    }
    FileKey file_key;
    const Key256 key = wrap_key(shared, stanza.share, recipient.point());
    if (!internal::chacha_open(key, kWrapNonce, stanza.wrapped, file_key.reveal_mutable())) {
        return std::optional<FileKey>();
    }
    return std::optional(file_key);
}

Result<FileKey> find_file_key(const Envelope& envelope, std::span<const Identity> identities) {
    for (const Identity& identity : identities) {
        const Recipient recipient = identity.recipient();
        for (const Stanza& stanza : envelope.stanzas) {
            const auto file_key = TRY(unwrap(stanza, identity, recipient));
            if (file_key) {
                return *file_key;
            }
        }
    }
    return Error(Code::Denied, "no identity opens the envelope")
        .hint("It is sealed to " + std::to_string(envelope.recipients) +
              " recipients; give the identity file of one of them.");
}

}  // namespace

Bytes seal_envelope(BytesView secret, std::span<const Recipient> recipients, base::Random& random) {
    LB_CHECK(secret.size() <= kMaxSecret);
    LB_CHECK(!recipients.empty() && recipients.size() <= kMaxStanzas);
    FileKey file_key;
    random.fill(file_key.reveal_mutable());

    std::string header(kVersionLine);
    for (const Recipient& recipient : recipients) {
        header += stanza_for(recipient, file_key, random);
    }
    header += kMacMark;
    header += " " + base::base64(header_mac(file_key, base::view(header)), false) + "\n";

    std::array<Byte, kPayloadNonceSize> nonce{};
    random.fill(nonce);
    const Bytes payload =
        internal::chacha_seal(from_file_key(file_key, nonce, "payload"), kOnlyChunk, secret);

    Bytes out(header.begin(), header.end());
    out.insert(out.end(), nonce.begin(), nonce.end());
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
}

Result<Bytes> open_envelope(BytesView envelope, std::span<const Identity> identities) {
    const Envelope parts = TRY(parse(envelope));
    const FileKey file_key = TRY(find_file_key(parts, identities));
    if (!base::equal_constant_time(header_mac(file_key, parts.authenticated), parts.mac)) {
        return malformed("is not what was written: its MAC does not fit");
    }
    const Key256 key = from_file_key(file_key, parts.payload.first(kPayloadNonceSize), "payload");
    const BytesView sealed = parts.payload.subspan(kPayloadNonceSize);
    Bytes secret(sealed.size() - internal::kChachaTagSize);
    if (!internal::chacha_open(key, kOnlyChunk, sealed, secret)) {
        return malformed("is not what was written: its payload does not fit");
    }
    return secret;
}

}  // namespace lifeboat::crypto

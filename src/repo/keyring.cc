#include "repo/keyring.h"

#include <algorithm>

namespace lifeboat::repo {

using base::Code;
using base::Error;

namespace {

constexpr std::string_view kHostKeyHeader = "lifeboat-host-key-v1";

template <std::size_t N>
Result<std::array<base::Byte, N>> fixed(BytesView bytes) {
    if (bytes.size() != N) {
        return Error(Code::Corrupt, "expected " + std::to_string(N) + " bytes, found " +
                                        std::to_string(bytes.size()));
    }
    std::array<base::Byte, N> out{};
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return out;
}

// The value of `name: value` in `contents`; empty when there is no such line.
std::string_view line_value(std::string_view contents, std::string_view name) {
    for (std::size_t at = 0; at < contents.size();) {
        const std::size_t end = std::min(contents.find('\n', at), contents.size());
        const std::string_view line = contents.substr(at, end - at);
        if (line.starts_with(name) && line.substr(name.size()).starts_with(": ")) {
            return line.substr(name.size() + 2);
        }
        at = end + 1;
    }
    return {};
}

Result<Key256> key_line(std::string_view contents, std::string_view name) {
    const auto bytes = base::from_base64(line_value(contents, name));
    if (!bytes || bytes->size() != 32) {
        return Error(Code::InvalidInput,
                     "the host key file has no usable '" + std::string(name) + "' line")
            .hint(
                "Restore the file from its safe copy; 'lifeboat init' makes a new one for a new "
                "repository.");
    }
    const auto array = TRY(fixed<32>(*bytes));
    return Key256(array);
}

}  // namespace

Id128 random_id(base::Random& random) {
    Id128 id{};
    random.fill(id);
    return id;
}

Result<Id128> parse_id(std::string_view hex) {
    const auto bytes = base::from_hex(hex);
    if (!bytes || bytes->size() != 16) {
        return Error(Code::Corrupt, "not an id of 32 hexadecimal digits");
    }
    return fixed<16>(*bytes);
}

HostKeys HostKeys::generate(base::Random& random) {
    return {crypto::random_key(random), crypto::random_key(random)};
}

Result<HostKeys> HostKeys::parse(std::string_view file_contents) {
    if (!file_contents.starts_with(kHostKeyHeader)) {
        return Error(Code::InvalidInput, "not a lifeboat host key file")
            .hint("The file's first line must be '" + std::string(kHostKeyHeader) +
                  "'; check 'keys.host' in lifeboat.yaml.");
    }
    HostKeys keys;
    keys.secret = TRY(key_line(file_contents, "secret"));
    keys.signing_seed = TRY(key_line(file_contents, "signing"));
    return keys;
}

base::Secret HostKeys::text() const {
    std::string out(kHostKeyHeader);
    out +=
        "\n# Keep it on this host, readable by lifeboat only. It opens no data; whoever has it can "
        "write backups as this host.\n";
    out += "secret: " + base::base64(secret.reveal()) +
           "\nsigning: " + base::base64(signing_seed.reveal()) + "\n";
    return base::Secret(std::move(out));
}

std::string HostKeys::writer_id() const {
    const auto digest = crypto::sha256(signing_key().verify_key().bytes());
    return base::hex(BytesView(digest).first(8));
}

RepositoryKeys RepositoryKeys::derive(const Key256& host_secret, const Id128& repository) {
    return {crypto::derive_key(host_secret, repository, "lifeboat v1 map"),
            crypto::derive_key(host_secret, repository, "lifeboat v1 fingerprint")};
}

std::array<base::Byte, 32> commitment_of(const Key256& key, const Id128& session) {
    base::ByteWriter text;
    text.raw(std::string_view("lifeboat v1 commit"));
    text.raw(session);
    return crypto::hmac_sha256(key, text.bytes());
}

Session Session::begin(std::span<const crypto::Recipient> recipients, base::Random& random) {
    Session session{random_id(random), crypto::random_key(random), {}, {}};
    session.envelope = crypto::seal_envelope(session.key.reveal(), recipients, random);
    session.commitment = commitment_of(session.key, session.id);
    return session;
}

ReaderKeys::ReaderKeys(std::vector<crypto::Identity> identities, std::optional<Key256> host_secret,
                       std::vector<crypto::VerifyKey> signers)
    : identities_(std::move(identities)),
      own_secret_(std::move(host_secret)),
      signers_(std::move(signers)) {}

namespace {

Result<Key256> open_key(BytesView envelope, std::span<const crypto::Identity> identities) {
    if (identities.empty()) {
        return Error(Code::Denied, "sealed to recipients, and no identity was given")
            .hint("Name the identity file: --identity FILE, or 'keys.identity' in lifeboat.yaml.");
    }
    base::Bytes plain = TRY(crypto::open_envelope(envelope, identities));
    const auto bytes = fixed<32>(plain);
    base::wipe(plain.data(), plain.size());
    if (!bytes) {
        return Error(Code::Corrupt, "the envelope holds something else than a key");
    }
    return Key256(*bytes);
}

}  // namespace

Result<Key256> ReaderKeys::host_secret(BytesView envelope) const {
    return open_key(envelope, identities_);
}

Result<Key256> ReaderKeys::session_key(const Id128& session, BytesView envelope,
                                       const std::array<base::Byte, 32>& commitment) {
    {
        const base::Lock lock(mutex_);
        const auto known = sessions_.find(session);
        if (known != sessions_.end() &&
            base::equal_constant_time(commitment_of(known->second, session), commitment)) {
            return known->second;
        }
    }
    const Key256 key = TRY(open_key(envelope, identities_));
    if (!base::equal_constant_time(commitment_of(key, session), commitment)) {
        return Error(Code::Corrupt, "session " + base::hex(session) +
                                        " holds another key than its writer signed for")
            .hint(
                "Somebody replaced objects of this repository: use another copy, and keep this one "
                "as evidence.");
    }
    const base::Lock lock(mutex_);
    sessions_.insert_or_assign(session, key);
    return key;
}

Result<> ReaderKeys::check_signer(const crypto::VerifyKey& signer) const {
    if (std::find(signers_.begin(), signers_.end(), signer) != signers_.end()) {
        return {};
    }
    return Error(Code::Denied, "signed by '" + signer.text() +
                                   "', which is not a trusted writer of this repository")
        .hint(
            "If that is your host's key, list it under 'signers' of the repository in "
            "lifeboat.yaml.");
}

}  // namespace lifeboat::repo

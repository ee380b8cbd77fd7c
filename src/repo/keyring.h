#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "crypto/envelope.h"
#include "crypto/keys.h"
#include "crypto/seal.h"

namespace lifeboat::repo {

using base::Bytes;
using base::BytesView;
using base::Key256;
using base::Result;

using Id128 = std::array<base::Byte, 16>;
Id128 random_id(base::Random& random);
Result<Id128> parse_id(std::string_view hex);  // Corrupt

// What a protected host holds: enough to write and to compare with what it wrote, not enough to
// read old data (P4). docs/format/layout.md has the derivations.
struct HostKeys {
    Key256 secret;
    Key256 signing_seed;

    static HostKeys generate(base::Random& random);
    static Result<HostKeys> parse(std::string_view file_contents);  // of the host key file
    base::Secret text() const;

    crypto::SigningKey signing_key() const { return crypto::SigningKey::from_seed(signing_seed); }

    // First 8 bytes of SHA-256 of the public key, hexadecimal: names the writer in object names and
    // messages.
    std::string writer_id() const;
};

// The keys that one host uses in one repository, derived from its secret.
struct RepositoryKeys {
    Key256 map;
    Key256 fingerprint;
    static RepositoryKeys derive(const Key256& host_secret, const Id128& repository);
};

// A session: one run of one process that writes packs. The key exists in memory only; the envelope
// opens it for recipients.
struct Session {
    Id128 id;
    Key256 key;
    Bytes envelope;
    std::array<base::Byte, 32> commitment;  // HMAC(key, "lifeboat v1 commit" || id)

    static Session begin(std::span<const crypto::Recipient> recipients, base::Random& random);
};

std::array<base::Byte, 32> commitment_of(const Key256& key, const Id128& session);

// What a reader has: identities open everything; a host secret opens the maps and manifests that
// this host wrote. Thread-safe.
class ReaderKeys {
  public:
    ReaderKeys(std::vector<crypto::Identity> identities, std::optional<Key256> host_secret,
               std::vector<crypto::VerifyKey> signers);

    bool has_identity() const { return !identities_.empty(); }

    // The host secret behind a manifest or WAL label. Tries our own first: `fits` says whether a
    // candidate is right.
    Result<Key256> host_secret(BytesView envelope) const;

    const std::optional<Key256>& own_secret() const { return own_secret_; }

    // Opens the envelope and checks the key against the signed commitment. Denied without a fitting
    // identity; Corrupt when the envelope holds another key than the writer committed to. Cached by
    // session.
    Result<Key256> session_key(const Id128& session, BytesView envelope,
                               const std::array<base::Byte, 32>& commitment);
    // Denied unless `signer` is pinned. Nothing pinned means nothing trusted.
    Result<> check_signer(const crypto::VerifyKey& signer) const;

  private:
    const std::vector<crypto::Identity> identities_;
    const std::optional<Key256> own_secret_;
    const std::vector<crypto::VerifyKey> signers_;
    base::Mutex mutex_;
    std::map<Id128, Key256> sessions_ LB_GUARDED_BY(mutex_);
};

}  // namespace lifeboat::repo

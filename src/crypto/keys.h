#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/secret.h"

namespace lifeboat::crypto {

using base::BytesView;
using base::Result;

// Keys are plain values: copy them, use copies from any thread.

// Who may open sealed data: an X25519 public key, written as age writes it ("age1...", bech32).
class Recipient {
  public:
    static Result<Recipient> parse(std::string_view text);  // InvalidInput, naming what is wrong
    std::string text() const;

    const std::array<base::Byte, 32>& point() const { return point_; }

    auto operator<=>(const Recipient&) const = default;

  private:
    friend class Identity;
    std::array<base::Byte, 32> point_{};
};

// The private half of a Recipient ("AGE-SECRET-KEY-1..."). Never on a protected host.
class Identity {
  public:
    static Identity generate(base::Random& random);
    static Result<Identity> parse(std::string_view text);  // InvalidInput; the text is never echoed
    Recipient recipient() const;
    base::Secret text() const;

    const base::Key256& scalar() const { return scalar_; }

  private:
    base::Key256 scalar_;
};

// Reads an identity file: one or more AGE-SECRET-KEY lines, '#' comments and blank lines between.
// Files that Lifeboat wrote also hold the comments `# signer: ed25519:...` and `# repository: ...`,
// which pin whose backups to trust. InvalidInput names the line and never quotes it.
struct IdentityFile {
    std::vector<Identity> identities;
    std::vector<std::string> signers;  // texts of VerifyKey
    std::string repository;            // id, or empty
};

Result<IdentityFile> parse_identity_file(std::string_view contents);

// Ed25519. A writer signs what it commits; readers pin the public half.
class VerifyKey {
  public:
    static Result<VerifyKey> parse(std::string_view text);  // "ed25519:" + unpadded base64
    static VerifyKey from_bytes(const std::array<base::Byte, 32>& bytes);
    std::string text() const;

    const std::array<base::Byte, 32>& bytes() const { return bytes_; }

    bool verifies(BytesView message, BytesView signature) const;
    auto operator<=>(const VerifyKey&) const = default;

  private:
    std::array<base::Byte, 32> bytes_{};
};

inline constexpr std::size_t kSignatureSize = 64;

class SigningKey {
  public:
    static SigningKey from_seed(const base::Key256& seed);
    VerifyKey verify_key() const;
    std::array<base::Byte, kSignatureSize> sign(BytesView message) const;

  private:
    base::SecretArray<64> expanded_;
};

}  // namespace lifeboat::crypto

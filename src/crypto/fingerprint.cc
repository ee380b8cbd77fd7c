#include "crypto/fingerprint.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "base/check.h"
#include "crypto/internal/cipher.h"
#include "crypto/seal.h"

// GHASH comes out of AES-256-GCM: associated data only, so that the tag is GHASH(H, page || length)
// xor E(k1, nonce), and the nonce is always zero. For a cipher that would be fatal: two tags under
// one nonce give away an equation for H. Here no tag leaves this file: AES-256 under a second key
// hides each one, and being a permutation it adds no collision. docs/adr/0003 has the argument.

namespace lifeboat::crypto {

using base::Byte;
using base::BytesView;

struct Fingerprinter::State {
    explicit State(const base::Key256& key)
        : hash(internal::keyed_cipher("AES-256-GCM",
                                      derive_key(key, {}, "lifeboat v1 fingerprint ghash"),
                                      internal::Direction::Encrypt)),
          hide(internal::keyed_cipher("AES-256-ECB",
                                      derive_key(key, {}, "lifeboat v1 fingerprint hide"),
                                      internal::Direction::Encrypt)) {
        EVP_CIPHER_CTX_set_padding(hide.get(), 0);
    }

    State(const State&) = delete;
    State& operator=(const State&) = delete;

    ~State() { base::wipe(tag.data(), tag.size()); }

    internal::CipherContext hash;
    internal::CipherContext hide;
    std::array<Byte, 16> tag{};
    // Asks for the tag; EVP_CIPHER_CTX_ctrl would build the same list on each call.
    OSSL_PARAM tag_request[2] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag.data(), tag.size()),
        OSSL_PARAM_construct_end()};
};

Fingerprinter::Fingerprinter(const base::Key256& key) : state_(std::make_unique<State>(key)) {}

Fingerprinter::~Fingerprinter() = default;
Fingerprinter::Fingerprinter(Fingerprinter&&) noexcept = default;
Fingerprinter& Fingerprinter::operator=(Fingerprinter&&) noexcept = default;

Fingerprint Fingerprinter::of(BytesView page) {
    static constexpr std::array<Byte, 12> kNonce{};
    constexpr std::size_t kMaxPage = std::size_t{1} << 30;  // OpenSSL counts in int
    LB_CHECK(page.size() <= kMaxPage);
    std::array<Byte, 8> length{};
    for (std::size_t i = 0; i < length.size(); ++i) {
        length[i] = static_cast<Byte>(page.size() >> (8 * i));
    }

    State& s = *state_;
    EVP_CIPHER_CTX* hash = s.hash.get();
    Fingerprint out{};
    int written = 0;
    bool ok = EVP_EncryptInit_ex(hash, nullptr, nullptr, nullptr, kNonce.data()) == 1;
    ok = ok && EVP_EncryptUpdate(hash, nullptr, &written, page.data(),
                                 static_cast<int>(page.size())) == 1;
    ok = ok && EVP_EncryptUpdate(hash, nullptr, &written, length.data(),
                                 static_cast<int>(length.size())) == 1;
    ok = ok && EVP_EncryptFinal_ex(hash, out.data(), &written) == 1;
    ok = ok && EVP_CIPHER_CTX_get_params(hash, s.tag_request) == 1;
    ok = ok && EVP_EncryptUpdate(s.hide.get(), out.data(), &written, s.tag.data(),
                                 static_cast<int>(s.tag.size())) == 1;
    LB_CHECK(ok && written == static_cast<int>(out.size()));
    return out;
}

}  // namespace lifeboat::crypto

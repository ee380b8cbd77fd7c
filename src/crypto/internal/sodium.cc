#include "crypto/internal/sodium.h"

#include <sodium.h>

#include "base/check.h"

namespace lifeboat::crypto::internal {

static_assert(kChachaTagSize == crypto_aead_chacha20poly1305_ietf_ABYTES);

void start_sodium() {
    static const bool started = sodium_init() >= 0;
    LB_CHECK(started);
}

Point x25519_public(const base::Key256& scalar) {
    start_sodium();
    Point out{};
    LB_CHECK(crypto_scalarmult_base(out.data(), scalar.reveal().data()) == 0);
    return out;
}

bool x25519(const base::Key256& scalar, const Point& point, base::Key256& shared) {
    start_sodium();
    return crypto_scalarmult(shared.reveal_mutable().data(), scalar.reveal().data(),
                             point.data()) == 0;
}

base::Bytes chacha_seal(const base::Key256& key, const ChachaNonce& nonce, base::BytesView plain) {
    start_sodium();
    base::Bytes out(plain.size() + kChachaTagSize);
    const int status = crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(),
                                                                 plain.size(), nullptr, 0, nullptr,
                                                                 nonce.data(), key.reveal().data());
    LB_CHECK(status == 0);
    return out;
}

bool chacha_open(const base::Key256& key, const ChachaNonce& nonce, base::BytesView sealed,
                 base::MutableBytes plain) {
    start_sodium();
    LB_CHECK(sealed.size() >= kChachaTagSize && plain.size() == sealed.size() - kChachaTagSize);
    return crypto_aead_chacha20poly1305_ietf_decrypt(plain.data(), nullptr, nullptr, sealed.data(),
                                                     sealed.size(), nullptr, 0, nonce.data(),
                                                     key.reveal().data()) == 0;
}

}  // namespace lifeboat::crypto::internal

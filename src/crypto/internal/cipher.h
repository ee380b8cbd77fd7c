#pragma once

#include <openssl/evp.h>

#include <memory>

#include "base/check.h"
#include "base/secret.h"

// OpenSSL cipher contexts that keep their key. Setting one up costs microseconds (the algorithm is
// looked up by name, the key is expanded), re-arming one with a nonce costs a tenth of that, so
// every user sets up once.
namespace lifeboat::crypto::internal {

struct FreeCipher {
    void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }

    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

enum class Direction { Decrypt = 0, Encrypt = 1 };

// `name` as OpenSSL spells it. An OpenSSL that lacks the algorithm cannot run Lifeboat at all,
// hence no Result.
inline CipherContext keyed_cipher(const char* name, const base::Key256& key, Direction direction) {
    const std::unique_ptr<EVP_CIPHER, FreeCipher> cipher(EVP_CIPHER_fetch(nullptr, name, nullptr));
    LB_CHECK(cipher != nullptr);
    CipherContext context(EVP_CIPHER_CTX_new());
    LB_CHECK(context != nullptr);
    LB_CHECK(EVP_CipherInit_ex2(context.get(), cipher.get(), key.reveal().data(), nullptr,
                                static_cast<int>(direction), nullptr) == 1);
    return context;
}

}  // namespace lifeboat::crypto::internal

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <memory>

#include "base/check.h"
#include "crypto/internal/hkdf.h"
#include "crypto/seal.h"

namespace lifeboat::crypto {

using base::Byte;

namespace {

constexpr const char* kDigest = "SHA256";

// Looked up once and kept for the life of the process.
const EVP_MD* sha256_algorithm() {
    static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, kDigest, nullptr);
    LB_CHECK(algorithm != nullptr);
    return algorithm;
}

EVP_KDF* hkdf_algorithm() {
    static EVP_KDF* const algorithm = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
    LB_CHECK(algorithm != nullptr);
    return algorithm;
}

// OpenSSL's parameters lack const, and are read only. They reject null even for no bytes.
OSSL_PARAM octets(const char* name, BytesView bytes) {
    static constexpr Byte kNothing = 0;
    const void* start = bytes.empty() ? &kNothing : bytes.data();
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): see above
    return OSSL_PARAM_construct_octet_string(name, const_cast<void*>(start), bytes.size());
}

}  // namespace

void internal::hkdf_sha256(BytesView secret, BytesView salt, BytesView purpose,
                           base::MutableBytes out) {
    const std::unique_ptr<EVP_KDF_CTX, void (*)(EVP_KDF_CTX*)> context(
        EVP_KDF_CTX_new(hkdf_algorithm()), EVP_KDF_CTX_free);
    LB_CHECK(context != nullptr);
    std::string digest = kDigest;
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
        octets(OSSL_KDF_PARAM_KEY, secret),
        octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_INFO, purpose),
        OSSL_PARAM_construct_end(),
    };
    LB_CHECK(EVP_KDF_derive(context.get(), out.data(), out.size(), parameters) == 1);
}

Key256 derive_key(const Key256& secret, BytesView salt, std::string_view purpose) {
    Key256 out;
    internal::hkdf_sha256(secret.reveal(), salt, base::view(purpose), out.reveal_mutable());
    return out;
}

std::array<Byte, 32> sha256(BytesView bytes) {
    std::array<Byte, 32> out{};
    LB_CHECK(EVP_Digest(bytes.data(), bytes.size(), out.data(), nullptr, sha256_algorithm(),
                        nullptr) == 1);
    return out;
}

std::array<Byte, 32> hmac_sha256(const Key256& key, BytesView bytes) {
    std::array<Byte, 32> out{};
    std::size_t size = 0;
    const Byte* done =
        EVP_Q_mac(nullptr, "HMAC", nullptr, kDigest, nullptr, key.reveal().data(),
                  key.reveal().size(), bytes.data(), bytes.size(), out.data(), out.size(), &size);
    LB_CHECK(done != nullptr && size == out.size());
    return out;
}

struct Sha256::State {
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};

    void start() const {
        LB_CHECK(EVP_DigestInit_ex2(context.get(), sha256_algorithm(), nullptr) == 1);
    }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    LB_CHECK(state_->context != nullptr);
    state_->start();
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(BytesView bytes) {
    LB_CHECK(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

std::array<Byte, 32> Sha256::finish() {
    std::array<Byte, 32> out{};
    LB_CHECK(EVP_DigestFinal_ex(state_->context.get(), out.data(), nullptr) == 1);
    state_->start();
    return out;
}

Key256 random_key(base::Random& random) {
    Key256 out;
    random.fill(out.reveal_mutable());
    return out;
}

}  // namespace lifeboat::crypto

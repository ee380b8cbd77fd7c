#include "crypto/seal.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "crypto/internal/cipher.h"

namespace lifeboat::crypto {

using base::Byte;
using base::Bytes;
using base::Code;
using base::Error;

namespace {

constexpr const char* kCipher = "AES-256-GCM";
constexpr std::size_t kStep = std::size_t{1} << 30;  // OpenSSL counts in int

// The number as a 12-byte little-endian integer, which is how every number of the repository's
// formats is written.
std::array<Byte, 12> nonce_of(std::uint64_t number) {
    std::array<Byte, 12> nonce{};
    for (std::size_t i = 0; i < sizeof(number); ++i) {
        nonce[i] = static_cast<Byte>(number >> (8 * i));
    }
    return nonce;
}

void start(EVP_CIPHER_CTX* context, std::uint64_t number) {
    const std::array<Byte, 12> nonce = nonce_of(number);
    LB_CHECK(EVP_CipherInit_ex2(context, nullptr, nullptr, nonce.data(), -1, nullptr) == 1);
}

// Feeds `in` to the cipher. `out` is null for associated data, else as long as `in`.
void update(EVP_CIPHER_CTX* context, BytesView in, Byte* out) {
    while (!in.empty()) {
        const std::size_t step = std::min(in.size(), kStep);
        int written = 0;
        LB_CHECK(EVP_CipherUpdate(context, out, &written, in.data(), static_cast<int>(step)) == 1);
        in = in.subspan(step);
        out = out == nullptr ? nullptr : out + step;
    }
}

}  // namespace

struct Sealer::State {
    internal::CipherContext context;
};

Sealer::Sealer(const Key256& key)
    : state_(std::make_unique<State>(
          State{internal::keyed_cipher(kCipher, key, internal::Direction::Encrypt)})) {}

Sealer::~Sealer() = default;
Sealer::Sealer(Sealer&&) noexcept = default;
Sealer& Sealer::operator=(Sealer&&) noexcept = default;

void Sealer::seal(std::uint64_t number, BytesView associated, BytesView plain, Bytes& out) {
    EVP_CIPHER_CTX* context = state_->context.get();
    const std::size_t before = out.size();
    out.resize(before + plain.size() + kTagSize);
    Byte* sealed = out.data() + before;
    Byte* tag = sealed + plain.size();

    start(context, number);
    update(context, associated, nullptr);
    update(context, plain, sealed);
    int written = 0;
    LB_CHECK(EVP_CipherFinal_ex(context, tag, &written) == 1 && written == 0);
    LB_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTagSize), tag) ==
             1);
}

struct Opener::State {
    internal::CipherContext context;
};

Opener::Opener(const Key256& key)
    : state_(std::make_unique<State>(
          State{internal::keyed_cipher(kCipher, key, internal::Direction::Decrypt)})) {}

Opener::~Opener() = default;
Opener::Opener(Opener&&) noexcept = default;
Opener& Opener::operator=(Opener&&) noexcept = default;

Result<> Opener::open(std::uint64_t number, BytesView associated, BytesView sealed,
                      base::MutableBytes plain) {
    if (sealed.size() < kTagSize) {
        OPENSSL_cleanse(plain.data(), plain.size());
        return Error(Code::Corrupt, "sealed bytes are shorter than their tag");
    }
    LB_CHECK(plain.size() == sealed.size() - kTagSize);
    EVP_CIPHER_CTX* context = state_->context.get();
    std::array<Byte, kTagSize> tag{};
    std::ranges::copy(sealed.last(kTagSize), tag.begin());

    start(context, number);
    update(context, associated, nullptr);
    update(context, sealed.first(plain.size()), plain.data());
    LB_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kTagSize),
                                 tag.data()) == 1);
    std::array<Byte, kTagSize> nothing{};
    int written = 0;
    if (EVP_CipherFinal_ex(context, nothing.data(), &written) != 1) {
        OPENSSL_cleanse(plain.data(), plain.size());
        return Error(Code::Corrupt,
                     "sealed bytes are not what was written: their tag does not fit");
    }
    return {};
}

}  // namespace lifeboat::crypto

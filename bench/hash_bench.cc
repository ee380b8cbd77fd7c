// What a page fingerprint costs, beside the other ways to take one:
// docs/adr/0003-page-fingerprints.md explains the choice.
//
// One core, in CPU time of the one thread. Each way runs over the same pages in short turns, round
// after round, and its fastest turn counts: other work on the machine slows a turn down but never
// speeds one up. Compare ratios within one run, not numbers between machines.
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sodium.h>
#include <time.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "crypto/fingerprint.h"
#include "crypto/seal.h"

namespace lifeboat::bench {
namespace {

using base::Byte;
using base::Bytes;
using base::BytesView;
using Tag = std::array<Byte, 32>;

constexpr std::size_t kPage = 8192;
constexpr std::size_t kFramePages = 16;
constexpr std::size_t kPages = 512;  // 4 MiB: not all of it in the second-level cache
constexpr int kRounds = 25;
constexpr auto kTurn = std::chrono::milliseconds(20);

// Text with ids that count up, words from a short list, and noise: zstd 1 shrinks it 3.4 times, as
// it does a heap of JSON.
Bytes make_pages() {
    static constexpr const char* kWords[] = {"pending", "delivered", "invoice", "Berlin",
                                             "Lisboa",  "reviewed",  "monthly"};
    const auto random = base::seeded_random(11);
    Bytes pages;
    pages.reserve(kPages * kPage);
    for (std::uint64_t row = 0; pages.size() < kPages * kPage; ++row) {
        const std::uint64_t choice = random->u64();
        const std::string text = "{\"id\": " + std::to_string(1000000 + row) + ", \"state\": \"" +
                                 kWords[choice % 7] + "\", \"of\": \"" + kWords[choice / 7 % 7] +
                                 "\"}";
        std::array<Byte, 10> noise{};
        random->fill(noise);
        pages.insert(pages.end(), text.begin(), text.end());
        pages.insert(pages.end(), noise.begin(), noise.end());
    }
    pages.resize(kPages * kPage);
    return pages;
}

struct Way {
    std::string name;
    std::function<void(BytesView, Tag&)> take;  // over `unit` bytes
    std::size_t unit = kPage;
    double best = 0;  // bytes per second
};

// Keeps results alive, so that no call can be dropped.
Byte g_sink = 0;

std::chrono::nanoseconds cpu_time() {
    timespec now{};
    LB_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

double turn(const Way& way, BytesView pages) {
    Tag tag{};
    std::size_t bytes = 0;
    const auto start = cpu_time();
    auto now = start;
    while (now - start < kTurn) {
        for (std::size_t at = 0; at < pages.size(); at += way.unit) {
            way.take(pages.subspan(at, way.unit), tag);
            g_sink = static_cast<Byte>(g_sink ^ tag[0]);
        }
        bytes += pages.size();
        now = cpu_time();
    }
    return static_cast<double>(bytes) / std::chrono::duration<double>(now - start).count();
}

struct Free {
    void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }

    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }

    void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }

    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }

    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

constexpr std::array<Byte, 32> kKey = {1, 2, 3, 4, 5, 6, 7, 8};

// A MAC of OpenSSL's with its context set up once; passing no key to init re-arms it.
std::function<void(BytesView, Tag&)> openssl_mac(const char* algorithm, const char* parameter,
                                                 const char* value) {
    const std::unique_ptr<EVP_MAC, Free> mac(EVP_MAC_fetch(nullptr, algorithm, nullptr));
    std::shared_ptr<EVP_MAC_CTX> context(EVP_MAC_CTX_new(mac.get()), Free());
    std::string text = value;
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(parameter, text.data(), text.size()),
        OSSL_PARAM_construct_end()};
    LB_CHECK(EVP_MAC_init(context.get(), kKey.data(), kKey.size(), parameters) == 1);
    return [context](BytesView page, Tag& tag) {
        std::size_t size = 0;
        const bool ok = EVP_MAC_init(context.get(), nullptr, 0, nullptr) == 1 &&
                        EVP_MAC_update(context.get(), page.data(), page.size()) == 1 &&
                        EVP_MAC_final(context.get(), tag.data(), &size, tag.size()) == 1;
        LB_CHECK(ok);
    };
}

std::function<void(BytesView, Tag&)> openssl_cipher_mac(const char* algorithm, const char* cipher) {
    return openssl_mac(algorithm, OSSL_MAC_PARAM_CIPHER, cipher);
}

void poly1305_then_aes(EVP_CIPHER_CTX* aes, BytesView page, Tag& tag) {
    std::array<Byte, 16> inner{};
    crypto_onetimeauth(inner.data(), page.data(), page.size(), kKey.data());
    int written = 0;
    LB_CHECK(EVP_EncryptUpdate(aes, tag.data(), &written, inner.data(), 16) == 1);
}

std::shared_ptr<EVP_CIPHER_CTX> aes_block() {
    const std::unique_ptr<EVP_CIPHER, Free> cipher(
        EVP_CIPHER_fetch(nullptr, "AES-256-ECB", nullptr));
    std::shared_ptr<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new(), Free());
    LB_CHECK(EVP_EncryptInit_ex(context.get(), cipher.get(), nullptr, kKey.data(), nullptr) == 1);
    EVP_CIPHER_CTX_set_padding(context.get(), 0);
    return context;
}

std::vector<Way> keyed_ways() {
    auto fingerprinter = std::make_shared<crypto::Fingerprinter>(base::Key256(kKey));
    auto digest = std::make_shared<crypto::Sha256>();
    auto aes = aes_block();
    std::vector<Way> ways;
    ways.push_back({"GHASH, then AES-256 (ours)", [fingerprinter](BytesView page, Tag& tag) {
                        const crypto::Fingerprint out = fingerprinter->of(page);
                        std::ranges::copy(out, tag.begin());
                    }});
    ways.push_back({"Poly1305, then AES-256",
                    [aes](BytesView page, Tag& tag) { poly1305_then_aes(aes.get(), page, tag); }});
    ways.push_back({"AES-256-CMAC", openssl_cipher_mac("CMAC", "AES-256-CBC")});
    ways.push_back({"SHA-256(key || page), 128 bits", [digest](BytesView page, Tag& tag) {
                        digest->update(kKey);
                        digest->update(page);
                        tag = digest->finish();
                    }});
    ways.push_back(
        {"HMAC-SHA-256, 128 bits", openssl_mac("HMAC", OSSL_MAC_PARAM_DIGEST, "SHA256")});
    ways.push_back({"BLAKE2b-128, keyed", [](BytesView page, Tag& tag) {
                        crypto_generichash(tag.data(), 16, page.data(), page.size(), kKey.data(),
                                           kKey.size());
                    }});
    return ways;
}

// zstd 1 of a frame and SHA-256 of the outcome, or the compression alone.
Way compressed_way(const char* name, bool digest_too) {
    std::shared_ptr<ZSTD_CCtx> context(ZSTD_createCCtx(), Free());
    auto out = std::make_shared<Bytes>(ZSTD_compressBound(kPage * kFramePages));
    auto digest = std::make_shared<crypto::Sha256>();
    return {name,
            [=](BytesView frame, Tag& tag) {
                const std::size_t size = ZSTD_compressCCtx(context.get(), out->data(), out->size(),
                                                           frame.data(), frame.size(), 1);
                LB_CHECK(ZSTD_isError(size) == 0);
                if (digest_too) {
                    digest->update(BytesView(*out).first(size));
                    tag = digest->finish();
                }
            },
            kPage * kFramePages};
}

std::vector<Way> other_ways() {
    auto digest = std::make_shared<crypto::Sha256>();
    auto sealer = std::make_shared<crypto::Sealer>(base::Key256(kKey));
    auto sealed = std::make_shared<Bytes>();
    std::vector<Way> ways;
    ways.push_back({"SHA-256, no key", [digest](BytesView page, Tag& tag) {
                        digest->update(page);
                        tag = digest->finish();
                    }});
    ways.push_back({"CRC-32C (detects rot, not intent)", [](BytesView page, Tag& tag) {
                        const std::uint32_t crc = base::crc32c(page);
                        tag[0] = static_cast<Byte>(crc);
                    }});
    ways.push_back({"AES-256-GCM of the page, for scale", [=](BytesView page, Tag& tag) {
                        sealed->clear();
                        sealer->seal(0, {}, page, *sealed);
                        tag[0] = (*sealed)[0];
                    }});
    ways.push_back(compressed_way("zstd 1 of 16 pages, for scale", false));
    ways.push_back(compressed_way("zstd 1, then SHA-256 of the outcome", true));
    return ways;
}

void print(const std::vector<Way>& ways) {
    std::printf("%-38s %10s %10s %10s\n", "way, over pages of 8 KiB", "MB/s", "us/page", "of ours");
    for (const Way& way : ways) {
        std::printf("%-38s %10.0f %10.2f %10.3f\n", way.name.c_str(), way.best / 1e6,
                    kPage / way.best * 1e6, way.best / ways.front().best);
    }
}

void run() {
    LB_CHECK(sodium_init() >= 0);
    const Bytes pages = make_pages();
    std::vector<Way> ways = keyed_ways();
    for (Way& way : other_ways()) {
        ways.push_back(std::move(way));
    }
    for (int round = 0; round < kRounds; ++round) {
        for (Way& way : ways) {
            way.best = std::max(way.best, turn(way, pages));
        }
    }
    print(ways);
}

}  // namespace
}  // namespace lifeboat::bench

int main() {
    lifeboat::bench::run();
}

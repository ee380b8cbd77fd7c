#include "base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/mutex.h"

namespace lifeboat::base {

std::uint64_t Random::u64() {
    std::uint64_t value = 0;
    fill({reinterpret_cast<Byte*>(&value), sizeof value});
    return value;
}

namespace {

class SystemRandom final : public Random {
  public:
    void fill(MutableBytes out) override {
        while (!out.empty()) {
            const ssize_t n = ::getrandom(out.data(), out.size(), 0);
            if (n < 0 && errno != EINTR) {
                // Going on would mean keys that can be guessed.
                std::perror("lifeboat: the kernel gives no random bytes");
                std::abort();
            }
            out = out.subspan(n < 0 ? 0 : static_cast<std::size_t>(n));
        }
    }
};

// SplitMix64: every seed gives a full-period sequence, and it is the same on every machine.
class SeededRandom final : public Random {
  public:
    explicit SeededRandom(std::uint64_t seed) : state_(seed) {}

    void fill(MutableBytes out) override {
        const Lock lock(mutex_);
        while (!out.empty()) {
            const std::uint64_t word = next();
            const std::size_t n = out.size() < sizeof word ? out.size() : sizeof word;
            for (std::size_t i = 0; i < n; ++i) {
                out[i] = static_cast<Byte>(word >> (8 * i));
            }
            out = out.subspan(n);
        }
    }

  private:
    std::uint64_t next() LB_REQUIRES(mutex_) {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
    }

    Mutex mutex_;
    std::uint64_t state_ LB_GUARDED_BY(mutex_);
};

}  // namespace

Random& system_random() {
    static SystemRandom random;
    return random;
}

std::unique_ptr<Random> seeded_random(std::uint64_t seed) {
    return std::make_unique<SeededRandom>(seed);
}

}  // namespace lifeboat::base

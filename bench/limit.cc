// What the hardware allows: reads every file below a directory, compresses it in frames, seals each
// frame, writes the result to one file and syncs it. No page comparison, no maps, no names, no
// checks: a backup program can come near to this, and what it needs beyond it is the price of being
// a backup program.
//
//   limit DIRECTORY OUT [--frame BYTES] [--level N] [--threads N] [--skip NAME]...
//
// Prints one JSON object. --skip leaves out what lies below DIRECTORY/NAME.
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace lifeboat::bench {
namespace {

namespace fs = std::filesystem;
using Buffer = std::vector<unsigned char>;

constexpr std::size_t kWriteSize = std::size_t{8} << 20;
constexpr std::size_t kFramesPerTurn = 16;  // a thread takes neighbours: the reads stay sequential
constexpr std::size_t kTagSize = 16;

struct Options {
    std::string directory;
    std::string out;
    std::size_t frame = 512 * 1024;
    int level = 2;
    std::size_t threads = 2;
    std::vector<std::string> skip;
};

struct Frame {
    const fs::path* file = nullptr;
    std::uint64_t offset = 0;
    std::size_t size = 0;
};

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "limit: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

struct Work {
    std::vector<fs::path> files;
    std::vector<Frame> frames;
    std::uint64_t bytes = 0;
};

Work find_work(const Options& options) {
    Work work;
    std::vector<std::uint64_t> sizes;
    for (auto it = fs::recursive_directory_iterator(options.directory); it != fs::end(it); ++it) {
        const std::string name = fs::relative(it->path(), options.directory).string();
        if (std::find(options.skip.begin(), options.skip.end(), name) != options.skip.end()) {
            it.disable_recursion_pending();
        } else if (it->is_regular_file()) {
            work.files.push_back(it->path());
            sizes.push_back(it->file_size());
        }
    }
    for (std::size_t i = 0; i < work.files.size(); ++i) {
        for (std::uint64_t at = 0; at < sizes[i]; at += options.frame) {
            const auto size = std::min<std::uint64_t>(options.frame, sizes[i] - at);
            work.frames.push_back({&work.files[i], at, static_cast<std::size_t>(size)});
        }
        work.bytes += sizes[i];
    }
    return work;
}

// Where all threads write: each asks for a range of its own.
class Output {
  public:
    explicit Output(const std::string& path)
        : fd_(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)) {
        if (fd_ < 0) {
            fail("creating '" + path + "'");
        }
    }

    ~Output() { ::close(fd_); }

    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    void append(const Buffer& bytes) {
        std::uint64_t at = end_.fetch_add(bytes.size());
        for (std::size_t done = 0; done < bytes.size();) {
            const ssize_t n = ::pwrite(fd_, bytes.data() + done, bytes.size() - done,
                                       static_cast<off_t>(at + done));
            if (n <= 0) {
                fail("writing");
            }
            done += static_cast<std::size_t>(n);
        }
    }

    void sync() const {
        if (::fsync(fd_) != 0) {
            fail("syncing");
        }
    }

    std::uint64_t size() const { return end_.load(); }

  private:
    const int fd_;
    std::atomic<std::uint64_t> end_{0};
};

// One thread's compressor and cipher.
class Sealer {
  public:
    Sealer(std::size_t frame, int level)
        : compressed_(ZSTD_compressBound(frame)), sealed_(compressed_.size() + kTagSize) {
        ZSTD_CCtx_setParameter(compress_.get(), ZSTD_c_compressionLevel, level);
        EVP_EncryptInit_ex(cipher_.get(), EVP_aes_256_gcm(), nullptr, key_.data(), nullptr);
    }

    void append(std::uint64_t number, const unsigned char* plain, std::size_t size, Buffer& out) {
        const std::size_t packed =
            ZSTD_compress2(compress_.get(), compressed_.data(), compressed_.size(), plain, size);
        std::array<unsigned char, 12> nonce{};
        std::memcpy(nonce.data(), &number, sizeof number);
        int length = 0;
        int rest = 0;
        EVP_EncryptInit_ex(cipher_.get(), nullptr, nullptr, nullptr, nonce.data());
        EVP_EncryptUpdate(cipher_.get(), sealed_.data(), &length, compressed_.data(),
                          static_cast<int>(packed));
        EVP_EncryptFinal_ex(cipher_.get(), sealed_.data() + length, &rest);
        const auto end = static_cast<std::size_t>(length + rest);
        EVP_CIPHER_CTX_ctrl(cipher_.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, sealed_.data() + end);
        out.insert(out.end(), sealed_.data(), sealed_.data() + end + kTagSize);
    }

  private:
    template <auto Free>
    struct Freed {
        template <class T>
        void operator()(T* pointer) const {
            Free(pointer);
        }
    };

    std::unique_ptr<ZSTD_CCtx, Freed<ZSTD_freeCCtx>> compress_{ZSTD_createCCtx()};
    std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>> cipher_{EVP_CIPHER_CTX_new()};
    const std::array<unsigned char, 32> key_{1};
    Buffer compressed_;
    Buffer sealed_;
};

// One thread's open file: neighbouring frames are of the same one.
class Input {
  public:
    ~Input() { close(); }

    Input() = default;
    Input(const Input&) = delete;
    Input& operator=(const Input&) = delete;

    std::size_t read(const Frame& frame, Buffer& into) {
        if (frame.file != file_) {
            close();
            file_ = frame.file;
            fd_ = ::open(file_->c_str(), O_RDONLY | O_CLOEXEC);
        }
        const ssize_t n = ::pread(fd_, into.data(), frame.size, static_cast<off_t>(frame.offset));
        if (n < 0) {
            fail("reading '" + frame.file->string() + "'");
        }
        return static_cast<std::size_t>(n);
    }

  private:
    void close() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }

    const fs::path* file_ = nullptr;
    int fd_ = -1;
};

void run_thread(const Options& options, const Work& work, std::atomic<std::size_t>& next,
                Output& out) {
    Sealer sealer(options.frame, options.level);
    Input input;
    Buffer plain(options.frame);
    Buffer pending;
    pending.reserve(kWriteSize + options.frame * 2);
    while (true) {
        const std::size_t first = next.fetch_add(kFramesPerTurn);
        if (first >= work.frames.size()) {
            break;
        }
        for (std::size_t i = first; i < std::min(first + kFramesPerTurn, work.frames.size()); ++i) {
            sealer.append(i, plain.data(), input.read(work.frames[i], plain), pending);
            if (pending.size() >= kWriteSize) {
                out.append(pending);
                pending.clear();
            }
        }
    }
    out.append(pending);
}

void run(const Options& options) {
    const auto began = std::chrono::steady_clock::now();
    const Work work = find_work(options);
    Output out(options.out);
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < options.threads; ++i) {
        threads.emplace_back([&] { run_thread(options, work, next, out); });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    out.sync();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    std::printf("{\"seconds\": %.3f, \"read\": %llu, \"written\": %llu}\n", seconds,
                static_cast<unsigned long long>(work.bytes),
                static_cast<unsigned long long>(out.size()));
}

bool parse(int argc, char** argv, Options& options) {
    if (argc < 3 || argc % 2 == 0) {
        return false;
    }
    options.directory = argv[1];
    options.out = argv[2];
    for (int i = 3; i < argc; i += 2) {
        const std::string name = argv[i];
        const std::string value = argv[i + 1];
        if (name == "--frame") {
            options.frame = std::max<std::size_t>(1, std::strtoull(value.c_str(), nullptr, 10));
        } else if (name == "--level") {
            options.level = std::atoi(value.c_str());
        } else if (name == "--threads") {
            options.threads = std::max<std::size_t>(1, std::strtoull(value.c_str(), nullptr, 10));
        } else if (name == "--skip") {
            options.skip.push_back(value);
        } else {
            return false;
        }
    }
    return true;
}

}  // namespace
}  // namespace lifeboat::bench

int main(int argc, char** argv) {
    lifeboat::bench::Options options;
    if (!lifeboat::bench::parse(argc, argv, options)) {
        std::fputs(
            "usage: limit DIRECTORY OUT [--frame BYTES] [--level N] [--threads N] "
            "[--skip NAME]...\n",
            stderr);
        return 2;
    }
    lifeboat::bench::run(options);
    return 0;
}

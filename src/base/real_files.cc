#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <limits>

#include "base/fd.h"
#include "base/files.h"

// The kernel's file system behind Files. Every call that a signal can interrupt is repeated; every
// descriptor is close-on-exec.

namespace lifeboat::base {

namespace {

// Repeats a system call for as long as a signal cuts it short.
template <class Call>
auto uninterrupted(Call call) {
    auto result = call();
    while (result < 0 && errno == EINTR) {
        result = call();
    }
    return result;
}

Error failed(std::string_view verb, const std::string& path) {
    const int number = errno;
    return os_failure(std::string(verb) + " '" + path + "'", number);
}

Result<> done_or(int result, std::string_view verb, const std::string& path) {
    if (result != 0) {
        return failed(verb, path);
    }
    return {};
}

bool fits_offset(std::uint64_t offset) {
    return offset <= static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
}

class RealFile final : public File {
  public:
    RealFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

    Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) override {
        std::size_t have = 0;
        while (have < out.size()) {
            TRY(check_offset(offset + have));
            const MutableBytes rest = out.subspan(have);
            const ssize_t n = uninterrupted([&] {
                return ::pread(fd_.get(), rest.data(), rest.size(),
                               static_cast<off_t>(offset + have));
            });
            if (n < 0) {
                return failed("reading", path_);
            }
            if (n == 0) {
                break;
            }
            have += static_cast<std::size_t>(n);
        }
        return have;
    }

    Result<> write_at(std::uint64_t offset, BytesView bytes) override {
        const std::size_t direct = TRY(write_directly(offset, bytes));
        bytes = bytes.subspan(direct);
        offset += direct;
        while (!bytes.empty()) {
            TRY(check_offset(offset));
            const ssize_t n = uninterrupted([&] {
                return ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
            });
            if (n < 0) {
                return failed("writing", path_);
            }
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            offset += static_cast<std::uint64_t>(n);
        }
        return {};
    }

    Result<> truncate(std::uint64_t size) override {
        TRY(check_offset(size));
        return done_or(
            uninterrupted([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }),
            "truncating", path_);
    }

    Result<std::uint64_t> size() override {
        struct stat st{};
        if (::fstat(fd_.get(), &st) != 0) {
            return failed("inspecting", path_);
        }
        return static_cast<std::uint64_t>(st.st_size);
    }

    // Never repeated: after EIO the kernel has dropped the pages, and a second fsync would report
    // success.
    Result<> sync() override { return done_or(::fsync(fd_.get()), "syncing", path_); }

    Result<> close() override {
        const int direct = direct_.reset();
        const int result = fd_.reset();
        return done_or(direct != 0 ? direct : result, "closing", path_);
    }

    void advise_sequential() override { ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL); }

    void advise_done(std::uint64_t offset, std::uint64_t count) override {
        ::posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(count),
                        POSIX_FADV_DONTNEED);
    }

    // A descriptor of its own, because the flag belongs to the descriptor and a file's unaligned
    // end must go the usual way. It is reached through the open one: the name may be another's by
    // now.
    void bypass_cache() override {
        const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
        direct_ = Fd(::open(self.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
    }

    void set_aside(std::uint64_t offset, std::uint64_t count) override {
        if (count > 0 && fits_offset(offset + count)) {
            ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                        static_cast<off_t>(count));
        }
    }

  private:
    // Writes what can go past the page cache; returns how much that was, from the start of `bytes`.
    Result<std::size_t> write_directly(std::uint64_t offset, BytesView bytes) {
        if (!direct_.is_open() || offset % kDirectAlignment != 0 ||
            reinterpret_cast<std::uintptr_t>(bytes.data()) % kDirectAlignment != 0) {
            return 0U;
        }
        const std::size_t whole = bytes.size() / kDirectAlignment * kDirectAlignment;
        std::size_t done = 0;
        while (done < whole) {
            TRY(check_offset(offset + done));
            const ssize_t n = uninterrupted([&] {
                return ::pwrite(direct_.get(), bytes.data() + done, whole - done,
                                static_cast<off_t>(offset + done));
            });
            if (n < 0 && errno != EINVAL) {
                return failed("writing", path_);
            }
            if (n < 0 || static_cast<std::size_t>(n) % kDirectAlignment != 0) {
                break;  // this disk wants more than we align to: written again, the usual way
            }
            done += static_cast<std::size_t>(n);
        }
        return done;
    }

    Result<> check_offset(std::uint64_t offset) const {
        if (!fits_offset(offset)) {
            return Error(Code::InvalidInput, "offset " + std::to_string(offset) + " of '" + path_ +
                                                 "' is out of range");
        }
        return {};
    }

    Fd fd_;
    Fd direct_;
    const std::string path_;
};

int open_flags(OpenMode mode) {
    switch (mode) {
        case OpenMode::Read:
            return O_RDONLY;
        case OpenMode::ReadWrite:
            return O_RDWR;
        case OpenMode::CreateNew:
            return O_RDWR | O_CREAT | O_EXCL;
        case OpenMode::CreateOrTruncate:
            return O_RDWR | O_CREAT | O_TRUNC;
    }
    return O_RDONLY;
}

Fd open_fd(const std::string& path, int flags, std::uint32_t permissions = 0) {
    return Fd(uninterrupted(
        [&] { return ::open(path.c_str(), flags | O_CLOEXEC, static_cast<mode_t>(permissions)); }));
}

FileKind kind_of(mode_t mode) {
    if (S_ISREG(mode)) {
        return FileKind::Regular;
    }
    if (S_ISDIR(mode)) {
        return FileKind::Directory;
    }
    return S_ISLNK(mode) ? FileKind::Symlink : FileKind::Other;
}

FileStat stat_of(const struct stat& st) {
    FileStat out;
    out.kind = kind_of(st.st_mode);
    out.size = static_cast<std::uint64_t>(st.st_size);
    out.mode = st.st_mode & 07777U;
    out.uid = st.st_uid;
    out.gid = st.st_gid;
    out.inode = st.st_ino;
    out.device = st.st_dev;
    out.modified = from_unix_micros(static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000 +
                                    st.st_mtim.tv_nsec / 1000);
    return out;
}

Result<FileStat> stat_path(const std::string& path, int flags) {
    struct stat st{};
    if (::fstatat(AT_FDCWD, path.c_str(), &st, flags) != 0) {
        return failed("inspecting", path);
    }
    return stat_of(st);
}

// For file systems without RENAME_NOREPLACE. A crash between the two calls leaves both names on the
// same file: nothing is lost.
Result<> rename_by_link(const std::string& from, const std::string& to) {
    if (::link(from.c_str(), to.c_str()) != 0) {
        const int number = errno;
        if (number == EPERM || number == EOPNOTSUPP) {
            return Error(Code::Unsupported,
                         "the file system of '" + to + "' cannot rename without replacing");
        }
        return os_failure("renaming '" + from + "' to '" + to + "'", number);
    }
    return done_or(::unlink(from.c_str()), "removing", from);
}

class RealFiles final : public Files {
  public:
    Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode,
                                       std::uint32_t permissions) override {
        Fd fd = open_fd(path, open_flags(mode), permissions);
        if (!fd.is_open()) {
            return failed(mode == OpenMode::CreateNew ? "creating" : "opening", path);
        }
        std::unique_ptr<File> file = std::make_unique<RealFile>(std::move(fd), path);
        return file;
    }

    Result<FileStat> stat(const std::string& path) override { return stat_path(path, 0); }

    Result<FileStat> lstat(const std::string& path) override {
        return stat_path(path, AT_SYMLINK_NOFOLLOW);
    }

    Result<std::vector<std::string>> list(const std::string& directory) override {
        const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), ::closedir);
        if (stream == nullptr) {
            return failed("listing", directory);
        }
        std::vector<std::string> names;
        errno = 0;
        for (const dirent* entry = ::readdir(stream.get()); entry != nullptr;
             entry = ::readdir(stream.get())) {
            const std::string_view name = entry->d_name;
            if (name != "." && name != "..") {
                names.emplace_back(name);
            }
        }
        if (errno != 0) {
            return failed("listing", directory);
        }
        std::sort(names.begin(), names.end());
        return names;
    }

    Result<> create_directory(const std::string& path, std::uint32_t permissions) override {
        return done_or(::mkdir(path.c_str(), static_cast<mode_t>(permissions)),
                       "creating directory", path);
    }

    Result<> rename(const std::string& from, const std::string& to, Replace replace) override {
        const unsigned flags =
            replace == Replace::No ? static_cast<unsigned>(RENAME_NOREPLACE) : 0U;
        if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0) {
            return {};
        }
        const int number = errno;
        if (flags != 0 && (number == EINVAL || number == ENOSYS)) {
            return rename_by_link(from, to);
        }
        return os_failure("renaming '" + from + "' to '" + to + "'", number);
    }

    Result<> remove(const std::string& path) override {
        return done_or(::unlink(path.c_str()), "removing", path);
    }

    Result<> remove_directory(const std::string& path) override {
        return done_or(::rmdir(path.c_str()), "removing directory", path);
    }

    Result<> symlink(const std::string& target, const std::string& path) override {
        return done_or(::symlink(target.c_str(), path.c_str()), "creating link", path);
    }

    Result<std::string> read_link(const std::string& path) override {
        std::string out(256, '\0');
        for (;;) {
            const ssize_t n = ::readlink(path.c_str(), out.data(), out.size());
            if (n < 0) {
                return failed("reading link", path);
            }
            if (static_cast<std::size_t>(n) < out.size()) {
                out.resize(static_cast<std::size_t>(n));
                return out;
            }
            out.resize(out.size() * 2);
        }
    }

    Result<> set_mode(const std::string& path, std::uint32_t permissions) override {
        return done_or(::chmod(path.c_str(), static_cast<mode_t>(permissions)),
                       "setting permissions of", path);
    }

    Result<> set_owner(const std::string& path, std::uint32_t uid, std::uint32_t gid) override {
        return done_or(::lchown(path.c_str(), uid, gid), "setting owner of", path);
    }

    Result<> set_modified(const std::string& path, Timestamp t) override {
        const auto second = std::chrono::floor<std::chrono::seconds>(t);
        const timespec when{static_cast<time_t>(second.time_since_epoch().count()),
                            static_cast<long>((t - second).count() * 1000)};
        const std::array<timespec, 2> times = {when, when};
        return done_or(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW),
                       "setting time of", path);
    }

    Result<> sync_directory(const std::string& path) override {
        Fd fd = open_fd(path, O_RDONLY | O_DIRECTORY);
        if (!fd.is_open()) {
            return failed("opening directory", path);
        }
        // EINVAL: some network file systems have no such call, because their entries are durable
        // once they are made.
        if (::fsync(fd.get()) != 0 && errno != EINVAL) {
            return failed("syncing directory", path);
        }
        return {};
    }

    Result<> sync_filesystem(const std::string& path) override {
        Fd fd = open_fd(path, O_RDONLY);
        if (!fd.is_open()) {
            return failed("opening", path);
        }
        return done_or(::syncfs(fd.get()), "syncing the file system of", path);
    }

    Result<Space> space(const std::string& path) override {
        struct statvfs st{};
        if (uninterrupted([&] { return ::statvfs(path.c_str(), &st); }) != 0) {
            return failed("measuring the file system of", path);
        }
        return Space{st.f_bavail * st.f_frsize, st.f_blocks * st.f_frsize};
    }
};

}  // namespace

Files& real_files() {
    static RealFiles files;
    return files;
}

}  // namespace lifeboat::base

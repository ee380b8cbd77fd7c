#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace lifeboat::base {

// The file system, passed in: the real one, or a test's that loses unsynced writes and fails on
// demand. Paths are byte strings with '/'. Files is thread-safe. A File may be read and written by
// several threads at once, as long as nobody writes bytes that another reads or writes.

inline constexpr std::size_t kDirectAlignment = 4096;  // whatever a disk calls its block

enum class FileKind { Regular, Directory, Symlink, Other };
enum class OpenMode {
    Read,
    ReadWrite,         // must exist
    CreateNew,         // read and write; Conflict when the name exists
    CreateOrTruncate,  // read and write
};
enum class Replace { No, Yes };

struct FileStat {
    FileKind kind = FileKind::Other;
    std::uint64_t size = 0;
    std::uint32_t mode = 0;  // permission bits only
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint64_t inode = 0;
    std::uint64_t device = 0;
    Timestamp modified;
};

struct Space {
    std::uint64_t free = 0;  // bytes that this process may still use
    std::uint64_t total = 0;
};

class File {
  public:
    virtual ~File() = default;
    // Fills `out` from `offset`; returns the number of bytes, less than out.size() only at the end
    // of the file.
    virtual Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) = 0;
    // Writes all of `bytes`; a hole before `offset` reads as zeros.
    virtual Result<> write_at(std::uint64_t offset, BytesView bytes) = 0;
    virtual Result<> truncate(std::uint64_t size) = 0;
    virtual Result<std::uint64_t> size() = 0;
    // Contents and size survive a power cut once this returns. After a failure the file must be
    // thrown away: the kernel may have dropped the dirty pages and will report success the next
    // time.
    virtual Result<> sync() = 0;
    // Checked like a write. Destruction without close() discards its error.
    virtual Result<> close() = 0;

    // Hints; they never fail.
    virtual void advise_sequential() {}

    virtual void advise_done(std::uint64_t /*offset*/, std::uint64_t /*count*/) {}

    // From here on writes go to the disk past the page cache, where the file system can and offset,
    // size and memory are multiples of kDirectAlignment; what is left over goes the usual way. Not
    // a sync: size, place and the disk's own cache still wait for one. To be called before the
    // writing.
    virtual void bypass_cache() {}

    // Blocks for these bytes, all within the file's size, are set aside without being written:
    // several threads can then write to one file at once, and it lies in one piece.
    virtual void set_aside(std::uint64_t /*offset*/, std::uint64_t /*count*/) {}
};

class Files {
  public:
    virtual ~Files() = default;

    virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode,
                                               std::uint32_t permissions = 0600) = 0;
    virtual Result<FileStat> stat(const std::string& path) = 0;   // follows symlinks; NotFound
    virtual Result<FileStat> lstat(const std::string& path) = 0;  // does not
    // Names without '.' and '..', in byte order.
    virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
    virtual Result<> create_directory(
        const std::string& path, std::uint32_t permissions = 0700) = 0;  // Conflict when it exists
    // Atomic. With Replace::No an existing `to` is Conflict and nothing changes.
    virtual Result<> rename(const std::string& from, const std::string& to, Replace replace) = 0;
    virtual Result<> remove(const std::string& path) = 0;            // a file or symlink; NotFound
    virtual Result<> remove_directory(const std::string& path) = 0;  // must be empty
    virtual Result<> symlink(const std::string& target, const std::string& path) = 0;
    virtual Result<std::string> read_link(const std::string& path) = 0;
    virtual Result<> set_mode(const std::string& path, std::uint32_t permissions) = 0;
    virtual Result<> set_owner(const std::string& path, std::uint32_t uid,
                               std::uint32_t gid) = 0;                        // of the link itself
    virtual Result<> set_modified(const std::string& path, Timestamp t) = 0;  // of the link itself
    // Entries created, renamed or removed in `path` survive a power cut once this returns.
    virtual Result<> sync_directory(const std::string& path) = 0;
    // Everything written to the file system that holds `path` survives a power cut once this
    // returns (syncfs).
    virtual Result<> sync_filesystem(const std::string& path) = 0;
    virtual Result<Space> space(const std::string& path) = 0;
};

Files& real_files();

// ---- Built from the above, for any Files
// --------------------------------------------------------------------------

std::string join(std::string_view directory, std::string_view name);
std::string parent_of(std::string_view path);  // "a/b" -> "a"; "a" -> "."; "/a" -> "/"
std::string file_name_of(std::string_view path);

Result<bool> exists(Files& files, const std::string& path);  // lstat, with NotFound as false
Result<Bytes> read_file(Files& files, const std::string& path,
                        std::uint64_t limit = 64 * kMiB);  // over the limit: InvalidInput
// Writes a temporary file beside it, syncs it, renames it into place, syncs the directory: the one
// way to write a durable file. With Replace::No an existing file is Conflict. On a failure the old
// contents stand and the temporary file ('.tmp-...') is gone, but for OutcomeUnknown: the new
// contents stand, and a power cut may bring the old ones back. A crash may leave a '.tmp-...'
// behind.
Result<> write_durably(Files& files, const std::string& path, BytesView bytes, Replace replace,
                       std::uint32_t permissions = 0600);
// Creates the missing directories of `path` and makes their entries durable. One that is there
// already is taken to be durable.
Result<> create_directories(Files& files, const std::string& path,
                            std::uint32_t permissions = 0700);
Result<> remove_tree(Files& files, const std::string& path);  // an absent tree is success

}  // namespace lifeboat::base

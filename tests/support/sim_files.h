#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/time.h"

namespace lifeboat::test {

struct SimNode;
struct Place;
enum class Last;

// What a power cut does to changes that were not yet durable.
struct CrashMode {
    enum class Unsynced { Lost, Kept, RandomSubset };
    Unsynced unsynced = Unsynced::Lost;
    std::uint64_t seed = 0;
};

// A test's name tells the mode, whatever the compiler left in its padding.
inline void PrintTo(const CrashMode& mode, std::ostream* out) {
    constexpr const char* kNames[] = {"lost", "kept", "subset"};
    *out << kNames[static_cast<int>(mode.unsynced)] << mode.seed;
}

inline constexpr CrashMode kLoseUnsynced{CrashMode::Unsynced::Lost, 0};
inline constexpr CrashMode kKeepAll{CrashMode::Unsynced::Kept, 0};

// Each change survives or not by chance, writes may be torn at 512 bytes, in no order: a rename may
// survive the data that it named.
constexpr CrashMode keep_random_subset(std::uint64_t seed) {
    return {CrashMode::Unsynced::RandomSubset, seed};
}

// A file system in memory that promises what POSIX promises and nothing more, loses power on
// demand, and fails on demand.
//
// Durable are: a file's contents after File::sync; a directory's entries after sync_directory of
// that directory; everything after sync_filesystem. So a new file whose directory was never synced
// is gone after a crash even if its contents were synced, and a rename between two directories
// needs both. Owner, permissions and times are durable at once. A sync that fails drops what it
// should have made durable, as Linux does: it stays visible until the power goes, and no later sync
// saves it.
//
// A crash test runs the same work with the power cut after 0, 1, 2, ... operations:
//
//   bool cut = true;
//   for (std::uint64_t n = 0; cut; ++n) {
//       SimFiles files;
//       prepare(files);
//       files.crash_after(n);
//       work(files).discard("the power may go");
//       cut = files.power_was_cut();
//       files.power_cycle(kLoseUnsynced);
//       expect_whole(files);
//   }
//
// Paths start at one root, with or without a leading '/'. Symlinks are followed as the real ones
// are. Thread-safe; a File must not outlive its SimFiles.
class SimFiles final : public base::Files {
  public:
    // Times of files come from `clock`, which must outlive this; without one they advance a second
    // per operation.
    explicit SimFiles(base::Clock* clock = nullptr);
    ~SimFiles() override;

    // ---- Power ----
    // Operations that change something: create, write, truncate, sync, rename, remove, and so on.
    // Reads and close are not.
    std::uint64_t operations() const;
    // After `n` more operations every call fails with Cancelled, 'power cut', until power_cycle.
    void crash_after(std::uint64_t n);
    // True iff a call has failed so since crash_after: the work did not end before the cut.
    bool power_was_cut() const;
    // Applies the loss and returns the power. Files that are open stay dead. crash_after no longer
    // applies; faults still do.
    void power_cycle(CrashMode mode);
    // `write data/x`, ...: each operation since the last power cycle, to explain a failed crash
    // test.
    std::vector<std::string> trace() const;

    // ---- Faults ----
    // Asked before every call, with its name (open, create, read, write, truncate, size, sync,
    // close, stat, lstat, list, create_directory, rename, remove, remove_directory, symlink,
    // read_link, set_mode, set_owner, set_modified, sync_directory, sync_filesystem, space) and its
    // path (rename: the new one). A number makes the call fail with that errno and change nothing.
    // Must not call back into this object.
    using Fault =
        std::function<std::optional<int>(std::string_view operation, const std::string& path)>;
    void set_fault(Fault fault);  // nullptr ends it
    using Predicate = std::function<bool(std::string_view operation, const std::string& path)>;
    // The next call that matches fails with `number`, once. Several may wait.
    void fail_next(Predicate matches, int number);
    // Writes beyond this many bytes in all files fail with ENOSPC after what still fits; nothing:
    // no limit.
    void set_capacity(std::optional<std::uint64_t> bytes);

    // ---- base::Files ----
    base::Result<std::unique_ptr<base::File>> open(const std::string& path, base::OpenMode mode,
                                                   std::uint32_t permissions) override;
    base::Result<base::FileStat> stat(const std::string& path) override;
    base::Result<base::FileStat> lstat(const std::string& path) override;
    base::Result<std::vector<std::string>> list(const std::string& directory) override;
    base::Result<> create_directory(const std::string& path, std::uint32_t permissions) override;
    base::Result<> rename(const std::string& from, const std::string& to,
                          base::Replace replace) override;
    base::Result<> remove(const std::string& path) override;
    base::Result<> remove_directory(const std::string& path) override;
    base::Result<> symlink(const std::string& target, const std::string& path) override;
    base::Result<std::string> read_link(const std::string& path) override;
    base::Result<> set_mode(const std::string& path, std::uint32_t permissions) override;
    base::Result<> set_owner(const std::string& path, std::uint32_t uid,
                             std::uint32_t gid) override;
    base::Result<> set_modified(const std::string& path, base::Timestamp t) override;
    base::Result<> sync_directory(const std::string& path) override;
    base::Result<> sync_filesystem(const std::string& path) override;
    base::Result<base::Space> space(const std::string& path) override;

  private:
    class Handle;
    using NodePtr = std::shared_ptr<SimNode>;
    enum class Effect { Reads, Changes };

    base::Result<> enter(std::string_view operation, const std::string& path, Effect effect)
        LB_REQUIRES(mutex_);
    std::optional<int> fault_for(std::string_view operation, const std::string& path)
        LB_REQUIRES(mutex_);
    base::Result<NodePtr> find(const std::string& path, Last last) LB_REQUIRES(mutex_);
    base::Result<Place> vacant(const std::string& path) LB_REQUIRES(mutex_);
    base::Result<base::FileStat> stat_entry(std::string_view operation, const std::string& path,
                                            Last last) LB_REQUIRES(mutex_);
    NodePtr new_node(base::FileKind kind, std::uint32_t permissions) LB_REQUIRES(mutex_);
    void set_entry(SimNode& directory, const std::string& name, NodePtr node) LB_REQUIRES(mutex_);
    base::Result<> unlink(std::string_view operation, const std::string& path, base::FileKind kind)
        LB_REQUIRES(mutex_);
    base::Result<> write(SimNode& node, std::uint64_t offset, base::BytesView bytes,
                         const std::string& path) LB_REQUIRES(mutex_);
    std::uint64_t used_bytes() LB_REQUIRES(mutex_);
    base::Timestamp now() LB_REQUIRES(mutex_);

    mutable base::Mutex mutex_;
    base::Clock* const clock_;
    NodePtr root_ LB_GUARDED_BY(mutex_);
    std::uint64_t last_inode_ LB_GUARDED_BY(mutex_) = 0;
    std::uint64_t operations_ LB_GUARDED_BY(mutex_) = 0;
    std::uint64_t boots_ LB_GUARDED_BY(mutex_) = 0;
    std::optional<std::uint64_t> dies_at_ LB_GUARDED_BY(mutex_);
    bool cut_ LB_GUARDED_BY(mutex_) = false;
    std::optional<std::uint64_t> capacity_ LB_GUARDED_BY(mutex_);
    std::vector<std::string> trace_ LB_GUARDED_BY(mutex_);
    Fault fault_ LB_GUARDED_BY(mutex_);
    std::vector<std::pair<Predicate, int>> waiting_faults_ LB_GUARDED_BY(mutex_);
};

}  // namespace lifeboat::test

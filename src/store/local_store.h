#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/files.h"
#include "base/mutex.h"
#include "store/object_store.h"

namespace lifeboat::store {

// Objects as files below one directory. put: temporary file in the same directory, write, fsync,
// rename without replacing, fsync of each directory that gained an entry. A crash leaves at most
// temporary files (".tmp-..."), which no call shows; sweep() removes those older than a day.
//
// Any number of stores and processes may share the directory. It may itself be a symlink; inside it
// none is followed: list() passes symlinks by, and all else that would go through one is Refused.
// Files that cannot be objects (other names, other kinds) are passed by as well.
//
// When the last fsync of a put or remove fails, what a power cut would leave is not known, and it
// is OutcomeUnknown. A directory that has gone (a disk that is not mounted) is Unavailable, never
// NotFound or an empty list: it proves nothing absent. Nor is anything put into what stands in its
// place then, the empty mount point: it would be acknowledged, and out of sight once the disk is
// back.
//
// `files` and `clock` must outlive the store.
class LocalStore final : public ObjectStore {
  public:
    // With Create::Yes the directory is made if it is missing, and Denied (or NoSpace) says that
    // nothing can be written there. With Create::No it is NotFound when it is missing; it may be
    // read-only, as when a disaster leaves a read-only copy: then put() is Denied.
    enum class Create { No, Yes };
    static base::Result<std::unique_ptr<LocalStore>> open(base::Files& files, base::Clock& clock,
                                                          std::string directory, Create create);

    base::Result<> put(const std::string& name, base::BytesView bytes) override;
    base::Result<base::Bytes> get(const std::string& name) override;
    base::Result<> get_range(const std::string& name, std::uint64_t offset,
                             base::MutableBytes out) override;
    base::Result<ObjectInfo> stat(const std::string& name) override;
    base::Result<> list(const std::string& prefix,
                        const std::function<base::Result<>(const ObjectInfo&)>& each) override;
    base::Result<> remove(const std::string& name) override;
    base::Result<base::Timestamp> now() override;
    std::string describe() const override;

    base::Result<std::uint64_t> free_space();
    // Removes temporary files that no live put can own; returns how many.
    base::Result<std::size_t> sweep();

  private:
    struct Located {
        std::string path;
        base::FileStat found;
    };

    using Each = std::function<base::Result<>(const ObjectInfo&)>;

    LocalStore(base::Files& files, base::Clock& clock, std::string directory);
    base::Result<> check_writable();
    base::Result<> check_root() const;
    base::Result<Located> locate(const std::string& name);
    base::Result<std::unique_ptr<base::File>> open_object(const std::string& name);
    base::Result<> make_directories(const std::string& name);
    base::Result<> make_directory(const std::string& parent, const std::string& path);
    base::Result<> write_object(const std::string& name, const std::string& path,
                                base::BytesView bytes);
    base::Error already_there(const std::string& name, const std::string& path);
    base::Result<> walk(const std::string& directory, const std::string& below,
                        const std::string& prefix, const Each& each);
    base::Result<std::size_t> sweep_directory(const std::string& directory, base::Timestamp before);
    base::Error explain(base::Error error, std::uint64_t needed);

    base::Files& files_;
    base::Clock& clock_;
    const std::string directory_;
    // Of the directory when it was opened. The device is not compared: the same disk, mounted
    // again, may have another number.
    std::uint64_t root_inode_ = 0;
    base::Mutex mutex_;
    // Directories whose entry in their parent is durable, with the inode that was seen there.
    std::map<std::string, std::uint64_t> durable_ LB_GUARDED_BY(mutex_);
};

}  // namespace lifeboat::store

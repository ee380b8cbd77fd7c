// Objects as files. Tested by local_store_test.cc, tests/conformance, and under power loss by
// tests/crash/local_store_crash_test.cc.
//
// The order of a put, and what a power cut after each step may leave:
//
//   1. make missing directories, fsync their parents:  empty directories, which nothing shows
//   2. write and fsync '.tmp-<random>' beside it:      a temporary file, which nothing shows
//   3. rename that to the name, never replacing:       the whole object, or none
//   4. fsync the directory:                            the object
//
// Two processes may make the same directory at once. Whoever did not make it cannot know whether
// its maker lived to fsync the parent, so each store does that itself, once per directory;
// `durable_` remembers it by inode, in case the directory is removed and made anew. A put that
// meets an existing object also fsyncs the directory before it says Conflict: the other writer may
// not have got that far, and the caller may conclude that its bytes are safe.
#include "store/local_store.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "base/random.h"

namespace lifeboat::store {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::FileKind;
using base::FileStat;
using base::join;
using base::MutableBytes;
using base::Result;

namespace {

constexpr std::string_view kTemporary = ".tmp-";
constexpr base::Duration kOldestLivePut = std::chrono::hours(24);

Error no_such_object(const std::string& name) {
    return Error(Code::NotFound, "object '" + name + "' does not exist");
}

Error not_followed(const std::string& path, FileKind kind) {
    if (kind == FileKind::Symlink) {
        return Error(Code::Refused,
                     "'" + path + "' is a symlink, and none is followed inside a store")
            .hint(
                "Put the file or directory itself in its place; a directory on another disk can be "
                "bind-mounted there.");
    }
    return Error(Code::Refused, "'" + path + "' is not a regular file")
        .hint("Remove it: Lifeboat did not make it.");
}

std::string without_trailing_slashes(std::string path) {
    while (path.size() > 1 && path.back() == '/') {
        path.pop_back();
    }
    return path;
}

bool is_missing(const Error& error) {
    return error.code() == Code::NotFound;
}

Result<> read_all(base::File& file, const std::string& name, std::uint64_t offset,
                  MutableBytes out) {
    const std::size_t got = TRY(file.read_at(offset, out));
    return check_range(name, offset + got, offset, out.size());
}

}  // namespace

LocalStore::LocalStore(base::Files& files, base::Clock& clock, std::string directory)
    : files_(files), clock_(clock), directory_(std::move(directory)) {}

Result<std::unique_ptr<LocalStore>> LocalStore::open(base::Files& files, base::Clock& clock,
                                                     std::string directory, Create create) {
    if (directory.empty()) {
        return Error(Code::InvalidInput, "the directory of a store has no name");
    }
    std::unique_ptr<LocalStore> store(
        new LocalStore(files, clock, without_trailing_slashes(std::move(directory))));
    const std::string& path = store->directory_;
    if (create == Create::Yes) {
        TRY(base::create_directories(files, path).during("creating store '" + path + "'"));
        TRY(store->check_writable());
    }
    auto found = files.stat(path);
    if (!found) {
        return std::move(found)
            .error()
            .during("opening store '" + path + "'")
            .hint("'" + path +
                  "' must be an existing directory: check the path, mount its disk, or create the "
                  "repository with 'lifeboat init'.");
    }
    if (found->kind != FileKind::Directory) {
        return Error(Code::InvalidInput, "'" + path + "' is not a directory")
            .hint("Name the directory that holds the repository in its 'url'.");
    }
    store->root_inode_ = found->inode;
    return store;
}

Result<> LocalStore::check_root() const {
    const auto root = files_.stat(directory_);
    if (!root && is_missing(root.error())) {
        return Error(Code::Unavailable,
                     "the directory '" + directory_ + "' of the store is missing")
            .hint("Mount the disk that holds '" + directory_ + "', or restore the directory.");
    }
    if (!root) {
        return root.error().clone();
    }
    if (root->inode != root_inode_) {
        return Error(Code::Unavailable, "'" + directory_ + "' is another directory than before")
            .hint("Mount the disk that holds '" + directory_ +
                  "'; if the store was moved or copied there on purpose, start lifeboat anew.");
    }
    return {};
}

Result<> LocalStore::check_writable() {
    const std::string path = join(directory_, std::string(kTemporary) + "probe-" +
                                                  std::to_string(base::system_random().u64()));
    auto file = files_.open(path, base::OpenMode::CreateNew);
    if (!file) {
        return explain(std::move(file).error(), 0)
            .during("opening store '" + directory_ + "' for writing");
    }
    TRY(files_.remove(path));
    return {};
}

Result<> LocalStore::put(const std::string& name, BytesView bytes) {
    TRY(check_put(name, bytes.size()));
    TRY(check_root().during("putting object '" + name + "'"));
    auto written = make_directories(name);
    if (written) {
        written = write_object(name, join(directory_, name), bytes);
    }
    if (!written) {
        Error error = explain(std::move(written).error(), bytes.size());
        // Whatever went missing under our hands, another try makes it again.
        const Code code = is_missing(error) ? Code::Unavailable : error.code();
        return std::move(error).recode(code).during("putting object '" + name + "'");
    }
    return {};
}

Result<> LocalStore::write_object(const std::string& name, const std::string& path,
                                  BytesView bytes) {
    const bool exists =
        TRY(base::exists(files_, path));  // only to spare the write: the rename decides
    if (exists) {
        return already_there(name, path);
    }
    auto written = base::write_durably(files_, path, bytes, base::Replace::No);
    if (!written && written.error().code() == Code::Conflict) {
        return already_there(name, path);
    }
    return written;
}

Error LocalStore::already_there(const std::string& name, const std::string& path) {
    const auto found = files_.lstat(path);
    if (found && found->kind != FileKind::Regular) {
        return Error(Code::Conflict, "'" + path + "' is in the way, and is not an object")
            .hint("Lifeboat puts no object where a directory or a link stands: move it away.");
    }
    auto synced = files_.sync_directory(base::parent_of(path));
    if (!synced) {
        return std::move(synced).error().recode(Code::OutcomeUnknown);
    }
    return Error(Code::Conflict, "object '" + name + "' exists already");
}

Result<> LocalStore::make_directories(const std::string& name) {
    std::string parent = directory_;
    for (std::size_t slash = name.find('/'); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
        std::string path = join(directory_, std::string_view(name).substr(0, slash));
        TRY(make_directory(parent, path));
        parent = std::move(path);
    }
    return {};
}

Result<> LocalStore::make_directory(const std::string& parent, const std::string& path) {
    auto found = files_.lstat(path);
    if (!found && is_missing(found.error())) {
        auto created = files_.create_directory(path, 0700);
        if (!created && created.error().code() != Code::Conflict) {
            return created;
        }
        found = files_.lstat(path);
    }
    const FileStat there = TRY(std::move(found));
    if (there.kind == FileKind::Regular) {
        return Error(Code::Conflict, "'" + path + "' is an object, so no object can lie below it");
    }
    if (there.kind != FileKind::Directory) {
        return not_followed(path, there.kind);
    }
    {
        const base::Lock lock(mutex_);
        const auto known = durable_.find(path);
        if (known != durable_.end() && known->second == there.inode) {
            return {};
        }
    }
    auto synced = files_.sync_directory(parent);
    if (!synced) {
        // The kernel may have dropped the new entry while it still shows it, and no later sync
        // would save it.
        files_.remove_directory(path).discard(
            "one that is in use stays; the failed sync is what is reported");
        return synced;
    }
    const base::Lock lock(mutex_);
    durable_[path] = there.inode;
    return {};
}

// Each step of the way is looked at without following it; what is not there, or is there as a
// directory, is no object.
Result<LocalStore::Located> LocalStore::locate(const std::string& name) {
    TRY(check_object_name(name));
    for (std::size_t slash = name.find('/');; slash = name.find('/', slash + 1)) {
        const bool whole = slash == std::string::npos;
        std::string path = join(directory_, std::string_view(name).substr(0, slash));
        auto found = files_.lstat(path);
        if (!found && is_missing(found.error())) {
            return explain(no_such_object(name), 0);
        }
        const FileStat there = TRY(std::move(found));
        if (there.kind != FileKind::Regular && there.kind != FileKind::Directory) {
            return not_followed(path, there.kind);
        }
        if (whole == (there.kind == FileKind::Directory)) {
            return no_such_object(name);
        }
        if (whole) {
            return Located{std::move(path), there};
        }
    }
}

Result<std::unique_ptr<base::File>> LocalStore::open_object(const std::string& name) {
    const Located object = TRY(locate(name));
    auto file = files_.open(object.path, base::OpenMode::Read);
    if (!file && is_missing(file.error())) {
        return no_such_object(name);
    }
    if (!file) {
        return explain(std::move(file).error(), 0);
    }
    return file;
}

Result<Bytes> LocalStore::get(const std::string& name) {
    const std::unique_ptr<base::File> file = TRY(open_object(name));
    const std::uint64_t size = TRY(file->size());
    if (size > kMaxObjectSize) {
        return Error(Code::Corrupt, "object '" + name + "' claims " + base::human_size(size) +
                                        ", more than any object may have");
    }
    Bytes bytes(size);
    TRY(read_all(*file, name, 0, bytes));
    return bytes;
}

Result<> LocalStore::get_range(const std::string& name, std::uint64_t offset, MutableBytes out) {
    const std::unique_ptr<base::File> file = TRY(open_object(name));
    const std::uint64_t size = TRY(file->size());
    TRY(check_range(name, size, offset, out.size()));
    return read_all(*file, name, offset, out);
}

Result<ObjectInfo> LocalStore::stat(const std::string& name) {
    const Located object = TRY(locate(name));
    return ObjectInfo{name, object.found.size, object.found.modified};
}

Result<> LocalStore::list(const std::string& prefix, const Each& each) {
    TRY(check_root().during("listing store '" + directory_ + "'"));
    return walk(directory_, "", prefix, each);
}

// A directory sorts as if its name ended in '/', because the names of its objects continue so:
// "a-b" comes before "a/b".
Result<> LocalStore::walk(const std::string& directory, const std::string& below,
                          const std::string& prefix, const Each& each) {
    auto names = files_.list(directory);
    if (!names && is_missing(names.error()) && !below.empty()) {
        return {};
    }
    if (!names) {
        return explain(std::move(names).error(), 0).during("listing store '" + directory_ + "'");
    }
    std::vector<ObjectInfo> entries;
    for (const std::string& entry : *names) {
        const std::string name = below + entry;
        const bool matches = name.starts_with(prefix);
        if ((!matches && !prefix.starts_with(name + '/')) || !check_object_name(name)) {
            continue;
        }
        auto found = files_.lstat(join(directory, entry));
        if (!found && is_missing(found.error())) {
            continue;
        }
        const FileStat there = TRY(std::move(found));
        if (there.kind == FileKind::Directory) {
            entries.push_back({name + '/', 0, {}});
        } else if (there.kind == FileKind::Regular && matches) {
            entries.push_back({name, there.size, there.modified});
        }
    }
    std::ranges::sort(entries, {}, &ObjectInfo::name);
    for (const ObjectInfo& entry : entries) {
        if (entry.name.back() == '/') {
            TRY(walk(join(directory_, without_trailing_slashes(entry.name)), entry.name, prefix,
                     each));
        } else {
            TRY(each(entry));
        }
    }
    return {};
}

Result<> LocalStore::remove(const std::string& name) {
    const Located object = TRY(locate(name));
    auto removed = files_.remove(object.path);
    if (!removed && is_missing(removed.error())) {
        return no_such_object(name);
    }
    if (!removed) {
        return explain(std::move(removed).error(), 0).during("removing object '" + name + "'");
    }
    auto synced = files_.sync_directory(base::parent_of(object.path));
    if (!synced) {
        return std::move(synced)
            .error()
            .recode(Code::OutcomeUnknown)
            .during("removing object '" + name + "'");
    }
    return {};
}

Result<base::Timestamp> LocalStore::now() {
    return clock_.now();
}

std::string LocalStore::describe() const {
    return "file://" + directory_;
}

Result<std::uint64_t> LocalStore::free_space() {
    const base::Space space = TRY(files_.space(directory_));
    return space.free;
}

Result<std::size_t> LocalStore::sweep() {
    return sweep_directory(directory_, clock_.now() - kOldestLivePut)
        .during("sweeping store '" + directory_ + "'");
}

Result<std::size_t> LocalStore::sweep_directory(const std::string& directory,
                                                base::Timestamp before) {
    std::size_t count = 0;
    const std::vector<std::string> names = TRY(files_.list(directory));
    for (const std::string& name : names) {
        const std::string path = join(directory, name);
        const bool temporary = name.starts_with(kTemporary);
        if (!temporary && !check_object_name(name)) {
            continue;
        }
        auto found = files_.lstat(path);
        if (!found && is_missing(found.error())) {
            continue;
        }
        const FileStat there = TRY(std::move(found));
        if (temporary && there.kind == FileKind::Regular && there.modified < before) {
            TRY(files_.remove(path));
            ++count;
        } else if (!temporary && there.kind == FileKind::Directory) {
            const std::size_t below = TRY(sweep_directory(path, before));
            count += below;
        }
    }
    return count;
}

// Adds what to do next; tells a store that has gone from an object that is not there.
Error LocalStore::explain(Error error, std::uint64_t needed) {
    if (error.code() == Code::NoSpace) {
        const auto space = files_.space(directory_);
        const std::string free =
            space ? base::human_size(space->free) + " free" : "too little room";
        return std::move(error).hint(
            "'" + directory_ + "' has " + free + " and this object needs " +
            base::human_size(needed) +
            ": make room there, check quotas, or move the store to a larger disk.");
    }
    if (error.code() == Code::Denied && error.os_error() == EROFS) {
        return std::move(error).hint(
            "'" + directory_ +
            "' lies on a file system that is mounted read-only: remount it for writing.");
    }
    if (error.code() == Code::Denied) {
        return std::move(error).hint(
            "Give the user that runs Lifeboat the right to read and write below '" + directory_ +
            "'.");
    }
    if (is_missing(error)) {
        auto root = check_root();
        if (!root) {
            return std::move(root).error();
        }
    }
    return error;
}

}  // namespace lifeboat::store

#include "base/files.h"

#include <algorithm>
#include <limits>

#include "base/random.h"

namespace lifeboat::base {

// What is built from the file system's primitives. Tested by files_test.cc, and under power loss by
// tests/support/sim_files_test.cc.

namespace {

std::string_view without_trailing_slashes(std::string_view path) {
    while (path.size() > 1 && path.back() == '/') {
        path.remove_suffix(1);
    }
    return path;
}

Result<> write_new(Files& files, const std::string& path, BytesView bytes,
                   std::uint32_t permissions) {
    const std::unique_ptr<File> file = TRY(files.open(path, OpenMode::CreateNew, permissions));
    TRY(file->write_at(0, bytes));
    TRY(file->sync());
    return file->close();
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (std::size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

// A temporary file's name is news to nobody, and random: with it the same trouble would read
// differently each time, and be told each time.
Error naming_the_file(const Error& error, const std::string& temporary, const std::string& path) {
    std::string what = error.what();
    replace_all(what, "'" + temporary + "' to ", "");  // of a rename
    replace_all(what, temporary, path);
    Error named = Error(error.code(), std::move(what)).with_os_error(error.os_error());
    for (std::string step : error.trail()) {
        replace_all(step, temporary, path);
        named = std::move(named).during(std::move(step));
    }
    return std::move(named).hint(error.hint()).during("writing '" + path + "'");
}

Result<> create_one_directory(Files& files, const std::string& path, std::uint32_t permissions) {
    auto created = files.create_directory(path, permissions);
    if (!created && created.error().code() == Code::Conflict) {
        const FileStat found = TRY(files.stat(path));
        if (found.kind == FileKind::Directory) {
            return {};
        }
        return Error(Code::Conflict, "'" + path + "' exists and is not a directory");
    }
    TRY(std::move(created));
    auto synced = files.sync_directory(parent_of(path));
    if (!synced) {
        // Left in place it would pass for a durable directory the next time.
        files.remove_directory(path).discard("the failed sync is what is reported");
    }
    return synced;
}

}  // namespace

std::string join(std::string_view directory, std::string_view name) {
    std::string out(directory);
    if (!out.empty() && out.back() != '/') {
        out += '/';
    }
    return out.append(name);
}

std::string parent_of(std::string_view path) {
    path = without_trailing_slashes(path);
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) {
        return ".";
    }
    return slash == 0 ? "/" : std::string(without_trailing_slashes(path.substr(0, slash)));
}

std::string file_name_of(std::string_view path) {
    path = without_trailing_slashes(path);
    const std::size_t slash = path.rfind('/');
    return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

Result<bool> exists(Files& files, const std::string& path) {
    auto found = files.lstat(path);
    if (!found && found.error().code() == Code::NotFound) {
        return false;
    }
    TRY(std::move(found));
    return true;
}

Result<Bytes> read_file(Files& files, const std::string& path, std::uint64_t limit) {
    const std::unique_ptr<File> file = TRY(files.open(path, OpenMode::Read));
    const std::uint64_t expected = TRY(file->size());
    limit = std::min(limit, std::numeric_limits<std::uint64_t>::max() / 2);
    // One byte more than expected: it shows the end, also of a file that grows, or of one in /proc
    // that calls itself empty.
    Bytes out;
    for (std::uint64_t wanted = std::min(expected, limit) + 1; out.size() < wanted;) {
        const std::size_t have = out.size();
        out.resize(wanted);
        const std::size_t got = TRY(file->read_at(have, MutableBytes(out).subspan(have)));
        out.resize(have + got);
        if (out.size() > limit) {
            return Error(Code::InvalidInput, "'" + path + "' is larger than " + human_size(limit));
        }
        wanted = out.size() < wanted ? out.size() : std::min(2 * wanted, limit + 1);
    }
    return out;
}

Result<> write_durably(Files& files, const std::string& path, BytesView bytes, Replace replace,
                       std::uint32_t permissions) {
    const std::string directory = parent_of(path);
    const std::uint64_t unique = system_random().u64();
    const std::string temporary =
        join(directory, ".tmp-" + hex({reinterpret_cast<const Byte*>(&unique), sizeof unique}));
    auto placed = write_new(files, temporary, bytes, permissions);
    if (placed) {
        placed = files.rename(temporary, path, replace);
    }
    if (!placed) {
        files.remove(temporary).discard("it may not exist; the first failure is what is reported");
        return naming_the_file(placed.error(), temporary, path);
    }
    auto synced = files.sync_directory(directory);
    if (!synced) {
        return std::move(synced)
            .error()
            .recode(Code::OutcomeUnknown)
            .during("writing '" + path + "'");
    }
    return {};
}

Result<> create_directories(Files& files, const std::string& path, std::uint32_t permissions) {
    const std::string whole(without_trailing_slashes(path));
    auto found = files.stat(whole);
    if (found && found->kind == FileKind::Directory) {
        return {};
    }
    if (!found && found.error().code() != Code::NotFound) {
        return std::move(found).error();
    }
    const std::string parent = parent_of(whole);
    if (parent != whole) {
        TRY(create_directories(files, parent, permissions));
    }
    return create_one_directory(files, whole, permissions);
}

Result<> remove_tree(Files& files, const std::string& path) {
    auto found = files.lstat(path);
    if (!found && found.error().code() == Code::NotFound) {
        return {};
    }
    const FileStat top = TRY(std::move(found));
    if (top.kind != FileKind::Directory) {
        return files.remove(path);
    }
    const std::vector<std::string> names = TRY(files.list(path));
    for (const std::string& name : names) {
        TRY(remove_tree(files, join(path, name)));
    }
    return files.remove_directory(path);
}

}  // namespace lifeboat::base

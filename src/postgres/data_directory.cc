#include "postgres/data_directory.h"

#include <charconv>

namespace lifeboat::postgres {

using base::Code;
using base::Error;
using base::FileKind;
using base::join;

namespace {

constexpr int kMaxDepth = 32;  // a data directory is at most five deep; deeper is a loop of links

class Scan {
  public:
    Scan(base::Files& files, const std::string& root, const DirectoryRules& rules)
        : files_(files), root_(root), rules_(rules) {}

    Result<DataDirectory> run() {
        TRY(directory("", root_, 0));
        return std::move(found_);
    }

  private:
    Result<> directory(const std::string& path, const std::string& absolute, int depth);
    Result<> entry(const std::string& path, const std::string& absolute, const base::FileStat& stat,
                   Keep keep, int depth);
    Result<> take_file(const std::string& path, const std::string& absolute,
                       const base::FileStat& stat);
    Result<> take_tablespace(const std::string& path, const std::string& absolute, int depth);
    Result<> follow(const std::string& path, const std::string& absolute, int depth);
    void note_in_place_tablespace(const std::string& path);

    base::Files& files_;
    const std::string& root_;
    const DirectoryRules& rules_;
    DataDirectory found_;
};

bool vanished(const Error& error) {
    return error.code() == Code::NotFound;
}

std::string below(const std::string& path, const std::string& name) {
    return path.empty() ? name : join(path, name);
}

std::uint32_t oid_of(const std::string& path) {
    const std::string name = base::file_name_of(path);
    std::uint32_t oid = 0;
    std::from_chars(name.data(), name.data() + name.size(), oid);
    return oid;
}

Result<> Scan::directory(const std::string& path, const std::string& absolute, int depth) {
    if (depth > kMaxDepth) {
        return Error(Code::InvalidInput,
                     "'" + absolute + "' is nested too deep: its symbolic links form a loop");
    }
    auto names = files_.list(absolute);
    if (!names) {
        return vanished(names.error()) && depth > 0
                   ? Result<>()
                   : std::move(names).error().during("listing '" + absolute + "'");
    }
    std::vector<DirectoryEntry> entries;
    std::vector<base::FileStat> stats;
    for (const std::string& name : *names) {
        auto stat = files_.lstat(join(absolute, name));
        if (!stat && vanished(stat.error())) {
            continue;
        }
        const base::FileStat known = TRY(std::move(stat));
        entries.push_back({name, known.kind});
        stats.push_back(known);
    }
    const std::vector<Keep> keep = judge_directory(path, entries, rules_);
    for (std::size_t i = 0; i < entries.size(); ++i) {
        TRY(entry(below(path, entries[i].name), join(absolute, entries[i].name), stats[i], keep[i],
                  depth));
    }
    return {};
}

Result<> Scan::entry(const std::string& path, const std::string& absolute,
                     const base::FileStat& stat, Keep keep, int depth) {
    switch (keep) {
        case Keep::Skip:
        case Keep::CopyLast:
            return {};  // pg_control is the caller's, after everything else
        case Keep::EmptyDirectory:
            found_.directories.push_back(
                {path, stat.kind == FileKind::Directory ? stat.mode : 0700});
            return {};
        case Keep::TablespaceLink:
            return take_tablespace(path, absolute, depth);
        case Keep::ForeignLink:
            return follow(path, absolute, depth);
        case Keep::Copy:
            break;
    }
    if (stat.kind == FileKind::Directory) {
        found_.directories.push_back({path, stat.mode});
        note_in_place_tablespace(path);
        return directory(path, absolute, depth + 1);
    }
    return take_file(path, absolute, stat);
}

Result<> Scan::take_file(const std::string& path, const std::string& absolute,
                         const base::FileStat& stat) {
    if (stat.kind != FileKind::Regular) {
        found_.notes.push_back("Left out '" + path +
                               "': neither a file, a directory nor a symbolic link.");
        return {};
    }
    found_.files.push_back(
        {path, absolute, stat.size, stat.mode, stat.modified, parse_relation_path(path)});
    found_.bytes += stat.size;
    return {};
}

// A directory, not a link, in pg_tblspc: made by allow_in_place_tablespaces (T9).
void Scan::note_in_place_tablespace(const std::string& path) {
    if (base::parent_of(path) == "pg_tblspc" && oid_of(path) != 0) {
        found_.tablespaces.push_back({oid_of(path), path, true});
    }
}

Result<> Scan::take_tablespace(const std::string& path, const std::string& absolute, int depth) {
    const std::string target =
        TRY(files_.read_link(absolute).during("reading the tablespace link '" + path + "'"));
    const base::FileStat stat =
        TRY(files_.lstat(target).during("following the tablespace link '" + path + "'"));
    if (stat.kind == FileKind::Symlink) {
        return Error(Code::Refused,
                     "tablespace '" + path + "' links to '" + target + "', which is a link itself")
            .hint(
                "Point the tablespace's link at the directory itself.");  // T9: a restore could not
                                                                          // tell which to recreate
    }
    found_.tablespaces.push_back({oid_of(path), target, false});
    return directory(path, target, depth + 1);
}

Result<> Scan::follow(const std::string& path, const std::string& absolute, int depth) {
    const auto stat = files_.stat(absolute);
    if (!stat) {
        found_.notes.push_back("Left out '" + path + "': the symbolic link leads nowhere.");
        return {};
    }
    if (stat->kind == FileKind::Directory) {
        found_.notes.push_back("Followed the symbolic link '" + path +
                               "': a restore makes it a plain directory.");
        found_.directories.push_back({path, stat->mode});
        return directory(path, absolute, depth + 1);
    }
    return take_file(path, absolute, *stat);
}

}  // namespace

Result<DataDirectory> scan_data_directory(base::Files& files, const std::string& directory,
                                          const DirectoryRules& rules) {
    return Scan(files, directory, rules).run().during("reading the data directory");
}

}  // namespace lifeboat::postgres

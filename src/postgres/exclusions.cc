// What a backup of a data directory copies. Tested by exclusions_test.cc, and against a live
// cluster by live_files_test.cc.
//
// Three kinds of things stay out: state that is meaningless once the server has ended (statistics
// snapshots, shared memory, temporary files, lock files), state that must not be true of a copy
// (slots, signals, an older backup's label), and state that recovery rebuilds (unlogged relations,
// subtransactions). Everything unknown is copied: a file too many costs bytes, a file too few costs
// the cluster. So names are matched only in the directory where the server puts them.

#include "postgres/exclusions.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

namespace lifeboat::postgres {

namespace {

using base::FileKind;

constexpr std::array<std::string_view, 6> kEmptied = {"pg_replslot", "pg_dynshmem",  "pg_notify",
                                                      "pg_serial",   "pg_snapshots", "pg_subtrans"};

constexpr std::array<std::string_view, 7> kRootFiles = {"postmaster.pid",
                                                        "postmaster.opts",
                                                        "postgresql.auto.conf.tmp",
                                                        "current_logfiles.tmp",
                                                        "recovery.signal",
                                                        "standby.signal",
                                                        "lost+found"};

constexpr std::array<std::string_view, 3> kRootPrefixes = {"backup_label", "tablespace_map",
                                                           "backup_manifest"};

constexpr std::string_view kTablespaces = "pg_tblspc";

template <class Names>
bool contains(const Names& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string_view> split(std::string_view path) {
    std::vector<std::string_view> parts;
    while (!path.empty()) {
        const std::size_t slash = std::min(path.find('/'), path.size());
        parts.push_back(path.substr(0, slash));
        path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return parts;
}

std::optional<std::uint32_t> parse_number(std::string_view digits) {
    std::uint32_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, failure] = std::from_chars(digits.data(), end, value);
    if (failure != std::errc() || stop != end || (digits.size() > 1 && digits.front() == '0')) {
        return std::nullopt;
    }
    return value;
}

std::optional<std::uint32_t> parse_oid(std::string_view digits) {
    const std::optional<std::uint32_t> value = parse_number(digits);
    return value == 0U ? std::nullopt : value;
}

std::optional<Fork> parse_fork(std::string_view suffix) {
    if (suffix == "fsm") {
        return Fork::Fsm;
    }
    if (suffix == "vm") {
        return Fork::Vm;
    }
    return suffix == "init" ? std::optional(Fork::Init) : std::nullopt;
}

std::string_view fork_suffix(Fork fork) {
    switch (fork) {
        case Fork::Main:
            return "";
        case Fork::Fsm:
            return "_fsm";
        case Fork::Vm:
            return "_vm";
        case Fork::Init:
            break;
    }
    return "_init";
}

// PG_MAJOR_CATALOG, as TABLESPACE_VERSION_DIRECTORY has been since 10.
bool is_version_directory(std::string_view name) {
    if (!name.starts_with("PG_")) {
        return false;
    }
    name.remove_prefix(3);
    const std::size_t underscore = name.find('_');
    return underscore != std::string_view::npos && parse_oid(name.substr(0, underscore)) &&
           parse_oid(name.substr(underscore + 1));
}

struct Place {
    std::uint32_t tablespace = 0;
    std::uint32_t database = 0;
};

// Where relation files live: the meaning of their directory, or nothing.
std::optional<Place> parse_place(std::span<const std::string_view> parts) {
    if (parts.size() == 1 && parts[0] == "global") {
        return Place{kGlobalTablespace, 0};
    }
    if (parts.size() == 2 && parts[0] == "base") {
        const auto database = parse_oid(parts[1]);
        return database ? std::optional(Place{kDefaultTablespace, *database}) : std::nullopt;
    }
    if (parts.size() == 4 && parts[0] == kTablespaces && is_version_directory(parts[2])) {
        const auto tablespace = parse_oid(parts[1]);
        const auto database = parse_oid(parts[3]);
        return tablespace && database ? std::optional(Place{*tablespace, *database}) : std::nullopt;
    }
    return std::nullopt;
}

Keep judge_root(std::string_view name, FileKind kind) {
    if (contains(kEmptied, name) || name == "pg_wal" || name == "pg_stat_tmp") {
        return Keep::EmptyDirectory;
    }
    if (contains(kRootFiles, name)) {
        return Keep::Skip;
    }
    if (kind == FileKind::Regular && std::any_of(kRootPrefixes.begin(), kRootPrefixes.end(),
                                                 [&](auto p) { return name.starts_with(p); })) {
        return Keep::Skip;
    }
    return Keep::Copy;
}

Keep judge_wal(std::span<const std::string_view> parts) {
    const bool kept =
        parts.size() == 2 && (parts[1] == "archive_status" || parts[1] == "summaries");
    return kept ? Keep::EmptyDirectory : Keep::Skip;
}

// pg_tblspc/OID is a link, or with allow_in_place_tablespaces a directory; below it only this
// cluster's directory counts.
Keep judge_tablespace(std::span<const std::string_view> parts, FileKind kind,
                      const DirectoryRules& rules) {
    if (!parse_oid(parts[1])) {
        return Keep::Skip;
    }
    if (parts.size() == 2) {
        if (kind == FileKind::Symlink) {
            return Keep::TablespaceLink;
        }
        return kind == FileKind::Directory ? Keep::Copy : Keep::Skip;
    }
    return parts[2] == rules.version_directory ? Keep::Copy : Keep::Skip;
}

// pgsql_tmp is both a directory and the prefix of temporary files; pg_internal.init may carry
// ".PID".
bool is_scratch(std::span<const std::string_view> parts) {
    const std::string_view top = parts[0];
    if (parts.size() < 2 || (top != "base" && top != "global" && top != kTablespaces)) {
        return false;
    }
    return std::any_of(parts.begin() + 1, parts.end(),
                       [](auto part) { return part.starts_with("pgsql_tmp"); }) ||
           parts.back().starts_with("pg_internal.init");
}

bool is_temporary_relation(std::span<const std::string_view> parts) {
    if (!parse_place(parts.first(parts.size() - 1))) {
        return false;
    }
    const auto file = parse_relation_name(parts.back());
    return file && file->backend;
}

Keep judge_by_name(std::span<const std::string_view> parts, FileKind kind,
                   const DirectoryRules& rules) {
    if (parts.size() == 1) {
        return judge_root(parts[0], kind);
    }
    if (judge_root(parts[0], FileKind::Directory) == Keep::EmptyDirectory) {
        return parts[0] == "pg_wal" ? judge_wal(parts) : Keep::Skip;
    }
    if (is_scratch(parts) || is_temporary_relation(parts)) {
        return Keep::Skip;
    }
    if (parts[0] == kTablespaces) {
        return judge_tablespace(parts, kind, rules);
    }
    const bool control = parts.size() == 2 && parts[0] == "global" && parts[1] == "pg_control";
    return control ? Keep::CopyLast : Keep::Copy;
}

}  // namespace

std::optional<RelationFile> parse_relation_name(std::string_view name) {
    RelationFile file;
    if (name.starts_with('t')) {
        const std::size_t underscore = name.find('_');
        if (underscore == std::string_view::npos) {
            return std::nullopt;
        }
        file.backend = parse_number(name.substr(1, underscore - 1));
        if (!file.backend) {
            return std::nullopt;
        }
        name.remove_prefix(underscore + 1);
    }
    if (const std::size_t dot = name.find('.'); dot != std::string_view::npos) {
        const auto segment = parse_oid(name.substr(dot + 1));
        if (!segment) {
            return std::nullopt;
        }
        file.segment = *segment;
        name = name.substr(0, dot);
    }
    if (const std::size_t underscore = name.find('_'); underscore != std::string_view::npos) {
        const auto fork = parse_fork(name.substr(underscore + 1));
        if (!fork) {
            return std::nullopt;
        }
        file.fork = *fork;
        name = name.substr(0, underscore);
    }
    const auto number = parse_oid(name);
    if (!number) {
        return std::nullopt;
    }
    file.number = *number;
    return file;
}

std::optional<RelationFile> parse_relation_path(std::string_view path) {
    const std::vector<std::string_view> parts = split(path);
    if (parts.size() < 2) {
        return std::nullopt;
    }
    const auto place = parse_place(std::span(parts).first(parts.size() - 1));
    auto file = place ? parse_relation_name(parts.back()) : std::nullopt;
    if (file) {
        file->tablespace = place->tablespace;
        file->database = place->database;
    }
    return file;
}

std::string relation_path(const RelationFile& file, std::string_view version_directory) {
    std::string path;
    if (file.tablespace == kGlobalTablespace) {
        path = "global/";
    } else if (file.tablespace == kDefaultTablespace) {
        path = "base/" + std::to_string(file.database) + "/";
    } else {
        path = "pg_tblspc/" + std::to_string(file.tablespace) + "/" +
               std::string(version_directory) + "/" + std::to_string(file.database) + "/";
    }
    if (file.backend) {
        path += "t" + std::to_string(*file.backend) + "_";
    }
    path += std::to_string(file.number);
    path += fork_suffix(file.fork);
    if (file.segment != 0) {
        path += "." + std::to_string(file.segment);
    }
    return path;
}

Keep judge(std::string_view path, FileKind kind, const DirectoryRules& rules) {
    const std::string_view statistics = rules.statistics_directory;
    if (!statistics.empty() && path == statistics) {
        return Keep::EmptyDirectory;
    }
    if (!statistics.empty() && path.starts_with(statistics) &&
        path.substr(statistics.size()).starts_with('/')) {
        return Keep::Skip;
    }
    const std::vector<std::string_view> parts = split(path);
    if (parts.empty()) {
        return Keep::Copy;
    }
    const Keep verdict = judge_by_name(parts, kind, rules);
    if (verdict != Keep::Copy && verdict != Keep::CopyLast) {
        return verdict;
    }
    if (kind == FileKind::Symlink) {
        return Keep::ForeignLink;
    }
    return kind == FileKind::Other ? Keep::Skip : verdict;
}

std::vector<Keep> judge_directory(std::string_view directory,
                                  std::span<const DirectoryEntry> entries,
                                  const DirectoryRules& rules) {
    const bool holds_relations = parse_place(split(directory)).has_value();
    std::set<std::uint32_t> unlogged;
    for (const DirectoryEntry& entry : entries) {
        const auto file = holds_relations ? parse_relation_name(entry.name) : std::nullopt;
        if (file && file->fork == Fork::Init && !file->backend) {
            unlogged.insert(file->number);
        }
    }
    std::vector<Keep> verdicts;
    verdicts.reserve(entries.size());
    for (const DirectoryEntry& entry : entries) {
        const std::string path = directory.empty() ? entry.name : base::join(directory, entry.name);
        const auto file = holds_relations ? parse_relation_name(entry.name) : std::nullopt;
        const bool rebuilt = file && file->fork != Fork::Init && unlogged.contains(file->number);
        verdicts.push_back(rebuilt ? Keep::Skip : judge(path, entry.kind, rules));
    }
    return verdicts;
}

std::vector<std::string> required_empty_directories(int major) {
    std::vector<std::string> names(kEmptied.begin(), kEmptied.end());
    names.insert(names.end(), {"pg_stat_tmp", "pg_tblspc", "pg_wal", "pg_wal/archive_status"});
    if (major >= 17) {
        names.emplace_back("pg_wal/summaries");
    }
    return names;
}

}  // namespace lifeboat::postgres

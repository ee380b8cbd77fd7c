#include "restore/target.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace lifeboat::restore {

using base::Code;
using base::Error;
using base::join;
using base::Json;

namespace {

Result<std::vector<std::string>> contents(base::Files& files, const std::string& target) {
    auto names = files.list(target);
    if (!names && names.error().code() == Code::NotFound) {
        return std::vector<std::string>{};
    }
    std::vector<std::string> list =
        TRY(std::move(names).during("looking into the target '" + target + "'"));
    std::erase(list, kLostAndFound);
    return list;
}

// The pid on the first line of `path` if such a process lives; 0 otherwise.
Result<int> live_process(base::Files& files, const std::string& path) {
    auto read = base::read_file(files, path, 64 * base::kKiB);
    if (!read) {
        if (read.error().code() == Code::NotFound) {
            return 0;
        }
        return std::move(read).error();
    }
    const std::string_view text = base::text(*read);
    int pid = 0;
    std::from_chars(text.data(), text.data() + std::min(text.size(), text.find('\n')), pid);
    const bool alive = pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM);
    return alive ? pid : 0;
}

Result<> refuse_running_server(base::Files& files, const ApplyRequest& request) {
    if (request.landing.pid_file.empty()) {
        return {};
    }
    const int pid = TRY(live_process(files, join(request.target, request.landing.pid_file)));
    if (pid != 0) {
        return Error(Code::Refused, "a server (pid " + std::to_string(pid) + ") is at work in '" +
                                        request.target + "'")
            .hint("Stop it first, or restore to another directory.");
    }
    return {};
}

// The backup of which an interrupted restore lies in the target; empty when none does.
Result<std::string> marked_backup(base::Files& files, const std::string& target) {
    auto read = base::read_file(files, join(target, kMarkerFile), 64 * base::kKiB);
    if (!read && read.error().code() == Code::NotFound) {
        return std::string();
    }
    const base::Bytes bytes = TRY(std::move(read));
    const Json json =
        TRY(Json::parse(base::text(bytes))
                .during("reading the marker of an interrupted restore in '" + target + "'"));
    return json.text("backup");
}

// What a kill leaves while the marker, which is the first file of all, is being written.
bool is_torn_write(std::string_view name) {
    constexpr std::string_view kTemporary = ".tmp-";
    constexpr std::size_t kRandom = 16;
    return name.starts_with(kTemporary) && name.size() == kTemporary.size() + kRandom &&
           name.find_first_not_of("0123456789abcdef", kTemporary.size()) == std::string_view::npos;
}

Result<> check_owner(base::Files& files, const ApplyRequest& request) {
    const auto stat = files.stat(request.target);
    if (!stat) {
        return {};
    }
    if (stat->kind != base::FileKind::Directory) {
        return Error(Code::Refused, "the target '" + request.target + "' is not a directory")
            .hint("Name a directory that is empty or absent.");
    }
    if (::geteuid() != 0 && stat->uid != ::geteuid()) {
        return Error(Code::Refused, "the target '" + request.target +
                                        "' belongs to another user (uid " +
                                        std::to_string(stat->uid) + ")")
            .hint("Run the restore as its owner or as root.");
    }
    return {};
}

Result<> check_space(base::Files& files, const ApplyRequest& request,
                     const repo::Manifest& manifest) {
    const std::string existing = TRY(nearest_directory(files, request.target));
    const base::Space space = TRY(files.space(existing));
    if (space.total == 0) {
        return Error(Code::Refused, "the file system of '" + existing + "' holds no files of ours")
            .hint("Name a target on a disk.");
    }
    const std::uint64_t needed = request.landing.recovery_bytes + manifest.counts.bytes -
                                 std::min(manifest.counts.bytes, manifest.counts.zero_bytes);
    if (space.free < needed) {
        return Error(Code::NoSpace, "'" + request.target + "' has " + base::human_size(space.free) +
                                        " free, the restore needs " + base::human_size(needed))
            .hint("Free some space, or name a target on a larger file system.");
    }
    return {};
}

}  // namespace

Result<std::string> nearest_directory(base::Files& files, const std::string& target) {
    std::string at = target;
    while (true) {
        const auto stat = files.stat(at);
        if (stat && stat->kind == base::FileKind::Directory) {
            return at;
        }
        if (stat) {
            return Error(Code::Refused, "'" + at + "' is not a directory")
                .hint("Name a target below a directory.");
        }
        if (stat.error().code() != Code::NotFound) {
            return stat.error().clone().during("looking for the target '" + target + "'");
        }
        const bool dangles = TRY(base::exists(files, at));
        if (dangles) {
            return Error(Code::Refused, "'" + at + "' is a symbolic link to nothing")
                .hint("Make the directory that it leads to, or name another target.");
        }
        at = base::parent_of(at);
    }
}

Result<Ground> survey(base::Files& files, const ApplyRequest& request,
                      const repo::Manifest& manifest) {
    const std::vector<std::string> names = TRY(contents(files, request.target));
    if (names.empty()) {
        return Ground::Fresh;
    }
    TRY(refuse_running_server(files, request));
    const std::string marked = TRY(marked_backup(files, request.target));
    const bool same = !marked.empty() && marked == manifest.backup;
    const bool hardly_begun = std::all_of(names.begin(), names.end(), is_torn_write);
    return same || hardly_begun ? Ground::Resumable : Ground::Existing;
}

namespace {

// To make a tree equal to a backup is to delete what the backup does not have: only where something
// of the kind stands already, never in a directory that was named by mistake.
Result<> check_delta(base::Files& files, const ApplyRequest& request, const std::string& marked) {
    const bool kin = TRY(base::exists(files, join(request.target, request.landing.last)));
    if (!kin && marked.empty() && !request.landing.last.empty()) {
        return Error(Code::Refused,
                     "the target '" + request.target + "' holds no '" + request.landing.last +
                         "': --delta would delete what is no older state of this system")
            .hint(
                "Name the directory that --delta shall bring up to date, or an empty one without "
                "--delta.");
    }
    return {};
}

Result<> check_existing(base::Files& files, const ApplyRequest& request) {
    const std::string marked = TRY(marked_backup(files, request.target));
    if (request.existing == Existing::Delta) {
        return check_delta(files, request, marked);
    }
    if (!marked.empty()) {
        return Error(Code::Refused, "the target '" + request.target +
                                        "' holds an interrupted restore of another backup, '" +
                                        marked + "'")
            .hint("Complete it with --backup " + marked +
                  "; or pass --delta to make it equal to the backup of this restore, which keeps "
                  "what is right already.");
    }
    return Error(Code::Refused, "the target '" + request.target + "' is not empty")
        .hint(
            "Name an empty or absent directory; or pass --delta to make this one equal to the "
            "backup, which deletes what is not in it.");
}

// A directory outside of the target belongs to this tree if the tree's own link leads there. In any
// other there must be nothing of ours: files of another time would be taken for part of the backup.
Result<> check_link(base::Files& files, const ApplyRequest& request,
                    const engine::LandingLink& link) {
    const auto old = files.read_link(join(request.target, link.path));
    if (old && *old == link.to) {
        return {};
    }
    const std::string place = link.own.empty() ? link.to : join(link.to, link.own);
    const auto stat = files.lstat(place);
    if (!stat && stat.error().code() == Code::NotFound) {
        return {};
    }
    const std::vector<std::string> names = TRY(contents(files, place));
    if (names.empty()) {
        return {};
    }
    return Error(Code::Refused, "the tablespace directory '" + place + "' is not empty")
        .hint(
            "It may be another server's, or what is left of the lost one: move it away when you "
            "know that nobody needs it, or put the tablespace elsewhere with --tablespace " +
            link.to + "=DIR.");
}

}  // namespace

Result<> check_target(base::Files& files, const ApplyRequest& request,
                      const repo::Manifest& manifest) {
    if (request.target.empty() || request.target.front() != '/') {
        return Error(Code::InvalidInput,
                     "the target '" + request.target + "' is not an absolute path");
    }
    TRY(check_owner(files, request));
    TRY(nearest_directory(files, request.target));
    const Ground ground = TRY(survey(files, request, manifest));
    if (ground == Ground::Existing) {
        TRY(check_existing(files, request));
    }
    for (const engine::LandingLink& link : request.landing.links) {
        TRY(check_link(files, request, link));
    }
    return ground == Ground::Fresh ? check_space(files, request, manifest) : Result<>();
}

Result<> set_marker(base::Files& files, const std::string& target, const repo::Manifest& manifest) {
    Json json = Json::object();
    json.set("format", 1).set("system", manifest.system).set("backup", manifest.backup);
    json.set("about",
             "This directory is an incomplete restore. Run the same 'lifeboat restore' again to "
             "complete it.");
    return base::write_durably(files, join(target, kMarkerFile), base::view(json.dump(2) + "\n"),
                               base::Replace::Yes)
        .during("marking '" + target + "' as incomplete");
}

Result<> clear_marker(base::Files& files, const std::string& target) {
    TRY(files.remove(join(target, kMarkerFile)));
    return files.sync_directory(target);
}

}  // namespace lifeboat::restore

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

constexpr std::string_view kLostAndFound = "lost+found";  // a fresh ext4 file system has it

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

Result<bool> marked_for(base::Files& files, const std::string& target,
                        const repo::Manifest& manifest) {
    const base::Bytes bytes =
        TRY(base::read_file(files, join(target, kMarkerFile), 64 * base::kKiB));
    const Json json =
        TRY(Json::parse(base::text(bytes))
                .during("reading the marker of an interrupted restore in '" + target + "'"));
    const std::string backup = TRY(json.text("backup"));
    return backup == manifest.backup;
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
    std::string existing = request.target;
    while (!files.stat(existing)) {
        existing = base::parent_of(existing);
    }
    const base::Space space = TRY(files.space(existing));
    const std::uint64_t needed =
        manifest.counts.bytes - std::min(manifest.counts.bytes, manifest.counts.zero_bytes);
    if (space.free < needed) {
        return Error(Code::NoSpace, "'" + request.target + "' has " + base::human_size(space.free) +
                                        " free, the restore needs " + base::human_size(needed))
            .hint("Free some space, or name a target on a larger file system.");
    }
    return {};
}

}  // namespace

Result<Ground> survey(base::Files& files, const ApplyRequest& request,
                      const repo::Manifest& manifest) {
    const std::vector<std::string> names = TRY(contents(files, request.target));
    if (names.empty()) {
        return Ground::Fresh;
    }
    TRY(refuse_running_server(files, request));
    if (std::find(names.begin(), names.end(), kMarkerFile) != names.end()) {
        const bool same = TRY(marked_for(files, request.target, manifest));
        if (same) {
            return Ground::Resumable;
        }
    }
    return Ground::Existing;
}

Result<> check_target(base::Files& files, const ApplyRequest& request,
                      const repo::Manifest& manifest) {
    if (request.target.empty() || request.target.front() != '/') {
        return Error(Code::InvalidInput,
                     "the target '" + request.target + "' is not an absolute path");
    }
    TRY(check_owner(files, request));
    const Ground ground = TRY(survey(files, request, manifest));
    if (ground == Ground::Existing && request.existing == Existing::Refuse) {
        return Error(Code::Refused, "the target '" + request.target + "' is not empty")
            .hint(
                "Name an empty or absent directory; or pass --delta to make this one equal to the "
                "backup, which deletes what is not in it.");
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

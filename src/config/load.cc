#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>

#include "config/config.h"
#include "config/internal/parse.h"

namespace lifeboat::config {

namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::array<const char*, 2> kPlaces = {"./lifeboat.yaml", "/etc/lifeboat/lifeboat.yaml"};

// Without this a process that changes its directory would lose every path of the file.
Result<std::string> absolute(const std::string& path) {
    if (path.starts_with('/')) {
        return path;
    }
    std::array<char, PATH_MAX> here{};
    if (::getcwd(here.data(), here.size()) == nullptr) {
        return base::os_failure("finding the current directory", errno);
    }
    return base::join(here.data(), path.starts_with("./") ? path.substr(2) : path);
}

// Who may write the file decides which programs run and where backups go.
Result<> check_writers(base::Files& files, const std::string& path) {
    const base::FileStat stat = TRY(files.stat(path));
    if (stat.kind != base::FileKind::Regular) {
        return Error(Code::InvalidInput, "it is not a regular file")
            .hint("Name the file itself: --config FILE.");
    }
    if ((stat.mode & 02) != 0) {
        return Error(Code::Refused, "every user may write it")
            .hint("Run: chmod o-w '" + path + "'");
    }
    return {};
}

Result<std::string> must_exist(base::Files& files, const std::string& path,
                               const std::string& asked_by) {
    const auto found = files.stat(path);
    if (!found.has_value()) {
        return found.error().clone().during("looking for the configuration that " + asked_by +
                                            " names");
    }
    return path;
}

}  // namespace

Result<Config> load_config(base::Files& files, const std::string& path) {
    const std::string step = "reading configuration '" + path + "'";
    const std::string full = TRY(absolute(path));
    TRY(check_writers(files, full).during(step));
    const base::Bytes bytes = TRY(base::read_file(files, full, kLargestConfig).during(step));
    return parse_config(base::text(bytes), full, &files);
}

Result<std::string> find_config(base::Files& files, const std::string& option) {
    if (!option.empty()) {
        return must_exist(files, option, "--config");
    }
    const char* const named =
        std::getenv("LIFEBOAT_CONFIG");  // NOLINT(concurrency-mt-unsafe): nothing here calls setenv
    if (named != nullptr && *named != '\0') {
        return must_exist(files, named, "$LIFEBOAT_CONFIG");
    }
    for (const char* const place : kPlaces) {
        if (files.stat(place).has_value()) {
            return std::string(place);
        }
    }
    return Error(Code::NotFound,
                 "no configuration: neither './lifeboat.yaml' nor '/etc/lifeboat/lifeboat.yaml' "
                 "exists")
        .hint("Name one with --config or $LIFEBOAT_CONFIG, or write one with 'lifeboat init'.");
}

}  // namespace lifeboat::config

#include <unistd.h>

#include <array>
#include <climits>

#include "cli/commands.h"
#include "service/init.h"

namespace lifeboat::cli {

namespace {

std::string host_name() {
    std::array<char, 256> name{};
    std::string text = ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "host";
    std::string legal;
    for (const char c : text.substr(0, text.find('.'))) {
        const bool fits =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && !legal.empty());
        legal += fits ? c : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : '-';
    }
    return legal.empty() || legal.front() == '-' ? "host" : legal.substr(0, 40);
}

std::string here(const std::string& path) {
    std::array<char, PATH_MAX> directory{};
    if (path.empty() || path.front() == '/' ||
        ::getcwd(directory.data(), directory.size()) == nullptr) {
        return path;
    }
    return base::join(directory.data(), path);
}

service::InitRequest request_of(const Common& common, const InitArguments& a) {
    service::InitRequest request;
    request.config_file = here(common.config.empty() ? "lifeboat.yaml" : common.config);
    request.state = here(a.state.empty() ? "/var/lib/lifeboat" : a.state);
    request.repository_url =
        a.repository.empty() ? "file://" + base::join(request.state, "repository") : a.repository;
    request.recipients = a.recipients;
    request.keys_directory =
        a.keys_directory.empty() ? base::parent_of(request.config_file) : here(a.keys_directory);
    request.site = a.site.empty() ? host_name() : a.site;
    request.system = a.system;
    request.connection = a.connection;
    request.data_directory = a.data_directory;
    return request;
}

void show(const service::InitReport& report, Console& console) {
    console.line(console.tint(Tone::Good, "ready") + "  " + report.config_file);
    console.line("       repository " + report.repository +
                 (report.joined ? " (joined; it was there already)" : ""));
    console.line("       host key   " + report.host_key + " (stays here; it opens no data)");
    for (const std::string& key : report.recovery_keys) {
        console.line("       " + console.tint(Tone::Warn, "recovery key") + " " + key);
    }
    if (!report.recovery_keys.empty()) {
        console.line(
            "       Move the recovery keys off this machine, to two places. Either one opens every "
            "backup; without both, nobody can.");
    }
}

}  // namespace

int run_init(const service::World& world, const Common& common, const InitArguments& arguments,
             Console& console) {
    const auto report = service::init(world, request_of(common, arguments));
    if (!report) {
        return console.fail(report.error());
    }
    show(*report, console);
    return console.finish(report->to_json());
}

}  // namespace lifeboat::cli

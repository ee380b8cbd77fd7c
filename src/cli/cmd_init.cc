#include <unistd.h>

#include <array>
#include <climits>

#include "cli/backup_words.h"
#include "cli/commands.h"
#include "service/quick.h"
#include "service/shell_words.h"

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

constexpr const char* kState = "/var/lib/lifeboat";

// Where this user can write it, and it is found again: beside the configuration, if not in the
// system's own place.
std::string choose_state(const InitArguments& a, const std::string& config_file) {
    if (!a.state.empty()) {
        return here(a.state);
    }
    const bool there = ::access(kState, F_OK) == 0;
    const bool writable = ::access(there ? kState : "/var/lib", W_OK) == 0;
    return writable ? kState : base::join(base::parent_of(config_file), "lifeboat");
}

service::InitRequest request_of(const Common& common, const InitArguments& a) {
    service::InitRequest request;
    request.config_file = here(common.config.empty() ? "lifeboat.yaml" : common.config);
    request.state = choose_state(a, request.config_file);
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

void show_next(const Common& common, const service::InitRequest& request, Console& console) {
    const std::string program =
        common.config.empty() ? "lifeboat"
                              : "lifeboat --config " + service::shell_word(request.config_file);
    const std::string key =
        request.recipients.empty()
            ? service::shell_word(base::join(request.keys_directory, "recovery-1.key"))
            : "IDENTITY-FILE";
    console.line();
    console.line("Next:");
    console.line("  " + program +
                 " stream   # captures every commit from now on; leave it running");
    console.line("  " + program + " restore " + request.system + " --target /tmp/" +
                 request.system + "-restored --identity " + key + " --start   # proves it");
    console.line("  " + program + " doctor   # says what would hurt later");
}

int run_plain(const service::World& world, const service::InitRequest& request, Console& console) {
    const auto report = service::init(world, request);
    if (!report) {
        return console.fail(report.error());
    }
    show(*report, console);
    return console.finish(report->to_json());
}

int run_quick(const service::World& world, const Common& common,
              const service::InitRequest& request, Console& console) {
    BackupBar bar(console);
    service::QuickWatch watch;
    watch.found = [&](const engine::Discovered& found) {
        console.line(console.tint(Tone::Good, "found") + "  " + found.about);
        for (const std::string& other : found.others) {
            console.note("note: '" + other +
                         "' answers too; add it under 'systems' to protect it.");
        }
    };
    watch.ready = [&](const service::InitReport& report) { show(report, console); };
    watch.backup = bar.watch();
    const auto report = service::init_quick(world, request, watch);
    if (!report) {
        return console.fail(report.error());
    }
    show_backup(report->backup, console);
    show_next(common, request, console);
    return console.finish(report->to_json(), report->backup.exit_code());
}

}  // namespace

int run_init(const service::World& world, const Common& common, const InitArguments& arguments,
             Console& console) {
    const service::InitRequest request = request_of(common, arguments);
    return arguments.quick ? run_quick(world, common, request, console)
                           : run_plain(world, request, console);
}

}  // namespace lifeboat::cli

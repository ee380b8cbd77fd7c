#include "cli/parse.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "config/nearest.h"

// The command line as CLI11 sees it. Each verb has one function that declares its options and says,
// by example, how it is used.

namespace lifeboat::cli {

using base::Code;
using base::Error;

namespace {

constexpr const char* kVersion = "lifeboat 0.1.0";

// "--at $T" with no T set must not mean "no --at": the newest state instead of the one that was
// meant.
std::string not_empty(const std::string& text) {
    return text.empty() ? "'' is empty" : "";
}

void common_options(CLI::App& app, Common& common) {
    app.add_option("--config", common.config,
                   "Configuration file (default: $LIFEBOAT_CONFIG, ./lifeboat.yaml, "
                   "/etc/lifeboat/lifeboat.yaml)")
        ->type_name("FILE")
        ->check(not_empty);
    app.add_flag("--json", common.json, "Print one JSON object instead of text");
    app.add_flag("--quiet", common.quiet, "Print errors and results only");
    app.add_flag("--yes", common.yes, "Answer every question with yes");
}

// Options given behind the verb belong to the program: 'lifeboat backup --json' works like
// 'lifeboat --json backup'.
CLI::App* verb(CLI::App& app, const std::string& name, const std::string& about,
               const std::string& examples) {
    CLI::App* sub = app.add_subcommand(name, about);
    sub->fallthrough();
    sub->footer(
        "Examples:\n" + examples +
        "\n\nFor every verb: --config FILE, --json, --quiet, --yes; see 'lifeboat --help'.");
    return sub;
}

// CLI11 reads "-3" as a huge unsigned number, and one that overflows as the largest.
std::string whole_number(const std::string& text) {
    constexpr std::size_t kDigits = 19;  // fit 64 bits whatever they are
    const bool fits = !text.empty() && text.size() <= kDigits &&
                      text.find_first_not_of("0123456789") == std::string::npos;
    return fits ? "" : "'" + text + "' is not a whole number in range";
}

void repository_option(CLI::App& sub, std::string& repository) {
    sub.add_option("--repository", repository,
                   "Repository by its name in the configuration (default: the first)")
        ->type_name("NAME")
        ->check(not_empty);
}

void identity_option(CLI::App& sub, std::string& identity) {
    sub.add_option(
           "--identity", identity,
           "Identity file that opens the data (default: keys.identity of the configuration)")
        ->type_name("FILE")
        ->check(not_empty);
}

CLI::App* add_init(CLI::App& app, InitArguments& a) {
    CLI::App* sub = verb(app, "init", "Make keys, a repository and lifeboat.yaml",
                         "  lifeboat init --quick\n"
                         "  lifeboat init --repository file:///backup/lifeboat --recipient age1... "
                         "--recipient age1...");
    sub->add_flag("--quick", a.quick, "Find the local cluster, take the first backup, ask nothing");
    sub->add_option("--repository", a.repository,
                    "URL of the repository (default: file://STATE/repository)")
        ->type_name("URL")
        ->check(not_empty);
    sub->add_option("--recipient", a.recipients,
                    "Who may open backups, an age recipient; at least two (default: two recovery "
                    "keys are made)")
        ->type_name("AGE1...")
        ->check(not_empty);
    sub->add_option("--state", a.state,
                    "Directory for keys, spool and status (default: /var/lib/lifeboat)")
        ->type_name("DIR")
        ->check(not_empty);
    sub->add_option("--keys-directory", a.keys_directory,
                    "Where recovery keys are written (default: beside the configuration)")
        ->type_name("DIR")
        ->check(not_empty);
    sub->add_option("--site", a.site, "Name of this installation (default: the host's)")
        ->type_name("NAME")
        ->check(not_empty);
    sub->add_option("--system", a.system, "Name of the first system")
        ->type_name("NAME")
        ->check(not_empty)
        ->capture_default_str();
    sub->add_option("--connection", a.connection,
                    "libpq connection string of the cluster (default with --quick: found)")
        ->type_name("CONNINFO")
        ->check(not_empty);
    sub->add_option("--data-directory", a.data_directory,
                    "auto, none (copy over the wire) or a path")
        ->type_name("DIR")
        ->check(not_empty)
        ->capture_default_str();
    return sub;
}

CLI::App* add_backup(CLI::App& app, BackupArguments& a) {
    CLI::App* sub = verb(app, "backup", "Take a backup now",
                         "  lifeboat backup\n  lifeboat backup main --full");
    sub->add_option("system", a.systems, "Systems (default: all)")
        ->type_name("SYSTEM")
        ->check(not_empty);
    sub->add_flag("--full", a.full, "Store everything anew instead of what changed");
    repository_option(*sub, a.repository);
    return sub;
}

CLI::App* add_stream(CLI::App& app, StreamArguments& a) {
    CLI::App* sub = verb(app, "stream", "Capture continuously, in the foreground, until stopped",
                         "  lifeboat stream\n  lifeboat stream main --drain");
    sub->add_option("system", a.systems, "Systems (default: all that stream)")
        ->type_name("SYSTEM")
        ->check(not_empty);
    sub->add_flag("--drain", a.drain,
                  "The server is lost: store what was captured already, and end");
    repository_option(*sub, a.repository);
    return sub;
}

CLI::App* add_list(CLI::App& app, ListArguments& a) {
    CLI::App* sub = verb(app, "list", "Backups, and the windows of moments that can be recovered",
                         "  lifeboat list\n  lifeboat list main --json");
    sub->add_option("system", a.system, "Only this system")->type_name("SYSTEM")->check(not_empty);
    repository_option(*sub, a.repository);
    return sub;
}

void add_points(CLI::App& sub, RestoreArguments& a) {
    CLI::Option_group* point = sub.add_option_group(
        "point", "The moment to recover to (default: everything that was captured)");
    point
        ->add_option("--at", a.at,
                     "All that was committed by then: '2026-01-23 14:00 UTC', '5 minutes ago', "
                     "'yesterday 14:00', 'latest'")
        ->type_name("TIME")
        ->check(not_empty);
    point->add_option("--lsn", a.lsn, "This position in the WAL")
        ->type_name("LSN")
        ->check(not_empty);
    point->add_option("--xid", a.xid, "Up to and with this transaction")
        ->check(CLI::NonNegativeNumber.description(""))
        ->type_name("XID")
        ->check(whole_number);
    point->add_option("--before-xid", a.before_xid, "Up to and without this transaction")
        ->check(CLI::NonNegativeNumber.description(""))
        ->type_name("XID")
        ->check(whole_number);
    point->add_option("--name", a.name, "A named restore point")
        ->type_name("NAME")
        ->check(not_empty);
    point->add_flag("--immediate", a.immediate, "The end of the backup, nothing more");
    point->require_option(0, 1);
}

CLI::App* add_restore(CLI::App& app, RestoreArguments& a) {
    CLI::App* sub = verb(app, "restore", "Bring a system back, as it was at any moment",
                         "  lifeboat restore main --target /srv/pg --at '5 minutes ago' --start\n"
                         "  lifeboat restore main --target /srv/pg --before-xid 7431 --dry-run");
    sub->add_option("system", a.system, "System")
        ->type_name("SYSTEM")
        ->check(not_empty)
        ->required();
    sub->add_option("--target", a.target, "Directory: empty or absent")
        ->type_name("DIR")
        ->check(not_empty)
        ->required();
    sub->add_option(
           "--backup", a.backup,
           "Start from this backup: an id, or latest (default: the newest that reaches the point)")
        ->type_name("ID")
        ->check(not_empty);
    add_points(*sub, a);
    sub->add_option("--timeline", a.timeline,
                    "Timeline to follow (default: the newest that descends from the backup's)")
        ->check(CLI::PositiveNumber.description(""))
        ->type_name("N")
        ->check(whole_number);
    identity_option(*sub, a.identity);
    repository_option(*sub, a.repository);
    sub->add_flag("--dry-run", a.dry_run,
                  "Say what would happen, prove that it can, write nothing");
    sub->add_flag(
        "--delta", a.delta,
        "The target is not empty: make it equal to the backup, deleting what is not in it");
    sub->add_flag("--start", a.start,
                  "Start the server, wait until the point is reached, validate");
    sub->add_option("--port", a.port, "Port of the started server (default: a free one)")
        ->check(CLI::Range(1, 65535).description(""))
        ->type_name("PORT");
    sub->add_option("--owner", a.owner, "User that shall own the files and run the server")
        ->type_name("USER")
        ->check(not_empty);
    sub->add_option("--workers", a.workers, "Threads that fetch and write")
        ->check(CLI::Range(1, 64).description(""))
        ->type_name("N")
        ->capture_default_str();
    sub->add_option("--tablespace", a.tablespaces, "Put a tablespace elsewhere")
        ->type_name("OLD=NEW")
        ->check(not_empty);
    sub->add_option("--validate", a.validate, "Query that must succeed after the start; repeatable")
        ->type_name("SQL")
        ->check(not_empty);
    sub->add_flag("--check-pages", a.check_pages, "After the start: verify every page's checksum");
    sub->add_flag("--check-structure", a.check_structure,
                  "After the start: pg_amcheck and visibility checks");
    return sub;
}

CLI::App* add_verify(CLI::App& app, VerifyArguments& a) {
    CLI::App* sub = verb(app, "verify", "Are the backups there, of sane size, and young enough?",
                         "  lifeboat verify\n  lifeboat verify main --data");
    sub->add_option("system", a.system, "Only this system")->type_name("SYSTEM")->check(not_empty);
    sub->add_flag("--data", a.data, "Decrypt and check every byte (needs an identity)");
    identity_option(*sub, a.identity);
    repository_option(*sub, a.repository);
    return sub;
}

CLI::App* add_check(CLI::App& repo, CheckArguments& a) {
    CLI::App* sub =
        verb(repo, "check",
             "Find missing, damaged, unreferenced and expired objects, and what each damage costs",
             "  lifeboat repo check\n  lifeboat repo check --data");
    sub->add_flag("--objects", a.objects,
                  "Read every object and check its checksum (needs no key)");
    sub->add_flag("--data", a.data, "Decrypt and check every byte (needs an identity)");
    identity_option(*sub, a.identity);
    repository_option(*sub, a.repository);
    return sub;
}

CLI::App* add_status(CLI::App& app, StatusArguments& a) {
    CLI::App* sub = verb(app, "status", "What a disaster would cost now",
                         "  lifeboat status\n  lifeboat status --json");
    repository_option(*sub, a.repository);
    return sub;
}

CLI::App* add_doctor(CLI::App& app, DoctorArguments& a) {
    CLI::App* sub = verb(app, "doctor", "Find what would hurt later, and say the line to type",
                         "  lifeboat doctor");
    sub->add_option("system", a.systems, "Systems (default: all)")
        ->type_name("SYSTEM")
        ->check(not_empty);
    repository_option(*sub, a.repository);
    return sub;
}

CLI::App* add_wal_push(CLI::App& app, WalPushArguments& a) {
    CLI::App* sub = verb(
        app, "wal-push", "archive_command: store one WAL file; returns once it is durable",
        "  archive_command = 'lifeboat --config /etc/lifeboat/lifeboat.yaml wal-push main %p'");
    sub->add_option("system", a.system, "System")
        ->type_name("SYSTEM")
        ->check(not_empty)
        ->required();
    sub->add_option("path", a.path, "The file: %p")
        ->type_name("PATH")
        ->check(not_empty)
        ->required();
    repository_option(*sub, a.repository);
    return sub;
}

CLI::App* add_wal_feed(CLI::App& app, WalFeedArguments& a) {
    CLI::App* sub = verb(app, "wal-feed", "Serve WAL to a recovering server; started by wal-fetch",
                         "  lifeboat wal-feed main /srv/pg");
    sub->add_option("system", a.system, "System")
        ->type_name("SYSTEM")
        ->check(not_empty)
        ->required();
    sub->add_option("target", a.target, "The restored data directory")
        ->type_name("DIR")
        ->check(not_empty)
        ->required();
    identity_option(*sub, a.identity);
    repository_option(*sub, a.repository);
    return sub;
}

// The verb that the words got to: "backup", "repo check"; empty when they got to none.
const CLI::App* deepest(const CLI::App& app, std::string& name) {
    const CLI::App* at = &app;
    while (!at->get_subcommands().empty()) {
        at = at->get_subcommands().front();
        name += (name.empty() ? "" : " ") + at->get_name();
    }
    return at;
}

void add_options(const CLI::App& app, std::vector<std::string>& names) {
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) {
            names.push_back("--" + name);
        }
    }
    for (const CLI::App* group : app.get_subcommands({})) {
        if (group->get_name().empty()) {
            add_options(*group, names);
        }
    }
}

std::vector<std::string> known_words(const CLI::App& top, const CLI::App& app, bool option) {
    std::vector<std::string> names;
    if (option) {
        add_options(app, names);
        add_options(top, names);
        return names;
    }
    for (const CLI::App* sub : app.get_subcommands({})) {
        names.push_back(sub->get_name());
    }
    return names;
}

Error unknown_word(const CLI::App& top, const std::string& word) {
    std::string verb;
    const CLI::App* app = deepest(top, verb);
    const std::string typed = word.substr(0, word.find('='));
    const bool option = typed.starts_with("-");
    const std::vector<std::string> names = known_words(top, *app, option);
    const std::vector<std::string_view> known(names.begin(), names.end());
    const auto meant = config::nearest(typed, known);
    const std::string help = "'lifeboat " + (verb.empty() ? "" : verb + " ") + "--help'";
    const std::string what = option          ? "unknown option"
                             : names.empty() ? "unexpected argument"
                                             : "unknown verb";
    return Error(Code::InvalidInput,
                 what + " '" + typed + "'" + (verb.empty() ? "" : " for '" + verb + "'"))
        .hint(meant ? "Did you mean '" + std::string(*meant) + "'? See " + help + "."
                    : "See " + help + ".");
}

// Of a group of which at most one may be given: those that were. Empty when it is something else.
std::string contradiction(const CLI::App& app) {
    for (const CLI::App* group : app.get_subcommands({})) {
        std::string given;
        int count = 0;
        for (const CLI::Option* option : group->get_options()) {
            if (group->get_name().empty() && option->count() > 0) {
                given += (given.empty() ? "'" : " and '") + option->get_name() + "'";
                ++count;
            }
        }
        if (count > 1) {
            return given + " contradict each other: give one of them";
        }
    }
    return "";
}

// CLI11's own account, in the voice of the house: lower case, no full stop.
Error wrong_words(const CLI::App& top, const CLI::ParseError& error) {
    const std::vector<std::string> rest = top.remaining(true);
    if (!rest.empty()) {
        return unknown_word(top, rest.front());
    }
    std::string verb;
    const std::string clash = contradiction(*deepest(top, verb));
    std::string text = clash.empty() ? error.what() : clash;
    std::replace(text.begin(), text.end(), '\n', ' ');
    while (!text.empty() && (text.back() == ' ' || text.back() == '.')) {
        text.pop_back();
    }
    const bool shout = text.size() > 1 && std::isupper(static_cast<unsigned char>(text[0])) != 0 &&
                       std::isupper(static_cast<unsigned char>(text[1])) == 0;
    if (shout) {
        text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
    }
    return Error(Code::InvalidInput, verb.empty() ? text : verb + ": " + text)
        .hint("See 'lifeboat " + (verb.empty() ? "" : verb + " ") + "--help'.");
}

ParseStop stop_with(const CLI::App& app, const CLI::ParseError& error, const Common& common) {
    std::ostringstream out;
    std::ostringstream err;
    std::string verb;
    deepest(app, verb);
    if (app.exit(error, out, err) == 0) {
        return {out.str(), std::nullopt, common, verb};
    }
    return {"", wrong_words(app, error), common, verb};
}

}  // namespace

namespace {

// What had not been parsed when the words went wrong still says how to report it.
Common typed_common(int argc, const char* const* argv) {
    Common common;
    for (int i = 1; i < argc; ++i) {
        common.json = common.json || std::string_view(argv[i]) == "--json";
    }
    return common;
}

}  // namespace

std::variant<Arguments, ParseStop> parse(int argc, const char* const* argv) {
    CLI::App app(
        "Lifeboat gets a team's systems back after a disaster, and proves beforehand that it can.",
        "lifeboat");
    app.set_version_flag("--version", kVersion);
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
    Common common;
    common_options(app, common);

    InitArguments init;
    BackupArguments backup;
    StreamArguments stream;
    ListArguments list;
    RestoreArguments restore;
    VerifyArguments verify;
    CheckArguments check;
    StatusArguments status;
    DoctorArguments doctor;
    WalPushArguments push;
    WalFeedArguments feed;
    CLI::App* const init_verb = add_init(app, init);
    CLI::App* const backup_verb = add_backup(app, backup);
    CLI::App* const stream_verb = add_stream(app, stream);
    CLI::App* const list_verb = add_list(app, list);
    CLI::App* const restore_verb = add_restore(app, restore);
    CLI::App* const verify_verb = add_verify(app, verify);
    CLI::App* const status_verb = add_status(app, status);
    CLI::App* const doctor_verb = add_doctor(app, doctor);
    CLI::App* const repo_verb = app.add_subcommand("repo", "Look after repositories");
    repo_verb->require_subcommand(1)->fallthrough();
    CLI::App* const check_verb = add_check(*repo_verb, check);
    CLI::App* const push_verb = add_wal_push(app, push);
    CLI::App* const feed_verb = add_wal_feed(app, feed);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {  // CLI11 throws; it ends here
        return stop_with(app, error, typed_common(argc, argv));
    }
    const auto chosen = [&](CLI::App* app_verb, Verb what) {
        return app_verb->parsed() ? std::optional<Verb>(std::move(what)) : std::nullopt;
    };
    for (auto& [app_verb, name, what] :
         std::initializer_list<std::tuple<CLI::App*, const char*, Verb>>{
             {init_verb, "init", init},
             {backup_verb, "backup", backup},
             {stream_verb, "stream", stream},
             {list_verb, "list", list},
             {restore_verb, "restore", restore},
             {verify_verb, "verify", verify},
             {check_verb, "repo check", check},
             {status_verb, "status", status},
             {doctor_verb, "doctor", doctor},
             {push_verb, "wal-push", push},
             {feed_verb, "wal-feed", feed}}) {
        if (auto found = chosen(app_verb, what)) {
            return Arguments{common, name, *std::move(found)};
        }
    }
    return ParseStop{app.help(), std::nullopt, common, ""};
}

}  // namespace lifeboat::cli

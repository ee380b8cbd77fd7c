// From the text of lifeboat.yaml to a Config. Tested by parse_test.cc, schema_test.cc and
// tests/fuzz/fuzz_config.cc.
//
// One function per section. Each reads its mapping through Fields, which knows the section's keys
// from the table in keys.cc and collects problems instead of stopping, so that one run shows
// everything that is wrong.

#include "config/internal/parse.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "config/config.h"
#include "config/internal/fields.h"
#include "config/internal/literal_secrets.h"
#include "config/internal/opaque.h"
#include "config/internal/yaml_tree.h"
#include "policy/text.h"

namespace lifeboat::config {

namespace {

using base::Code;
using base::Error;
using base::Result;
using policy::quoted;
using std::chrono::days;

constexpr days kLongestRetention{36500};
constexpr days kLongestRolling{365};
constexpr std::uint64_t kSmallestSpool = 64 * base::kMiB;

// What every section's reader needs.
struct Context {
    const PathBase& paths;
    Problems& problems;
};

Fields fields_of(const Node& mapping, std::string_view path, std::string where, const Context& in) {
    return {mapping, path, std::move(where), in.paths, in.problems};
}

// Each name once. `what` is for the message: "repository".
template <class T>
void report_repeated(const std::vector<T>& all, std::string T::* field, Mark mark,
                     const std::string& what, Problems& problems) {
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (all[i].*field == all[j].*field && !(all[i].*field).empty()) {
                problems.add(mark, what + " " + quoted(all[i].*field) + " is given twice");
            }
        }
    }
}

policy::ZoneName read_zone(Fields& fields) {
    const std::string text = fields.text("zone", "UTC");
    auto zone = policy::ZoneName::parse(text);
    if (!zone.has_value()) {
        fields.problems().add(fields.value("zone")->mark, zone.error().what(), zone.error().hint());
        return {};
    }
    return *zone;
}

Site read_site(const Node& node, const Context& in) {
    Fields fields = fields_of(node, "site", "site", in);
    Site out;
    out.name = fields.name("name", "");
    out.zone = read_zone(fields);
    out.state = fields.path("state", out.state);
    fields.finish();
    return out;
}

std::vector<std::string> read_signers(Fields& fields) {
    std::vector<std::string> out = fields.texts("signers");
    for (const std::string& signer : out) {
        if (!signer.starts_with("ed25519:")) {
            fields.problems().add(fields.value("signers")->mark,
                                  quoted(signer) + " is not a signer",
                                  "A signer begins with 'ed25519:'; the line '# signer:' of a "
                                  "recovery key names it.");
        }
    }
    return out;
}

Repository read_repository(const Node& node, const std::string& where, const Context& in) {
    Fields fields = fields_of(node, "repositories[]", where, in);
    Repository out;
    out.name = fields.name("name", "");
    out.url = fields.text("url", "");
    if (!out.url.empty()) {
        check_repository_url(*fields.value("url"), in.problems);
    }
    out.signers = read_signers(fields);
    fields.finish();
    return out;
}

std::vector<Repository> read_repositories(const Node& list, const Context& in) {
    std::vector<Repository> out;
    for (const Node& item : list.items) {
        const std::string where = "repositories[" + std::to_string(out.size()) + "]";
        if (item.kind != Node::Kind::Mapping) {
            in.problems.add(item.mark, "expected a mapping with name and url, found " +
                                           std::string(describe(item)));
            continue;
        }
        out.push_back(read_repository(item, where, in));
    }
    if (list.items.empty()) {
        in.problems.add(list.mark, "expected at least one repository, found an empty list");
    }
    report_repeated(out, &Repository::name, list.mark, "repository", in.problems);
    report_repeated(out, &Repository::url, list.mark, "repository", in.problems);
    return out;
}

bool is_recipient(std::string_view text) {
    const auto legal = [](char c) { return (c >= 'a' && c <= 'z') || policy::is_digit(c); };
    return text.starts_with("age1") && text.size() > 4 && std::ranges::all_of(text, legal);
}

void refuse_too_few(Mark mark, std::size_t count, Problems& problems) {
    problems.refuse(
        mark,
        "recipients: " + std::to_string(count) + " given, at least 2 different ones are needed",
        "If the only key is lost, every backup is lost. Make a second one with 'age-keygen', keep "
        "it "
        "elsewhere, and list its age1... here.");
}

std::vector<std::string> read_recipients(const Node& list, Problems& problems) {
    std::vector<std::string> out;
    for (const Node& item : list.items) {
        if (item.kind != Node::Kind::Scalar || !is_recipient(item.scalar)) {
            problems.add(item.mark,
                         "expected a recipient, which begins with 'age1', found something else");
        } else if (std::ranges::find(out, item.scalar) != out.end()) {
            problems.add(item.mark, "recipient " + quoted(item.scalar) + " is listed twice");
        } else {
            out.push_back(item.scalar);
        }
    }
    if (out.size() < 2) {
        refuse_too_few(list.mark, out.size(), problems);
    }
    return out;
}

Keys read_keys(const Node* node, const Site& site, const Context& in) {
    Keys out{default_host_key(site), std::nullopt};
    if (node == nullptr) {
        return out;
    }
    Fields fields = fields_of(*node, "keys", "keys", in);
    out.host = fields.key_file("host", out.host);
    if (const std::string identity = fields.key_file("identity", ""); !identity.empty()) {
        out.identity = identity;
    }
    fields.finish();
    return out;
}

// Calls `read(name, key's place, mapping)` for each entry of a mapping from names to mappings.
template <class Read>
void for_each_named(const Node& node, const std::string& where, Problems& problems, Read read) {
    for (std::size_t i = 0; i < node.items.size(); ++i) {
        const Node::Key& key = node.keys[i];
        check_name(key.name, key.mark, problems);
        if (node.items[i].kind != Node::Kind::Mapping) {
            problems.add(node.items[i].mark, "expected a mapping for " +
                                                 quoted(where + "." + key.name) + ", found " +
                                                 std::string(describe(node.items[i])));
            continue;
        }
        read(key, node.items[i]);
    }
}

std::vector<policy::Tier> read_tiers(const Node& node, const Context& in) {
    std::vector<policy::Tier> out;
    for_each_named(node, "tiers", in.problems, [&](const Node::Key& key, const Node& mapping) {
        Fields fields = fields_of(mapping, "tiers.*", "tiers." + key.name, in);
        policy::Tier tier{key.name, {}};
        tier.objectives.rto =
            fields.duration("rto", {}, std::chrono::seconds(1), kLongestRetention);
        tier.objectives.rpo =
            fields.duration("rpo", {}, std::chrono::seconds(0), kLongestRetention);
        fields.finish();
        out.push_back(std::move(tier));
    });
    return out;
}

DataDirectory read_data_directory(Fields& fields) {
    const Node* node = fields.value("data_directory");
    if (node == nullptr || node->scalar == "auto") {
        return {};
    }
    if (node->scalar == "none") {
        return {DataDirectory::Kind::None, {}};
    }
    return {DataDirectory::Kind::At, fields.path("data_directory", "")};
}

Backup read_backup(const Node& node, const std::string& where, const Context& in) {
    Fields fields = fields_of(node, "systems.*.backup", where, in);
    Backup out;
    out.retention = fields.days("retention", out.retention, kLongestRetention);
    out.rolling_full = fields.days("rolling_full", out.rolling_full, kLongestRolling);
    out.workers = fields.integer("workers", out.workers, 1, 64);
    out.compression = fields.integer("compression", out.compression, -7, 19);
    out.schedule = fields.text("schedule", "");
    fields.finish();
    return out;
}

std::string read_slot(Fields& fields, std::string otherwise) {
    const Node* node = fields.value("slot");
    std::string slot = fields.text("slot", "");
    if (slot.empty()) {
        return otherwise;
    }
    const auto legal = [](char c) {
        return (c >= 'a' && c <= 'z') || policy::is_digit(c) || c == '_';
    };
    if (slot.size() > 63 || !std::ranges::all_of(slot, legal)) {
        fields.problems().add(node->mark, quoted(slot) + " is not a name for a replication slot",
                              "PostgreSQL allows 1 to 63 of a-z, 0-9 and '_'.");
    }
    return slot;
}

Stream read_stream(const Node& node, const std::string& where, Stream out, const Context& in) {
    Fields fields = fields_of(node, "systems.*.stream", where, in);
    out.enabled = fields.boolean("enabled", out.enabled);
    out.slot = read_slot(fields, out.slot);
    out.spool = fields.path("spool", out.spool);
    out.spool_limit = fields.size("spool_limit", out.spool_limit, kSmallestSpool);
    out.interval = fields.duration("interval", out.interval, std::chrono::milliseconds(50),
                                   std::chrono::minutes(1));
    out.acknowledge = fields.choice("acknowledge", 0, {"repository", "spool"}) == 0
                          ? Acknowledge::Repository
                          : Acknowledge::Spool;
    out.retention = fields.days("retention", out.retention, kLongestRetention);
    fields.finish();
    return out;
}

Restore read_restore(const Node& node, const std::string& where, const Context& in) {
    Fields fields = fields_of(node, "systems.*.restore", where, in);
    Restore out;
    out.validate = fields.texts("validate");
    out.owner = fields.text("owner", out.owner);
    const Node* bin = fields.value("bin_directory");
    if (bin != nullptr && bin->scalar != "auto") {
        out.bin_directory = fields.path("bin_directory", "");
    }
    fields.finish();
    return out;
}

std::string read_connection(Fields& fields) {
    const Node* node = fields.value("connection");
    if (node != nullptr && node->kind == Node::Kind::Scalar) {
        check_connection(*node, fields.problems());
    }
    return fields.text("connection", "");
}

std::string read_tier_name(Fields& fields, const std::vector<policy::Tier>& tiers) {
    std::string tier = fields.name("tier", "");
    if (!tier.empty() && std::ranges::find(tiers, tier, &policy::Tier::name) == tiers.end()) {
        fields.problems().add(fields.value("tier")->mark, "there is no tier " + quoted(tier),
                              "Add it under 'tiers' with its rto and rpo.");
    }
    return tier;
}

System read_system(const Node::Key& key, const Node& mapping, const Config& config,
                   const Context& in) {
    const std::string where = "systems." + key.name;
    Fields fields = fields_of(mapping, "systems.*", where, in);
    System out;
    out.name = key.name;
    fields.choice("engine", 0, {"postgres"});
    out.tier = read_tier_name(fields, config.tiers);
    out.connection = read_connection(fields);
    out.password = fields.secret("password");
    out.data_directory = read_data_directory(fields);
    out.stream.slot = default_slot(key.name);
    out.stream.spool = default_spool(config.site, key.name);
    if (const Node* node = fields.mapping("backup")) {
        out.backup = read_backup(*node, where + ".backup", in);
    }
    if (const Node* node = fields.mapping("stream")) {
        out.stream = read_stream(*node, where + ".stream", out.stream, in);
    }
    if (const Node* node = fields.mapping("restore")) {
        out.restore = read_restore(*node, where + ".restore", in);
    }
    fields.finish();
    return out;
}

// Two systems that share a spool would mix, and then delete, each other's captured data.
void report_shared_spools(const std::vector<System>& systems, Mark mark, Problems& problems) {
    for (std::size_t i = 0; i < systems.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (systems[i].stream.spool == systems[j].stream.spool &&
                systems[i].name != systems[j].name) {
                problems.add(mark,
                             "systems " + quoted(systems[j].name) + " and " +
                                 quoted(systems[i].name) + " have the same spool",
                             "Give each system a directory of its own.");
            }
        }
    }
}

std::vector<System> read_systems(const Node& node, const Config& config, const Context& in) {
    std::vector<System> out;
    for_each_named(node, "systems", in.problems, [&](const Node::Key& key, const Node& mapping) {
        out.push_back(read_system(key, mapping, config, in));
    });
    report_shared_spools(out, node.mark, in.problems);
    return out;
}

// ---- The whole ------------------------------------------------------------------------------

void check_zone_exists(const Config& config, const Node& site, base::Files& files,
                       Problems& problems) {
    const auto zone = policy::Zone::load(config.site.zone, files);
    const Node* node = site.find("zone");
    // A machine without a tz database can still do everything but read local times; a typing
    // error is found on any other.
    const bool has_database = files.stat("/usr/share/zoneinfo").has_value();
    if (!zone.has_value() && has_database && node != nullptr) {
        problems.add(node->mark, zone.error().message(), zone.error().hint());
    }
}

Config read_config(const Node& root, const std::string& file_name, const Context& in,
                   base::Files* files) {
    Fields fields = fields_of(root, "", "", in);
    Config out;
    out.file = file_name;
    fields.integer("version", kConfigVersion, 1, kConfigVersion);
    if (const Node* node = fields.mapping("site")) {
        out.site = read_site(*node, in);
        if (files != nullptr) {
            check_zone_exists(out, *node, *files, in.problems);
        }
    }
    if (const Node* node = fields.list("repositories")) {
        out.repositories = read_repositories(*node, in);
    }
    if (const Node* node = fields.list("recipients")) {
        out.recipients = read_recipients(*node, in.problems);
    } else if (fields.value("recipients") == nullptr) {
        refuse_too_few(root.mark, 0, in.problems);
    }
    out.keys = read_keys(fields.mapping("keys"), out.site, in);
    if (const Node* node = fields.mapping("tiers")) {
        out.tiers = read_tiers(*node, in);
    }
    if (const Node* node = fields.mapping("systems")) {
        out.systems = read_systems(*node, out, in);
    }
    out.others = read_others(fields, in.problems);
    fields.finish();
    return out;
}

// A newer format has keys that this program does not know: to report those one by one would
// mislead.
Result<> check_version(const Node& root, const std::string& file_name) {
    const Node* version = root.find("version");
    int number = 0;
    if (version == nullptr ||
        std::from_chars(version->scalar.data(), version->scalar.data() + version->scalar.size(),
                        number)
                .ec != std::errc{} ||
        number <= kConfigVersion) {
        return {};
    }
    return Error(Code::Unsupported,
                 "'" + file_name + "' is written for a newer Lifeboat: version " +
                     std::to_string(number) + ", known is " + std::to_string(kConfigVersion))
        .hint("Use the Lifeboat that wrote it, or a newer one.");
}

// UTF-8 without control characters. Reports the first byte that is not.
void check_bytes(std::string_view text, Problems& problems) {
    Mark mark;
    std::size_t continuation = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool control = byte < 0x20 && c != '\n' && c != '\t' && c != '\r';
        const bool is_continuation = (byte & 0xc0) == 0x80;
        if (control || byte == 0x7f || is_continuation != (continuation > 0) || byte > 0xf4 ||
            byte == 0xc0 || byte == 0xc1) {
            problems.add(mark, "the file is not UTF-8 text");
            return;
        }
        continuation = is_continuation ? continuation - 1
                       : byte >= 0xf0  ? 3
                       : byte >= 0xe0  ? 2
                       : byte >= 0xc0  ? 1
                                       : 0;
        mark = c == '\n' ? Mark{mark.line + 1, 1} : Mark{mark.line, mark.column + 1};
    }
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& file_name,
                            base::Files* files) {
    if (text.size() > kLargestConfig) {
        return Error(Code::InvalidInput, "'" + file_name + "' is larger than " +
                                             base::human_size(kLargestConfig) +
                                             ": not a configuration")
            .hint("Name the right file with --config.");
    }
    if (text.starts_with("\xef\xbb\xbf")) {
        text.remove_prefix(3);
    }
    const PathBase paths(file_name);
    Problems problems(file_name);
    Config config;
    check_bytes(text, problems);
    refuse_private_keys(text, problems);
    const std::optional<Node> root = problems.any() ? std::nullopt : parse_yaml(text, problems);
    if (root && root->kind != Node::Kind::Mapping) {
        problems.add(root->mark,
                     "expected a mapping of sections, found " + std::string(describe(*root)),
                     "'lifeboat init' writes a configuration to start from.");
    } else if (root) {
        TRY(check_version(*root, file_name));
        refuse_literal_secrets(*root, problems);
        config = read_config(*root, file_name, {paths, problems}, files);
    }
    if (problems.any()) {
        return std::move(problems).error();
    }
    return config;
}

Result<Config> parse_config(std::string_view text, const std::string& file_name) {
    return parse_config(text, file_name, nullptr);
}

}  // namespace lifeboat::config

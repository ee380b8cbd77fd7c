// From a Config to the commented file that `lifeboat init` writes. Tested by render_test.cc: what
// is rendered reads back equal.

#include <algorithm>

#include "config/config.h"
#include "policy/quantity.h"
#include "policy/text.h"

namespace lifeboat::config {

namespace {

// Words that YAML would not read as text.
bool is_special(std::string_view text) {
    const std::string word = policy::lower(text);
    return word == "true" || word == "false" || word == "null" || word == "yes" || word == "no" ||
           word == "on" || word == "off" || word == "y" || word == "n";
}

// Plain where no reader could misunderstand it, else in double quotes.
std::string yaml_text(const std::string& text) {
    const auto plain = [](char c) {
        return policy::is_letter(c) || policy::is_digit(c) ||
               std::string_view("/._+-").find(c) != std::string_view::npos;
    };
    const bool starts_well =
        !text.empty() && (policy::is_letter(text.front()) || text.front() == '/');
    if (starts_well && !is_special(text) && std::ranges::all_of(text, plain)) {
        return text;
    }
    return base::Json(text).dump();
}

std::string flow_list(const std::vector<std::string>& texts) {
    std::string out;
    for (const std::string& text : texts) {
        out += (out.empty() ? "" : ", ") + base::Json(text).dump();
    }
    return "[" + out + "]";
}

class Page {
  public:
    void note(std::string_view comment) { out_ += "\n# " + std::string(comment) + "\n"; }

    void line(int level, std::string_view text) {
        const int outer = hidden_.value_or(level);
        out_ += indent(outer) + (hidden_ ? "# " : "") + indent(level - outer) + std::string(text) +
                "\n";
    }

    void open(int level, std::string_view key) { line(level, std::string(key) + ":"); }

    void set(int level, std::string_view key, const std::string& value,
             std::string_view comment = {}) {
        line(level, std::string(key) + ": " + value +
                        (comment.empty() ? "" : "  # " + std::string(comment)));
    }

    // A value that is the default stands as a comment, to be found and changed.
    void set_unless(bool is_default, int level, std::string_view key, const std::string& value,
                    std::string_view comment = {}) {
        const bool outermost = is_default && !hidden_;
        if (outermost) {
            hidden_ = level;
        }
        set(level, key, value, comment);
        if (outermost) {
            hidden_.reset();
        }
    }

    // So does a section with nothing but defaults: all of its lines until show().
    void open_unless(bool is_default, int level, std::string_view key) {
        if (is_default) {
            hidden_ = level;
        }
        open(level, key);
    }

    void show() { hidden_.reset(); }

    std::string take() { return std::move(out_); }

  private:
    static std::string indent(int level) {
        return std::string(static_cast<std::size_t>(level) * 2, ' ');
    }

    std::optional<int> hidden_;  // the level of the comment that lines go into
    std::string out_;
};

void render_site(const Site& site, Page& page) {
    page.open(0, "site");
    page.set(1, "name", yaml_text(site.name));
    page.set(1, "zone", yaml_text(site.zone.text()), "of times that are written without one");
    page.set(1, "state", yaml_text(site.state), "local state: spool, cache, keys");
}

void render_repositories(const std::vector<Repository>& repositories, Page& page) {
    page.note(
        "Where backups go. Each acknowledges for itself; one that is down does not stop the "
        "others.");
    page.open(0, "repositories");
    for (const Repository& repository : repositories) {
        page.line(1, "- name: " + yaml_text(repository.name));
        page.set(2, "url", yaml_text(repository.url));
        if (!repository.signers.empty()) {
            page.set(2, "signers", flow_list(repository.signers), "whose backups to trust");
        }
    }
}

void render_keys(const Config& config, Page& page) {
    page.note(
        "Who can read backups: at least two public keys, whose private halves lie in different "
        "places.");
    page.open(0, "recipients");
    for (const std::string& recipient : config.recipients) {
        page.line(1, "- " + yaml_text(recipient));
    }
    page.note("host: this host's own key. identity: a private key, only on hosts that restore.");
    page.open(0, "keys");
    page.set(1, "host", yaml_text(config.keys.host));
    page.set_unless(!config.keys.identity, 1, "identity",
                    yaml_text(config.keys.identity.value_or("/root/recovery.key")));
}

void render_tiers(const std::vector<policy::Tier>& tiers, Page& page) {
    if (tiers.empty()) {
        return;
    }
    page.note("How fast systems must be back (rto), and how much new data may be lost (rpo).");
    page.open(0, "tiers");
    for (const policy::Tier& tier : tiers) {
        page.line(1, yaml_text(tier.name) +
                         ": {rto: " + policy::format_duration(tier.objectives.rto) +
                         ", rpo: " + policy::format_duration(tier.objectives.rpo) + "}");
    }
}

void render_backup(const Backup& backup, Page& page) {
    const Backup fallback;
    page.open_unless(backup == fallback, 2, "backup");
    page.set_unless(backup.retention == fallback.retention, 3, "retention",
                    policy::format_days(backup.retention));
    page.set_unless(backup.rolling_full == fallback.rolling_full, 3, "rolling_full",
                    policy::format_days(backup.rolling_full),
                    "every page is stored anew within this time");
    page.set_unless(backup.workers == fallback.workers, 3, "workers",
                    std::to_string(backup.workers));
    page.set_unless(backup.compression == fallback.compression, 3, "compression",
                    std::to_string(backup.compression), "zstd level");
    page.set_unless(backup.schedule.empty(), 3, "schedule",
                    backup.schedule.empty() ? "\"0 2 * * *\"" : base::Json(backup.schedule).dump());
    page.show();
}

void render_stream(const Stream& stream, const Stream& fallback, Page& page) {
    page.open_unless(stream == fallback, 2, "stream");
    page.set_unless(stream.enabled == fallback.enabled, 3, "enabled",
                    stream.enabled ? "true" : "false");
    page.set_unless(stream.slot == fallback.slot, 3, "slot", yaml_text(stream.slot));
    page.set_unless(stream.spool == fallback.spool, 3, "spool", yaml_text(stream.spool));
    page.set_unless(stream.spool_limit == fallback.spool_limit, 3, "spool_limit",
                    policy::format_size(stream.spool_limit));
    page.set_unless(stream.interval == fallback.interval, 3, "interval",
                    policy::format_duration(stream.interval));
    page.set_unless(stream.acknowledge == fallback.acknowledge, 3, "acknowledge",
                    stream.acknowledge == Acknowledge::Repository ? "repository" : "spool",
                    "when the server may forget its WAL");
    page.set_unless(stream.retention == fallback.retention, 3, "retention",
                    policy::format_days(stream.retention));
    page.show();
}

void render_restore(const Restore& restore, Page& page) {
    const Restore fallback;
    page.open_unless(restore == fallback, 2, "restore");
    page.set_unless(restore.validate.empty(), 3, "validate",
                    restore.validate.empty() ? "[\"SELECT 1\"]" : flow_list(restore.validate),
                    "must succeed after a restore");
    page.set_unless(restore.owner == fallback.owner, 3, "owner", yaml_text(restore.owner));
    page.set_unless(!restore.bin_directory, 3, "bin_directory",
                    yaml_text(restore.bin_directory.value_or("auto")));
    page.show();
}

std::string data_directory_text(const DataDirectory& directory) {
    switch (directory.kind) {
        case DataDirectory::Kind::Auto:
            return "auto";
        case DataDirectory::Kind::None:
            return "none";
        case DataDirectory::Kind::At:
            break;
    }
    return yaml_text(directory.path);
}

void render_system(const System& system, const Config& config, Page& page) {
    page.open(1, yaml_text(system.name));
    page.set(2, "engine", "postgres");
    page.set_unless(system.tier.empty(), 2, "tier",
                    system.tier.empty() ? "critical" : yaml_text(system.tier));
    page.set(2, "connection", base::Json(system.connection).dump());
    const SecretRef example{SecretRef::Kind::File, "/etc/lifeboat/" + system.name + ".pass"};
    page.set_unless(!system.password, 2, "password",
                    base::Json(system.password.value_or(example).text()).dump());
    page.set_unless(system.data_directory == DataDirectory(), 2, "data_directory",
                    data_directory_text(system.data_directory),
                    "auto, none (copy over the wire) or a path");
    render_backup(system.backup, page);
    Stream fallback;
    fallback.slot = default_slot(system.name);
    fallback.spool = default_spool(config.site, system.name);
    render_stream(system.stream, fallback, page);
    render_restore(system.restore, page);
}

}  // namespace

std::string render_config(const Config& config) {
    Page page;
    page.line(0,
              "# Lifeboat's configuration. Every key is explained in docs/configuration.md; "
              "'lifeboat doctor' checks this file.");
    page.line(0, "version: " + std::to_string(kConfigVersion) + "\n");
    render_site(config.site, page);
    render_repositories(config.repositories, page);
    render_keys(config, page);
    render_tiers(config.tiers, page);
    if (!config.systems.empty()) {
        page.note("What is protected.");
        page.open(0, "systems");
    }
    for (const System& system : config.systems) {
        render_system(system, config, page);
    }
    for (const OpaqueSection& other : config.others) {
        page.line(0, "\n" + other.name + ": " + other.content.dump());
    }
    return page.take();
}

}  // namespace lifeboat::config

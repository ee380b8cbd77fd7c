#include "postgres/recovery_settings.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <set>

// Tested by recovery_settings_test.cc.

namespace lifeboat::postgres {

namespace {

std::string assign(std::string_view name, std::string_view value) {
    return std::string(name) + " = " + quote_setting(value) + "\n";
}

// The timeline as a number wherever the server can look it up. The backup's own timeline may have
// no history here; then the server's word for it is `current`.
std::string timeline_setting(const PostgresPlan& plan) {
    const TimelineId timeline = plan.timeline();
    const bool own = timeline == plan.details.timeline;
    return own && timeline != 1 && !plan.knows_history(timeline) ? "current"
                                                                 : std::to_string(timeline);
}

std::string minimum_settings(const Parameters& p) {
    const std::array<std::pair<std::string_view, std::int32_t>, 5> all = {
        {{"max_connections", p.max_connections},
         {"max_worker_processes", p.max_worker_processes},
         {"max_wal_senders", p.max_wal_senders},
         {"max_prepared_transactions", p.max_prepared_transactions},
         {"max_locks_per_transaction", p.max_locks_per_transaction}}};
    std::string out;
    for (const auto& [name, value] : all) {
        if (value > 0) {
            out += assign(name, std::to_string(value));
        }
    }
    return out;
}

constexpr std::string_view kTitle = "# Recovery by lifeboat from backup '";
constexpr std::string_view kMinimumsTitle =
    "# At least what the servers had that wrote this WAL.\n";

// The name that a line of postgresql.conf sets, in lower case; empty for comments and blanks.
std::string name_set_by(std::string_view line) {
    std::string name;
    for (const char c : line.substr(std::min(line.find_first_not_of(" \t"), line.size()))) {
        const bool part = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
        if (!part) {
            break;
        }
        name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    return name;
}

bool is_kept_to_itself(std::string_view name) {
    return std::any_of(kKeptToItself.begin(), kKeptToItself.end(),
                       [&](const auto& setting) { return setting.first == name; });
}

}  // namespace

std::string quote_setting(std::string_view value) {
    std::string out = "'";
    for (const char c : value) {
        if (c == '\'' || c == '\\') {
            out += c;
        }
        out += c;
    }
    return out + "'";
}

std::string restore_command(std::string_view fetch_command) {
    std::string out;
    for (const char c : fetch_command) {
        out += c;
        if (c == '%') {
            out += c;  // the server takes %% for one
        }
    }
    return out + " \"%f\" \"%p\"";
}

std::string recovery_settings(const PostgresPlan& plan, std::string_view fetch_command,
                              const std::vector<std::pair<std::string, std::string>>& pinned) {
    std::string out = "\n" + std::string(kTitle) + plan.backup +
                      "'. These lines matter while recovery.signal exists.\n";
    out += assign("restore_command", restore_command(fetch_command));
    for (const auto& [name, value] : kKeptToItself) {
        out += assign(name, value);
    }
    out += assign("recovery_target_timeline", timeline_setting(plan));
    out += assign("recovery_target_action", "promote");
    out += assign("recovery_target_inclusive", "true");
    // In this order: the server objects to a second target, even one that is being unset, once the
    // first is there.
    for (const std::string_view other :
         {"recovery_target_name", "recovery_target_time", "recovery_target_xid"}) {
        out += assign(other, "");
    }
    out += plan.stop.immediate && !plan.stop.record.end.is_set()
               ? assign("recovery_target_lsn", "") + assign("recovery_target", "immediate")
               : assign("recovery_target", "") +
                     assign("recovery_target_lsn", format_lsn(plan.stop.record.start));
    out += kMinimumsTitle;
    out += assign("hot_standby", "on") + minimum_settings(plan.minimums);
    for (const auto& [name, value] : pinned) {
        out += assign(name, value);
    }
    return out;
}

std::string without_recovery(std::string_view text) {
    std::string out;
    bool ours = false;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end);
        ours = (ours || line.starts_with(kTitle)) && line != kMinimumsTitle;
        const std::string name = name_set_by(line);
        const bool over = line.starts_with(kTitle) || name == "restore_command" ||
                          name.starts_with("recovery_target") || is_kept_to_itself(name);
        if (!ours || !over) {
            out += line;
        }
    }
    return out;
}

// ---- Tablespaces
// ----------------------------------------------------------------------------------------------------

Result<std::vector<TablespaceLink>> parse_tablespace_map(std::string_view text) {
    std::vector<TablespaceLink> out;
    std::string line;
    const auto take_line = [&]() -> Result<> {
        TablespaceLink link;
        const auto parsed = std::from_chars(line.data(), line.data() + line.size(), link.oid);
        const auto at = static_cast<std::size_t>(parsed.ptr - line.data());
        if (parsed.ec != std::errc{} || link.oid == 0 || at + 1 >= line.size() || line[at] != ' ') {
            return Error(
                Code::InvalidInput,
                "the backup's tablespace map has a line that cannot be read: '" + line + "'");
        }
        link.path = line.substr(at + 1);
        out.push_back(std::move(link));
        line.clear();
        return {};
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) {
            line += text[++i];
        } else if (text[i] != '\n' && text[i] != '\r') {
            line += text[i];
        } else if (!line.empty()) {
            TRY(take_line());
        }
    }
    if (!line.empty()) {
        TRY(take_line());
    }
    return out;
}

std::string encode_tablespace_map(const std::vector<TablespaceLink>& links) {
    std::string out;
    for (const TablespaceLink& link : links) {
        out += std::to_string(link.oid) + " ";
        for (const char c : link.path) {
            if (c == '\n' || c == '\r' || c == '\\') {
                out += '\\';
            }
            out += c;
        }
        out += "\n";
    }
    return out;
}

namespace {

Result<> check_remap(const BackupDetails& details, const Remap& remap) {
    for (const auto& [from, to] : remap) {
        const auto is_it = [&](const TablespaceDetails& space) {
            return !space.in_place && space.path == from;
        };
        if (std::none_of(details.tablespaces.begin(), details.tablespaces.end(), is_it)) {
            return Error(Code::InvalidInput, "no tablespace of this backup lies at '" + from + "'")
                .hint("Run the same with --dry-run to see where they lie.");
        }
        if (to.empty() || to.front() != '/') {
            return Error(
                Code::InvalidInput,
                "the new place of a tablespace must be an absolute directory, not '" + to + "'");
        }
    }
    return {};
}

std::string mapped(const std::string& path, const Remap& remap) {
    const auto found = std::find_if(remap.begin(), remap.end(),
                                    [&](const auto& pair) { return pair.first == path; });
    return found == remap.end() ? path : found->second;
}

bool is_remapped(const std::string& path, const Remap& remap) {
    return std::any_of(remap.begin(), remap.end(),
                       [&](const auto& pair) { return pair.first == path; });
}

}  // namespace

Result<Remap> allow_created_tablespaces(const std::vector<TablespaceMade>& created,
                                        const BackupDetails& details, const Remap& remap,
                                        std::string_view target) {
    Remap left = remap;
    for (const TablespaceMade& made : created) {
        const bool captured =
            std::any_of(details.tablespaces.begin(), details.tablespaces.end(),
                        [&](const TablespaceDetails& space) { return space.path == made.path; });
        const std::string to = mapped(made.path, remap);
        if (!captured && to != made.path) {
            return Error(Code::InvalidInput, "the tablespace at '" + made.path +
                                                 "' cannot lie elsewhere: it is created by the WAL")
                .hint("A server that replays its creation makes it where it was.");
        }
        const bool allowed = is_remapped(made.path, remap) && to == made.path;
        if (!allowed && target != details.data_directory) {
            return Error(Code::Refused,
                         "the WAL to be replayed creates a tablespace at '" + made.path +
                             "', and the server would write there, into the original's files if "
                             "that server is here")
                .hint("Recover to a point before " + format_lsn(made.at) +
                      " or from a backup taken later; where nobody else uses that directory, say "
                      "so with --tablespace " +
                      made.path + "=" + made.path + ".");
        }
        if (!captured) {
            std::erase(left, std::pair(made.path, made.path));
        }
    }
    return left;
}

Result<std::vector<TablespaceLink>> place_tablespaces(const BackupDetails& details,
                                                      const Remap& remap, std::string_view target) {
    TRY(check_remap(details, remap));
    std::vector<TablespaceLink> out;
    std::set<std::string> taken;
    for (const TablespaceDetails& space : details.tablespaces) {
        if (space.in_place) {
            continue;
        }
        if (!is_remapped(space.path, remap) && target != details.data_directory) {
            return Error(Code::Refused,
                         "the tablespace at '" + space.path +
                             "' would be restored over the one of the original server")
                .hint("Say where it goes: --tablespace " + space.path + "=NEW_DIRECTORY.");
        }
        TablespaceLink link{space.oid, mapped(space.path, remap)};
        if (!taken.insert(link.path).second) {
            return Error(Code::InvalidInput, "two tablespaces would lie in '" + link.path + "'");
        }
        out.push_back(std::move(link));
    }
    return out;
}

// ---- Configuration that lay elsewhere
// -------------------------------------------------------------------------------

namespace {

constexpr std::array<std::string_view, 8> kPointElsewhere = {
    "data_directory",       "hba_file", "ident_file",  "external_pid_file",
    "stats_temp_directory", "include",  "include_dir", "include_if_exists"};

}  // namespace

std::string self_contained_configuration(const OutsideFile& captured) {
    std::string out = "# Made by lifeboat from '" + captured.original +
                      "' as it was captured, so that this directory starts by itself.\n"
                      "# Settings that point outside of it are commented out. What an include "
                      "directive named was not captured: settings from such\n"
                      "# files have to be added here by hand; those without which the server would "
                      "not recover are in postgresql.auto.conf.\n\n";
    for (std::string_view rest = captured.contents; !rest.empty();) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const bool elsewhere = std::find(kPointElsewhere.begin(), kPointElsewhere.end(),
                                         name_set_by(line)) != kPointElsewhere.end();
        out += (elsewhere ? "# lifeboat: " : "") + std::string(line) + "\n";
    }
    return out;
}

}  // namespace lifeboat::postgres

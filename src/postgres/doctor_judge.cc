#include "policy/expiry.h"
#include "postgres/doctor.h"

// The judgements: one function per matter, facts in, findings out. Tested by doctor_test.cc.

namespace lifeboat::postgres {

using engine::Finding;
using engine::Severity;

namespace {

// A wire backup takes two walsenders, the stream one.
constexpr std::int64_t kSendersWanted = 3;
constexpr auto kClockDrift = std::chrono::seconds(2);

using Findings = std::vector<Finding>;

std::string set_and(const std::string& setting, const std::string& value, const char* then) {
    return "In psql: ALTER SYSTEM SET " + setting + " = '" + value + "'; then " + then + ".";
}

constexpr const char* kRestart = "restart the server";
constexpr const char* kReload = "SELECT pg_reload_conf()";

std::string whole_number(std::int64_t n, const char* one, const char* many) {
    return std::to_string(n) + " " + (n == 1 ? one : many);
}

void judge_role(const ServerFacts& facts, Findings& out) {
    const std::string who = "role '" + facts.role.name + "'";
    const std::string quoted = quote_identifier(facts.role.name);
    if (!facts.role.replication && !facts.role.superuser) {
        out.push_back({Severity::Error, who,
                       "It has no REPLICATION right: the server refuses to stream to it.",
                       "In psql: ALTER ROLE " + quoted + " REPLICATION;"});
    }
    if (!facts.role.may_back_up) {
        const bool renamed = facts.version >= 150000;
        out.push_back(
            {Severity::Warn, who,
             "It may not call the backup functions: backups cannot read the server's files.",
             "In psql: GRANT EXECUTE ON FUNCTION " +
                 std::string(renamed ? "pg_backup_start(text, boolean), pg_backup_stop(boolean)"
                                     : "pg_start_backup(text, boolean, boolean), "
                                       "pg_stop_backup(boolean, boolean)") +
                 " TO " + quoted + ";"});
    }
    if (!facts.role.reads_all_settings) {
        out.push_back({Severity::Warn, who,
                       "It may not see all settings: where the data directory is stays unknown.",
                       "In psql: GRANT pg_read_all_settings TO " + quoted + ";"});
    }
}

void judge_wal_level(const ServerFacts& facts, Findings& out) {
    if (facts.setting("wal_level") == "minimal") {
        out.push_back({Severity::Error, "wal_level",
                       "It is 'minimal': the server's WAL cannot recover a backup.",
                       set_and("wal_level", "replica", kRestart)});
    }
}

void judge_senders(const DoctorProbe& probe, Findings& out) {
    const std::int64_t most = probe.facts.number("max_wal_senders").value_or(0);
    if (most == 0) {
        out.push_back({Severity::Error, "max_wal_senders",
                       "It is 0: nothing can stream or copy over the wire.",
                       set_and("max_wal_senders", "10", kRestart)});
    } else if (most - probe.senders_used < kSendersWanted) {
        out.push_back({Severity::Warn, "max_wal_senders",
                       std::to_string(probe.senders_used) + " of " + std::to_string(most) +
                           " are in use: a stream and a backup over the wire want three more.",
                       set_and("max_wal_senders", std::to_string(most + 10), kRestart)});
    }
}

void judge_slot_room(const DoctorProbe& probe, Findings& out) {
    const std::int64_t most = probe.facts.number("max_replication_slots").value_or(0);
    if (!probe.slot && probe.slots_used >= most) {
        out.push_back({Severity::Error, "max_replication_slots",
                       "All " + std::to_string(most) + " are taken: the stream cannot have one.",
                       set_and("max_replication_slots", std::to_string(most + 10), kRestart)});
    }
    if (probe.facts.number("max_slot_wal_keep_size").value_or(0) < 0) {
        out.push_back({Severity::Warn, "max_slot_wal_keep_size",
                       "There is no limit: a stream that stays away lets WAL fill the server's "
                       "disk, and the server stops.",
                       set_and("max_slot_wal_keep_size", "16GB", kReload)});
    }
}

void judge_slot_wal(const SlotState& slot, const std::string& subject, Findings& out) {
    switch (slot.wal) {
        case SlotWal::Lost:
            out.push_back({Severity::Error, subject,
                           "The server has removed WAL that was not captured: the stream has a gap"
                           " until a new backup.",
                           "lifeboat stream"});
            break;
        case SlotWal::Unreserved:
            out.push_back({Severity::Error, subject,
                           "The next checkpoint may remove WAL that is not captured yet.",
                           "lifeboat stream"});
            break;
        case SlotWal::Extended:
            out.push_back({Severity::Warn, subject,
                           "The server keeps more WAL than max_wal_size for it.",
                           slot.active ? "See 'lifeboat status' for what holds the stream up."
                                       : "lifeboat stream"});
            break;
        case SlotWal::None:
        case SlotWal::Reserved:
            break;
    }
}

void judge_slot(const PostgresConfig& config, const DoctorProbe& probe, Findings& out) {
    if (config.slot.empty()) {
        return;
    }
    const std::string subject = "slot '" + config.slot + "'";
    if (!probe.slot) {
        out.push_back({Severity::Info, subject,
                       "It does not exist: until the stream runs, what is committed after a backup "
                       "is not protected.",
                       "lifeboat stream"});
        return;
    }
    if (!probe.slot->physical) {
        out.push_back({Severity::Error, subject,
                       "It is a logical slot, which serves no stream of "
                       "ours.",
                       "Name another slot under 'stream' in lifeboat.yaml."});
        return;
    }
    judge_slot_wal(*probe.slot, subject, out);
    const bool abandoned =
        !probe.slot->active && probe.slot->restart &&
        (probe.slot->wal == SlotWal::None || probe.slot->wal == SlotWal::Reserved);
    if (abandoned) {
        out.push_back({Severity::Warn, subject,
                       "Nobody streams from it, and the server keeps WAL for it.",
                       "lifeboat stream"});
    }
}

void judge_replication(const DoctorProbe& probe, Findings& out) {
    if (probe.replication_refused.empty()) {
        return;
    }
    const bool socket = probe.host.starts_with('/');
    const std::string role = quote_identifier(probe.facts.role.name);
    const std::string entry =
        socket ? "local replication " + role + " peer"
               : "host replication " + role + " <address of this host>/32 scram-sha-256";
    out.push_back({Severity::Error, "replication",
                   "The server refuses a replication session: " + probe.replication_refused + ".",
                   "Add '" + entry + "' to '" + probe.facts.hba_file.value_or("pg_hba.conf") +
                       "', then SELECT pg_reload_conf()."});
}

void judge_integrity(const DoctorProbe& probe, Findings& out) {
    if (!probe.facts.data_checksums) {
        out.push_back({Severity::Warn, "data checksums",
                       "They are off: damage on disk goes unnoticed, and into every backup.",
                       "Stop the server, then: pg_checksums --enable -D '" +
                           probe.facts.data_directory.value_or("DATA_DIRECTORY") + "'"});
    }
    if (probe.facts.setting("full_page_writes") == "off") {
        out.push_back({Severity::Warn, "full_page_writes",
                       "It is off: a power cut can tear pages, and no WAL mends them.",
                       set_and("full_page_writes", "on", kReload)});
    }
    if (!probe.fsync) {
        out.push_back({Severity::Error, "fsync",
                       "It is off: a power cut can lose and corrupt anything.",
                       set_and("fsync", "on", kReload)});
    }
}

void judge_archiver(const PostgresConfig& config, const DoctorProbe& probe, Findings& out) {
    const std::string mode = probe.facts.setting("archive_mode", "off");
    if (mode == "off") {
        return;
    }
    const std::string command = probe.facts.setting("archive_command");
    const bool none = (command.empty() || command == "(disabled)") &&
                      probe.facts.setting("archive_library").empty();
    if (none) {
        out.push_back(
            {Severity::Warn, "archive_command",
             "archive_mode is '" + mode +
                 "' and there is no command: the server keeps "
                 "all WAL until its disk is full.",
             set_and("archive_command", "lifeboat wal-push " + config.system + " %p", kReload)});
    }
    if (probe.archiver.failing) {
        out.push_back({Severity::Error, "archive_command",
                       "It fails (" + whole_number(probe.archiver.failures, "time", "times") +
                           ", last with '" + probe.archiver.last_failed_file +
                           "'): the server keeps all WAL until its disk is full.",
                       "Run it by hand as the server's user, and read the server's log."});
    }
}

void judge_reading(const PostgresConfig& config, const DoctorProbe& probe, Findings& out) {
    if (probe.directory_trouble.empty() || config.read == PostgresConfig::Read::Wire) {
        return;
    }
    const bool insists = config.read == PostgresConfig::Read::Directory;
    out.push_back({insists ? Severity::Error : Severity::Info, "data directory",
                   "Its files cannot be read (" + probe.directory_trouble +
                       "): " + (insists ? "backups fail." : "backups are copied over the wire."),
                   "Run lifeboat as the owner of the data directory, or set 'data_directory: "
                   "none'."});
}

void judge_clock(const ServerFacts& facts, Findings& out) {
    const base::Duration apart = std::chrono::abs(facts.clock.offset) -
                                 std::min(facts.clock.bound, std::chrono::abs(facts.clock.offset));
    if (apart <= kClockDrift) {
        return;
    }
    const bool far = apart > policy::kClockTolerance;
    out.push_back({far ? Severity::Error : Severity::Warn, "clock",
                   "The server's clock is " + base::human_duration(apart) + " " +
                       (facts.clock.offset.count() < 0 ? "behind" : "ahead of") +
                       " this host's: times given to --at are the server's.",
                   "Synchronise both with NTP: timedatectl set-ntp true"});
}

void judge_collations(const ServerFacts& facts, Findings& out) {
    for (const DatabaseFact& database : facts.databases) {
        const bool differs = database.collation_version && database.actual_version &&
                             *database.collation_version != *database.actual_version;
        if (differs) {
            const std::string name = quote_identifier(database.name);
            out.push_back({Severity::Warn, "collation of '" + database.name + "'",
                           "Its indexes were built with version " + *database.collation_version +
                               ", and the server now sorts as version " + *database.actual_version +
                               ": lookups may miss rows.",
                           "In psql: REINDEX DATABASE " + name + "; ALTER DATABASE " + name +
                               " REFRESH COLLATION VERSION;"});
        }
    }
}

void judge_pending(const ServerFacts& facts, Findings& out) {
    for (const auto& [name, setting] : facts.settings) {
        if (setting.pending_restart) {
            out.push_back({Severity::Warn, name, "Its new value waits for a restart of the server.",
                           "Restart the server."});
        }
    }
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) {
        text += (text.empty() ? "" : ", ") + name;
    }
    return text;
}

void judge_restore(const DoctorProbe& probe, Findings& out) {
    const std::string version = std::to_string(probe.facts.major());
    if (!probe.binaries) {
        out.push_back({Severity::Warn, "PostgreSQL " + version,
                       "Its programs are not on this machine: 'restore --start' works elsewhere "
                       "only.",
                       "apt-get install postgresql-" + version});
    }
    if (!probe.missing_extensions.empty()) {
        out.push_back({Severity::Info, "extensions",
                       "The server lacks " + joined(probe.missing_extensions) +
                           ": 'restore --check-structure' checks less.",
                       "apt-get install postgresql-contrib"});
    }
    if (!probe.facts.tablespaces.empty()) {
        const auto count = static_cast<std::int64_t>(probe.facts.tablespaces.size());
        out.push_back({Severity::Info, "tablespaces",
                       "There " + std::string(count == 1 ? "is " : "are ") +
                           whole_number(count, "tablespace", "tablespaces") +
                           ": a restore beside this server must put them elsewhere.",
                       "lifeboat restore ... --tablespace " +
                           probe.facts.tablespaces.front().location + "=/NEW/DIRECTORY"});
    }
}

void judge_contents(const DoctorProbe& probe, Findings& out) {
    if (probe.unlogged_tables > 0) {
        out.push_back(
            {Severity::Info, "unlogged tables",
             "Database '" + probe.facts.connected_database + "' has " +
                 whole_number(probe.unlogged_tables, "unlogged table", "unlogged tables") +
                 ": a restore brings them back empty.",
             "In psql, if the rows matter: ALTER TABLE ... SET LOGGED;"});
    }
    if (probe.facts.in_recovery) {
        out.push_back({Severity::Info, "server",
                       "It is a standby: backups and the stream depend on its being connected to "
                       "the primary.",
                       ""});
    }
}

}  // namespace

std::vector<Finding> judge_server(const PostgresConfig& config, const DoctorProbe& probe) {
    Findings out;
    judge_role(probe.facts, out);
    judge_wal_level(probe.facts, out);
    judge_senders(probe, out);
    judge_slot_room(probe, out);
    judge_slot(config, probe, out);
    judge_replication(probe, out);
    judge_integrity(probe, out);
    judge_archiver(config, probe, out);
    judge_reading(config, probe, out);
    judge_clock(probe.facts, out);
    judge_collations(probe.facts, out);
    judge_pending(probe.facts, out);
    judge_restore(probe, out);
    judge_contents(probe, out);
    engine::sort_findings(out);
    return out;
}

}  // namespace lifeboat::postgres

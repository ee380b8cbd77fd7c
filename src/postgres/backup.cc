#include "postgres/backup.h"

#include <algorithm>
#include <array>
#include <utility>

#include "postgres/backup_branch.h"
#include "postgres/internal/backup_source.h"
#include "postgres/newest_backup.h"
#include "postgres/pg_control.h"
#include "postgres/slots.h"
#include "postgres/tablespace_proof.h"
#include "repo/rolling.h"

// A backup of PostgreSQL, from connection to manifest. Tested by tests/e2e/backup_test.cc.
//
//   connect -> facts -> choose parent -> choose how to read -> capture -> read (directory or wire)
//   -> commit
//
// The manifest is written by Capture::commit and by nothing else; every return before it leaves no
// backup.

namespace lifeboat::postgres {

using base::Code;
using base::Error;

namespace {

// What a cluster that starts elsewhere must not have less of (T24), and what a person wants to see
// in a backup's details.
constexpr std::array<std::string_view, 10> kKeptSettings = {"max_connections",
                                                            "max_worker_processes",
                                                            "max_wal_senders",
                                                            "max_prepared_transactions",
                                                            "max_locks_per_transaction",
                                                            "wal_level",
                                                            "wal_log_hints",
                                                            "full_page_writes",
                                                            "shared_preload_libraries",
                                                            "server_encoding"};

BackupDetails details_of(const ServerFacts& facts) {
    BackupDetails d;
    d.system_identifier = facts.system_identifier;
    d.version = facts.version;
    d.block_size = facts.block_size;
    d.wal_segment_size = static_cast<std::uint32_t>(facts.wal_segment.bytes());
    d.relation_segment_size = facts.blocks_per_segment * facts.block_size;
    d.checksums = facts.data_checksums;
    d.version_directory = facts.version_directory();
    d.data_directory = facts.data_directory.value_or("");
    d.from_standby = facts.in_recovery;
    for (const std::string_view name : kKeptSettings) {
        const std::string value = facts.setting(std::string(name));
        if (!value.empty()) {
            d.settings[std::string(name)] = value;
        }
    }
    return d;
}

// T18. A connection that leads elsewhere by mistake would make the wrong database the newest state
// of this system. Returns what the newest backup tells of its server.
Result<std::optional<BackupDetails>> refuse_foreign_parent(const engine::BackupJob& job,
                                                           const ServerFacts& facts) {
    if (!job.parent) {
        return std::optional<BackupDetails>();
    }
    const repo::Manifest& manifest = job.parent->manifest;
    NewestBackup newest;
    newest.id = manifest.backup;
    newest.details = TRY(
        BackupDetails::from_json(manifest.details).during("reading backup '" + newest.id + "'"));
    TRY(check_backup_cluster(newest, facts.system_identifier, facts.major()));
    return std::optional(std::move(newest.details));
}

Result<> check_same_cluster(base::Files& files, base::Clock& clock, const std::string& directory,
                            const ServerFacts& facts) {
    const ControlFile control =
        TRY(read_control(files, base::join(directory, kControlFile), clock));
    if (control.data.system_identifier != facts.system_identifier) {
        return Error(Code::Conflict,
                     "'" + directory + "' holds another cluster than the server that answers")
            .hint("Correct 'connection' or 'data_directory' of this system in lifeboat.yaml.");
    }
    return {};
}

std::string new_slot_name(base::Random& random) {
    return "lifeboat_" + base::hex(repo::random_id(random));
}

// Standbys, retired primaries and clones have the same system identifier, and often the same path,
// as the server that answers. What tells them apart is a slot that we make on the server: its
// directory appears in the server's own files, and in no other copy of them. Conflict when
// `directory` is another server's.
Result<> prove_locality(Connection& session, const engine::Context& context,
                        const std::string& directory) {
    const std::string mark = new_slot_name(context.random);
    TRY(create_slot(session, mark, SlotLife::Mark)
            .during("making a slot, which shows whose the data directory is"));
    auto there =
        base::exists(context.files, base::join(base::join(directory, "pg_replslot"), mark));
    TRY(drop_slot(session, mark));
    const bool ours = TRY(std::move(there));
    if (!ours) {
        return Error(Code::Conflict, "'" + directory +
                                         "' belongs to another server of this cluster than "
                                         "the one that answers")
            .hint(
                "Correct 'connection' so that it leads to the server of that directory, or "
                "set 'data_directory: none' to copy over the wire.");
    }
    return {};
}

enum class Reader { Directory, Wire };

// Reads the files where they are this server's and readable; asks the server otherwise, unless the
// configuration insists.
Result<Reader> choose_reader(const PostgresConfig& config, const engine::Context& context,
                             const ServerFacts& facts, Connection& session, BackupDetails& details,
                             std::vector<std::string>& notes) {
    if (config.read == PostgresConfig::Read::Wire) {
        return Reader::Wire;
    }
    const bool insists =
        config.read == PostgresConfig::Read::Directory || !config.data_directory.empty();
    if (!config.data_directory.empty()) {
        details.data_directory = config.data_directory;
    }
    Result<> readable = Error(Code::Denied, "the role may not see 'data_directory'");
    if (!details.data_directory.empty()) {
        readable = check_same_cluster(context.files, context.clock, details.data_directory, facts);
    }
    if (readable) {
        readable = prove_locality(session, context, details.data_directory);
    }
    if (readable) {
        readable = prove_tablespaces(session, context.files, details.data_directory,
                                     details.version_directory);
    }
    if (readable) {
        return Reader::Directory;
    }
    if (insists) {
        Error error = std::move(readable).error().during("reading the data directory");
        return error.hint().empty() ? std::move(error).hint(
                                          "Run lifeboat as the owner of the data "
                                          "directory, or set 'data_directory: none'.")
                                    : std::move(error);
    }
    notes.push_back("Copying over the wire: " + readable.error().message() + ".");
    return Reader::Wire;
}

repo::CaptureRequest capture_request(const engine::BackupJob& job, const PostgresConfig& config,
                                     const engine::Context& context, repo::MapIndex* previous) {
    repo::CaptureRequest request;
    request.system = config.system;
    request.engine = "postgres";
    request.start = context.clock.now();
    // W1 is judged at commit, when the day may have turned: packs are given a margin by
    // pack_expiry.
    request.manifest_expires = policy::backup_expiry(request.start, job.policy.retention);
    request.pack_expires =
        policy::pack_expiry(request.start, job.policy.retention, job.policy.rolling);
    request.compression = job.policy.compression;
    request.lanes = std::max<std::size_t>(1, job.policy.workers);
    request.newest = job.newest;
    if (previous != nullptr) {
        request.previous = previous;
        request.previous_manifest = &job.parent->manifest;
        request.rewrite = repo::plan_rewrites(*previous, job.parent->manifest, request.pack_expires,
                                              job.policy.rolling);
    }
    return request;
}

}  // namespace

namespace {

// The maps of the backup to compare with; nothing for a full one. A predecessor that cannot be used
// is no reason to have no backup.
Result<std::unique_ptr<repo::MapIndex>> open_previous(engine::BackupJob& job) {
    std::unique_ptr<repo::MapIndex> previous;
    if (!job.parent) {
        return previous;
    }
    auto opened = repo::MapIndex::open(job.repository.store(), job.repository.id(), *job.parent);
    if (opened) {
        return opened;
    }
    if (opened.error().code() != Code::Corrupt && opened.error().code() != Code::NotFound) {
        return opened;
    }
    job.notes.push_back("Taking a full backup: the maps of backup '" + job.parent->manifest.backup +
                        "' are damaged: " + opened.error().message() +
                        ". 'lifeboat repo check' says more.");
    job.parent.reset();
    return previous;
}

Result<base::Timestamp> server_clock(Connection& session) {
    const QueryResult rows = TRY(session.query(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros"));
    const std::int64_t micros = TRY(rows.integer(0, "micros"));
    return base::from_unix_micros(micros);
}

}  // namespace

Result<std::string> hold_wal(Connection& session, base::Random& random) {
    std::string slot = new_slot_name(random);
    TRY(create_slot(session, slot, SlotLife::Temporary).during("reserving WAL for the backup"));
    return slot;
}

Result<repo::Manifest> take_backup(const PostgresConfig& config, engine::BackupJob& job,
                                   const engine::Context& context) {
    const ConnectOptions options{config.connection, config.password, "lifeboat backup",
                                 SessionKind::Sql, std::chrono::seconds(10)};
    Connection session = TRY(Connection::open(options, context.stop));
    const ServerFacts facts = TRY(gather_facts(session, context.clock));
    BackupDetails details = details_of(facts);
    const auto newest = TRY(refuse_foreign_parent(job, facts));
    TRY(refuse_left_timeline(session, job, config.system, facts, newest));
    if (job.full) {
        job.parent.reset();
    }
    const Reader reader = TRY(choose_reader(config, context, facts, session, details, job.notes));
    const std::unique_ptr<repo::MapIndex> previous = TRY(open_previous(job));
    const auto capture = TRY(repo::Capture::begin(
        job.repository, job.host, capture_request(job, config, context, previous.get()),
        context.random, context.stop, job.progress));
    BackupRun run{config, job, context, session, facts, *capture, details};
    TRY(reader == Reader::Directory ? read_directory(run) : read_wire(run));
    if (const auto damage = capture->previous_damage()) {
        job.notes.push_back(
            "The previous backup is damaged; what it could not be compared with was "
            "stored whole: " +
            damage->message() + ". 'lifeboat repo check' says more.");
    }
    // A point in time is told in the server's clock: a backup must not claim to have stopped before
    // what it holds.
    const base::Timestamp there = TRY(server_clock(session));
    return std::move(*capture).commit(std::max(there, context.clock.now()), details.to_json());
}

}  // namespace lifeboat::postgres

#include "postgres/backup.h"

#include <algorithm>
#include <array>

#include "postgres/internal/backup_source.h"
#include "postgres/pg_control.h"
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

std::string cluster_words(std::uint64_t identifier, int major) {
    return "cluster " + std::to_string(identifier) + " (PostgreSQL " + std::to_string(major) + ")";
}

// T18. A connection that leads elsewhere by mistake would make the wrong database the newest state
// of this system.
Result<> refuse_foreign_parent(const engine::BackupJob& job, const ServerFacts& facts) {
    if (!job.parent) {
        return {};
    }
    const repo::Manifest& newest = job.parent->manifest;
    const BackupDetails details = TRY(
        BackupDetails::from_json(newest.details).during("reading backup '" + newest.backup + "'"));
    const bool same =
        details.system_identifier == facts.system_identifier && details.major() == facts.major();
    if (!same) {
        return Error(Code::Conflict,
                     "the newest backup of this system, '" + newest.backup + "', is of " +
                         cluster_words(details.system_identifier, details.major()) +
                         "; the server is " + cluster_words(facts.system_identifier, facts.major()))
            .hint(
                "Correct 'connection', or give this server a system of its own in lifeboat.yaml: "
                "after an upgrade to a new major version too.");
    }
    return {};
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

enum class Reader { Directory, Wire };

// Reads the files where they are this server's and readable; asks the server otherwise, unless the
// configuration insists.
Result<Reader> choose_reader(const PostgresConfig& config, const engine::Context& context,
                             const ServerFacts& facts, BackupDetails& details,
                             std::vector<std::string>& notes) {
    if (config.read == PostgresConfig::Read::Wire) {
        return Reader::Wire;
    }
    if (!config.data_directory.empty()) {
        details.data_directory = config.data_directory;
    }
    Result<> readable = Error(Code::Denied, "the role may not see 'data_directory'");
    if (!details.data_directory.empty()) {
        readable = check_same_cluster(context.files, context.clock, details.data_directory, facts);
    }
    if (readable) {
        return Reader::Directory;
    }
    if (config.read == PostgresConfig::Read::Directory ||
        readable.error().code() == Code::Conflict) {
        return std::move(readable)
            .error()
            .during("reading the data directory")
            .hint(
                "Run lifeboat as the owner of the data directory, or set 'data_directory: none'.");
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
    if (previous != nullptr) {
        request.previous = previous;
        request.previous_manifest = &job.parent->manifest;
        request.rewrite = repo::plan_rewrites(*previous, job.parent->manifest, request.pack_expires,
                                              job.policy.rolling);
    }
    return request;
}

}  // namespace

Result<repo::Manifest> take_backup(const PostgresConfig& config, engine::BackupJob& job,
                                   const engine::Context& context) {
    const ConnectOptions options{config.connection, config.password, "lifeboat backup",
                                 SessionKind::Sql, std::chrono::seconds(10)};
    Connection session = TRY(Connection::open(options, context.stop));
    const ServerFacts facts = TRY(gather_facts(session, context.clock));
    BackupDetails details = details_of(facts);
    TRY(refuse_foreign_parent(job, facts));
    if (job.full) {
        job.parent.reset();
    }
    const Reader reader = TRY(choose_reader(config, context, facts, details, job.notes));

    std::unique_ptr<repo::MapIndex> previous;
    if (job.parent) {
        previous =
            TRY(repo::MapIndex::open(job.repository.store(), job.repository.id(), *job.parent));
    }
    const auto capture = TRY(repo::Capture::begin(
        job.repository, job.host, capture_request(job, config, context, previous.get()),
        context.random, context.stop, job.progress));
    BackupRun run{config, job, context, session, facts, *capture, details};
    TRY(reader == Reader::Directory ? read_directory(run) : read_wire(run));
    return std::move(*capture).commit(context.clock.now(), details.to_json());
}

}  // namespace lifeboat::postgres

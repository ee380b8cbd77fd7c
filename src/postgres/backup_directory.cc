#include "postgres/backup_session.h"
#include "postgres/backup_wal.h"
#include "postgres/directory_copy.h"
#include "postgres/internal/backup_source.h"
#include "postgres/pg_control.h"
#include "postgres/tablespace_proof.h"

// Reading a live cluster from its files. Order is everything (T1-T4, T10, T19):
//
//   pg_backup_start -> (temporary slot) -> list -> copy in parallel -> pg_control, untorn ->
//   pg_backup_stop -> WAL from start to stop
//
// The slot keeps that WAL on the server until we have it, whatever max_wal_size says.

namespace lifeboat::postgres {

using base::Bytes;
using base::Code;
using base::Error;
using base::join;

namespace {

constexpr auto kCheckpointLimit = std::chrono::hours(1);

Result<> add_directories(BackupRun& run, const DataDirectory& found) {
    for (const FoundDirectory& directory : found.directories) {
        repo::FileMap entry;
        entry.path = directory.path;
        entry.kind = repo::EntryKind::Directory;
        entry.mode = directory.mode;
        TRY(run.capture.add_entry(std::move(entry)));
    }
    return {};
}

// Configuration that lies elsewhere, as on Debian: without it the restored cluster would not start
// by itself.
Result<> add_outside_configuration(BackupRun& run) {
    for (const auto& file : {run.facts.config_file, run.facts.hba_file, run.facts.ident_file}) {
        if (!file || file->starts_with(run.details.data_directory + "/")) {
            continue;
        }
        auto contents = base::read_file(run.context.files, *file);
        if (!contents) {
            run.job.notes.push_back("Left out '" + *file + "': " + contents.error().message() +
                                    ".");
            continue;
        }
        repo::FileMap meta;
        meta.path = join(kConfigDirectory, base::file_name_of(*file));
        meta.mode = 0600;
        TRY(run.capture.add_small(0, std::move(meta), *contents));
        run.details.outside_files.push_back(*file);
    }
    return {};
}

Result<> copy_control(BackupRun& run) {
    const std::string path = join(run.details.data_directory, kControlFile);
    const ControlFile control = TRY(read_control(run.context.files, path, run.context.clock));
    repo::FileMap meta;
    meta.path = kControlFile;
    meta.mode = 0600;
    return run.capture.add_small(0, std::move(meta), control.bytes)
        .during("capturing the control file");
}

Error missing_segment(const std::string& name, Error error) {
    return std::move(error)
        .during("reading WAL segment '" + name + "', which the backup needs")
        .hint(
            "The server removed it during the backup: raise max_replication_slots so that a slot "
            "can hold it, or wal_keep_size.");
}

// The segments from start to stop, so that the backup stands on its own feet (T10).
Result<> copy_wal(BackupRun& run) {
    const SegmentSize size = run.facts.wal_segment;
    BackupWal wal(run.details);
    for (std::uint64_t number = size.number_at(run.details.start);
         number <= size.number_before(run.details.stop); ++number) {
        const std::string name = segment_name(run.details.timeline, number, size);
        const std::string path = join(join(run.details.data_directory, "pg_wal"), name);
        auto contents = base::read_file(run.context.files, path, size.bytes());
        if (!contents) {
            return missing_segment(name, std::move(contents).error());
        }
        if (contents->size() != size.bytes()) {
            return missing_segment(
                name,
                Error(Code::Corrupt, "it has " + std::to_string(contents->size()) + " bytes"));
        }
        TRY(wal.feed(size.start_of(number), *contents)
                .during("reading WAL segment '" + name + "'"));
        repo::FileMap meta;
        meta.path = join("pg_wal", name);
        meta.mode = 0600;
        TRY(run.capture.add_small(0, std::move(meta), *contents));
    }
    return wal.finish();
}

CopyRules copy_rules(const BackupRun& run) {
    return {run.facts.block_size, run.facts.blocks_per_segment,
            run.facts.data_checksums ? Checksums::On : Checksums::Off, run.details.start};
}

}  // namespace

Result<> read_directory(BackupRun& run) {
    const BackupStart start = TRY(start_backup(run.session, "lifeboat " + run.capture.backup_id(),
                                               CheckpointPace::Fast, kCheckpointLimit));
    run.details.start = start.lsn;
    run.details.timeline = start.timeline;
    run.details.from_standby = start.from_standby;
    TRY(hold_wal(run.session, run.context.random));

    DirectoryRules rules;
    rules.version_directory = run.details.version_directory;
    DataDirectory found =
        TRY(scan_data_directory(run.context.files, run.details.data_directory, rules));
    // Once more: what was mounted when the way to read was chosen may not be so now.
    TRY(prove_tablespaces(run.session, run.context.files, run.details.data_directory,
                          run.details.version_directory));
    run.job.progress.bytes_expected = found.bytes;
    run.details.tablespaces = found.tablespaces;
    run.job.notes.insert(run.job.notes.end(), found.notes.begin(), found.notes.end());
    TRY(add_directories(run, found));
    const std::size_t workers = std::max<std::size_t>(1, run.job.policy.workers);
    TRY(copy_files(run.context.files, run.context.clock, found.files, copy_rules(run), workers,
                   run.capture));
    TRY(add_outside_configuration(run));
    TRY(copy_control(run));  // T2: after everything else that it vouches for

    const BackupStop stop = TRY(stop_backup(run.session, start));
    run.details.stop = stop.lsn;
    run.details.backup_label = stop.backup_label;
    run.details.tablespace_map = stop.tablespace_map;
    run.details.timeline = stop.timeline;
    return copy_wal(run);
}

}  // namespace lifeboat::postgres

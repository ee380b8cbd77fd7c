#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/data_engine.h"
#include "postgres/backup_details.h"
#include "postgres/recovery_target.h"
#include "postgres/timeline.h"
#include "postgres/wal_body.h"
#include "postgres/wal_summary.h"
#include "repo/repository.h"

namespace lifeboat::postgres {

// A timeline's history file, as it must be given to a server.
struct StoredHistoryFile {
    TimelineId timeline = 0;
    base::Bytes contents;
};

// A captured configuration file that lay outside of the data directory.
struct OutsideFile {
    std::string name;      // "postgresql.conf"
    std::string original;  // where it was; empty when that is not known
    std::string contents;
};

// How far recovery goes, as a server is told.
struct RecoveryStop {
    bool immediate = false;  // at the first consistent moment
    // The last record that is applied. Not set when immediate, but for a standby's backup.
    RecordSpan record;
};

// What plan_recovery decided, for landing(), the feeder and start(). Immutable.
struct PostgresPlan final : engine::EnginePart {
    std::string system;
    std::string backup;
    std::string repository;  // where it lies, for people
    repo::Id128 repository_id{};
    BackupDetails details;
    // From details.start to the last byte that recovery needs. That lies before `end` where a
    // switch of segments is the last record and the padding behind it was not captured.
    std::vector<TimelineSpan> way;
    Lsn end;  // of recovery, as the server sees it
    RecoveryStop stop;
    std::optional<CommitPoint>
        last_commit;      // the newest one that will be there, if it lies behind the backup's end
    Parameters minimums;  // the largest that any server on the way had (T24)
    std::vector<TablespaceMade> tablespaces;  // that the WAL to be replayed creates, each path once
    std::vector<StoredHistoryFile> histories;  // every one that is in the repository
    std::vector<OutsideFile> outside;
    bool needs_configuration =
        false;  // nothing named postgresql.conf was captured in the data directory

    TimelineId timeline() const { return way.back().timeline; }

    bool knows_history(TimelineId timeline) const;
};

// The plan of ours inside an engine-neutral one. Bug when it is another engine's.
Result<std::shared_ptr<const PostgresPlan>> postgres_plan(const engine::RecoveryPlan& plan);

// See DataEngine::plan_restore. Reads the repository, writes nothing.
//
// Which backup: the named one, or the newest whose end lies at or before the target and from which
// the target can be reached (T23). Which timeline: the one asked for, as a number; else the newest
// that descends from the backup's, and the backup's own for Immediate. Every byte from the backup's
// end to the target is in the repository, under labels that are signed and of this cluster (T18);
// what lies before is in the backup itself. Where that is not so: NotFound or Refused, naming the
// nearest points that can be reached.
Result<engine::RecoveryPlan> plan_recovery(std::string_view system, repo::Repository& repository,
                                           repo::ReaderKeys& keys,
                                           const engine::RecoveryRequest& request,
                                           const engine::Context& context);

}  // namespace lifeboat::postgres

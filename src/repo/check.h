#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/stop.h"
#include "base/time.h"
#include "repo/names.h"
#include "repo/repository.h"

namespace lifeboat::repo {

// `repo check`: what a repository has lost, and what that costs. It only reads. Damage never makes
// it fail, whatever form it takes; it fails when the store cannot be listed, on a stop, and on Bug
// or InvalidInput of its caller.
//
// Three levels, each holding the one before:
//   Names    one LIST, and the manifests: presence and sizes of all that they name
//   Objects  every object is read: SHA-256 against the manifests, CRC-32C and signatures elsewhere.
//   No keys Data     every frame is decrypted and expanded, with an identity
// Keys are welcome at every level: whoever can open a manifest (its host, or an identity) learns
// which paths and pages a loss costs, and pinned signers are enforced. With an identity damaged
// packs are tried frame by frame, so the cost is exact.
enum class CheckLevel { Names, Objects, Data };

struct CheckOptions {
    CheckLevel level = CheckLevel::Names;
    std::size_t workers = 2;           // each holds one object in memory
    std::vector<std::string> systems;  // empty: all, and what belongs to none
};

struct CheckProgress {
    std::uint64_t objects_done = 0;
    std::uint64_t objects_total = 0;
    std::uint64_t bytes_done = 0;
    std::uint64_t bytes_total = 0;
};

using CheckWatcher = std::function<void(const CheckProgress&)>;

struct ObjectFinding {
    std::string name;
    std::uint64_t size = 0;  // as it should be when it is missing
    std::string why;
};

struct PageRange {
    std::uint64_t first = 0;
    std::uint64_t last = 0;  // included
    bool operator==(const PageRange&) const = default;
};

struct LostFile {
    std::string path;
    std::uint64_t pages = 0;  // that it has
    std::vector<PageRange> lost;
};

enum class BackupState {
    Whole,     // all of it can be restored, as far as this level can tell
    Degraded,  // some of it cannot
    Unknown,   // something could not be looked at; neither of the above is proven
};

struct BackupCheck {
    ManifestName name;
    BackupState state = BackupState::Whole;
    std::vector<std::string> missing;  // objects that it needs
    std::vector<std::string> damaged;
    std::vector<std::string> unread;
    std::string fatal;         // why nothing of it can be restored; empty when that is not so
    bool paths_known = false;  // its maps were read: `files` and `lost` are complete
    bool exact =
        true;  // false: `lost` is what may be lost, since no frame of the damaged packs was tried
    std::uint64_t files = 0;
    std::vector<LostFile> lost;
    std::vector<std::string> warnings;  // rules that it breaks without a loss today
};

enum class StreamLossKind {
    Recorded,  // a gap object says so
    Hole,      // between two ranges, and nothing says why
    Damaged,   // the only objects that held it are damaged
    Unread,    // the only objects that hold it could not be looked at
};

struct StreamLoss {
    StreamRange range;
    StreamLossKind kind = StreamLossKind::Hole;
    bool operator==(const StreamLoss&) const = default;
};

struct StreamCheck {
    std::string system;
    std::vector<StreamRange> held;   // by objects that are whole; maximal, ascending
    std::vector<StreamLoss> lost;    // ascending
    std::vector<StreamRange> twice;  // held by more than one object: no harm, some bytes
};

struct CheckReport {
    CheckLevel level = CheckLevel::Names;
    base::Timestamp at;  // by the store's clock
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;
    std::uint64_t plain_bytes = 0;  // that were decrypted and expanded
    std::vector<ObjectFinding> missing;
    std::vector<ObjectFinding> damaged;
    std::vector<ObjectFinding> unread;  // could not be looked at: not known to be damaged
    std::vector<ObjectFinding>
        unreferenced;  // packs that no committed backup names: of one that runs, or never ended
    std::vector<ObjectFinding> expired;  // may be deleted
    std::vector<ObjectFinding> foreign;  // not named as lifeboat names
    bool references_known =
        true;  // false: a manifest could not be read, so `unreferenced` may be needed by it
    std::vector<BackupCheck> backups;  // those that have not expired, by system and time
    std::vector<StreamCheck> streams;

    // Nothing is missing, damaged or unread, every backup is whole, and no stream has lost anything
    // that was not recorded at the time.
    bool is_healthy() const;
};

// `keys` may be null. `watch` may be empty; it is called from worker threads, one call at a time.
// Denied when level is Data and `keys` has no identity. Threads: may run beside writers; a backup
// that is committed meanwhile is either checked or not seen.
Result<CheckReport> check_repository(Repository& repository, ReaderKeys* keys,
                                     const CheckOptions& options, const CheckWatcher& watch,
                                     const base::StopToken& stop);

// The report in sentences, worst first, one to a line: "backup 20260123T020000Z-7f3a of prod cannot
// restore base/16384/2619 (pages 12-15); its other 1,022 files are whole". Never empty.
std::vector<std::string> describe(const CheckReport& report);

}  // namespace lifeboat::repo

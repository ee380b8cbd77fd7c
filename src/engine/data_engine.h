#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "base/stop.h"
#include "base/time.h"
#include "repo/capture.h"
#include "repo/keyring.h"
#include "repo/manifest.h"
#include "repo/repository.h"

namespace lifeboat::engine {

using base::Result;

// Code that knows one kind of system. The service layer, restore and drills speak to systems
// through this and never name a database.

// The world and the wheels, passed to every long operation. All references outlive the call.
struct Context {
    base::Files& files;
    base::Clock& clock;
    base::Random& random;
    const base::StopToken& stop;
};

struct BackupPolicy {
    std::chrono::days retention{30};
    std::chrono::days rolling{28};
    std::size_t workers = 2;
    int compression = 2;
};

struct BackupJob {
    repo::Repository& repository;
    const repo::HostKeys& host;
    BackupPolicy policy;
    // The newest backup of this system, whose unchanged pages may be referenced; nothing when there
    // is none that can be read. Conflict when it is of another cluster or major version: a recovery
    // must never find two databases under one name.
    std::optional<repo::OpenedManifest> parent;
    repo::CaptureProgress& progress;
    std::vector<std::string>& notes;  // sentences for the person: what was decided and why
    bool full = false;                // reference nothing of the parent
    std::optional<base::Timestamp> newest = {};  // when the newest backup stopped that can be
                                                 // read, used as a parent or not
};

// ---- The moment to recover to
// --------------------------------------------------------------------------------------

struct Latest {};  // everything that was captured

struct Immediate {};  // the end of the chosen backup, nothing more

struct AtTime {
    base::Timestamp time;
};  // all that was committed at or before it

struct AtTransaction {
    std::uint64_t xid = 0;
};  // up to and including it

struct BeforeTransaction {
    std::uint64_t xid = 0;
};  // up to, and without it

struct AtPosition {
    std::string text;
};  // the engine's own coordinate, as people write it: an LSN, an offset

struct AtName {
    std::string name;
};  // a named restore point

using Target =
    std::variant<Latest, Immediate, AtTime, AtTransaction, BeforeTransaction, AtPosition, AtName>;

struct RecoveryRequest {
    Target target;
    std::string
        backup;  // id, or empty: the engine picks the newest one from which the target is reachable
    std::optional<std::uint32_t> timeline;  // nothing: the newest that descends from the backup's
};

// A target resolved to one absolute point (P6), with every byte that the way there needs proven to
// be in the repository. Made before anything is written. `sentences` tell a person what will
// happen. The engine keeps what it needs for the later steps in `engine_part`.
struct EnginePart {
    virtual ~EnginePart() = default;
};

struct RecoveryPlan {
    repo::OpenedManifest backup;
    std::string
        point;  // "0/5A3F2C8 on timeline 1, after commit of 7431 at 2026-01-23 14:00:00.123 UTC"
    std::optional<base::Timestamp> point_time;  // newest committed moment that will be there;
                                                // nothing when the engine cannot tell
    base::Json details = base::Json::object();
    std::vector<std::string> sentences;
    std::shared_ptr<const EnginePart> engine_part;  // shared: the plan is copied into reports
};

// A file that the engine wants in the restored tree beside what was captured, or instead of it.
struct ExtraFile {
    std::string path;  // relative to the target
    base::Bytes contents;
    std::uint32_t mode = 0600;
    bool append = false;  // to the captured file's contents
};

// A file of the finished tree.
struct LandedFile {
    std::string path;
    std::uint64_t size = 0;
    base::Timestamp modified;
    std::uint32_t crc = 0;  // CRC-32C
};

// A directory outside of the tree, reached through a symbolic link in it: a tablespace. Others may
// keep things in it beside ours.
struct LandingLink {
    std::string path;  // in the tree
    std::string to;    // absolute
    std::string own;   // the one name in `to` that belongs to the tree; empty: all of it does
};

// What a restored tree looks like to the restore room.
struct Landing {
    std::vector<ExtraFile> extra;
    std::vector<std::string> directories;  // must exist although nothing was captured in them
    std::string last;  // the path that lands after everything else is durable (P5); empty: none
    std::vector<LandingLink> links;    // created before their contents
    std::uint64_t recovery_bytes = 0;  // that the system will need there besides, to recover
    std::string pid_file;  // its first line is the pid of a server at work in the tree; empty: none
    // Made from what landed, and written just before `last`: a listing in the system's own format.
    // May be empty.
    std::function<Result<ExtraFile>(const std::vector<LandedFile>&)> listing;
};

// Moments that can be recovered, without a hole between the first and the last.
struct Window {
    std::string from;  // the engine's coordinate
    std::string to;
    std::optional<base::Timestamp> from_time;  // nothing when the engine cannot tell
    std::optional<base::Timestamp> to_time;
    std::string note;    // "timeline 2", "ends at a gap: ..."
    std::string branch;  // the history on which it ends, as positions name it: "timeline 2"
};

struct LandingRequest {
    std::string target;  // absolute directory
    std::vector<std::pair<std::string, std::string>>
        remap;                  // old absolute directory -> new one (tablespaces)
    std::string fetch_command;  // how the server asks for stream bytes: program and arguments,
                                // quoted for a shell
};

struct StartRequest {
    std::string target;
    std::string owner;          // user that runs the server; empty: the owner of the target
    std::string bin_directory;  // empty: found by version
    int port = 0;               // 0: a free one below 32768 on loopback or a socket only
    bool isolated =
        true;  // no archiving, no listening beyond loopback, no jobs that reach outside (T25)
    base::Duration limit = std::chrono::hours(24);
    std::vector<std::string> validate;  // queries; each must succeed
    bool check_pages = false;           // checksums of every page
    bool check_structure = false;       // pg_amcheck and visibility
};

struct StartReport {
    bool reached = false;  // recovery ended at the planned point, and the server accepts writes
    std::string point;     // where it ended
    base::Duration to_consistent{};
    base::Duration to_open{};
    int pid = 0;
    std::string connection;                                    // conninfo for people
    std::vector<std::pair<std::string, std::string>> answers;  // query -> first row
    std::vector<std::string> findings;                         // empty: all checks passed
    bool stopped = false;  // a stop was requested during the checks: those that are not here were
                           // not made
};

// ---- Continuous capture
// ------------------------------------------------------------------------------------------

struct StreamState {       // a snapshot, for status lines and status files
    std::string phase;     // "connecting", "streaming", "waiting", "stopped", ...
    std::string position;  // last byte that is durable in the repository, as the engine writes it
    // The latest moment of the server's clock of which is known that all that was durable then lies
    // before that byte; nothing when nobody can tell.
    std::optional<base::Timestamp> captured;
    std::uint64_t lag_bytes = 0;  // sent by the server and not yet durable in the repository
    std::uint64_t spool_bytes = 0;
    std::uint64_t reconnects = 0;
    std::uint64_t gaps = 0;
    std::string trouble;  // empty: all is well
    base::Timestamp updated;
};

// A backup that a stream needs.
struct BaseNeed {
    std::string reason;
    std::function<bool(const repo::Manifest&)> met_by;  // one that begins where the hole has ended
};

struct StreamJob {
    repo::Repository& repository;
    const repo::HostKeys& host;
    std::chrono::days retention{7};
    std::string spool;  // directory of its own
    std::uint64_t spool_limit = 8 * base::kGiB;
    base::Duration interval = std::chrono::milliseconds(500);
    bool acknowledge_repository = true;  // acknowledge upstream once durable in the repository;
                                         // false: once fsynced in the spool
    std::function<void(const StreamState&)>
        report;  // from the stream's thread, at least every second
    // The stream has a hole: a new backup must anchor it. Returns at once; the stream goes on.
    std::function<void(BaseNeed)> need_base;
    // Asks nothing of the system, which may be gone for ever: what an earlier run captured and had
    // not stored yet goes to the repository, and that is all.
    bool drain = false;
};

// ---- What would hurt later
// ------------------------------------------------------------------------------------------

enum class Severity { Info, Warn, Error };

std::string_view name(Severity severity);  // "info", "warn", "error"

// One thing that a person should know of, and what to do about it.
struct Finding {
    Severity severity = Severity::Info;
    std::string subject;  // what it is about: "wal_level", "slot 'lifeboat_main'"
    std::string what;     // a sentence: what is so, and what it will cost
    std::string remedy;   // the line to type, or a sentence; empty when there is nothing to do
};

// Worst first; those of one severity keep their order.
void sort_findings(std::vector<Finding>& findings);

// A system that was found on this machine, and how to reach it.
struct Discovered {
    std::string connection;      // as the configuration has it
    std::string about;           // for people: "PostgreSQL 15.4 at /run/postgresql:5432, 1.2 GiB"
    std::string data_directory;  // as the configuration has it: "auto", or "none" where we cannot
                                 // read the files
    std::vector<std::string> others;  // what else answered, likewise for people
};

class DataEngine {
  public:
    virtual ~DataEngine() = default;
    virtual std::string_view name() const = 0;  // "postgres"

    // Takes a backup. On any failure, and on a stop, no manifest exists.
    virtual Result<repo::Manifest> backup(BackupJob& job, const Context& context) = 0;

    // Stores one file of the stream that the system itself hands over, the other way in
    // (archive_command). Returns once it is durable. Only `repository`, `host`, `retention` and
    // `spool` of the job count.
    virtual Result<> push(StreamJob& job, const std::string& path, const Context& context) = 0;

    // Serves stream bytes to a system that recovers in `target`, until it has recovered: for one
    // that a person starts after a restore.
    virtual Result<> feed(repo::Repository& repository, repo::ReaderKeys& keys,
                          const std::string& target, const Context& context) = 0;

    // Captures until a stop is requested; reconnects for ever. Returns an error only for what
    // waiting cannot cure. With job.drain: returns once all is durable in the repository; NotFound
    // when nothing was ever captured here, Cancelled when it was stopped before.
    virtual Result<> stream(StreamJob& job, const Context& context) = 0;

    // Resolves the target and proves it reachable. NotFound / Refused name the nearest point that
    // is.
    virtual Result<RecoveryPlan> plan_restore(repo::Repository& repository, repo::ReaderKeys& keys,
                                              const RecoveryRequest& request,
                                              const Context& context) = 0;
    virtual Result<Landing> landing(const RecoveryPlan& plan, const LandingRequest& request) = 0;

    // The windows of the system, oldest first, with what the host itself can open: no identity is
    // needed.
    virtual Result<std::vector<Window>> windows(repo::Repository& repository,
                                                repo::ReaderKeys& keys, const Context& context) = 0;

    // True when the window holds `position`, as a StreamState names it.
    virtual bool reaches(const Window& window, const std::string& position) const = 0;

    // Starts the restored system, feeds it, waits until the point is reached, validates. The server
    // is left running; its pid is in the report.
    virtual Result<StartReport> start(repo::Repository& repository, repo::ReaderKeys& keys,
                                      const RecoveryPlan& plan, const StartRequest& request,
                                      const Context& context) = 0;

    // Looks at the system for what would hurt later, worst first. Changes nothing there. What it
    // may not see is a finding too; a system that does not answer is an error.
    virtual Result<std::vector<Finding>> diagnose(const Context& context) = 0;
};

}  // namespace lifeboat::engine

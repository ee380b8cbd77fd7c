#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/stop.h"
#include "crypto/fingerprint.h"
#include "policy/expiry.h"
#include "repo/file_map.h"
#include "repo/manifest.h"
#include "repo/map_index.h"
#include "repo/repository.h"
#include "repo/uploader.h"

namespace lifeboat::repo {

// Writes one backup: pages -> frames -> packs -> store -> maps -> manifest. Whoever reads the
// system feeds it (the engines); it decides what is stored and what an earlier backup already has.
//
// Invariants: no manifest before every object that it names is durable (P2); it references no pack
// that expires before it does (W1); an unchanged page is one whose keyed fingerprint and length are
// equal. Dropping a Capture leaves unreferenced packs, which expire by name.

inline constexpr std::size_t kChunkSize =
    128 * kPageSize;  // 1 MiB: the unit in which engines hand pages over

struct CaptureRequest {
    std::string system;
    std::string engine;
    base::Timestamp start;
    policy::ExpiryDay manifest_expires;
    policy::ExpiryDay pack_expires;
    int compression = 2;    // zstd level of page frames
    std::size_t lanes = 2;  // threads that will feed pages
    std::uint64_t pack_target = 32 * base::kMiB;
    MapIndex* previous =
        nullptr;  // the backup whose unchanged pages may be referenced; null: a full backup
    const Manifest* previous_manifest = nullptr;
    std::set<std::string> rewrite;  // paths stored anew although unchanged (rolling full)
    // When the newest backup of the system stopped. The new one stops a second later at least:
    // names tell the order of backups, in whole seconds, and the newest is whose name sorts last.
    std::optional<base::Timestamp> newest{};
};

struct CaptureProgress {  // read from any thread at any time
    std::atomic<std::uint64_t> bytes_read = 0;
    std::atomic<std::uint64_t> bytes_changed = 0;
    std::atomic<std::uint64_t> files_done = 0;
    std::atomic<std::uint64_t> bytes_expected = 0;
    std::atomic<std::uint64_t> bytes_stored = 0;
};

// One regular file on its way in. Made by Capture::add; chunks may arrive in any order from any
// lane.
class FileCapture;

class Capture {
  public:
    // All references, and what the request points to, must outlive the capture.
    static Result<std::unique_ptr<Capture>> begin(Repository& repository, const HostKeys& host,
                                                  CaptureRequest request, base::Random& random,
                                                  const base::StopToken& stop,
                                                  CaptureProgress& progress);
    ~Capture();

    const std::string& backup_id() const { return backup_; }

    // A directory or symlink. Thread-safe.
    Result<> add_entry(FileMap entry);
    // A regular file of at most `size` bytes (its size when it was listed). Thread-safe.
    Result<std::shared_ptr<FileCapture>> add(
        FileMap meta, std::uint64_t size);  // shared: the lanes that carry its chunks

    // Takes the bytes of a file from `offset` (a multiple of kChunkSize) on; at most kChunkSize,
    // and less only at the end of the file. `lane` is below CaptureRequest::lanes and used by one
    // thread at a time.
    Result<> pages(std::size_t lane, FileCapture& file, std::uint64_t offset, BytesView bytes);
    // The file is as long as `size` says, all its bytes were given, and nothing more follows. Any
    // thread. Bug when bytes are missing, or the last chunk was longer: a file that shrank gives
    // its last chunk again, cut.
    Result<> finish_file(FileCapture& file, std::uint64_t size);
    // A whole small file at once.
    Result<> add_small(std::size_t lane, FileMap meta, BytesView contents);
    void report_damage(DamagedPage page);  // thread-safe
    // What could not be read of the previous backup, the first of it, if anything: the files that
    // it tells of are stored whole. Any thread.
    std::optional<base::Error> previous_damage();

    // Every lane at rest. Writes what is left, then the maps, then the manifest: after it returns,
    // the backup exists.
    Result<Manifest> commit(base::Timestamp stopped, base::Json details) &&;

  private:
    struct Lane;
    struct MapWriter;
    Capture(Repository& repository, const HostKeys& host, CaptureRequest request,
            std::span<const crypto::Recipient> recipients, base::Random& random,
            const base::StopToken& stop, CaptureProgress& progress);
    Result<> exclude_packs();
    void exclude_all_packs();
    Result<std::map<std::string, std::uint64_t>> packs_there() const;
    bool usable(const PackRef& pack, const std::map<std::string, std::uint64_t>& there) const;
    Result<> recall(FileCapture& file);
    Result<> store_changed(Lane& lane, FileCapture& file, std::uint64_t first_page, BytesView bytes,
                           const std::vector<bool>& changed);
    Result<> store_run(Lane& lane, FileCapture& file, std::uint64_t page, BytesView run);
    Result<> add_pending(Lane& lane, FileCapture& file, std::uint64_t page, BytesView bytes);
    Result<> flush_pending(Lane& lane);
    Result<> ensure_pack(Lane& lane);
    Result<> roll_pack(Lane& lane);
    Result<> submit_pack(Lane& lane);
    void compare(Lane& lane, FileCapture& file, std::uint64_t first_page, BytesView bytes,
                 std::vector<bool>& changed);
    void mark_used(const std::vector<PageRun>& runs);
    Result<Manifest> manifest(base::Timestamp stopped, base::Json details);

    Repository& repository_;
    const HostKeys& host_;
    const CaptureRequest request_;
    base::Random& random_;
    const base::StopToken& stop_;
    CaptureProgress& progress_;
    const std::string backup_;
    const RepositoryKeys keys_;
    const Session session_;
    const std::vector<std::string> recipients_;  // of the session; ascending
    std::set<std::uint32_t>
        unusable_;  // packs of the previous backup that this one must not reference
    std::set<std::uint32_t> unusable_prints_;  // the same of its packs of fingerprints
    std::atomic<std::uint32_t> next_pack_;
    std::vector<std::unique_ptr<Lane>> lanes_;
    std::unique_ptr<MapWriter> maps_;
    base::Mutex mutex_;
    std::map<std::uint32_t, PackRef> written_ LB_GUARDED_BY(mutex_);
    std::set<std::uint32_t> used_ LB_GUARDED_BY(mutex_);
    std::vector<DamagedPage> damage_ LB_GUARDED_BY(mutex_);
    BackupCounts counts_ LB_GUARDED_BY(mutex_);
    std::optional<base::Error> previous_damage_ LB_GUARDED_BY(mutex_);
    std::unique_ptr<Uploader> uploader_;  // last: its threads call back into what stands above
};

}  // namespace lifeboat::repo

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "postgres/backup_details.h"
#include "postgres/recovery_plan.h"
#include "postgres/timeline.h"
#include "repo/repository.h"
#include "repo/stream.h"

namespace lifeboat::postgres {

// A backup that was opened.
struct Candidate {
    repo::OpenedManifest opened;
    BackupDetails details;
};

// Everything that a repository has of one system: backups, stream, histories. Loaded once for a
// plan; one thread.
class RecoveryCatalog {
  public:
    // NotFound when there is no backup. All references must outlive it.
    static Result<std::unique_ptr<RecoveryCatalog>> load(std::string_view system,
                                                         repo::Repository& repository,
                                                         const repo::ReaderKeys& keys);

    const std::string& system() const { return system_; }

    // Oldest first, from names alone.
    const std::vector<repo::ManifestName>& names() const { return names_; }

    const repo::StreamCatalog& stream() const { return stream_; }

    // Opens a manifest, once. Corrupt for one of another engine.
    Result<std::shared_ptr<const Candidate>> open(
        const repo::ManifestName& name);  // shared: the cache and whoever chose it

    // Opens the history files with what the hosts of the system know, and builds the tree. Cheap
    // when repeated.
    Result<> open_histories();
    // The newest timeline that goes on from `at` on `timeline`, and of which there is more than its
    // history; itself when none does.
    TimelineId newest_descendant(TimelineId timeline, Lsn at) const;

    const TimelineTree& tree() const { return tree_; }

    const std::vector<StoredHistoryFile>& histories() const { return histories_; }

    // Numbers that are taken although nobody can tell their history, each with a remark in place of
    // one.
    const std::vector<StoredHistoryFile>& reserved() const { return reserved_; }

    // Timelines that have WAL or a history here, and whose ancestors nobody can tell: their history
    // is missing, does not open, or contradicts another (T14).
    std::vector<TimelineId> orphans() const;

    // Map keys of every host whose backup was opened, newest first.
    const std::vector<base::Key256>& map_keys() const { return map_keys_; }

  private:
    RecoveryCatalog(std::string_view system, repo::Repository& repository,
                    const repo::ReaderKeys& keys)
        : system_(system), repository_(repository), keys_(keys) {}

    bool has_life(TimelineId timeline) const;
    void reserve_numbers(const std::set<TimelineId>& taken);
    void remember_key(const base::Key256& host_secret);
    Result<> open_history(const std::string& object);
    Result<std::optional<repo::StoredHistory>> open_with_known_keys(const std::string& object);
    Result<std::optional<repo::StoredHistory>> open_with_any_key(const std::string& object);
    bool is_told(TimelineId timeline) const;

    const std::string system_;
    repo::Repository& repository_;
    const repo::ReaderKeys& keys_;
    std::vector<repo::ManifestName> names_;
    repo::StreamCatalog stream_;
    std::map<std::string, std::shared_ptr<const Candidate>>
        open_;  // by backup id; shared: see open()
    std::vector<base::Key256> map_keys_;
    TimelineTree tree_;
    std::vector<StoredHistoryFile> histories_;
    std::vector<StoredHistoryFile> reserved_;
    std::set<TimelineId> closed_;  // with an object that does not open
    std::vector<TimelineId> unreadable_;
    bool histories_opened_ = false;
};

}  // namespace lifeboat::postgres

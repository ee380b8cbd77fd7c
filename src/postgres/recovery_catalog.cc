#include "postgres/recovery_catalog.h"

#include <algorithm>
#include <set>

namespace lifeboat::postgres {

Result<std::unique_ptr<RecoveryCatalog>> RecoveryCatalog::load(std::string_view system,
                                                               repo::Repository& repository,
                                                               const repo::ReaderKeys& keys) {
    std::unique_ptr<RecoveryCatalog> catalog(new RecoveryCatalog(system, repository, keys));
    catalog->names_ = TRY(repository.backups(system));
    if (catalog->names_.empty()) {
        return Error(Code::NotFound, "there is no backup of '" + std::string(system) + "' in " +
                                         repository.store().describe())
            .hint("Run 'lifeboat list' to see what is there, and 'lifeboat backup " +
                  std::string(system) + "' to take one.");
    }
    catalog->stream_ = TRY(repo::StreamCatalog::load(repository, system));
    if (keys.own_secret()) {
        catalog->remember_key(*keys.own_secret());
    }
    return catalog;
}

void RecoveryCatalog::remember_key(const base::Key256& host_secret) {
    const base::Key256 key = repo::RepositoryKeys::derive(host_secret, repository_.id()).map;
    const auto same = [&](const base::Key256& known) {
        return base::equal_constant_time(known.reveal(), key.reveal());
    };
    if (std::none_of(map_keys_.begin(), map_keys_.end(), same)) {
        map_keys_.push_back(key);
    }
}

Result<std::shared_ptr<const Candidate>> RecoveryCatalog::open(const repo::ManifestName& name) {
    const auto known = open_.find(name.backup);
    if (known != open_.end()) {
        return known->second;
    }
    auto candidate = std::make_shared<Candidate>();
    candidate->opened = TRY(repository_.load(name, keys_));
    if (candidate->opened.manifest.engine != "postgres") {
        return Error(Code::Corrupt, "backup '" + name.backup + "' was made by the engine '" +
                                        candidate->opened.manifest.engine + "', not by postgres");
    }
    candidate->details = TRY(BackupDetails::from_json(candidate->opened.manifest.details)
                                 .during("reading the details of backup '" + name.backup + "'"));
    remember_key(candidate->opened.host_secret);
    open_[name.backup] = candidate;
    return std::shared_ptr<const Candidate>(candidate);
}

// Nothing when no known key fits; other failures mean that nobody can tell.
Result<std::optional<repo::StoredHistory>> RecoveryCatalog::open_with_known_keys(
    const std::string& object) {
    for (const base::Key256& key : map_keys_) {
        auto history = repo::read_history(repository_, object, key);
        if (history) {
            return std::optional(std::move(*history));
        }
        if (history.error().code() != Code::Corrupt && history.error().code() != Code::Denied) {
            return std::move(history).error();
        }
    }
    return std::optional<repo::StoredHistory>();
}

// Another host may have written it: its key is in its own backups' manifests.
Result<std::optional<repo::StoredHistory>> RecoveryCatalog::open_with_any_key(
    const std::string& object) {
    auto history = TRY(open_with_known_keys(object));
    std::size_t tried = map_keys_.size();
    for (auto name = names_.rbegin(); name != names_.rend() && !history; ++name) {
        const auto opened = open(*name);
        if (opened && map_keys_.size() > tried) {
            tried = map_keys_.size();
            history = TRY(open_with_known_keys(object));
        }
    }
    return history;
}

Result<> RecoveryCatalog::open_history(const std::string& object) {
    const TimelineId timeline = TRY(repo::history_timeline(object));
    auto stored = TRY(open_with_any_key(object));
    if (!stored) {
        closed_.insert(timeline);
        return {};
    }
    const TimelineHistory parsed = TRY(parse_history(timeline, base::text(stored->contents)));
    if (!tree_.add(parsed)) {
        // Two servers began the same timeline, or one is of a cluster that bore this name before:
        // neither is to be guessed.
        unreadable_.push_back(timeline);
        std::erase_if(histories_,
                      [&](const StoredHistoryFile& known) { return known.timeline == timeline; });
        return {};
    }
    const bool one =
        std::find(unreadable_.begin(), unreadable_.end(), timeline) == unreadable_.end();
    if (one && !is_told(timeline)) {
        histories_.push_back({timeline, std::move(stored->contents)});
    }
    return {};
}

bool RecoveryCatalog::is_told(TimelineId timeline) const {
    return std::any_of(histories_.begin(), histories_.end(),
                       [&](const StoredHistoryFile& known) { return known.timeline == timeline; });
}

// An object that does not open matters only where no other tells the timeline's history.
Result<> RecoveryCatalog::open_histories() {
    if (histories_opened_) {
        return {};
    }
    histories_opened_ = true;
    for (const std::string& object : stream_.histories()) {
        TRY(open_history(object).during("reading the timeline histories of '" + system_ + "'"));
    }
    for (const TimelineId timeline : closed_) {
        if (!is_told(timeline)) {
            unreadable_.push_back(timeline);
        }
    }
    std::set<TimelineId> bare = {1};
    for (const TimelineId timeline : stream_.timelines()) {
        bare.insert(timeline);
    }
    for (const auto& [id, candidate] : open_) {
        bare.insert(candidate->details.timeline);
    }
    for (const TimelineId timeline : bare) {
        if (!tree_.knows(timeline)) {
            TRY(tree_.add({timeline, {}}));
        }
    }
    bare.insert(unreadable_.begin(), unreadable_.end());
    reserve_numbers(bare);
    return {};
}

// A server that ends recovery takes the first number without a history file, whatever is in that
// file. A number that has WAL here must not be taken again, although nobody can tell its history.
void RecoveryCatalog::reserve_numbers(const std::set<TimelineId>& taken) {
    for (const TimelineId timeline : taken) {
        if (timeline > 1 && !is_told(timeline)) {
            const std::string note = "# Timeline " + std::to_string(timeline) +
                                     " is taken: the repository has WAL of it, or more than one "
                                     "history, or one that it cannot read.\n";
            reserved_.push_back({timeline, {note.begin(), note.end()}});
        }
    }
}

// A history alone is of a server that was promoted and never captured: to follow it would end
// recovery where it began.
bool RecoveryCatalog::has_life(TimelineId timeline) const {
    const auto origin = tree_.origin(timeline);
    const auto ranges = stream_.ranges(timeline);
    const bool wal = !ranges.empty() && (!origin || ranges.back().to > origin->at.value);
    return wal || std::any_of(open_.begin(), open_.end(), [&](const auto& known) {
               return known.second->details.timeline == timeline;
           });
}

TimelineId RecoveryCatalog::newest_descendant(TimelineId timeline, Lsn at) const {
    const std::vector<TimelineId> known = tree_.timelines();
    for (auto newest = known.rbegin(); newest != known.rend() && *newest > timeline; ++newest) {
        const bool told =
            std::find(unreadable_.begin(), unreadable_.end(), *newest) == unreadable_.end();
        if (told && has_life(*newest) && tree_.path(timeline, at, *newest)) {
            return *newest;
        }
    }
    return timeline;
}

std::vector<TimelineId> RecoveryCatalog::orphans() const {
    std::set<TimelineId> out;
    for (const TimelineId timeline : tree_.timelines()) {
        if (timeline != 1 && !tree_.origin(timeline)) {
            out.insert(timeline);
        }
    }
    out.insert(unreadable_.begin(), unreadable_.end());
    return {out.begin(), out.end()};
}

}  // namespace lifeboat::postgres

#include "postgres/backup_branch.h"

#include <algorithm>

#include "postgres/timeline.h"
#include "repo/stream.h"

// Tested by tests/e2e/recovery_branch_test.cc.

namespace lifeboat::postgres {

using base::Code;
using base::Error;

namespace {

constexpr std::uint64_t kSegmentsUnderway = 2;  // written by a server, and not in the stream yet

Error left_behind(TimelineId own, TimelineId other, const std::string& why) {
    return Error(Code::Conflict, "the server is on timeline " + std::to_string(own) +
                                     ", and this system went on as timeline " +
                                     std::to_string(other) + ": " + why)
        .hint(
            "An old primary that came back after a failover is not to be backed up: 'connection' "
            "should lead to the new one. If this server is the one that goes on, give it a system "
            "of its own in lifeboat.yaml.");
}

Result<Lsn> position_of(Connection& session) {
    const QueryResult rows =
        TRY(session.query("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
                          "ELSE pg_current_wal_lsn() END AS at"));
    const std::string text = TRY(rows.text(0, "at"));
    return parse_lsn(text);
}

// What the host and the newest backup's host wrote opens; what others wrote is passed over.
Result<TimelineTree> known_timelines(const engine::BackupJob& job,
                                     const repo::StreamCatalog& catalog) {
    std::vector<base::Key256> keys;
    const repo::Id128 id = job.repository.id();
    keys.push_back(repo::RepositoryKeys::derive(job.host.secret, id).map);
    if (job.parent) {
        keys.push_back(repo::RepositoryKeys::derive(job.parent->host_secret, id).map);
    }
    TimelineTree tree;
    for (const std::string& object : catalog.histories()) {
        const TimelineId timeline = TRY(repo::history_timeline(object));
        for (const base::Key256& key : keys) {
            const auto stored = repo::read_history(job.repository, object, key);
            const auto parsed =
                stored ? parse_history(timeline, base::text(stored->contents))
                       : Result<TimelineHistory>(Error(Code::Denied, "another host wrote it"));
            if (parsed) {
                tree.add(*parsed).discard("of two that contradict each other one is enough here");
                break;
            }
        }
    }
    return tree;
}

// When the last bytes behind `from` were captured; nothing when there are none.
Result<std::optional<base::Timestamp>> captured_behind(repo::Repository& repository,
                                                       const repo::StreamCatalog& catalog,
                                                       TimelineId timeline, Lsn from) {
    const repo::StreamCatalog::Entry* last = nullptr;
    for (const auto& entry : catalog.entries()) {
        const repo::StreamRange& range = entry.name.range;
        if (range.timeline == timeline && range.to > from.value &&
            (last == nullptr || range.to > last->name.range.to)) {
            last = &entry;
        }
    }
    if (last == nullptr) {
        return std::optional<base::Timestamp>();
    }
    const auto header =
        TRY(repo::read_pack_header(repository.store(), last->name.text(), last->size));
    const auto label = TRY(repo::label_of(header));
    return std::optional(label.captured);
}

}  // namespace

Result<> refuse_left_timeline(Connection& session, const engine::BackupJob& job,
                              const std::string& system, const ServerFacts& facts,
                              const std::optional<BackupDetails>& newest) {
    const TimelineId own = facts.timeline;
    if (newest && newest->timeline > own) {
        return left_behind(own, newest->timeline,
                           "the newest backup, '" + job.parent->manifest.backup + "', is of that");
    }
    const repo::StreamCatalog catalog =
        TRY(repo::StreamCatalog::load(job.repository, system).during("looking at the stream"));
    const TimelineTree tree = TRY(known_timelines(job, catalog));
    const Lsn at = TRY(position_of(session));
    for (const TimelineId other : tree.timelines()) {
        const auto left = tree.departure(own, other);
        if (other == own || !left || !left->is_set() || at <= *left) {
            continue;
        }
        const std::uint64_t here = catalog.covered_to(own, left->value);
        if (here + kSegmentsUnderway * facts.wal_segment.bytes() >= at.value) {
            continue;  // the stream is this server's
        }
        const auto lived_there =
            TRY(captured_behind(job.repository, catalog, other, tree.origin(other)->at));
        const auto lived_here = TRY(captured_behind(job.repository, catalog, own, *left));
        if (lived_there && (!lived_here || *lived_there > *lived_here)) {
            return left_behind(own, other,
                               "it left there at " + format_lsn(*left) + ", was captured until " +
                                   base::human_time(*lived_there) + ", and the server is at " +
                                   format_lsn(at));
        }
    }
    return {};
}

}  // namespace lifeboat::postgres

#include "postgres/recovery_branches.h"

#include <algorithm>

#include "postgres/wal_body.h"

// Tested by recovery_branches_test.cc and tests/e2e/recovery_branch_test.cc.

namespace lifeboat::postgres {

namespace {

using Entry = repo::StreamCatalog::Entry;

constexpr std::size_t kNewestBackups = 4;  // older ones tell nothing that a stream does not
// How long after a promotion elsewhere an old primary may be at work and count as dead.
constexpr auto kLongFarewell = std::chrono::minutes(5);
constexpr std::uint64_t kLead = 256 * base::kKiB;

void add_sign(std::optional<Branch>& branch, Lsn to, base::Timestamp alive) {
    if (!branch) {
        branch = Branch{};
    }
    branch->captured_to = std::max(branch->captured_to, to);
    branch->alive = std::max(branch->alive, alive);
}

// The objects of `timeline` that hold bytes behind `from`, the farthest first.
std::vector<const Entry*> entries_behind(const repo::StreamCatalog& catalog, TimelineId timeline,
                                         Lsn from) {
    std::vector<const Entry*> out;
    for (const Entry& entry : catalog.entries()) {
        if (entry.name.range.timeline == timeline && entry.name.range.to > from.value) {
            out.push_back(&entry);
        }
    }
    std::sort(out.begin(), out.end(),
              [](const Entry* a, const Entry* b) { return a->name.range.to > b->name.range.to; });
    return out;
}

class BranchFinder {
  public:
    BranchFinder(RecoveryCatalog& catalog, repo::Repository& repository,
                 const repo::ReaderKeys& keys, const BackupDetails& details)
        : catalog_(catalog), repository_(repository), keys_(keys), details_(details) {}

    Result<std::optional<Branch>> look(TimelineId timeline, TimelineId followed) {
        const TimelineTree& tree = catalog_.tree();
        const auto parted = parting(tree, timeline, followed);
        std::optional<Branch> branch;
        if (!parted) {
            return branch;
        }
        const auto origin = tree.origin(timeline);
        const Lsn own = origin ? std::max(*parted, origin->at) : *parted;
        TRY(look_at_wal(timeline, own, branch));
        look_at_backups(timeline, own, branch);
        if (branch) {
            branch->timeline = timeline;
            branch->parted = *parted;
            branch->younger = tree.is_ancestor(followed, timeline);
        }
        return branch;
    }

  private:
    // Only what was captured of this very cluster is a sign of its life.
    Result<> look_at_wal(TimelineId timeline, Lsn own, std::optional<Branch>& branch) {
        for (const Entry* entry : entries_behind(catalog_.stream(), timeline, own)) {
            const auto label = repo::read_label(repository_, *entry, keys_);
            if (label && label->label.source == details_.system_identifier) {
                add_sign(branch, Lsn{entry->name.range.to}, label->label.captured);
                return {};
            }
            if (!label && (label.error().code() == Code::Unavailable ||
                           label.error().code() == Code::Cancelled)) {
                return label.error().clone();
            }
        }
        return {};
    }

    void look_at_backups(TimelineId timeline, Lsn own, std::optional<Branch>& branch) {
        const auto& names = catalog_.names();
        const std::size_t count = std::min(names.size(), kNewestBackups);
        for (auto name = names.end() - static_cast<std::ptrdiff_t>(count); name != names.end();
             ++name) {
            const auto opened = catalog_.open(*name);
            if (opened && (*opened)->details.timeline == timeline &&
                (*opened)->details.stop > own) {
                add_sign(branch, (*opened)->details.stop, (*opened)->opened.manifest.stop);
            }
        }
    }

    RecoveryCatalog& catalog_;
    repo::Repository& repository_;
    const repo::ReaderKeys& keys_;
    const BackupDetails& details_;
};

// Of the first record of a timeline: a server that ends recovery writes one or the other.
Result<std::optional<base::Timestamp>> time_of(const WalRecord& record) {
    if (is_operation(record, XlogOp::EndOfRecovery)) {
        const EndOfRecovery end = TRY(read_end_of_recovery(record));
        return std::optional(end.time);
    }
    if (is_operation(record, XlogOp::CheckpointShutdown)) {
        const auto checkpoint = TRY(read_checkpoint(record));
        return checkpoint.time;
    }
    return std::optional<base::Timestamp>();
}

}  // namespace

std::optional<Lsn> parting(const TimelineTree& tree, TimelineId a, TimelineId b) {
    const std::vector<TimelineId> known = tree.timelines();
    // Numbers rise along every way: the highest that both have passed is the last.
    for (auto common = known.rbegin(); common != known.rend(); ++common) {
        const auto left_to_a = tree.departure(*common, a);
        const auto left_to_b = tree.departure(*common, b);
        if (left_to_a && left_to_b) {
            const bool both = left_to_a->is_set() && left_to_b->is_set();
            return both ? std::min(*left_to_a, *left_to_b) : std::max(*left_to_a, *left_to_b);
        }
    }
    return std::nullopt;
}

Result<std::vector<Branch>> other_branches(RecoveryCatalog& catalog, repo::Repository& repository,
                                           const repo::ReaderKeys& keys,
                                           const BackupDetails& details, TimelineId followed) {
    const std::vector<TimelineId> orphans = catalog.orphans();
    BranchFinder finder(catalog, repository, keys, details);
    std::vector<Branch> out;
    for (const TimelineId timeline : catalog.tree().timelines()) {
        const bool orphan = std::find(orphans.begin(), orphans.end(), timeline) != orphans.end();
        if (timeline == followed || orphan) {
            continue;
        }
        const std::optional<Branch> branch = TRY(finder.look(timeline, followed));
        if (branch) {
            out.push_back(*branch);
        }
    }
    return out;
}

Result<std::optional<base::Timestamp>> promoted_at(const WalSurvey& survey, WayReader& reader,
                                                   Lsn fork) {
    const auto holder = std::find_if(survey.pieces.begin(), survey.pieces.end(),
                                     [&](const WalPiece& piece) { return fork < piece.to; });
    if (holder == survey.pieces.end()) {
        return std::optional<base::Timestamp>();
    }
    std::optional<base::Timestamp> time = holder->captured;
    const auto look = [&](const WalRecord& record) -> Result<WayReader::Next> {
        if (record.start < fork) {
            return WayReader::Next::Go;
        }
        const std::optional<base::Timestamp> own = TRY(time_of(record));
        time = own ? own : time;
        return WayReader::Next::Enough;
    };
    const auto index = static_cast<std::size_t>(holder - survey.pieces.begin());
    const auto read = reader.read(reader.lead_in(index, kLead), look);
    if (!read && read.error().code() != Code::Corrupt) {
        return read.error().clone();
    }
    return time;
}

namespace {

// The server behind `branch` went on for longer than an old primary does after a failover, and
// nobody has decided since: there is no backup of the followed timeline that is younger. What left
// the followed timeline decides nothing by its age: the followed one may be an old primary that
// came back.
bool may_compete(const Branch& branch, const FoundPoint& point, const TimelineTree& tree) {
    const BackupDetails& d = point.candidate.details;
    const bool reached_too = !std::holds_alternative<engine::Immediate>(point.request.target) &&
                             tree.path(d.timeline, d.stop, branch.timeline);
    const base::Timestamp base_taken = point.candidate.opened.manifest.start;
    return point.found.end >= branch.parted && (point.request.backup.empty() || reached_too) &&
           (branch.younger || branch.alive > base_taken + kLongFarewell);
}

Error two_lives(const Branch& branch, const FoundPoint& point, std::string_view system) {
    const std::string followed = std::to_string(point.survey.way.back().timeline);
    const std::string other = std::to_string(branch.timeline);
    return Error(Code::Refused,
                 "'" + std::string(system) + "' went on twice from " + format_lsn(branch.parted) +
                     ": as timeline " + followed + ", and as timeline " + other + ", captured to " +
                     format_lsn(branch.captured_to) + " at " + base::human_time(branch.alive))
        .hint("Say which one is meant: --timeline " + followed + " or --timeline " + other +
              ". Of two servers that are captured under one name, give one a system of its own.");
}

}  // namespace

Result<> refuse_two_lives(const FoundPoint& point, RecoveryCatalog& catalog,
                          repo::Repository& repository, repo::ReaderKeys& keys,
                          const base::StopToken& stop) {
    const WalSurvey& survey = point.survey;
    const BackupDetails& details = point.candidate.details;
    const std::vector<Branch> branches =
        TRY(other_branches(catalog, repository, keys, details, survey.way.back().timeline));
    for (const Branch& branch : branches) {
        if (!may_compete(branch, point, catalog.tree())) {
            continue;
        }
        if (branch.younger || branch.parted < survey.begin) {
            return two_lives(branch, point, catalog.system());
        }
        WayReader reader(repository, catalog.stream(), keys, details, survey, stop);
        const std::optional<base::Timestamp> promoted =
            TRY(promoted_at(survey, reader, branch.parted));
        if (!promoted || branch.alive > *promoted + kLongFarewell) {
            return two_lives(branch, point, catalog.system());
        }
    }
    return {};
}

}  // namespace lifeboat::postgres

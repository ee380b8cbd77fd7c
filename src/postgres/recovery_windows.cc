#include "postgres/recovery_windows.h"

#include <algorithm>
#include <optional>

#include "postgres/recovery_catalog.h"
#include "postgres/recovery_survey.h"

// Tested by tests/e2e/recovery_test.cc.

namespace lifeboat::postgres {

namespace {

// A window before it is put into words.
struct Reach {
    TimelineId timeline = 0;
    Lsn from;
    Lsn to;
    std::optional<base::Timestamp> from_time;
    std::optional<base::Timestamp> to_time;
    std::string note;
};

class WindowFinder {
  public:
    WindowFinder(RecoveryCatalog& catalog, repo::Repository& repository,
                 const repo::ReaderKeys& keys)
        : catalog_(catalog), repository_(repository), keys_(keys) {}

    Result<std::vector<engine::Window>> run() {
        TRY(open_candidates());
        TRY(catalog_.open_histories());
        for (const auto& candidate : candidates_) {
            const Reach reach =
                TRY(follow(*candidate, catalog_.newest_descendant(candidate->details.timeline,
                                                                  candidate->details.stop)));
            join(reach);
        }
        TRY(add_branches());
        return in_words();
    }

  private:
    Result<> open_candidates();
    Result<Reach> follow(const Candidate& candidate, TimelineId target) const;
    Result<> reach_along(std::vector<WalPiece> pieces, const Candidate& candidate,
                         Reach& reach) const;
    void join(const Reach& reach);
    Result<> add_branches();
    Result<> add_branch(const Candidate& candidate, TimelineId timeline);
    std::string lost_after(TimelineId timeline, Lsn end) const;
    std::vector<engine::Window> in_words() const;

    RecoveryCatalog& catalog_;
    repo::Repository& repository_;
    const repo::ReaderKeys& keys_;
    std::vector<std::shared_ptr<const Candidate>>
        candidates_;  // oldest first; shared: the catalog's cache
    std::vector<Reach> windows_;
};

// A backup that does not open is no point to recover to; 'lifeboat verify' is where that is
// reported.
Result<> WindowFinder::open_candidates() {
    for (const repo::ManifestName& name : catalog_.names()) {
        auto candidate = catalog_.open(name);
        if (candidate) {
            candidates_.push_back(*std::move(candidate));
        } else if (candidate.error().code() == Code::Unavailable ||
                   candidate.error().code() == Code::Cancelled) {
            return std::move(candidate).error();
        }
    }
    return {};
}

Result<Reach> WindowFinder::follow(const Candidate& candidate, TimelineId target) const {
    const BackupDetails& d = candidate.details;
    const SegmentSize segment = TRY(SegmentSize::of(d.wal_segment_size));
    const auto way = TRY(catalog_.tree().path(d.timeline, d.stop, target));
    Reach reach{
        target, d.stop, d.stop, candidate.opened.manifest.stop, candidate.opened.manifest.stop, {}};
    TRY(reach_along(plan_pieces(catalog_.stream(), way, d.stop, segment, {}), candidate, reach));
    return reach;
}

// The end is where the last object of this very cluster ends.
Result<> WindowFinder::reach_along(std::vector<WalPiece> pieces, const Candidate& candidate,
                                   Reach& reach) const {
    while (!pieces.empty()) {
        const auto label = repo::read_label(repository_, *pieces.back().entry, keys_);
        if (!label && (label.error().code() == Code::Unavailable ||
                       label.error().code() == Code::Cancelled)) {
            return label.error().clone();
        }
        if (label && label->label.source == candidate.details.system_identifier) {
            reach.to = pieces.back().to;
            const bool told = label->label.captured != base::Timestamp{};
            reach.to_time = told ? std::optional(label->label.captured) : std::nullopt;
            return {};
        }
        pieces.pop_back();
    }
    return {};
}

void WindowFinder::join(const Reach& reach) {
    const bool goes_on = !windows_.empty() && windows_.back().timeline == reach.timeline &&
                         reach.from <= windows_.back().to;
    if (!goes_on) {
        windows_.push_back(reach);
    } else if (reach.to > windows_.back().to) {
        windows_.back().to = reach.to;
        windows_.back().to_time = reach.to_time;
    }
}

// What only a pinned timeline reaches: WAL that was written after the others had left it.
Result<> WindowFinder::add_branches() {
    for (const TimelineId timeline : catalog_.tree().timelines()) {
        for (auto candidate = candidates_.rbegin(); candidate != candidates_.rend(); ++candidate) {
            const BackupDetails& d = (*candidate)->details;
            if (catalog_.tree().path(d.timeline, d.stop, timeline)) {
                TRY(add_branch(**candidate, timeline));
                break;
            }
        }
    }
    return {};
}

Result<> WindowFinder::add_branch(const Candidate& candidate, TimelineId timeline) {
    const BackupDetails& d = candidate.details;
    const TimelineId main = catalog_.newest_descendant(d.timeline, d.stop);
    if (main == timeline) {
        return {};
    }
    const auto left = catalog_.tree().departure(timeline, main);
    const auto origin = catalog_.tree().origin(timeline);
    const Lsn begin = left ? *left : origin ? origin->at : Lsn{};
    Reach reach = TRY(follow(candidate, timeline));
    if (reach.to > std::max(begin, d.stop)) {
        reach.from = std::max(begin, d.stop);
        reach.from_time = reach.from == d.stop ? reach.from_time : std::nullopt;
        reach.note = "only with --timeline " + std::to_string(timeline);
        windows_.push_back(reach);
    }
    return {};
}

std::string WindowFinder::lost_after(TimelineId timeline, Lsn end) const {
    for (const repo::StreamRange& gap : catalog_.stream().gaps()) {
        if (gap.timeline == timeline && gap.from <= end.value && end.value < gap.to) {
            return ", ends where WAL up to " + format_lsn(Lsn{gap.to}) + " is lost";
        }
    }
    return {};
}

std::vector<engine::Window> WindowFinder::in_words() const {
    std::vector<engine::Window> out;
    for (const Reach& reach : windows_) {
        const std::string branch = "timeline " + std::to_string(reach.timeline);
        const std::string note = branch + lost_after(reach.timeline, reach.to) +
                                 (reach.note.empty() ? "" : ", " + reach.note);
        out.push_back({format_lsn(reach.from), format_lsn(reach.to), reach.from_time, reach.to_time,
                       note, branch});
    }
    return out;
}

}  // namespace

bool window_reaches(const engine::Window& window, const std::string& position) {
    constexpr std::string_view kOn = " on ";
    const std::size_t on = position.find(kOn);
    if (on == std::string::npos || position.substr(on + kOn.size()) != window.branch) {
        return false;
    }
    const auto at = parse_lsn(position.substr(0, on));
    const auto from = parse_lsn(window.from);
    const auto to = parse_lsn(window.to);
    return at && from && to && *from <= *at && *at <= *to;
}

Result<std::vector<engine::Window>> recovery_windows(std::string_view system,
                                                     repo::Repository& repository,
                                                     repo::ReaderKeys& keys) {
    const auto looking = "looking for what can be recovered of '" + std::string(system) + "'";
    auto catalog = RecoveryCatalog::load(system, repository, keys);
    if (!catalog && catalog.error().code() == Code::NotFound) {
        return std::vector<engine::Window>{};
    }
    const auto loaded = TRY(std::move(catalog).during(looking));
    return WindowFinder(*loaded, repository, keys).run().during(looking);
}

}  // namespace lifeboat::postgres

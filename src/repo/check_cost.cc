#include <algorithm>

#include "repo/internal/check_state.h"
#include "repo/map_index.h"

// The part of check that tells what damaged objects cost each backup: pack -> frames -> page runs
// -> files.

namespace lifeboat::repo::check {

using base::Code;
using base::Error;

namespace {

void name_objects(const State& state, Backup& backup) {
    BackupCheck& out = backup.result;
    for (const NeededObject& object : backup.outline->objects) {
        const Item& item = state.items.at(object.name);
        switch (item.state) {
            case Item::State::Sound:
                break;
            case Item::State::Missing:
                out.missing.push_back(object.name);
                break;
            case Item::State::Damaged:
                out.damaged.push_back(object.name);
                break;
            case Item::State::Unread:
                out.unread.push_back(object.name);
                break;
        }
    }
}

// Restoring needs every map pack as it was written.
void weigh_maps(const State& state, Backup& backup) {
    for (const PackRef& map : backup.opened->manifest.maps) {
        const Item& item = state.items.at(map.object.name);
        if (item.state == Item::State::Missing || item.state == Item::State::Damaged) {
            backup.result.fatal = "its map '" + map.object.name + "' is " +
                                  (item.state == Item::State::Missing ? "missing" : "damaged");
            return;
        }
    }
}

// Restoring needs no fingerprints; the next backup does, and without them it stores more.
void weigh_prints(const State& state, Backup& backup) {
    for (const auto& [index, print] : backup.opened->manifest.prints) {
        const Item& item = state.items.at(print.object.name);
        if (item.state == Item::State::Missing || item.state == Item::State::Damaged) {
            backup.result.warnings.push_back("'" + print.object.name +
                                             "' holds fingerprints only: all can be restored, but "
                                             "the next backup stores files of this one anew");
        }
    }
}

// ---- Files
// --------------------------------------------------------------------------------------------------------

// Which of a backup's page runs cannot be read.
class RunCheck {
  public:
    RunCheck(const State& state, const Manifest& manifest) {
        for (const auto& [index, pack] : manifest.packs) {
            packs_.emplace(index, &state.items.at(pack.object.name));
        }
    }

    // `length`: of the run's bytes. True when all of them can be read, as far as is known.
    bool holds(const PageRun& run, std::uint64_t length) const {
        if (run.at.is_zero()) {
            return true;
        }
        const auto found = packs_.find(run.at.pack);
        if (found == packs_.end()) {
            return false;
        }
        const Item& item = *found->second;
        if (item.state == Item::State::Missing ||
            (item.state == Item::State::Damaged && !item.bad_frames)) {
            return false;
        }
        if (item.bad_frames && item.bad_frames->contains(run.at.frame)) {
            return false;
        }
        const bool opened = item.bad_frames || !item.frames.empty();
        return !opened || (run.at.frame < item.frames.size() &&
                           run.at.offset + length <= item.frames[run.at.frame]);
    }

  private:
    std::map<std::uint32_t, const Item*> packs_;
};

// Adds pages that follow those added before; neighbours become one range.
void add_pages(std::vector<PageRange>& ranges, std::uint64_t first, std::uint64_t last) {
    if (!ranges.empty() && ranges.back().last + 1 == first) {
        ranges.back().last = last;
    } else {
        ranges.push_back({first, last});
    }
}

std::vector<PageRange> lost_pages(const FileMap& map, const RunCheck& packs) {
    std::vector<PageRange> lost;
    std::uint64_t page = map.first_page;
    for (const PageRun& run : map.runs) {
        const std::uint64_t length = std::min(run.pages * kPageSize, map.size - page * kPageSize);
        if (!packs.holds(run, length)) {
            add_pages(lost, page, page + run.pages - 1);
        }
        page += run.pages;
    }
    return lost;
}

Result<> weigh_files(State& state, Backup& backup) {
    BackupCheck& out = backup.result;
    const auto maps =
        TRY(MapIndex::open(state.repository.store(), state.repository.id(), *backup.opened));
    const RunCheck packs(state, backup.opened->manifest);
    const auto weigh = [&](const FileMap& map) -> Result<> {
        TRY(state.stop.check());
        if (map.kind == EntryKind::File) {
            ++out.files;
            std::vector<PageRange> lost = lost_pages(map, packs);
            if (!lost.empty()) {
                out.lost.push_back({map.path, map.pages(), std::move(lost)});
            }
        }
        return {};
    };
    TRY(maps->for_each(weigh));
    out.paths_known = true;
    return {};
}

// Reads the maps where they tell something: what a loss costs, or, at the level of data, whether
// every run lies inside a frame.
Result<> weigh_contents(State& state, Backup& backup) {
    BackupCheck& out = backup.result;
    const bool trouble = !out.missing.empty() || !out.damaged.empty();
    if (!backup.opened || !out.fatal.empty() ||
        (!trouble && state.options.level != CheckLevel::Data)) {
        return {};
    }
    weigh_maps(state, backup);
    weigh_prints(state, backup);
    if (!out.fatal.empty()) {
        return {};
    }
    auto weighed = weigh_files(state, backup);
    if (weighed) {
        out.exact =
            std::all_of(out.damaged.begin(), out.damaged.end(),
                        [&](const std::string& name) { return state.items.at(name).tried; });
        return {};
    }
    if (weighed.error().code() == Code::Cancelled) {
        return weighed;
    }
    out.files = 0;
    out.lost.clear();
    if (tells_damage(weighed.error())) {
        out.fatal = weighed.error().message();
    } else {
        out.unread.push_back(weighed.error().message());
    }
    return {};
}

BackupState state_of(const State& state, const Backup& backup) {
    const BackupCheck& b = backup.result;
    const bool trouble = !b.missing.empty() || !b.damaged.empty();
    if (!b.fatal.empty() || !b.lost.empty() || (trouble && !b.paths_known)) {
        return BackupState::Degraded;
    }
    const bool unopened = state.options.level == CheckLevel::Data && !b.paths_known;
    return b.unread.empty() && backup.outline && !unopened ? BackupState::Whole
                                                           : BackupState::Unknown;
}

}  // namespace

Result<> weigh_backups(State& state) {
    for (Backup& backup : state.backups) {
        TRY(state.stop.check());
        backup.result.name = backup.name;
        if (backup.outline) {
            name_objects(state, backup);
            TRY(weigh_contents(state, backup));
        }
        backup.result.state = state_of(state, backup);
        state.report.backups.push_back(std::move(backup.result));
    }
    std::sort(state.report.backups.begin(), state.report.backups.end(),
              [](const BackupCheck& a, const BackupCheck& b) {
                  return std::tie(a.name.system, a.name.stop, a.name.backup) <
                         std::tie(b.name.system, b.name.stop, b.name.backup);
              });
    return {};
}

}  // namespace lifeboat::repo::check

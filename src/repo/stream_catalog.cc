#include <algorithm>
#include <set>

#include "repo/stream.h"

namespace lifeboat::repo {

namespace {

bool earlier(const StreamCatalog::Entry& a, const StreamCatalog::Entry& b) {
    const auto key = [](const StreamCatalog::Entry& e) {
        return std::tuple(e.name.range.timeline, e.name.range.from,
                          e.name.kind == StreamObject::Piece, e.name.range.to);
    };
    return key(a) < key(b);
}

}  // namespace

StreamCatalog StreamCatalog::of(std::vector<Entry> entries, std::vector<StreamRange> gaps,
                                std::vector<std::string> histories) {
    StreamCatalog catalog;
    catalog.entries_ = std::move(entries);
    catalog.gaps_ = std::move(gaps);
    catalog.histories_ = std::move(histories);
    std::sort(catalog.entries_.begin(), catalog.entries_.end(), earlier);
    std::sort(catalog.gaps_.begin(), catalog.gaps_.end());
    return catalog;
}

Result<StreamCatalog> StreamCatalog::load(Repository& repository, std::string_view system) {
    std::vector<Entry> entries;
    std::vector<StreamRange> gaps;
    std::vector<std::string> histories;
    const auto collect = [&](const store::ObjectInfo& object) -> Result<> {
        auto name = StreamName::parse(object.name);
        if (name && name->kind == StreamObject::Gap) {
            gaps.push_back(name->range);
        } else if (name && name->range.from < name->range.to &&
                   name->range.to - name->range.from <= kMaxStreamBytes) {
            entries.push_back({std::move(name).value(), object.size});
        }
        return {};
    };
    const auto listing = "listing the stream of '" + std::string(system) + "'";
    for (const StreamObject kind :
         {StreamObject::Piece, StreamObject::Gathered, StreamObject::Gap}) {
        TRY(repository.store().list(stream_prefix(system, kind), collect).during(listing));
    }
    const auto remember = [&](const store::ObjectInfo& object) -> Result<> {
        if (history_timeline(object.name)) {
            histories.push_back(object.name);
        }
        return {};
    };
    TRY(repository.store().list(history_prefix(system), remember).during(listing));
    return of(std::move(entries), std::move(gaps), std::move(histories));
}

std::uint64_t StreamCatalog::covered_to(std::uint32_t timeline, std::uint64_t from) const {
    for (const StreamRange& range : ranges(timeline)) {
        if (range.from <= from && from < range.to) {
            return range.to;
        }
    }
    return from;
}

std::vector<StreamRange> StreamCatalog::ranges(std::uint32_t timeline) const {
    std::vector<StreamRange> out;
    for (const Entry& entry : entries_) {
        const StreamRange& range = entry.name.range;
        if (range.timeline != timeline) {
            continue;
        }
        if (!out.empty() && range.from <= out.back().to) {
            out.back().to = std::max(out.back().to, range.to);
        } else {
            out.push_back(range);
        }
    }
    return out;
}

std::vector<std::uint32_t> StreamCatalog::timelines() const {
    std::set<std::uint32_t> found;
    for (const Entry& entry : entries_) {
        found.insert(entry.name.range.timeline);
    }
    return {found.begin(), found.end()};
}

// Linear in the entries that start before the range: pieces are gathered within minutes, so few
// overlap.
std::vector<const StreamCatalog::Entry*> StreamCatalog::holding(const StreamRange& range) const {
    std::vector<const Entry*> found;
    const auto first_after = std::lower_bound(
        entries_.begin(), entries_.end(), range, [](const Entry& entry, const StreamRange& wanted) {
            return std::tie(entry.name.range.timeline, entry.name.range.from) <
                   std::tie(wanted.timeline, wanted.to);
        });
    for (auto it = entries_.begin(); it != first_after; ++it) {
        const StreamRange& have = it->name.range;
        if (have.timeline == range.timeline && have.from < range.to && have.to > range.from) {
            found.push_back(&*it);
        }
    }
    std::sort(found.begin(), found.end(), [](const Entry* a, const Entry* b) {
        const auto key = [](const Entry* e) {
            return std::tuple(e->name.kind == StreamObject::Piece, e->name.range.from,
                              e->name.range.to);
        };
        return key(a) < key(b);
    });
    return found;
}

}  // namespace lifeboat::repo

#include <algorithm>
#include <map>

#include "repo/internal/check_state.h"
#include "repo/stream.h"

// The part of check that weighs streams: interval arithmetic over what the objects turned out to
// hold.

namespace lifeboat::repo::check {

namespace {

// Half-open ranges of one timeline, ascending, apart from each other.
using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

Ranges joined(Ranges ranges) {
    std::sort(ranges.begin(), ranges.end());
    Ranges out;
    for (const auto& [from, to] : ranges) {
        if (!out.empty() && from <= out.back().second) {
            out.back().second = std::max(out.back().second, to);
        } else {
            out.emplace_back(from, to);
        }
    }
    return out;
}

// What of `all` is not in `taken`; both as joined() returns them.
Ranges without(const Ranges& all, const Ranges& taken) {
    Ranges out;
    auto next = taken.begin();
    for (auto [from, to] : all) {
        while (next != taken.end() && next->second <= from) {
            ++next;
        }
        for (auto it = next; it != taken.end() && it->first < to; ++it) {
            if (it->first > from) {
                out.emplace_back(from, it->first);
            }
            from = std::max(from, it->second);
        }
        if (from < to) {
            out.emplace_back(from, to);
        }
    }
    return out;
}

Ranges between(const Ranges& ranges) {
    Ranges out;
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        out.emplace_back(ranges[i - 1].second, ranges[i].first);
    }
    return out;
}

// What more than one of `ranges` holds.
Ranges held_twice(Ranges ranges) {
    std::sort(ranges.begin(), ranges.end());
    Ranges out;
    std::uint64_t end = 0;
    for (const auto& [from, to] : ranges) {
        if (from < end) {
            out.emplace_back(from, std::min(to, end));
        }
        end = std::max(end, to);
    }
    return joined(std::move(out));
}

struct Timeline {
    Ranges sound;
    Ranges damaged;
    Ranges unread;
    Ranges gaps;
};

void add_object(Timeline& timeline, const Item& item, const StreamName& name) {
    const std::pair range(name.range.from, name.range.to);
    switch (item.state) {
        case Item::State::Sound:
            (name.kind == StreamObject::Gap ? timeline.gaps : timeline.sound).push_back(range);
            break;
        case Item::State::Missing:
            break;
        case Item::State::Damaged:
            timeline.damaged.push_back(range);
            break;
        case Item::State::Unread:
            timeline.unread.push_back(range);
            break;
    }
}

void add_losses(std::vector<StreamLoss>& out, std::uint32_t timeline, const Ranges& ranges,
                StreamLossKind kind) {
    for (const auto& [from, to] : ranges) {
        out.push_back({{timeline, from, to}, kind});
    }
}

// Each lost byte under one reason: what is recorded was lost before it came here; damage is named
// before holes, so that a hole has no reason.
void weigh_timeline(std::uint32_t number, const Timeline& timeline, StreamCheck& out) {
    Ranges known = joined(timeline.sound);
    for (const auto& [from, to] : known) {
        out.held.push_back({number, from, to});
    }
    for (const auto& [from, to] : held_twice(timeline.sound)) {
        out.twice.push_back({number, from, to});
    }
    const auto lose = [&](const Ranges& ranges, StreamLossKind kind) {
        const Ranges lost = without(joined(ranges), known);
        add_losses(out.lost, number, lost, kind);
        known.insert(known.end(), lost.begin(), lost.end());
        known = joined(std::move(known));
    };
    lose(timeline.gaps, StreamLossKind::Recorded);
    lose(timeline.unread, StreamLossKind::Unread);
    lose(timeline.damaged, StreamLossKind::Damaged);
    lose(between(known), StreamLossKind::Hole);
}

std::map<std::string, std::vector<std::pair<StreamName, Item*>>> streams_of(State& state) {
    std::map<std::string, std::vector<std::pair<StreamName, Item*>>> systems;
    for (auto& [object, item] : state.items) {
        auto name = StreamName::parse(object);
        if (name) {
            const std::string system = name->system;
            systems[system].emplace_back(std::move(name).value(), &item);
        }
    }
    return systems;
}

}  // namespace

void keep_uncovered_pieces(State& state) {
    for (auto& [system, objects] : streams_of(state)) {
        std::vector<StreamCatalog::Entry> entries;
        for (const auto& [name, item] : objects) {
            if (item->kind == ObjectClass::Gathered && !item->expired) {
                entries.push_back({name, item->size});
            }
        }
        const StreamCatalog gathered = StreamCatalog::of(std::move(entries), {});
        for (auto& [name, item] : objects) {
            const bool covered =
                gathered.covered_to(name.range.timeline, name.range.from) >= name.range.to;
            item->expired = item->expired && (item->kind == ObjectClass::Gathered || covered);
        }
    }
}

Result<> weigh_streams(State& state) {
    for (auto& [system, objects] : streams_of(state)) {
        std::map<std::uint32_t, Timeline> timelines;
        for (auto& [name, item] : objects) {
            TRY(state.stop.check());
            if (!item->expired) {
                add_object(timelines[name.range.timeline], *item, name);
            }
        }
        StreamCheck out;
        out.system = system;
        for (const auto& [number, timeline] : timelines) {
            weigh_timeline(number, timeline, out);
        }
        std::sort(out.lost.begin(), out.lost.end(),
                  [](const StreamLoss& a, const StreamLoss& b) { return a.range < b.range; });
        state.report.streams.push_back(std::move(out));
    }
    return {};
}

}  // namespace lifeboat::repo::check

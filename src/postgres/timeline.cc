#include "postgres/timeline.h"

#include <algorithm>
#include <charconv>
#include <iterator>

// Tested by timeline_test.cc, and by wal_e2e_test.cc with the history files of promoted servers.

namespace lifeboat::postgres {

namespace {

constexpr std::string_view kBlank = " \t\r\v\f";

std::string_view trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// Takes the first word off `text`.
std::string_view take_word(std::string_view& text) {
    const std::size_t end = std::min(text.find_first_of(kBlank), text.size());
    const std::string_view word = text.substr(0, end);
    text = trimmed(text.substr(end));
    return word;
}

std::optional<Departure> parse_line(std::string_view line) {
    const std::string_view number = take_word(line);
    TimelineId timeline = 0;
    const auto [end, failure] =
        std::from_chars(number.data(), number.data() + number.size(), timeline);
    if (failure != std::errc{} || end != number.data() + number.size() || timeline == 0) {
        return std::nullopt;
    }
    const auto at = parse_lsn(take_word(line));
    if (!at || !at->is_set()) {
        return std::nullopt;
    }
    return Departure{timeline, *at, std::string(line)};
}

Error corrupt(TimelineId timeline, const std::string& what) {
    return Error(Code::Corrupt, "the history of timeline " + std::to_string(timeline) + " " + what);
}

std::string named(const Departure& departure) {
    return "timeline " + std::to_string(departure.timeline) + " until " + format_lsn(departure.at);
}

bool same(const Departure& a, const Departure& b) {
    return a.timeline == b.timeline && a.at == b.at;
}

std::string origin_of(const TimelineHistory& history) {
    return history.ancestors.empty() ? "nothing" : named(history.ancestors.back());
}

}  // namespace

Result<TimelineHistory> parse_history(TimelineId timeline, std::string_view text) {
    TimelineHistory history{timeline, {}};
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line.front() == '#') {
            continue;
        }
        auto departure = parse_line(line);
        if (!departure) {
            return corrupt(timeline, "has a line that cannot be read: '" +
                                         std::string(line.substr(0, 80)) + "'");
        }
        const TimelineId before = history.ancestors.empty() ? 0 : history.ancestors.back().timeline;
        if (departure->timeline <= before || departure->timeline >= timeline) {
            return corrupt(timeline, "names timeline " + std::to_string(departure->timeline) +
                                         " out of order");
        }
        history.ancestors.push_back(*std::move(departure));
    }
    if (history.ancestors.empty()) {
        return corrupt(timeline, "names no timeline before it");
    }
    return history;
}

Result<> check_same_branch(const TimelineHistory& known, const TimelineHistory& now,
                           std::string_view where) {
    if (std::equal(known.ancestors.begin(), known.ancestors.end(), now.ancestors.begin(),
                   now.ancestors.end(), same)) {
        return {};
    }
    const std::string number = std::to_string(now.timeline);
    return Error(Code::Conflict, std::string(where) + " holds another timeline " + number +
                                     ", which follows " + origin_of(known) + "; the server's " +
                                     number + " follows " + origin_of(now))
        .hint(
            "Two servers were promoted to the same timeline number. Give this one a system of its "
            "own in lifeboat.yaml (a new name and spool), back it up and stream it there; what was "
            "captured of the other branch stays recoverable under the old name.");
}

Result<> TimelineTree::check(const TimelineHistory& history) const {
    for (const auto& [other, known] : histories_) {
        // Up to the first timeline that only one of them has, two histories are the same, except
        // for where it was left.
        const TimelineHistory& low = other < history.timeline ? known : history;
        const TimelineHistory& high = other < history.timeline ? history : known;
        const auto passed =
            std::find_if(high.ancestors.begin(), high.ancestors.end(),
                         [&](const Departure& d) { return d.timeline == low.timeline; });
        if (low.timeline != high.timeline && passed == high.ancestors.end()) {
            continue;
        }
        const auto end = low.timeline == high.timeline ? high.ancestors.end() : passed;
        // A timeline known by its number alone says nothing of its ancestors; the first never has
        // any.
        if (low.ancestors.empty() && low.timeline != 1) {
            continue;
        }
        if (high.timeline == low.timeline && high.ancestors.empty()) {
            continue;
        }
        if (!std::equal(low.ancestors.begin(), low.ancestors.end(), high.ancestors.begin(), end,
                        same)) {
            return corrupt(high.timeline,
                           "contradicts that of timeline " + std::to_string(low.timeline));
        }
    }
    return {};
}

Result<> TimelineTree::add(const TimelineHistory& history) {
    if (history.timeline == 0) {
        return Error(Code::Corrupt, "there is no timeline 0");
    }
    TRY(check(history));
    // What a history says of its ancestors is their history too.
    std::vector<TimelineHistory> derived = {history};
    for (std::size_t i = 0; i < history.ancestors.size(); ++i) {
        derived.push_back({history.ancestors[i].timeline,
                           {history.ancestors.begin(),
                            history.ancestors.begin() + static_cast<std::ptrdiff_t>(i)}});
    }
    for (const TimelineHistory& one : derived) {
        TRY(check(one));
    }
    for (TimelineHistory& one : derived) {
        TimelineHistory& known = histories_[one.timeline];
        known.timeline = one.timeline;
        if (known.ancestors.empty()) {
            known.ancestors = std::move(one.ancestors);
        }
    }
    return {};
}

Result<const TimelineHistory*> TimelineTree::find(TimelineId timeline) const {
    const auto found = histories_.find(timeline);
    if (found == histories_.end()) {
        return Error(Code::NotFound, "timeline " + std::to_string(timeline) + " is not known");
    }
    return &found->second;
}

std::optional<Departure> TimelineTree::origin(TimelineId timeline) const {
    const auto found = histories_.find(timeline);
    if (found == histories_.end() || found->second.ancestors.empty()) {
        return std::nullopt;
    }
    return found->second.ancestors.back();
}

bool TimelineTree::is_ancestor(TimelineId ancestor, TimelineId of) const {
    return departure(ancestor, of).has_value();
}

Result<Lsn> TimelineTree::departure(TimelineId timeline, TimelineId target) const {
    const TimelineHistory* const history = TRY(find(target));
    if (timeline == target) {
        return Lsn{};
    }
    // A later departure at a lower position leaves this one behind as well.
    Lsn at;
    for (const Departure& departure : history->ancestors) {
        if (departure.timeline == timeline) {
            at = departure.at;
        } else if (at.is_set()) {
            at = std::min(at, departure.at);
        }
    }
    if (!at.is_set()) {
        return Error(Code::NotFound, "timeline " + std::to_string(target) +
                                         " does not descend from timeline " +
                                         std::to_string(timeline));
    }
    return at;
}

std::vector<TimelineSpan> TimelineTree::spans(const TimelineHistory& target) const {
    // From the newest to the oldest: each timeline holds what the newer ones do not.
    std::vector<TimelineSpan> out;
    TimelineSpan newer{target.timeline, {}, {}};
    for (auto older = target.ancestors.rbegin(); older != target.ancestors.rend(); ++older) {
        newer.begin = older->at;
        if (!newer.end.is_set() || newer.begin < newer.end) {
            out.push_back(newer);
            newer = {older->timeline, {}, older->at};
        } else {
            newer.timeline = older->timeline;
        }
    }
    newer.begin = {};
    out.push_back(newer);
    std::reverse(out.begin(), out.end());
    return out;
}

Result<TimelineId> TimelineTree::timeline_at(Lsn at, TimelineId target) const {
    const TimelineHistory* const history = TRY(find(target));
    const std::vector<TimelineSpan> all = spans(*history);
    const auto span = std::find_if(all.begin(), all.end(), [&](const TimelineSpan& s) {
        return !s.end.is_set() || at < s.end;
    });
    return span->timeline;
}

Result<std::vector<TimelineSpan>> TimelineTree::path(TimelineId timeline, Lsn at,
                                                     TimelineId target) const {
    const TimelineHistory* const history = TRY(find(target));
    const auto left = departure(timeline, target);
    if (!left) {
        return Error(Code::Conflict, left.error().what());
    }
    if (left->is_set() && at > *left) {
        return Error(Code::Conflict, "timeline " + std::to_string(target) + " knows " +
                                         named({timeline, *left, {}}) + " only, not " +
                                         format_lsn(at));
    }
    std::vector<TimelineSpan> out;
    for (TimelineSpan span : spans(*history)) {
        if (span.end.is_set() && span.end <= at) {
            continue;
        }
        span.begin = std::max(span.begin, at);
        out.push_back(span);
    }
    return out;
}

std::vector<TimelineId> TimelineTree::timelines() const {
    std::vector<TimelineId> out;
    for (const auto& [timeline, history] : histories_) {
        out.push_back(timeline);
    }
    return out;
}

std::vector<TimelineId> hidden_timelines(std::span<const TimelineId> histories, TimelineId from) {
    std::vector<TimelineId> later;
    std::copy_if(histories.begin(), histories.end(), std::back_inserter(later),
                 [&](TimelineId t) { return t > from; });
    std::sort(later.begin(), later.end());
    later.erase(std::unique(later.begin(), later.end()), later.end());
    auto hidden = later.begin();
    for (TimelineId next = from + 1; hidden != later.end() && *hidden == next; ++next) {
        ++hidden;
    }
    return {hidden, later.end()};
}

}  // namespace lifeboat::postgres

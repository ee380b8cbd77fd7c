#include "postgres/recovery_survey.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/mutex.h"
#include "base/workers.h"

// Tested by recovery_survey_test.cc and tests/e2e/recovery_test.cc.

namespace lifeboat::postgres {

namespace {

using Entry = repo::StreamCatalog::Entry;

constexpr std::size_t kLabelReaders =
    8;  // a label is one small ranged read: latency is all its cost
constexpr std::size_t kReadStep = base::kMiB;
constexpr Lsn kOpenEnd{~std::uint64_t{0}};

// The entries of one timeline, by their first byte.
using ByTimeline = std::map<TimelineId, std::vector<const Entry*>>;

ByTimeline by_timeline(const repo::StreamCatalog& catalog,
                       const std::vector<const Entry*>& except) {
    const std::set<const Entry*> left_out(except.begin(), except.end());
    ByTimeline out;
    for (const Entry& entry : catalog.entries()) {
        if (!left_out.contains(&entry)) {
            out[entry.name.range.timeline].push_back(&entry);
        }
    }
    return out;
}

// Covers [from, to) with the entries of one timeline, greedily: of those that hold the next byte,
// the one that reaches farthest.
Lsn cover(const std::vector<const Entry*>& entries, Lsn from, Lsn to, std::vector<WalPiece>& out) {
    std::size_t next = 0;
    while (from < to) {
        const Entry* best = nullptr;
        for (; next < entries.size() && entries[next]->name.range.from <= from.value; ++next) {
            if (best == nullptr || entries[next]->name.range.to > best->name.range.to) {
                best = entries[next];
            }
        }
        if (best == nullptr || best->name.range.to <= from.value) {
            break;
        }
        const Lsn end = std::min(Lsn{best->name.range.to}, to);
        out.push_back({best, best->name.range.timeline, from, end, {}, {}});
        from = end;
    }
    return from;
}

// Bytes before the begin of a later timeline that lie in that timeline's first segment: its server
// copied them there.
Lsn cover_from_heirs(const ByTimeline& entries, const std::vector<TimelineSpan>& way,
                     std::size_t leg, Lsn from, SegmentSize segment, std::vector<WalPiece>& out) {
    for (std::size_t heir = leg + 1; heir < way.size(); ++heir) {
        const auto found = entries.find(way[heir].timeline);
        const Lsn copied_from = segment.start_of(segment.number_at(way[heir].begin));
        if (found != entries.end() && from >= copied_from) {
            from = cover(found->second, from, way[leg].end, out);
        }
    }
    return from;
}

}  // namespace

std::vector<WalPiece> plan_pieces(const repo::StreamCatalog& catalog,
                                  const std::vector<TimelineSpan>& way, Lsn from,
                                  SegmentSize segment, const std::vector<const Entry*>& except) {
    const ByTimeline entries = by_timeline(catalog, except);
    std::vector<WalPiece> out;
    for (std::size_t leg = 0; leg < way.size(); ++leg) {
        const Lsn end = way[leg].end.is_set() ? way[leg].end : kOpenEnd;
        if (end <= from) {
            continue;
        }
        const auto own = entries.find(way[leg].timeline);
        if (own != entries.end()) {
            from = cover(own->second, from, end, out);
        }
        if (from < end && way[leg].end.is_set()) {
            from = cover_from_heirs(entries, way, leg, from, segment, out);
        }
        if (from < end) {
            break;
        }
    }
    return out;
}

void doubt_broken_links(std::vector<WalPiece>& pieces) {
    std::optional<Lsn> last;  // start of the last record that a summary tells of
    for (WalPiece& piece : pieces) {
        const std::optional<Lsn> before = last;
        last = piece.summary ? std::optional(piece.summary->last) : std::nullopt;
        if (piece.summary && before && piece.summary->before > *before) {
            piece.summary.reset();
        }
    }
}

TimelineId WalSurvey::timeline_at(Lsn at) const {
    for (const TimelineSpan& span : way) {
        if (!span.end.is_set() || at < span.end) {
            return span.timeline;
        }
    }
    return way.back().timeline;
}

namespace {

// What a label says of its object, or why it is passed over.
struct Judged {
    base::Timestamp captured;
    std::optional<WalSummary> summary;
    std::string flaw;
    bool foreign = false;  // nobody whom we trust captured it from this cluster
};

std::optional<WalSummary> open_any(const repo::VerifiedLabel& label,
                                   const std::vector<base::Key256>& map_keys) {
    for (const base::Key256& key : map_keys) {
        const auto plain = repo::open_summary(label, key);
        if (!plain || plain->empty()) {
            continue;
        }
        auto summary = decode_summary(*plain);
        if (summary) {
            return std::move(*summary);
        }
    }
    return std::nullopt;
}

class Surveyor {
  public:
    Surveyor(repo::Repository& repository, const repo::ReaderKeys& keys,
             const std::vector<base::Key256>& map_keys, const BackupDetails& details,
             const std::vector<DamagedObject>& damaged, const base::StopToken& stop)
        : repository_(repository),
          keys_(keys),
          map_keys_(map_keys),
          details_(details),
          stop_(stop) {
        for (const DamagedObject& object : damaged) {
            judged_[object.entry].flaw = object.what;
        }
    }

    Result<> judge(const std::vector<WalPiece>& pieces) {
        std::vector<const Entry*> todo;
        for (const WalPiece& piece : pieces) {
            if (!judged_.contains(piece.entry)) {
                todo.push_back(piece.entry);
            }
        }
        std::vector<Judged> answers(todo.size());
        const std::size_t workers = std::min(kLabelReaders, std::max<std::size_t>(todo.size(), 1));
        const auto share = [&](std::size_t worker) -> Result<> {
            for (std::size_t i = worker; i < todo.size(); i += workers) {
                TRY(stop_.check());
                answers[i] = TRY(judge(*todo[i]));
            }
            return {};
        };
        TRY(base::run_parallel(workers, share));
        for (std::size_t i = 0; i < todo.size(); ++i) {
            judged_[todo[i]] = std::move(answers[i]);
        }
        return {};
    }

    const Judged& of(const Entry* entry) const { return judged_.at(entry); }

    // Damaged or not: it is of this cluster, and was captured. Reads one label at most.
    Result<bool> is_ours(const Entry* entry) {
        if (!judged_.contains(entry)) {
            judged_[entry] = TRY(judge(*entry));
        }
        return !judged_.at(entry).foreign;
    }

    std::vector<const Entry*> flawed() const {
        std::vector<const Entry*> out;
        for (const auto& [entry, judged] : judged_) {
            if (!judged.flaw.empty()) {
                out.push_back(entry);
            }
        }
        return out;
    }

  private:
    Result<Judged> judge(const Entry& entry) const {
        auto label = repo::read_label(repository_, entry, keys_);
        Judged out;
        if (!label) {
            const Code code = label.error().code();
            if (code == Code::Unavailable || code == Code::Cancelled) {
                return std::move(label).error();
            }
            out.flaw = label.error().message();
            out.foreign = code == Code::Denied;
            return out;
        }
        const repo::StreamLabel& said = label->label;
        if (said.source != details_.system_identifier ||
            said.major != static_cast<std::uint32_t>(details_.major()) ||
            said.segment_size != details_.wal_segment_size) {
            out.flaw = "'" + entry.name.text() +
                       "' comes from another cluster: system identifier " +
                       std::to_string(said.source) + ", PostgreSQL " + std::to_string(said.major);
            out.foreign = true;
            return out;
        }
        out.captured = said.captured;
        out.summary = open_any(*label, map_keys_);
        return out;
    }

    repo::Repository& repository_;
    const repo::ReaderKeys& keys_;
    const std::vector<base::Key256>& map_keys_;
    const BackupDetails& details_;
    const base::StopToken& stop_;
    std::map<const Entry*, Judged> judged_;
};

// The first captured byte of `way` behind a hole at `end`.
Result<std::optional<Lsn>> find_more(const repo::StreamCatalog& catalog,
                                     const std::vector<TimelineSpan>& way, Lsn end,
                                     Surveyor& surveyor) {
    for (const TimelineSpan& span : way) {
        for (const Entry& entry : catalog.entries()) {
            const Lsn at = std::max({Lsn{entry.name.range.from}, span.begin, end});
            const bool on_it = entry.name.range.timeline == span.timeline &&
                               at.value < entry.name.range.to &&
                               (!span.end.is_set() || at < span.end);
            if (!on_it) {
                continue;
            }
            const bool ours = TRY(surveyor.is_ours(&entry));
            if (ours) {
                return std::optional(at);
            }
        }
    }
    return std::optional<Lsn>();
}

}  // namespace

Result<WalSurvey> survey_way(repo::Repository& repository, const repo::StreamCatalog& catalog,
                             const repo::ReaderKeys& keys,
                             const std::vector<base::Key256>& map_keys,
                             const BackupDetails& details, std::vector<TimelineSpan> way,
                             const std::vector<DamagedObject>& damaged,
                             const base::StopToken& stop) {
    const SegmentSize segment = TRY(SegmentSize::of(details.wal_segment_size));
    Surveyor surveyor(repository, keys, map_keys, details, damaged, stop);
    WalSurvey survey;
    survey.way = std::move(way);
    survey.begin = details.stop;
    // Each round passes over at least one more object, so this ends.
    for (std::size_t flaws = 0;; flaws = surveyor.flawed().size()) {
        survey.pieces = plan_pieces(catalog, survey.way, details.stop, segment, surveyor.flawed());
        TRY(surveyor.judge(survey.pieces).during("reading the labels of the stream"));
        if (surveyor.flawed().size() == flaws) {
            break;
        }
    }
    survey.end = survey.pieces.empty() ? details.stop : survey.pieces.back().to;
    survey.goes_on = TRY(find_more(catalog, survey.way, survey.end, surveyor));
    for (WalPiece& piece : survey.pieces) {
        piece.captured = surveyor.of(piece.entry).captured;
        piece.summary = surveyor.of(piece.entry).summary;
    }
    doubt_broken_links(survey.pieces);
    for (const Entry* entry : surveyor.flawed()) {
        survey.passed_over.push_back("Passed over: " + surveyor.of(entry).flaw + ".");
    }
    return survey;
}

WayReader::WayReader(repo::Repository& repository, const repo::StreamCatalog& catalog,
                     repo::ReaderKeys& keys, const BackupDetails& details, const WalSurvey& survey,
                     const base::StopToken& stop)
    : details_(details),
      survey_(survey),
      stop_(stop),
      stream_(repository, catalog, keys, details.system_identifier) {}

std::size_t WayReader::lead_in(std::size_t index, std::uint64_t lead) const {
    if (index >= survey_.pieces.size()) {
        return 0;
    }
    const Lsn before = survey_.pieces[index].from;
    while (index > 0 && before - survey_.pieces[index].from < lead) {
        --index;
    }
    return index;
}

Result<> WayReader::fill(Lsn from, base::MutableBytes out) {
    while (!out.empty()) {
        const auto piece = std::partition_point(survey_.pieces.begin(), survey_.pieces.end(),
                                                [&](const WalPiece& p) { return p.to <= from; });
        if (piece == survey_.pieces.end()) {
            return Error(Code::Bug, "no piece of the way holds " + format_lsn(from));
        }
        const std::size_t count = std::min<std::uint64_t>(out.size(), piece->to - from);
        auto got = stream_.read(piece->timeline, from.value, out.first(count));
        if (!got) {
            if (got.error().code() == Code::Corrupt) {
                damaged_ = DamagedObject{piece->entry, got.error().message()};
            }
            return got;
        }
        from = from + count;
        out = out.subspan(count);
    }
    return {};
}

Result<Lsn> WayReader::read(std::size_t first, const Each& each) {
    const Lsn begin = survey_.pieces.empty() ? survey_.end : survey_.pieces[first].from;
    WalReaderOptions options;
    options.segment_size = TRY(SegmentSize::of(details_.wal_segment_size));
    options.major = details_.major();
    options.system_identifier = details_.system_identifier;
    options.latest_timeline = survey_.way.back().timeline;
    if (first == 0) {
        options.resume = WalPosition{begin, {}};
    }
    WalReader reader(options);
    base::Bytes buffer(kReadStep);
    Lsn seen = begin;
    for (Lsn at = begin; at < survey_.end;) {
        TRY(stop_.check());
        const base::MutableBytes step(buffer.data(),
                                      std::min<std::uint64_t>(buffer.size(), survey_.end - at));
        TRY(fill(at, step).during("reading WAL from " + format_lsn(at)));
        TRY(reader.feed(at, step));
        at = at + step.size();
        for (WalStep what = reader.next(); what != WalStep::NeedMore; what = reader.next()) {
            if (what == WalStep::Failed) {
                return reader.failure().during("reading WAL from " + format_lsn(begin));
            }
            if (what == WalStep::End) {
                return seen;
            }
            const Next next = TRY(each(reader.record()));
            seen = reader.record().end;
            if (next == Next::Enough) {
                return seen;
            }
        }
    }
    return seen;
}

}  // namespace lifeboat::postgres

// The WAL spool. Tested by wal_spool_test.cc and tests/crash/wal_spool_crash_test.cc;
// docs/format/spool.md is the format, and S1 to S5 are its rules.
//
// The index in memory is all that readers ask; files are opened for the bytes only. The lock guards
// the index and is never held over a system call.

#include "postgres/wal_spool.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>
#include <utility>

namespace lifeboat::postgres {

using base::Bytes;
using base::BytesView;
using base::Files;
using base::Lock;
using repo::StreamRange;

namespace {

constexpr std::string_view kTemporary = ".tmp-";
constexpr std::string_view kFilling = ".fill-";
constexpr std::size_t kCompareChunk = 256 << 10;
// Marks closer than this are joined: what is told is older than the truth, never newer.
constexpr auto kMarkInterval = std::chrono::milliseconds(10);
constexpr std::size_t kMarksOfFullFile = 256;

std::string timeline_name(TimelineId timeline) {
    return history_name(timeline).substr(0, 8);
}

std::optional<TimelineId> parse_timeline(std::string_view name) {
    TimelineId timeline = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), timeline, 16);
    const bool whole = error == std::errc{} && end == name.data() + name.size();
    return whole && timeline != 0 && name == timeline_name(timeline) ? std::optional(timeline)
                                                                     : std::nullopt;
}

std::string filling_mark(const SpoolPlace& place) {
    return base::join(base::parent_of(place.path),
                      std::string(kFilling) + base::file_name_of(place.path));
}

}  // namespace

// ---- Opening ----------------------------------------------------------------------------------

WalSpool::WalSpool(Files& files, std::string directory, const ClusterIdentity& cluster)
    : files_(files), directory_(std::move(directory)), cluster_(cluster) {}

WalSpool::~WalSpool() = default;

Result<std::unique_ptr<WalSpool>> WalSpool::open(Files& files, std::string directory,
                                                 const ClusterIdentity& cluster) {
    const auto opening = "opening spool '" + directory + "'";
    TRY(claim(files, directory, cluster).during(opening));
    std::unique_ptr<WalSpool> spool(new WalSpool(files, std::move(directory), cluster));
    TRY(spool->load().during(opening));
    return spool;
}

Result<> WalSpool::load() {
    const auto names = TRY(files_.list(directory_));
    for (const std::string& name : names) {
        const auto timeline = parse_timeline(name);
        if (timeline) {
            TRY(load_timeline(*timeline, base::join(directory_, name)));
        }
    }
    return {};
}

// Names come in byte order, which is the order of segments.
Result<> WalSpool::load_timeline(TimelineId timeline, const std::string& directory) {
    const auto names = TRY(files_.list(directory));
    std::vector<Key> keys;
    std::set<std::string> marks;
    for (const std::string& name : names) {
        const auto parsed = parse_wal_file_name(name, cluster_.segment_size);
        if (parsed && parsed->kind == WalFileKind::Segment && parsed->timeline == timeline) {
            keys.emplace_back(timeline, parsed->segment);
        } else if (name.starts_with(kTemporary)) {
            TRY(files_.remove(base::join(directory, name)));
        } else if (name.starts_with(kFilling)) {
            marks.insert(base::join(directory, name));
        }
    }
    for (const Key& key : keys) {
        const SpoolPlace place = place_of(key);
        auto runs = TRY(read_spool_journal(files_, place));
        if (key == keys.back() || runs.empty() || marks.contains(filling_mark(place))) {
            TRY(restore_torn(key, runs));
        }
        index_runs(key, runs);
    }
    for (const std::string& mark : marks) {
        TRY(files_.remove(mark));
    }
    return {};
}

// S2.
Result<> WalSpool::restore_torn(const Key& key, std::vector<SpoolRun>& runs) {
    const SpoolPlace place = place_of(key);
    runs = TRY(prove_spool_runs(files_, place, std::move(runs)));
    return rewrite_spool_file(files_, place, runs);
}

void WalSpool::index_runs(const Key& key, const std::vector<SpoolRun>& runs) {
    if (runs.empty()) {
        return;
    }
    const Lsn start = cluster_.segment_size.start_of(key.second);
    Held held{start + runs.front().from, start + runs.back().to, {}};
    for (const SpoolRun& run : runs) {
        mark(held, start + run.to, run.captured);
    }
    const Lock lock(mutex_);
    index_[key] = std::move(held);
}

SpoolPlace WalSpool::place_of(const Key& key) const {
    const std::string directory = base::join(directory_, timeline_name(key.first));
    return {base::join(directory, segment_name(key.first, key.second, cluster_.segment_size)),
            key.first, cluster_.segment_size.start_of(key.second), cluster_.segment_size};
}

// ---- Writing ----------------------------------------------------------------------------------

Result<> WalSpool::append(TimelineId timeline, Lsn at, BytesView bytes, base::Timestamp captured) {
    TRY(repair());
    while (true) {
        // For each segment: where a hole is filled, what is behind it is known.
        const BytesView fresh = TRY(compare_known(timeline, at, bytes));
        at = at + (bytes.size() - fresh.size());
        bytes = fresh;
        if (bytes.empty()) {
            return {};
        }
        TRY(enter_segment(timeline, at));
        const BytesView part = bytes.first(std::min<std::size_t>(bytes.size(), active_->room()));
        const bool last = part.size() == bytes.size();  // what is covered is so at the end only
        const base::Timestamp then =
            last ? captured : captured_at(timeline, at).value_or(base::Timestamp{});
        TRY(active_->write(part, then));
        note(at, at + part.size(), then);
        at = at + part.size();
        bytes = bytes.subspan(part.size());
        if (active_->is_full()) {
            TRY(leave_segment());
        }
    }
}

// The bytes behind those that are here already, which must be the same (S4).
Result<BytesView> WalSpool::compare_known(TimelineId timeline, Lsn at, BytesView bytes) const {
    Lsn end;
    {
        const Lock lock(mutex_);
        end = contiguous_end(timeline, at);
    }
    Bytes known;
    while (at < end && !bytes.empty()) {
        known.resize(std::min({static_cast<std::size_t>(end - at), bytes.size(), kCompareChunk}));
        TRY(read(timeline, at, known));
        if (!std::equal(known.begin(), known.end(), bytes.begin())) {
            return Error(Code::Conflict, "the server sends other bytes at " + format_lsn(at) +
                                             " of timeline " + std::to_string(timeline) +
                                             " than were captured there before")
                .hint(
                    "The server's history was set back without a new timeline, or this is another "
                    "server: capture it as another system, or "
                    "let it begin a new timeline by a promotion.");
        }
        at = at + known.size();
        bytes = bytes.subspan(known.size());
    }
    return bytes;
}

Result<> WalSpool::enter_segment(TimelineId timeline, Lsn at) {
    if (active_ && active_->place().timeline == timeline && active_->end() == at) {
        return {};
    }
    TRY(leave_segment());
    const Key key{timeline, cluster_.segment_size.number_at(at)};
    SpoolPlace place = place_of(key);
    const auto offset = static_cast<std::uint32_t>(cluster_.segment_size.offset_at(at));
    bool known = false;
    {
        const Lock lock(mutex_);
        const auto held = index_.find(key);
        known = held != index_.end();
        if (known && held->second.to != at) {
            return Error(Code::Conflict, "the spool holds WAL up to " +
                                             format_lsn(held->second.to) + " of timeline " +
                                             std::to_string(timeline) + ", which " +
                                             format_lsn(at) + " does not continue");
        }
    }
    if (!known) {
        TRY(base::create_directories(files_, base::parent_of(place.path)));
    }
    TRY(mark_filling(key, place));
    if (known) {
        auto runs = TRY(read_spool_journal(files_, place));
        active_ = TRY(SpoolFile::reopen(files_, std::move(place), std::move(runs)));
    } else {
        active_ = TRY(SpoolFile::create(files_, std::move(place), offset));
    }
    const Lock lock(mutex_);
    unsynced_ = {key, active_->synced_end()};
    return {};
}

// S1: a file that can be torn although it is not the last says so before its first byte.
Result<> WalSpool::mark_filling(const Key& key, const SpoolPlace& place) {
    {
        const Lock lock(mutex_);
        const auto later = index_.upper_bound(key);
        if (later == index_.end() || later->first.first != key.first) {
            return {};
        }
    }
    const std::string mark = filling_mark(place);
    TRY(base::write_durably(files_, mark, {}, base::Replace::Yes));
    filling_ = mark;
    return {};
}

// S1: what is left behind is durable before anything comes after it.
Result<> WalSpool::leave_segment() {
    if (!active_) {
        return {};
    }
    TRY(sync());
    auto closed = active_->close();
    {
        const Lock lock(mutex_);
        const auto held = index_.find(unsynced_->first);
        if (held != index_.end()) {
            held->second.marks = thinned(std::move(held->second.marks));
        }
        unsynced_.reset();
    }
    active_.reset();
    if (const std::string mark = std::exchange(filling_, {}); closed && !mark.empty()) {
        files_.remove(mark).discard("a mark that stays has the file proven once more");
    }
    return closed;
}

// At most about kMarksOfFullFile of them, the last one included.
std::vector<WalSpool::Mark> WalSpool::thinned(std::vector<Mark> marks) {
    if (marks.size() <= kMarksOfFullFile) {
        return marks;
    }
    const std::size_t step = marks.size() / kMarksOfFullFile + 1;
    std::vector<Mark> fewer;
    for (std::size_t i = (marks.size() - 1) % step; i < marks.size(); i += step) {
        fewer.push_back(marks[i]);
    }
    return fewer;
}

void WalSpool::note(Lsn from, Lsn to, base::Timestamp captured) {
    const Lock lock(mutex_);
    if (!index_.contains(unsynced_->first)) {
        const auto before = mark_before(unsynced_->first.first, from);
        Held& fresh = index_[unsynced_->first];
        fresh.from = from;
        mark(fresh, from, before.value_or(base::Timestamp{}));  // the file before may go
    }
    Held& held = index_[unsynced_->first];
    held.to = to;
    mark(held, to, captured);
}

void WalSpool::mark(Held& held, Lsn end, base::Timestamp captured) {
    std::vector<Mark>& marks = held.marks;
    if (captured == base::Timestamp{} || (!marks.empty() && marks.back().captured == captured)) {
        return;
    }
    if (marks.size() >= 2 && captured - marks[marks.size() - 2].captured < kMarkInterval) {
        marks.back() = {end, captured};
    } else {
        marks.push_back({end, captured});
    }
}

void WalSpool::cover(TimelineId timeline, Lsn end, base::Timestamp captured) {
    if (!end.is_set()) {
        return;
    }
    {
        const Lock lock(mutex_);
        const auto held =
            index_.find({timeline, cluster_.segment_size.number_at(Lsn{end.value - 1})});
        if (held == index_.end() || held->second.to != end) {
            return;
        }
        mark(held->second, end, captured);
    }
    if (active_ && active_->place().timeline == timeline && active_->end() == end) {
        active_->cover(captured);
    }
}

Result<> WalSpool::sync() {
    TRY(repair());
    if (!active_) {
        return {};
    }
    auto synced = active_->sync();
    if (!synced && active_->must_be_rewritten()) {
        must_repair_ = true;
        repair().discard(
            "tried again before the next byte is taken; the failed sync is what the caller must "
            "hear of");
        return synced;
    }
    TRY(std::move(synced));
    const Lock lock(mutex_);
    unsynced_->second = active_->synced_end();
    return {};
}

// S3.
Result<> WalSpool::repair() {
    if (!must_repair_) {
        return {};
    }
    const auto& runs = active_->synced_runs();
    TRY(rewrite_spool_file(files_, active_->place(), runs));
    const Lsn end = active_->synced_end();
    {
        const Lock lock(mutex_);
        const auto held = index_.find(unsynced_->first);
        if (runs.empty()) {
            index_.erase(unsynced_->first);
        } else if (held != index_.end()) {
            held->second.to = end;
            std::erase_if(held->second.marks, [end](const Mark& mark) { return mark.end > end; });
        }
        unsynced_.reset();
    }
    active_.reset();
    must_repair_ = false;
    return {};
}

// ---- Asking -----------------------------------------------------------------------------------

std::vector<StreamRange> WalSpool::ranges() const {
    const Lock lock(mutex_);
    std::vector<StreamRange> out;
    for (const auto& [key, held] : index_) {
        if (!out.empty() && out.back().timeline == key.first && out.back().to == held.from.value) {
            out.back().to = held.to.value;
        } else {
            out.push_back({key.first, held.from.value, held.to.value});
        }
    }
    return out;
}

StreamRange WalSpool::last_range(TimelineId timeline) const {
    StreamRange last{timeline, 0, 0};
    for (const StreamRange& range : ranges()) {
        last = range.timeline == timeline ? range : last;
    }
    return last;
}

std::optional<StreamRange> WalSpool::range_before(TimelineId timeline, Lsn at) const {
    std::optional<StreamRange> found;
    for (const StreamRange& range : ranges()) {
        if (range.timeline == timeline && Lsn{range.from} <= at) {
            found = range;
        }
    }
    return found;
}

Lsn WalSpool::synced_end(TimelineId timeline) const {
    const StreamRange last = last_range(timeline);
    const Lock lock(mutex_);
    return unsynced_ && unsynced_->first.first == timeline ? unsynced_->second : Lsn{last.to};
}

std::uint64_t WalSpool::bytes() const {
    const Lock lock(mutex_);
    std::uint64_t total = 0;
    for (const auto& [key, held] : index_) {
        total += held.to - held.from;
    }
    return total;
}

std::optional<base::Timestamp> WalSpool::captured_at(TimelineId timeline, Lsn end) const {
    const Lock lock(mutex_);
    return mark_before(timeline, end);
}

// The last mark at or before `end`.
std::optional<base::Timestamp> WalSpool::mark_before(TimelineId timeline, Lsn end) const {
    std::optional<base::Timestamp> found;
    for (auto at = index_.lower_bound({timeline, 0});
         at != index_.end() && at->first.first == timeline && at->second.from < end; ++at) {
        const std::vector<Mark>& marks = at->second.marks;
        const auto after =
            std::upper_bound(marks.begin(), marks.end(), end,
                             [](Lsn lsn, const Mark& mark) { return lsn < mark.end; });
        if (after != marks.begin()) {
            found = std::prev(after)->captured;
        }
    }
    return found;
}

Lsn WalSpool::contiguous_end(TimelineId timeline, Lsn at) const {
    Lsn end = at;
    for (auto held = index_.find({timeline, cluster_.segment_size.number_at(at)});
         held != index_.end(); ++held) {
        const bool continues =
            held->first.first == timeline && held->second.from <= end && end < held->second.to;
        if (!continues) {
            break;
        }
        end = held->second.to;
    }
    return end;
}

bool WalSpool::holds(const StreamRange& range) const {
    const Lock lock(mutex_);
    return contiguous_end(range.timeline, Lsn{range.from}) >= Lsn{range.to};
}

Result<> WalSpool::read(TimelineId timeline, Lsn at, base::MutableBytes out) const {
    if (!holds({timeline, at.value, at.value + out.size()})) {
        return Error(Code::NotFound, "the spool does not hold all of the " +
                                         std::to_string(out.size()) + " bytes of WAL from " +
                                         format_lsn(at) + " of timeline " +
                                         std::to_string(timeline));
    }
    while (!out.empty()) {
        const std::uint64_t offset = cluster_.segment_size.offset_at(at);
        const std::size_t count =
            std::min<std::uint64_t>(out.size(), cluster_.segment_size.bytes() - offset);
        const SpoolPlace place = place_of({timeline, cluster_.segment_size.number_at(at)});
        const auto reading = "reading '" + place.path + "'";
        const auto file = TRY(files_.open(place.path, base::OpenMode::Read).during(reading));
        const std::size_t got = TRY(file->read_at(offset, out.first(count)).during(reading));
        if (got < count) {
            return Error(Code::Corrupt,
                         "'" + place.path + "' is shorter than what was written into it");
        }
        at = at + count;
        out = out.subspan(count);
    }
    return {};
}

Result<> WalSpool::drop(const StreamRange& range) {
    std::vector<Key> gone;
    {
        const Lock lock(mutex_);
        for (const auto& [key, held] : index_) {
            const bool active = unsynced_ && unsynced_->first == key;
            const bool inside = key.first == range.timeline && held.from >= Lsn{range.from} &&
                                held.to <= Lsn{range.to};
            if (inside && !active) {
                gone.push_back(key);
            }
        }
        for (const Key& key : gone) {
            index_.erase(key);
        }
    }
    for (const Key& key : gone) {
        auto removed = files_.remove(place_of(key).path);
        if (!removed && removed.error().code() != Code::NotFound) {
            return std::move(removed).during("removing gathered WAL from the spool");
        }
    }
    return {};
}

}  // namespace lifeboat::postgres

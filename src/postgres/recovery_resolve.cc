#include "postgres/recovery_resolve.h"

#include <algorithm>
#include <functional>

// Tested by tests/e2e/recovery_test.cc.
//
// Reading starts some way before the first object that can matter (lead_in), so that a record which
// spans two objects is seen whole and the record before the deciding one is known. Where that was
// not far enough it starts again twice as far back, at last from the backup's end.

namespace lifeboat::postgres {

namespace {

constexpr std::uint64_t kShortestLead = 256 * base::kKiB;
constexpr std::uint64_t kWholeWay = 1ULL << 60;
constexpr Lsn kBehindAll{~std::uint64_t{0}};

class Resolver {
  public:
    Resolver(const engine::Target& target, const WalSurvey& survey, WayReader& reader)
        : target_(target), survey_(survey), reader_(reader) {}

    Result<ResolvedTarget> run() {
        const std::optional<std::size_t> first = first_that_matters();
        if (!first) {
            out_.kind = ResolvedTarget::Kind::Beyond;
            out_.end = survey_.end;
            return std::move(out_);
        }
        TRY(find(*first));
        if (out_.kind == ResolvedTarget::Kind::Found) {
            TRY(watch_before(read_from_));
            find_earlier_commit();
        }
        return std::move(out_);
    }

  private:
    std::optional<std::size_t> first_that_matters() const;
    std::optional<std::size_t> first_after(base::Timestamp time) const;
    std::optional<std::size_t> holder_of(Lsn at) const;
    std::size_t first_with(const std::function<bool(const WalSummary&)>& may_hold) const;
    Result<> find(std::size_t first);
    Result<> search(std::size_t from, StopFinder& finder);
    void conclude(const StopFinder& finder);
    Result<> watch(const WalRecord& record);
    void note(Lsn at, const Parameters& now);
    Result<> watch_before(std::size_t end);
    Result<std::size_t> watch_run(std::size_t index, std::size_t end);
    void find_earlier_commit();

    const engine::Target& target_;
    const WalSurvey& survey_;
    WayReader& reader_;
    std::size_t read_from_ = 0;
    Lsn read_to_;
    bool decided_ = false;
    ResolvedTarget out_;
};

// The first piece that may hold a later commit. Nothing when nobody can tell that all commits up to
// `time` are here: that takes an object before whose end lies all that was durable then, or a
// commit that is no earlier. Where the search begins, an object's `captured` is no help: it says of
// how long ago its bytes are at least, and a skipped commit would mean to recover too far. So a
// piece without a summary may hold anything.
std::optional<std::size_t> Resolver::first_after(base::Timestamp time) const {
    const auto is_later = [&](const WalSummary& summary) {
        return summary.latest_commit && *summary.latest_commit > time;
    };
    const auto reaches = [&](const WalPiece& piece) {
        const bool committed = piece.summary && piece.summary->latest_commit;
        return piece.captured >= time || (committed && *piece.summary->latest_commit >= time);
    };
    const bool reached = std::any_of(survey_.pieces.begin(), survey_.pieces.end(), reaches);
    return reached ? std::optional(first_with(is_later)) : std::nullopt;
}

std::optional<std::size_t> Resolver::holder_of(Lsn at) const {
    if (at > survey_.end) {
        return std::nullopt;
    }
    const auto found = std::find_if(survey_.pieces.begin(), survey_.pieces.end(),
                                    [&](const WalPiece& piece) { return at < piece.to; });
    const auto index = static_cast<std::size_t>(found - survey_.pieces.begin());
    return survey_.pieces.empty() ? 0 : std::min(index, survey_.pieces.size() - 1);
}

// The first piece that may hold what is wanted: one without a summary may hold anything.
std::size_t Resolver::first_with(const std::function<bool(const WalSummary&)>& may_hold) const {
    const auto found = std::find_if(
        survey_.pieces.begin(), survey_.pieces.end(),
        [&](const WalPiece& piece) { return !piece.summary || may_hold(*piece.summary); });
    const auto index = static_cast<std::size_t>(found - survey_.pieces.begin());
    return survey_.pieces.empty() ? 0 : std::min(index, survey_.pieces.size() - 1);
}

std::optional<std::size_t> Resolver::first_that_matters() const {
    if (const auto* time = std::get_if<engine::AtTime>(&target_)) {
        return first_after(time->time);
    }
    if (const auto* position = std::get_if<engine::AtPosition>(&target_)) {
        const auto at = parse_lsn(position->text);
        return at ? holder_of(*at) : std::nullopt;
    }
    if (const auto* name = std::get_if<engine::AtName>(&target_)) {
        return first_with([&](const WalSummary& s) {
            return std::any_of(s.restore_points.begin(), s.restore_points.end(),
                               [&](const RestorePoint& p) { return p.name == name->name; });
        });
    }
    const auto* at = std::get_if<engine::AtTransaction>(&target_);
    const auto* before = std::get_if<engine::BeforeTransaction>(&target_);
    if (at != nullptr || before != nullptr) {
        const auto xid = static_cast<std::uint32_t>(at != nullptr ? at->xid : before->xid);
        // Aborts are not in the range of xids that a summary keeps.
        return first_with([&](const WalSummary& s) {
            return s.aborts > 0 ||
                   (s.commits > 0 && xid - s.lowest_xid <= s.highest_xid - s.lowest_xid);
        });
    }
    return survey_.pieces.empty() ? 0 : survey_.pieces.size() - 1;  // Latest
}

Result<> Resolver::find(std::size_t first) {
    for (std::uint64_t lead = kShortestLead;; lead *= 4) {
        read_from_ = reader_.lead_in(first, lead);
        StopFinder finder(target_);
        TRY(search(read_from_, finder));
        if (read_from_ == 0 || (finder.stop() && !finder.needs_match())) {
            conclude(finder);
            return {};
        }
        if (finder.needs_match()) {
            lead = kWholeWay;  // a record that spans two objects may be in neither one's summary
        }
    }
}

Result<> Resolver::search(std::size_t from, StopFinder& finder) {
    decided_ = false;
    const auto look = [&](const WalRecord& record) -> Result<WayReader::Next> {
        const StopFinder::Verdict verdict = TRY(finder.see(record));
        if (finder.stop() && finder.stop()->start == record.start) {
            TRY(watch(record));
        }
        decided_ = verdict == StopFinder::Verdict::Decided;
        return decided_ ? WayReader::Next::Enough : WayReader::Next::Go;
    };
    read_to_ = TRY(reader_.read(from, look));
    return {};
}

void Resolver::conclude(const StopFinder& finder) {
    out_.record = finder.stop();
    out_.last_commit = finder.last_commit();
    out_.deciding = finder.deciding();
    out_.end = out_.record ? out_.record->end : survey_.begin;
    // Zeros in the middle of what was captured: what lies behind them is not WAL that a server
    // would reach.
    const auto* position = std::get_if<engine::AtPosition>(&target_);
    const auto wanted = position == nullptr ? Result<Lsn>(kBehindAll) : parse_lsn(position->text);
    const bool cut_short = !decided_ && !survey_.pieces.empty() &&
                           read_to_ < survey_.pieces.back().from &&
                           (!wanted || *wanted >= read_to_);
    if (finder.needs_match()) {
        out_.kind = ResolvedTarget::Kind::Unmatched;
        out_.end = read_to_;
    } else if (cut_short) {
        out_.kind = ResolvedTarget::Kind::Beyond;
        out_.end = read_to_;
    }
}

Result<> Resolver::watch(const WalRecord& record) {
    if (is_operation(record, XlogOp::ParameterChange)) {
        const Parameters now = TRY(read_parameter_change(record));
        note(record.start, now);
    }
    if (is_tablespace_creation(record)) {
        const TablespaceCreate create = TRY(read_tablespace_create(record));
        if (!create.path.empty()) {
            out_.tablespaces.push_back({record.start, create.tablespace, std::string(create.path)});
        }
    }
    return {};
}

void Resolver::note(Lsn at, const Parameters& now) {
    out_.parameters = out_.parameters ? largest(*out_.parameters, now) : now;
    if (now.level == WalLevel::Minimal && (!out_.minimal_from || at < *out_.minimal_from)) {
        out_.minimal_from = at;
    }
}

// Parameter changes and new tablespaces in the pieces before those that were read.
Result<> Resolver::watch_before(std::size_t end) {
    for (std::size_t index = 0; index < end;) {
        const WalPiece& piece = survey_.pieces[index];
        if (!piece.summary) {
            index = TRY(watch_run(index, end));
            continue;
        }
        for (const ParameterChange& change : piece.summary->parameter_changes) {
            if (change.at >= survey_.begin && change.at < piece.to) {
                note(change.at, change.now);
            }
        }
        for (const TablespaceMade& made : piece.summary->tablespaces) {
            if (made.at >= survey_.begin && made.at < piece.to) {
                out_.tablespaces.push_back(made);
            }
        }
        ++index;
    }
    return {};
}

// Reads the pieces from `index` to the next that has a summary; returns its index.
Result<std::size_t> Resolver::watch_run(std::size_t index, std::size_t end) {
    std::size_t after = index;
    while (after < end && !survey_.pieces[after].summary) {
        ++after;
    }
    const Lsn to = survey_.pieces[after - 1].to;
    const auto look = [&](const WalRecord& record) -> Result<WayReader::Next> {
        if (record.start >= to) {
            return WayReader::Next::Enough;
        }
        TRY(watch(record));
        return WayReader::Next::Go;
    };
    TRY(reader_.read(reader_.lead_in(index, kShortestLead), look));
    return after;
}

// A quiet end: the newest commit lies before what was read.
void Resolver::find_earlier_commit() {
    for (std::size_t index = read_from_; index-- > 0 && !out_.last_commit;) {
        const WalPiece& piece = survey_.pieces[index];
        const bool known = piece.summary && piece.summary->last_commit;
        if (known && piece.summary->last_commit->start >= survey_.begin &&
            piece.summary->last_commit->end <= piece.to) {
            out_.last_commit = piece.summary->last_commit;
        }
    }
}

}  // namespace

Parameters largest(const Parameters& a, const Parameters& b) {
    Parameters out = a;
    out.max_connections = std::max(a.max_connections, b.max_connections);
    out.max_worker_processes = std::max(a.max_worker_processes, b.max_worker_processes);
    out.max_wal_senders = std::max(a.max_wal_senders, b.max_wal_senders);
    out.max_prepared_transactions =
        std::max(a.max_prepared_transactions, b.max_prepared_transactions);
    out.max_locks_per_transaction =
        std::max(a.max_locks_per_transaction, b.max_locks_per_transaction);
    return out;
}

Result<ResolvedTarget> resolve_target(const engine::Target& target, const WalSurvey& survey,
                                      WayReader& reader) {
    return Resolver(target, survey, reader).run().during("looking for " + describe_target(target));
}

}  // namespace lifeboat::postgres

// Spool -> pieces. Tested by wal_receiver_upload_test.cc and tests/e2e/stream_test.cc.
//
// A piece begins where the repository's bytes end and ends between two records where it can. It is
// cut when the interval since the last one has passed, when there is a megabyte, or at once while a
// commit may be waiting for us (eager): whatever arrives while one piece is on its way becomes the
// next, so many commits share one round trip.

#include "postgres/wal_receiver_upload.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/workers.h"
#include "policy/expiry.h"
#include "postgres/newest_backup.h"
#include "postgres/wal_gather.h"
#include "postgres/wal_receiver_claims.h"
#include "repo/pack_source.h"

namespace lifeboat::postgres {

using base::Bytes;
using base::Duration;
using repo::StreamRange;
using std::chrono::steady_clock;

namespace {

constexpr std::uint64_t kFullPiece = base::kMiB;
constexpr std::uint64_t kLargestPiece = 8 * base::kMiB;  // when there is a backlog
// Pieces are superseded within minutes; docs/format/layout.md keeps one beyond its day while
// nothing gathered covers it.
constexpr std::chrono::days kPieceRetention{2};
constexpr int kLabelsToTry = 8;

}  // namespace

Duration RetryPause::next() {
    const auto span = static_cast<std::uint64_t>(limit_.count() / 2);
    const Duration pause =
        limit_ / 2 + Duration(static_cast<std::int64_t>(random_.u64() % (span + 1)));
    limit_ = std::min(kMost, limit_ * 2);
    return pause;
}

bool is_hopeless(Code code) {
    return code == Code::Conflict || code == Code::Unsupported || code == Code::InvalidInput ||
           code == Code::Bug;
}

Result<bool> persist(const RepositorySide& side, TroubleSource source, const std::string& doing,
                     const std::function<Result<>()>& step) {
    RetryPause pause(side.context.random);
    while (!side.share.ended()) {
        auto done = step();
        if (done) {
            side.share.complain(source, "");
            return true;
        }
        if (is_hopeless(done.error().code())) {
            return std::move(done).during(doing).error();
        }
        if (!side.share.complains(source)) {
            base::log(base::LogLevel::Warn, "stream: " + doing + " failed, trying again",
                      {{"system", side.system}, {"error", done.error().message()}});
        }
        side.share.complain(source, doing + ": " + done.error().message());
        const auto until = steady_clock::now() + pause.next();
        const bool was_draining = side.share.draining();
        for (std::uint64_t seen = 0; steady_clock::now() < until && !side.share.ended() &&
                                     side.share.draining() == was_draining;) {
            seen = side.share.wait(seen, std::chrono::milliseconds(200));
        }
    }
    return false;
}

repo::StreamPut describe_put(const RepositorySide& side, repo::StreamObject kind,
                             const StreamRange& range, Bytes summary) {
    const WalSpool& spool = *side.share.spool();
    const bool piece = kind == repo::StreamObject::Piece;
    repo::StreamPut put;
    put.kind = kind;
    put.range = range;
    put.source = spool.cluster().system_identifier;
    put.segment_size = static_cast<std::uint32_t>(spool.cluster().segment_size.bytes());
    put.major = static_cast<std::uint32_t>(spool.cluster().major);
    put.captured = spool.captured_at(range.timeline, Lsn{range.to}).value_or(base::Timestamp{});
    if (const auto told = decode_summary(summary); told && told->latest_commit) {
        // What recovery takes for evidence too; a clock that was once ahead must not promise more.
        put.captured =
            std::max(put.captured, std::min(*told->latest_commit, side.context.clock.now()));
    }
    // By our clock too, which agrees with the store's (W2): a database server whose clock is behind
    // must not have its WAL deleted early.
    put.expires = policy::wal_expiry(
        std::max(put.captured, side.context.clock.now()),
        piece ? std::min(side.job.retention, kPieceRetention) : side.job.retention);
    put.summary = std::move(summary);
    return put;
}

namespace {

// Conflict when the stream in the repository is of another cluster. Labels that cannot be read say
// nothing.
Result<> check_cluster(repo::Repository& repository, const repo::StreamCatalog& catalog,
                       const ClusterIdentity& cluster) {
    std::map<TimelineId, int> left;  // labels to try for each timeline: some may be damaged
    for (auto entry = catalog.entries().rbegin(); entry != catalog.entries().rend(); ++entry) {
        int& tries = left.try_emplace(entry->name.range.timeline, kLabelsToTry).first->second;
        if (tries == 0) {
            continue;
        }
        --tries;
        auto header = repo::read_pack_header(repository.store(), entry->name.text(), entry->size);
        if (!header && header.error().code() == Code::Unavailable) {
            return std::move(header).error();
        }
        auto label =
            header ? repo::label_of(*header) : Result<repo::StreamLabel>(std::move(header).error());
        if (!label) {
            continue;
        }
        tries = 0;
        const bool same = label->source == cluster.system_identifier &&
                          label->major == static_cast<std::uint32_t>(cluster.major) &&
                          label->segment_size == cluster.segment_size.bytes();
        if (!same) {
            return Error(Code::Conflict, "the repository holds WAL of cluster " +
                                             std::to_string(label->source) + " (PostgreSQL " +
                                             std::to_string(label->major) +
                                             ") under this system's name; the server is cluster " +
                                             std::to_string(cluster.system_identifier) +
                                             " (PostgreSQL " + std::to_string(cluster.major) + ")")
                .hint(
                    "Give this server a system of its own in lifeboat.yaml: after an upgrade to a "
                    "new major version too.");
        }
    }
    return {};
}

}  // namespace

Result<> check_system_cluster(repo::Repository& repository, const repo::HostKeys& host,
                              const std::string& system, const ClusterIdentity& cluster) {
    const auto catalog = TRY(repo::StreamCatalog::load(repository, system));
    TRY(check_cluster(repository, catalog, cluster));
    const auto newest = TRY(find_newest_backup(repository, host, system));
    return newest ? check_backup_cluster(*newest, cluster.system_identifier, cluster.major)
                  : Result<>();
}

// ---- The uploader -----------------------------------------------------------------------------

WalUploader::WalUploader(const RepositorySide& side)
    : side_(side),
      writer_(side.job.repository, side.job.host, side.system, side.context.clock,
              side.context.random) {}

Result<> WalUploader::run() {
    while (!side_.share.ended()) {
        const bool busy = TRY(step());
        if (!busy) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(next_cut_ - steady_clock::now());
            const Duration idle = std::chrono::milliseconds(200);
            const bool soon = left > std::chrono::milliseconds(0) && left < idle;
            seen_ = side_.share.wait(seen_, soon ? Duration(left) : idle);
        }
    }
    return {};
}

// False when there is nothing to do yet.
Result<bool> WalUploader::step() {
    WalShare& share = side_.share;
    if (share.spool() == nullptr) {
        return false;
    }
    if (!share.catalog_known()) {
        return persist(side_, TroubleSource::Repository, "reading what the repository holds",
                       [this] { return prepare(); });
    }
    const auto claims = share.open_claims();
    if (!claims.empty()) {
        return persist(side_, TroubleSource::Repository, "reading what the repository holds",
                       [&] { return settle(claims); });
    }
    if (share.side_work_waits()) {
        return persist(side_, TroubleSource::Repository, "storing timeline histories and gaps",
                       [this] { return do_side_work(); });
    }
    const auto piece = TRY(next_piece());
    if (!piece) {
        return false;
    }
    next_cut_ = steady_clock::now() + side_.job.interval;
    const StreamRange& range = piece->put.range;
    const bool done =
        TRY(persist(side_, TroubleSource::Repository, "storing WAL", [&]() -> Result<> {
            const bool gathered_meanwhile = share.stored_ranges().contains(range);
            return gathered_meanwhile ? Result<>() : put(piece->put, piece->bytes);
        }));
    if (done) {
        follower_->passed(Lsn{range.to});
        share.stored(range);
    }
    return done;
}

Result<> WalUploader::prepare() {
    repo::Repository& repository = side_.job.repository;
    const auto store_now = TRY(repository.store().now());
    TRY(policy::check_clocks(side_.context.clock.now(), store_now));
    const auto catalog = TRY(repo::StreamCatalog::load(repository, side_.system));
    const ClusterIdentity& cluster = side_.share.spool()->cluster();
    TRY(check_cluster(repository, catalog, cluster));
    const auto newest = TRY(
        find_newest_backup(repository, side_.job.host, side_.system, [this](const Error& error) {
            base::log(base::LogLevel::Warn, "stream: a backup cannot be read",
                      {{"system", side_.system}, {"error", error.message()}});
        }));
    std::optional<WalStart> base;  // without any, capture keeps to what is held
    if (newest) {
        TRY(check_backup_cluster(*newest, cluster.system_identifier, cluster.major));
        base = WalStart{newest->details.timeline, newest->details.stop};
    }
    side_.share.set_catalog(catalog, base);
    return {};
}

Result<> WalUploader::settle(const std::vector<WalShare::Claim>& claims) {
    const ClusterIdentity& cluster = side_.share.spool()->cluster();
    return base::run_parallel(claims.size(), [&](std::size_t i) -> Result<> {
        const bool proven =
            TRY(prove_claim(side_.job.repository, side_.job.host, cluster, claims[i]));
        side_.share.settle(claims[i], proven);
        return {};
    });
}

// Histories before the WAL that follows them; gaps before the WAL behind them.
Result<> WalUploader::do_side_work() {
    const auto histories = side_.share.histories();
    const auto gaps = side_.share.gaps();
    for (const HistoryToStore& history : histories) {
        TRY(check_history(side_.job.repository, side_.job.host, side_.system, history.timeline,
                          history.contents));
        TRY(writer_.put_history(history.timeline, history.contents));
    }
    for (const GapToRecord& gap : gaps) {
        TRY(writer_.record_gap(gap.range, gap.reason));
    }
    side_.share.side_work_done(histories.size(), gaps.size());
    return {};
}

Result<std::optional<WalUploader::Piece>> WalUploader::next_piece() {
    WalShare& share = side_.share;
    const auto current = share.current();  // before the question what is there: see is_growing()
    const auto missing = share.first_unstored();
    if (!missing) {
        return std::optional<Piece>();
    }
    const bool grows = current && is_growing(*missing, *current);
    // A long backlog goes straight into gathered packs.
    const std::uint64_t group = gather_bytes(share.spool()->cluster().segment_size);
    if (missing->to - missing->from > 2 * group && !share.complains(TroubleSource::Gather)) {
        return std::optional<Piece>();
    }
    if (!follower_) {
        follower_.emplace(*share.spool(), KeepPoints::Yes);
    }
    const StreamRange pending{missing->timeline, missing->from,
                              std::min(missing->to, missing->from + kLargestPiece)};
    const auto read_to = follower_->follow(pending);
    if (!read_to) {
        if (share.first_unstored() != missing) {
            return std::optional<Piece>();  // gathered and dropped meanwhile, or cut off by a
                                            // failing disk
        }
        share.complain(TroubleSource::Wal, "reading the spool: " + read_to.error().message());
        return std::optional<Piece>();
    }
    share.complain(TroubleSource::Wal, follower_->trouble());
    const auto end =
        choose_end(pending, *read_to, share.draining() || pending.to < missing->to || !grows);
    if (!end) {
        return std::optional<Piece>();
    }
    return read_piece({pending.timeline, pending.from, end->value});
}

// Nothing when the spool lost the bytes meanwhile: to a gathered pack, or to a failing disk.
std::optional<WalUploader::Piece> WalUploader::read_piece(const StreamRange& range) {
    Piece piece;
    piece.bytes.resize(range.to - range.from);
    const auto read = side_.share.spool()->read(range.timeline, Lsn{range.from}, piece.bytes);
    if (!read) {
        side_.share.complain(TroubleSource::Wal, "reading the spool: " + read.error().message());
        return std::nullopt;
    }
    piece.put = describe_put(side_, repo::StreamObject::Piece, range, follower_->take_summary());
    return piece;
}

// Nothing: not yet. `closed`: no more bytes will come behind `pending`, or none that need be waited
// for.
std::optional<Lsn> WalUploader::choose_end(const StreamRange& pending, Lsn read_to,
                                           bool closed) const {
    const Lsn from{pending.from};
    const Lsn to{pending.to};
    const Lsn boundary = std::min(follower_->boundary(), to);
    const bool due = closed || side_.share.eager() || steady_clock::now() >= next_cut_;
    if (boundary > from) {
        const bool full = read_to < to || boundary - from >= kFullPiece;
        return due || full ? std::optional(boundary) : std::nullopt;
    }
    const bool giant = to - from >= kFullPiece;
    return closed || giant || (due && follower_->is_blind()) ? std::optional(to) : std::nullopt;
}

// An object of the same range that is there and damaged cannot be replaced: the bytes go into two
// others.
Result<> WalUploader::put(const repo::StreamPut& put, base::BytesView bytes) {
    auto done = writer_.put(put, bytes);
    if (done || done.error().code() != Code::Corrupt || bytes.size() < 2) {
        return done;
    }
    repo::StreamPut first = put;
    repo::StreamPut second = put;
    const std::size_t half = bytes.size() / 2;
    first.range.to = second.range.from = put.range.from + half;
    first.summary.clear();
    first.captured = {};  // what is covered is so at the end only
    TRY(this->put(first, bytes.first(half)));
    return this->put(second, bytes.subspan(half));
}

}  // namespace lifeboat::postgres

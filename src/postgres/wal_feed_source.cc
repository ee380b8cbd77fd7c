#include "postgres/wal_feed_source.h"

#include <algorithm>

// Tested by wal_feeder_test.cc and tests/e2e/recovery_test.cc.

namespace lifeboat::postgres {

namespace {

constexpr std::size_t kStep = base::kMiB;

// Absence is proven by the plan alone: whatever is in it and cannot be had is a failure, or
// recovery would end there (T13, P5).
Error never_absent(Error error) {
    return error.code() == Code::NotFound ? std::move(error).recode(Code::Unavailable)
                                          : std::move(error);
}

}  // namespace

FeedSource::FeedSource(base::Files& files, std::string target, const FeedPlan& plan,
                       repo::Repository& repository, repo::ReaderKeys& keys,
                       const base::StopToken& stop)
    : files_(files),
      target_(std::move(target)),
      plan_(plan),
      repository_(repository),
      keys_(keys),
      stop_(stop),
      buffer_(kStep) {}

Result<> FeedSource::write(const FeedSegment& segment, TimelineId timeline, std::uint64_t number,
                           const std::string& path) {
    const auto making = "making segment '" + segment_name(timeline, number, plan_.segment) + "'";
    auto file = TRY(files_.open(path, base::OpenMode::CreateOrTruncate, 0600).during(making));
    TRY(file->truncate(plan_.segment.bytes())
            .during(making));  // zeros behind the last byte of the plan
    for (const FeedPart& part : segment.parts) {
        auto copied = copy(part, plan_.segment.start_of(number), *file);
        if (!copied) {
            return never_absent(std::move(copied).error()).during(making);
        }
    }
    return file->close().during(making);
}

Result<> FeedSource::copy(const FeedPart& part, Lsn start, base::File& out) {
    for (Lsn at = part.from; at < part.to;) {
        TRY(stop_.check());
        const base::MutableBytes step(buffer_.data(),
                                      std::min<std::uint64_t>(buffer_.size(), part.to - at));
        TRY(fill(part.timeline, at, step));
        TRY(out.write_at(at - start, step));
        at = at + step.size();
    }
    return {};
}

Result<> FeedSource::fill(TimelineId timeline, Lsn from, base::MutableBytes out) {
    const bool brought = timeline == plan_.local_timeline && from < plan_.local_end;
    const std::uint64_t local =
        brought ? std::min<std::uint64_t>(out.size(), plan_.local_end - from) : 0;
    if (local > 0) {
        const bool filled = TRY(fill_locally(timeline, from, out.first(local)));
        if (!filled) {
            TRY(fill_from_stream(timeline, from, out.first(local)));
        }
    }
    return local < out.size() ? fill_from_stream(timeline, from + local, out.subspan(local))
                              : Result<>();
}

// The backup's own WAL. A server that has come further may have removed it: then the stream may
// have it too.
Result<bool> FeedSource::fill_locally(TimelineId timeline, Lsn from, base::MutableBytes out) {
    while (!out.empty()) {
        const std::uint64_t number = plan_.segment.number_at(from);
        const std::uint64_t offset = plan_.segment.offset_at(from);
        const base::MutableBytes part =
            out.first(std::min<std::uint64_t>(out.size(), plan_.segment.bytes() - offset));
        const auto file = files_.open(
            base::join(target_, "pg_wal/" + segment_name(timeline, number, plan_.segment)),
            base::OpenMode::Read);
        if (!file) {
            return false;
        }
        const std::size_t got = TRY((*file)->read_at(offset, part));
        if (got < part.size()) {
            return false;
        }
        from = from + part.size();
        out = out.subspan(part.size());
    }
    return true;
}

Result<> FeedSource::list_again() {
    auto catalog = TRY(repo::StreamCatalog::load(repository_, plan_.system));
    reader_.reset();
    catalog_ = std::make_unique<repo::StreamCatalog>(std::move(catalog));
    reader_ = std::make_unique<repo::StreamReader>(repository_, *catalog_, keys_,
                                                   plan_.system_identifier);
    return {};
}

// Pieces are gathered into packs and removed while recovery runs: what vanished is looked for once
// more, under its new name.
Result<> FeedSource::fill_from_stream(TimelineId timeline, Lsn from, base::MutableBytes out) {
    const bool fresh = reader_ == nullptr;
    if (fresh) {
        TRY(list_again());
    }
    auto got = read_stream(timeline, from, out);
    const bool vanished =
        !got && (got.error().code() == Code::Unavailable || got.error().code() == Code::NotFound);
    if (fresh || !vanished) {
        return got;
    }
    TRY(list_again());
    return read_stream(timeline, from, out);
}

// A timeline's first bytes may be known only from the heir that copied them; see plan_pieces.
Result<> FeedSource::read_stream(TimelineId timeline, Lsn from, base::MutableBytes out) {
    auto got = reader_->read(timeline, from.value, out);
    for (const TimelineSpan& span : plan_.way) {
        const bool heir = span.timeline > timeline &&
                          from >= plan_.segment.start_of(plan_.segment.number_at(span.begin));
        if (!got && got.error().code() == Code::NotFound && heir) {
            got = reader_->read(span.timeline, from.value, out);
        }
    }
    return got;
}

}  // namespace lifeboat::postgres

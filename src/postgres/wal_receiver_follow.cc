#include "postgres/wal_receiver_follow.h"

#include <algorithm>
#include <utility>

namespace lifeboat::postgres {

using base::Bytes;
using repo::StreamRange;

namespace {

constexpr std::size_t kChunk = 256 << 10;
constexpr std::size_t kPointsPerSummary = 1200;  // about 20 bytes each
constexpr std::size_t kLargestSummary = 32 << 10;

std::size_t weight(const WalSummary& summary) {
    std::size_t relations = 0;
    for (const LossMarker& loss : summary.losses) {
        relations += 2 + loss.relations.size() + loss.oids.size();
    }
    return summary.points.size() + relations;
}

}  // namespace

bool WalFollower::is_full() const {
    return weight(summarizer_.summary()) >= kPointsPerSummary;
}

Result<Lsn> WalFollower::follow(const StreamRange& range) {
    if (timeline_ != range.timeline || passed_ != Lsn{range.from}) {
        place(range);
    }
    const Lsn end{range.to};
    while (true) {
        if (unread_) {
            take_records();
        }
        if (unread_ || is_full()) {
            return boundary();
        }
        if (fed_ >= end) {
            return end;
        }
        TRY(feed_next(end));
    }
}

// The record that ends first behind range.from may begin long before it: a segment earlier is
// enough for all but giants, whose loss the summaries' back links tell.
void WalFollower::place(const StreamRange& range) {
    const SegmentSize size = spool_.cluster().segment_size;
    const Lsn here = size.start_of(size.number_at(Lsn{range.from}));
    fed_ = Lsn{range.from};
    for (const Lsn earlier : {Lsn{here.value - std::min(here.value, size.bytes())}, here}) {
        if (spool_.holds({range.timeline, earlier.value, range.from})) {
            fed_ = earlier;
            break;
        }
    }
    timeline_ = range.timeline;
    passed_ = Lsn{range.from};
    reader_.reset();
    summarizer_ = WalSummarizer(keep_);
    unread_ = false;
    complete_ = true;
}

Result<> WalFollower::feed_next(Lsn end) {
    if (reader_ == nullptr) {
        WalReaderOptions options;
        options.segment_size = spool_.cluster().segment_size;
        options.major = spool_.cluster().major;
        options.system_identifier = spool_.cluster().system_identifier;
        reader_ = std::make_unique<WalReader>(options);
    }
    chunk_.resize(std::min<std::uint64_t>(kChunk, end - fed_));
    TRY(spool_.read(timeline_, fed_, chunk_));
    auto fed = reader_->feed(fed_, chunk_);
    fed_ = fed_ + chunk_.size();
    unread_ = fed.has_value();
    if (!fed) {
        give_up(fed.error());
    }
    return {};
}

void WalFollower::take_records() {
    while (!is_full()) {
        const WalStep step = reader_->next();
        if (step == WalStep::Record) {
            add(reader_->record());
            continue;
        }
        unread_ = false;
        if (step == WalStep::Failed) {
            give_up(reader_->failure());
        } else if (step == WalStep::End) {
            give_up(Error(Code::Corrupt,
                          "it ends at " + format_lsn(boundary()) + ", but the server sent more"));
        }
        return;
    }
}

void WalFollower::add(const WalRecord& record) {
    if (record.end <= passed_) {
        return;
    }
    auto added = summarizer_.add(record);
    if (!added) {
        complete_ = false;
        trouble_ = "WAL is captured, but a record of it cannot be read: " + added.error().message();
    }
}

void WalFollower::give_up(const Error& why) {
    trouble_ = "WAL is captured, but cannot be read: " + why.message();
    complete_ = false;
    reader_.reset();
    fed_ = spool_.cluster().segment_size.boundary_after(fed_);
}

Lsn WalFollower::boundary() const {
    return reader_ == nullptr || !reader_->position() ? passed_ : reader_->position()->next;
}

Bytes WalFollower::take_summary() {
    WalSummary summary = summarizer_.take();
    const bool complete = std::exchange(complete_, !is_blind());
    if (!complete || summary.records == 0) {
        return {};
    }
    trouble_.clear();
    Bytes encoded = encode_summary(summary);
    if (encoded.size() > kLargestSummary) {
        summary.points.clear();
        encoded = encode_summary(summary);
    }
    return encoded.size() > kLargestSummary ? Bytes{} : encoded;
}

}  // namespace lifeboat::postgres

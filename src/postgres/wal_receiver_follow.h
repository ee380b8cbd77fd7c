#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_spool.h"
#include "postgres/wal_summary.h"

namespace lifeboat::postgres {

// Reads along the WAL of a spool, record by record, to know where records end and what they say.
// Capture never depends on it: WAL that cannot be read is passed over up to the next segment, and
// trouble() says so. One thread; the spool must outlive it.
class WalFollower {
  public:
    WalFollower(const WalSpool& spool, KeepPoints keep) : spool_(spool), keep_(keep) {}

    // Reads on from `range.from`, where the last call's object ended, to `range.to` at most, and
    // stops early once what was read would fill a summary: the returned position is then before
    // `range.to`. Reads some way before `range.from` first if it does not stand there.
    Result<Lsn> follow(const repo::StreamRange& range);

    // End of the last record that was read whole; not behind `range.from` if none ended there. May
    // be a segment's end that is still to come.
    Lsn boundary() const;

    // True while nothing is known of where records end.
    bool is_blind() const { return reader_ == nullptr; }

    // The summary of the records that ended since the last call, encoded; empty when not all of
    // them could be read, or they do not fit.
    base::Bytes take_summary();

    // The object that was followed is done, up to `end`: the next call goes on there.
    void passed(Lsn end) { passed_ = end; }

    const std::string& trouble() const { return trouble_; }

  private:
    void place(const repo::StreamRange& range);
    Result<> feed_next(Lsn end);
    void take_records();
    void add(const WalRecord& record);
    void give_up(const Error& why);
    bool is_full() const;

    const WalSpool& spool_;
    const KeepPoints keep_;
    TimelineId timeline_ = 0;
    Lsn passed_;                         // what lies before belongs to objects that are done
    Lsn fed_;                            // end of what a reader was given, or passed over
    std::unique_ptr<WalReader> reader_;  // none: the next one begins at fed_
    WalSummarizer summarizer_{keep_};
    base::Bytes chunk_;
    bool unread_ = false;   // chunk_ holds records that were not taken yet
    bool complete_ = true;  // no record since the last take_summary() was missed
    std::string trouble_;
};

}  // namespace lifeboat::postgres

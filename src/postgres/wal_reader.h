#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "postgres/lsn.h"
#include "postgres/wal_format.h"

namespace lifeboat::postgres {

// Between two records. The next record begins at `next`, or behind the page header if that is where
// a page begins.
struct WalPosition {
    Lsn next;
    Lsn last;  // start of the record before, which the next one must name; not set: unknown

    friend bool operator==(const WalPosition&, const WalPosition&) = default;
};

struct WalReaderOptions {
    SegmentSize segment_size{};
    // Pages of another major are Corrupt; else the first page decides.
    std::optional<int> major{};
    // Segments of another cluster are Corrupt; else the first segment decides.
    std::optional<std::uint64_t> system_identifier{};
    // Pages of a later timeline are Corrupt.
    std::optional<TimelineId> latest_timeline{};
    // A known boundary between records, at or after the first byte fed. Without it the reader finds
    // the first record that begins in what it is fed, and takes that record's word for the one
    // before.
    std::optional<WalPosition> resume{};
};

enum class WalStep {
    Record,    // record() is the next one
    NeedMore,  // all that was fed is used up
    End,       // the same, and what lies behind position() is not WAL: see end_kind()
    Failed,    // failure() says why; for good
};

enum class WalEnd {
    Zeros,       // the rest of the page is zero
    OldPage,     // a page that still has its contents from before the segment file was recycled
    TornRecord,  // either of these in the middle of a record that a crash cut short
};

// Takes a stream of WAL apart into records. Pure: bytes in, records out; the bytes may be hostile.
//
//     TRY(reader.feed(start, bytes));  // any number of bytes, contiguous with those before
//     while (reader.next() == WalStep::Record) { use(reader.record()); }
//
// `bytes` are borrowed until next() returns anything but Record; record() and its spans are valid
// until the next call. How the stream is cut into runs never changes what comes out. Records that
// lie in one page and one run are read in place; others are put together in a buffer that is kept.
// Memory is bounded by the longest record that was actually fed.
//
// Every record that comes out had the right checksum, the right back link, and pages that fit:
// address, segment size, cluster, timelines that never go back. Zeros or recycled pages are an End,
// not a failure, since that is how WAL ends; whoever knows that more must follow has to compare
// position(). More may be fed after an End: it stays an End, unless a page of this very place in
// the log turns up, which makes the zeros a hole, and the stream Corrupt. (Zeros before the first
// boundary are the padding behind a segment switch if a sound page begins the next segment.) One
// thread.
class WalReader {
  public:
    explicit WalReader(const WalReaderOptions& options);

    // InvalidInput: a gap or an overlap, or a start in the middle of a page with neither `major`
    // given nor pages seen before.
    Result<> feed(Lsn start, BytesView bytes);
    WalStep next();

    const WalRecord& record() const { return record_; }

    // After the last record; where to resume. Not set before the first boundary is found. Before a
    // record that is cut short.
    const std::optional<WalPosition>& position() const { return boundary_; }

    WalEnd end_kind() const { return end_kind_; }

    Error failure() const;  // Corrupt or Unsupported, with the position

    int major() const { return major_; }  // 0 before the first page header

    TimelineId timeline() const { return timeline_; }  // of the latest page

    // From the first long header.
    std::optional<std::uint64_t> system_identifier() const { return system_; }

  private:
    enum class State { Search, Seek, Tail, Record, Assemble, Switched, Ended, Failed };

    Result<> begin(Lsn start);

    std::size_t available() const { return in_.size() - used_; }

    const Byte* cursor() const { return in_.data() + used_; }

    void advance(std::size_t count);
    void drop(std::uint64_t wanted);

    WalStep exhausted() const { return state_ == State::Ended ? WalStep::End : WalStep::NeedMore; }

    bool step();

    const Byte* gather_page_header();
    void judge_page(const Byte* header, std::uint32_t size);
    bool check_magic(const PageHeader& page);
    bool check_page(const PageHeader& page);
    bool check_long_header(const PageHeader& page);
    bool is_recycled(const PageHeader& page) const;
    bool begins_behind_padding(const PageHeader& page) const;
    void judge_page_after_end(const PageHeader& page);
    void enter_page(const PageHeader& page);
    void search(const PageHeader& page);
    void continue_record(const PageHeader& page, std::uint64_t missing);

    void seek();
    void drop_tail();
    void drop_switched();
    void drop_ended();
    void start_at(Lsn boundary, Lsn last);
    bool take_record();
    bool assemble();
    bool check_length(std::uint32_t length, BytesView seen);
    bool check_head(const RecordHead& head);
    bool complete(BytesView record);
    bool check_superseding();
    void end(WalEnd kind);
    bool fail(Code code, Lsn where, std::string what);

    bool corrupt(Lsn where, std::string what) {
        return fail(Code::Corrupt, where, std::move(what));
    }

    WalReaderOptions options_;
    int major_ = 0;
    TimelineId timeline_ = 0;
    std::optional<std::uint64_t> system_;

    BytesView in_;
    std::size_t used_ = 0;
    Lsn at_;  // of the next byte
    bool started_ = false;
    Lsn page_;  // where the page begins whose header is being read, or was read last
    std::uint32_t page_left_ = 0;  // bytes of the page behind at_; 0: a page header comes next
    std::array<Byte, kLongPageHeader> header_{};
    std::size_t header_have_ = 0;

    State state_;
    std::uint64_t tail_left_ = 0;  // State::Tail: bytes of the record that began before the stream
    base::Bytes assembly_;         // State::Assemble: the record so far
    Lsn record_start_;
    bool superseding_ = false;     // the next record must be the one that supersedes a lost one
    Lsn superseded_;               // which, if known
    bool zeros_expected_ = false;  // State::Ended: in the rest of this page
    WalEnd end_kind_ = WalEnd::Zeros;

    std::optional<WalPosition> boundary_;
    WalRecord record_;
    BlockRefs blocks_;
    std::optional<Error> error_;
};

}  // namespace lifeboat::postgres

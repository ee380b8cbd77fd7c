#include "postgres/wal_reader.h"

#include <algorithm>
#include <utility>

#include "postgres/wal_body.h"

// The stream is pages, and in their bodies records, one after the other, each begun at a multiple
// of 8 and continued in the next page's body where its own page ends. So the reader has two nested
// positions: in the page (page_left_, 0 when a header is due) and in the records (state_). Tested
// by wal_reader_test.cc and, against pg_waldump, by wal_e2e_test.cc.
//
//   Search   --a page without a tail--> Record     --a page with one--> Tail
//   Seek     --the known boundary--> Record
//   Tail     --its last byte--> Record
//   Record   --not whole in its page and run--> Assemble --last byte--> Record
//   Record   --segment switch--> Switched --segment boundary--> Record
//   Assemble --a page that supersedes--> Record     Tail likewise
//   any      --zeros, recycled page--> Ended        --whatever else does not fit--> Failed
//
// Two rules make the outcome independent of how the stream is cut: each check looks at bytes in the
// same order whether they lie in place or in a buffer, and nothing is concluded from the end of a
// run.

namespace lifeboat::postgres {

namespace {

// Positions beyond could wrap; a server needs ages to get there.
constexpr std::uint64_t kHighestStart = ~std::uint64_t{0} >> 1;

bool may_begin_record(Lsn at, SegmentSize size) {
    const std::uint64_t in_page = at.value % kWalPage;
    const std::uint32_t header = size.offset_at(at) < kWalPage ? kLongPageHeader : kShortPageHeader;
    return at.value % 8 == 0 && (in_page == 0 || in_page >= header);
}

}  // namespace

WalReader::WalReader(const WalReaderOptions& options)
    : options_(options),
      major_(options.major.value_or(0)),
      system_(options.system_identifier),
      state_(options.resume ? State::Seek : State::Search) {}

Error WalReader::failure() const {
    return error_ ? error_->clone() : Error(Code::Bug, "no failure");
}

// ---- Input -------------------------------------------------------------------------------------

Result<> WalReader::feed(Lsn start, BytesView bytes) {
    if (state_ == State::Failed) {
        return failure();
    }
    if (available() > 0) {
        return Error(Code::Bug, "WAL is fed before the last run was used up");
    }
    if (started_ && start != at_) {
        return Error(Code::InvalidInput,
                     "WAL continues at " + format_lsn(at_) + ", not at " + format_lsn(start));
    }
    if (start.value > kHighestStart || bytes.size() > kHighestStart - start.value) {
        return Error(Code::InvalidInput, "no WAL lies at " + format_lsn(start));
    }
    if (!started_) {
        TRY(begin(start));
    }
    in_ = bytes;
    used_ = 0;
    return {};
}

Result<> WalReader::begin(Lsn start) {
    if (options_.major && magic_of_major(*options_.major) == 0) {
        return Error(Code::Unsupported, "WAL of PostgreSQL " + std::to_string(*options_.major));
    }
    const Lsn page_end{(start.value + kWalPage - 1) / kWalPage * kWalPage};
    if (options_.resume) {
        const Lsn next = options_.resume->next;
        if (next < start || !may_begin_record(next, options_.segment_size)) {
            return Error(Code::InvalidInput, "no record of the WAL from " + format_lsn(start) +
                                                 " begins at " + format_lsn(next));
        }
        if (next < page_end && major_ == 0) {
            return Error(Code::InvalidInput,
                         "WAL cannot be read from the middle of a page without its version");
        }
    }
    started_ = true;
    at_ = start;
    page_left_ = static_cast<std::uint32_t>(page_end - start);
    return {};
}

WalStep WalReader::next() {
    while (state_ != State::Failed) {
        if (page_left_ == 0 && state_ != State::Switched) {
            const Byte* const header = gather_page_header();
            if (header == nullptr) {
                return exhausted();
            }
            judge_page(header, static_cast<std::uint32_t>(at_ - page_));
        } else if (available() == 0) {
            return exhausted();
        } else if (step()) {
            return WalStep::Record;
        }
    }
    return WalStep::Failed;
}

// One move inside a page, with at least one byte of input. True when it produced a record.
bool WalReader::step() {
    switch (state_) {
        case State::Record:
            return take_record();
        case State::Assemble:
            return assemble();
        case State::Search:
            drop(page_left_);
            return false;
        case State::Seek:
            seek();
            return false;
        case State::Tail:
            drop_tail();
            return false;
        case State::Switched:
            drop_switched();
            return false;
        case State::Ended:
            drop_ended();
            return false;
        case State::Failed:
            return false;
    }
    return false;
}

void WalReader::advance(std::size_t count) {
    used_ += count;
    at_ = at_ + count;
    page_left_ -= static_cast<std::uint32_t>(count);
}

// Up to `wanted` bytes, but none beyond this page or run.
void WalReader::drop(std::uint64_t wanted) {
    advance(static_cast<std::size_t>(std::min<std::uint64_t>({wanted, page_left_, available()})));
}

// ---- Pages -------------------------------------------------------------------------------------

// The header of the page at hand once all of it is there, in place if it can be; nullptr before.
const Byte* WalReader::gather_page_header() {
    if (header_have_ == 0) {
        page_ = at_;
    }
    const std::size_t size =
        options_.segment_size.offset_at(page_) == 0 ? kLongPageHeader : kShortPageHeader;
    const std::size_t count = std::min(size - header_have_, available());
    const Byte* const from = cursor();
    used_ += count;
    at_ = at_ + count;
    if (count < size) {
        std::copy_n(from, count, header_.data() + header_have_);
        header_have_ += count;
        if (header_have_ < size) {
            return nullptr;
        }
    }
    header_have_ = 0;
    page_left_ = kWalPage - static_cast<std::uint32_t>(size);
    return count < size ? header_.data() : from;
}

void WalReader::judge_page(const Byte* header, std::uint32_t size) {
    const PageHeader page = load_page_header(header, size);
    if (begins_behind_padding(page)) {
        state_ = options_.resume ? State::Seek : State::Search;
    }
    if (state_ == State::Ended) {
        zeros_expected_ = false;
        judge_page_after_end(page);
    } else if (base::is_zero({header, size})) {
        end(WalEnd::Zeros);
    } else if (!check_magic(page)) {
        return;
    } else if (is_recycled(page)) {
        end(WalEnd::OldPage);
    } else if (check_page(page)) {
        timeline_ = page.timeline;
        enter_page(page);
    }
}

// True when what was seen so far was the padding behind a switch, and no end: a stream may begin
// in the middle of it.
bool WalReader::begins_behind_padding(const PageHeader& page) const {
    return state_ == State::Ended && end_kind_ == WalEnd::Zeros && !boundary_ &&
           options_.segment_size.offset_at(page_) == 0 && page.address == page_ &&
           (major_ != 0 ? page.magic == magic_of_major(major_)
                        : major_of_magic(page.magic).has_value());
}

bool WalReader::check_magic(const PageHeader& page) {
    if (major_ != 0) {
        return page.magic == magic_of_major(major_) ||
               corrupt(page_, "the page is not of PostgreSQL " + std::to_string(major_));
    }
    auto major = major_of_magic(page.magic);
    if (!major) {
        return fail(Code::Unsupported, page_, major.error().what());
    }
    major_ = *major;
    return true;
}

bool WalReader::is_recycled(const PageHeader& page) const {
    return page.address < page_ &&
           options_.segment_size.offset_at(page.address) == options_.segment_size.offset_at(page_);
}

bool WalReader::check_page(const PageHeader& page) {
    if (page.address != page_) {
        return corrupt(page_, "the page says that it lies at " + format_lsn(page.address));
    }
    if ((page.flags & ~kAllPageFlags) != 0 ||
        page.has(PageFlag::Continues) != (page.remaining != 0) ||
        (page.has(PageFlag::Continues) && page.has(PageFlag::Overwrites))) {
        return corrupt(page_, "the page header contradicts itself");
    }
    if (page.timeline == 0 || page.timeline < timeline_) {
        return corrupt(page_, "timeline " + std::to_string(page.timeline) + " follows timeline " +
                                  std::to_string(timeline_));
    }
    if (options_.latest_timeline && page.timeline > *options_.latest_timeline) {
        return corrupt(page_, "the page is of timeline " + std::to_string(page.timeline) +
                                  ", later than " + std::to_string(*options_.latest_timeline));
    }
    if (page.has(PageFlag::LongHeader) != (options_.segment_size.offset_at(page_) == 0)) {
        return corrupt(page_, "the page header is of the wrong form for its place in a segment");
    }
    return !page.has(PageFlag::LongHeader) || check_long_header(page);
}

bool WalReader::check_long_header(const PageHeader& page) {
    if (page.segment_size != options_.segment_size.bytes()) {
        return corrupt(page_, "the segment says that it has " + std::to_string(page.segment_size) +
                                  " bytes, not " + std::to_string(options_.segment_size.bytes()));
    }
    if (page.page_size != kWalPage) {
        return fail(Code::Unsupported, page_,
                    "WAL pages of " + std::to_string(page.page_size) + " bytes");
    }
    if (system_ && *system_ != page.system_identifier) {
        return corrupt(page_, "the segment is of the cluster with system identifier " +
                                  std::to_string(page.system_identifier) + ", not " +
                                  std::to_string(*system_));
    }
    system_ = page.system_identifier;
    return true;
}

void WalReader::judge_page_after_end(const PageHeader& page) {
    const bool known =
        major_ != 0 ? page.magic == magic_of_major(major_) : major_of_magic(page.magic).has_value();
    if (known && page.address == page_) {
        corrupt(boundary_ ? boundary_->next : page_, "a hole: WAL goes on at " + format_lsn(page_));
    }
}

// Settles how the records continue behind the header of a sound page.
void WalReader::enter_page(const PageHeader& page) {
    if (state_ == State::Seek && at_ >= options_.resume->next) {
        start_at(options_.resume->next, options_.resume->last);
    }
    switch (state_) {
        case State::Search:
            search(page);
            break;
        case State::Tail:
            continue_record(page, tail_left_);
            break;
        case State::Assemble:
            continue_record(page, load_le<std::uint32_t>(assembly_.data()) - assembly_.size());
            break;
        case State::Record:
            if (page.has(PageFlag::Continues)) {
                corrupt(page_, "the page continues a record that has ended");
            }
            superseding_ = page.has(PageFlag::Overwrites);
            superseded_ = {};
            break;
        default:
            break;
    }
}

void WalReader::search(const PageHeader& page) {
    tail_left_ = page.remaining;
    if (tail_left_ > 0) {
        state_ = State::Tail;
    } else {
        start_at(at_, {});
        superseding_ = page.has(PageFlag::Overwrites);
    }
}

void WalReader::continue_record(const PageHeader& page, std::uint64_t missing) {
    if (page.has(PageFlag::Overwrites)) {
        superseding_ = true;
        superseded_ = state_ == State::Assemble ? record_start_ : Lsn{};
        if (state_ == State::Tail) {
            start_at(at_, {});
        }
        state_ = State::Record;
    } else if (page.remaining != missing) {
        corrupt(page_, "the page continues a record by " + std::to_string(page.remaining) +
                           " bytes, not by " + std::to_string(missing));
    }
}

// ---- Between records ---------------------------------------------------------------------------

void WalReader::start_at(Lsn boundary, Lsn last) {
    boundary_ = WalPosition{boundary, last};
    state_ = State::Record;
}

void WalReader::seek() {
    const Lsn target = options_.resume->next;
    if (at_ >= target) {
        start_at(target, options_.resume->last);
    } else {
        drop(target - at_);
    }
}

void WalReader::drop_tail() {
    const Lsn before = at_;
    drop(tail_left_);
    tail_left_ -= at_ - before;
    if (tail_left_ == 0) {
        start_at(align_record(at_), {});
    }
}

// Behind a switch the segment is padding, without page headers even.
void WalReader::drop_switched() {
    const std::uint64_t padding = options_.segment_size.boundary_after(at_) - at_;
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(padding, available()));
    used_ += count;
    at_ = at_ + count;
    if (count == padding) {
        page_left_ = 0;
        state_ = State::Record;
    }
}

void WalReader::drop_ended() {
    const std::size_t count = std::min<std::size_t>(page_left_, available());
    if (zeros_expected_ && !base::is_zero({cursor(), count})) {
        corrupt(boundary_ ? boundary_->next : page_, "zeros that are followed by other bytes");
        return;
    }
    advance(count);
}

void WalReader::end(WalEnd kind) {
    const bool torn = state_ == State::Assemble || state_ == State::Tail;
    zeros_expected_ = kind == WalEnd::Zeros;
    end_kind_ = torn ? WalEnd::TornRecord : kind;
    state_ = State::Ended;
}

bool WalReader::fail(Code code, Lsn where, std::string what) {
    error_ = Error(code, std::move(what)).during("WAL at " + format_lsn(where));
    state_ = State::Failed;
    return false;
}

// ---- Records -----------------------------------------------------------------------------------

// Reads the record at at_ where it lies, or begins to assemble it.
bool WalReader::take_record() {
    drop(align_record(at_) - at_);
    const std::size_t here = std::min<std::size_t>(page_left_, available());
    if (here == 0) {
        return false;
    }
    record_start_ = at_;
    if (here < kRecordHeader) {
        assembly_.clear();
        state_ = State::Assemble;
        return false;
    }
    const RecordHead head = load_record_head(cursor());
    if (!check_length(head.total_length, {}) || !check_head(head)) {
        return false;
    }
    const BytesView record{cursor(), std::min<std::size_t>(here, head.total_length)};
    advance(record.size());
    if (record.size() == head.total_length) {
        return complete(record);
    }
    assembly_.assign(record.begin(), record.end());
    state_ = State::Assemble;
    return false;
}

bool WalReader::assemble() {
    const std::size_t before = assembly_.size();
    const std::size_t goal =
        before < kRecordHeader ? kRecordHeader : load_le<std::uint32_t>(assembly_.data());
    const std::size_t count = std::min<std::size_t>({goal - before, page_left_, available()});
    assembly_.insert(assembly_.end(), cursor(), cursor() + count);
    advance(count);
    if (assembly_.size() < sizeof(std::uint32_t)) {
        return false;
    }
    const auto length = load_le<std::uint32_t>(assembly_.data());
    if (before < kRecordHeader) {
        if (!check_length(length, assembly_) || assembly_.size() < kRecordHeader ||
            !check_head(load_record_head(assembly_.data()))) {
            return false;
        }
    }
    return assembly_.size() == length && complete(assembly_);
}

// `seen` was taken from the page already. A length of zero is where WAL ends.
bool WalReader::check_length(std::uint32_t length, BytesView seen) {
    if (length == 0) {
        if (!base::is_zero(seen)) {
            return corrupt(boundary_->next, "zeros that are followed by other bytes");
        }
        state_ = State::Record;  // nothing of a record was seen, so none is torn
        end(WalEnd::Zeros);
        return false;
    }
    if (length < kRecordHeader || length > kMaxRecord) {
        return corrupt(record_start_, "a record cannot have " + std::to_string(length) + " bytes");
    }
    return true;
}

bool WalReader::check_head(const RecordHead& head) {
    const Lsn last = boundary_->last;
    if (last.is_set() ? head.prev != last : head.prev >= record_start_) {
        return corrupt(record_start_,
                       "the record names the one at " + format_lsn(head.prev) +
                           " as the one before it" +
                           (last.is_set() ? ", which lies at " + format_lsn(last) : ""));
    }
    return is_rmgr(head.rmgr, major_) ||
           corrupt(record_start_,
                   "no resource manager has the number " + std::to_string(head.rmgr));
}

bool WalReader::complete(BytesView record) {
    state_ = State::Record;
    if (record_crc(record) != load_record_head(record.data()).crc) {
        return corrupt(record_start_, "the record does not match its checksum");
    }
    const std::string_view wrong = split_record(record, major_, record_, blocks_);
    if (!wrong.empty()) {
        return corrupt(record_start_, "the record cannot be read: " + std::string(wrong));
    }
    record_.start = record_start_;
    record_.end = align_record(at_);
    if (superseding_ && !check_superseding()) {
        return false;
    }
    if (is_operation(record_, XlogOp::Switch)) {
        record_.end = options_.segment_size.boundary_after(record_.end);
        state_ = at_ == record_.end ? State::Record : State::Switched;
    }
    boundary_ = WalPosition{record_.end, record_.start};
    return true;
}

bool WalReader::check_superseding() {
    superseding_ = false;
    const bool right_kind = is_operation(record_, XlogOp::OverwriteContrecord) &&
                            record_.main_data.size() >= sizeof(std::uint64_t);
    if (!right_kind) {
        return corrupt(
            record_start_,
            "the page supersedes a lost record, but its first record does not say which");
    }
    const Lsn named{load_le<std::uint64_t>(record_.main_data.data())};
    return !superseded_.is_set() || named == superseded_ ||
           corrupt(record_start_, "the record supersedes the one at " + format_lsn(named) +
                                      ", but the one at " + format_lsn(superseded_) + " is lost");
}

}  // namespace lifeboat::postgres

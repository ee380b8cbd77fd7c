// WAL from hostile bytes. The first byte chooses: a raw stream; records with hostile bodies under
// right checksums, so that what is behind the checksum is reached; a stored summary; a stored list
// of changed pages. Never crashes, a stream reads the same however it is cut, and what is decoded
// is encoded to something that means the same.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "postgres/changed_pages.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_summary.h"
#include "tests/support/wal_forge.h"

namespace {

using namespace lifeboat;
using namespace lifeboat::postgres;

const SegmentSize kSegment = SegmentSize::of(1 << 20).value();

struct Trace {
    std::vector<std::uint64_t> positions;
    WalStep last = WalStep::NeedMore;
    std::string failure;
    bool operator==(const Trace&) const = default;
};

void use(const WalRecord& record, WalSummarizer& summarizer, ChangedPages& pages) {
    LB_CHECK(record.end > record.start);
    LB_CHECK(record.main_data.size() < record.total_length);
    summarizer.add(record).discard("a body may be corrupt");
    pages.add(record).discard("a body may be corrupt");
}

void check_codecs(const WalSummary& summary, const ChangedPages& pages) {
    const auto summary_again = decode_summary(encode_summary(summary));
    LB_CHECK(summary_again && *summary_again == summary);
    const base::Bytes bytes = pages.encode();
    const auto pages_again = ChangedPages::decode(bytes);
    LB_CHECK(pages_again && pages_again->encode() == bytes);
}

Trace read(Lsn start, base::BytesView bytes, std::size_t run) {
    WalReader reader({.segment_size = kSegment});
    WalSummarizer summarizer(KeepPoints::Yes);
    ChangedPages pages;
    Trace trace;
    for (std::size_t at = 0; at < bytes.size() && trace.last != WalStep::Failed; at += run) {
        const base::BytesView piece = bytes.subspan(at, std::min(run, bytes.size() - at));
        LB_CHECK(reader.feed(start + at, piece).has_value());
        while ((trace.last = reader.next()) == WalStep::Record) {
            use(reader.record(), summarizer, pages);
            trace.positions.push_back(reader.record().start.value);
        }
    }
    if (trace.last == WalStep::Failed) {
        trace.failure = reader.failure().message();
    }
    check_codecs(summarizer.summary(), pages);
    return trace;
}

void check_cuts(Lsn start, base::BytesView bytes, std::size_t run) {
    if (!bytes.empty()) {
        LB_CHECK(read(start, bytes, bytes.size()) == read(start, bytes, run));
    }
}

// Each record: two bytes of length, then its resource manager, info and parts as they come.
void forge(base::BytesView input, std::size_t run) {
    static constexpr int kMajors[] = {13, 14, 15, 16, 17, 18};
    WalForge forge(kMajors[run % 6], kSegment, Lsn{(5 << 20) + kWalPage});
    while (input.size() >= 4) {
        const std::size_t length =
            std::min<std::size_t>(input[0] | (input[1] & 0x0FU) << 8, input.size() - 4);
        base::Bytes record =
            forge.encode({.rmgr = static_cast<Rmgr>(input[2] % 24), .info = input[3]});
        record.insert(record.end(), input.begin() + 4,
                      input.begin() + 4 + static_cast<std::ptrdiff_t>(length));
        const auto total = static_cast<std::uint32_t>(record.size());
        std::memcpy(record.data(), &total, sizeof total);
        forge.append_raw(record);
        input = input.subspan(4 + length);
    }
    check_cuts(forge.start(), forge.bytes(), run);
}

void decode(base::BytesView input) {
    const auto summary = decode_summary(input);
    const auto pages = ChangedPages::decode(input);
    check_codecs(summary ? *summary : WalSummary{}, pages ? *pages : ChangedPages{});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    const std::size_t run = 1 + data[1];
    const base::BytesView input(data + 2, size - 2);
    switch (data[0] % 3) {
        case 0:
            check_cuts(Lsn{(5 << 20) + (data[0] % 2 == 0 ? 0 : kWalPage)}, input, run);
            break;
        case 1:
            forge(input, run);
            break;
        default:
            decode(input);
            break;
    }
    return 0;
}

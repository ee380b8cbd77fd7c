#pragma once

#include <functional>
#include <string>
#include <vector>

#include "postgres/wal_reader.h"
#include "tests/support/wal_forge.h"

namespace lifeboat::postgres {

// What a WalReader makes of a stream, in a form that tests can compare; and streams that are hard
// to read.

using base::Byte;
using base::Bytes;

inline constexpr std::uint64_t kMegabyte = 1 << 20;
inline const SegmentSize kSmall = SegmentSize::of(kMegabyte).value();
inline constexpr Lsn kStart{5 * kMegabyte};
inline constexpr Lsn kAwkward{6 * kMegabyte - 14 * kWalPage};

// All that a record says, as text: two records are the same iff their texts are.
inline std::string describe(const WalRecord& r) {
    std::string out = format_lsn(r.start) + "-" + format_lsn(r.end) + " prev " +
                      format_lsn(r.prev) + " " + rmgr_name(r.rmgr) + "/" + std::to_string(r.info) +
                      " xid " + std::to_string(r.xid) + " len " + std::to_string(r.total_length) +
                      " main " + std::to_string(base::crc32c(r.main_data));
    for (const BlockRef& b : r.blocks) {
        out += " blk " + std::to_string(b.relation.number) + "/" +
               std::to_string(static_cast<int>(b.fork)) + "/" + std::to_string(b.block);
    }
    return out;
}

struct Outcome {
    std::vector<std::string> records;
    std::vector<WalPosition> positions;  // after each record
    WalStep last = WalStep::NeedMore;
    std::string what;  // of the failure, or which end
    std::optional<WalPosition> position;

    bool same_as(const Outcome& o) const {
        return records == o.records && last == o.last && what == o.what && position == o.position;
    }
};

inline std::string end_name(const WalReader& reader) {
    switch (reader.end_kind()) {
        case WalEnd::Zeros:
            return "zeros";
        case WalEnd::OldPage:
            return "old page";
        case WalEnd::TornRecord:
            return "torn record";
    }
    return "";
}

using Cut = std::function<std::size_t()>;  // the size of the next run

inline Outcome read(Lsn start, BytesView bytes, const WalReaderOptions& options, const Cut& cut) {
    WalReader reader(options);
    Outcome out;
    std::size_t done = 0;
    while (done < bytes.size()) {
        // A copy of its own size, so that a sanitizer sees every step beyond the run.
        const std::size_t count = std::min(cut(), bytes.size() - done);
        const Bytes run(bytes.begin() + static_cast<std::ptrdiff_t>(done),
                        bytes.begin() + static_cast<std::ptrdiff_t>(done + count));
        if (!reader.feed(start + done, run)) {
            break;
        }
        while ((out.last = reader.next()) == WalStep::Record) {
            out.records.push_back(describe(reader.record()));
            out.positions.push_back(*reader.position());
        }
        done += count;
    }
    out.position = reader.position();
    out.what = out.last == WalStep::Failed ? reader.failure().message()
               : out.last == WalStep::End  ? end_name(reader)
                                           : "";
    return out;
}

inline Outcome read(Lsn start, BytesView bytes,
                    const WalReaderOptions& options = {.segment_size = kSmall}) {
    return read(start, bytes, options, [&] { return bytes.size(); });
}

inline Outcome read(const WalForge& forge,
                    const WalReaderOptions& options = {.segment_size = kSmall}) {
    return read(forge.start(), forge.bytes(), options);
}

inline ForgedRecord record_of(std::size_t size, int seed = 1) {
    Bytes main(size);
    for (std::size_t i = 0; i < size; ++i) {
        main[i] = static_cast<Byte>(i * 7 + static_cast<std::size_t>(seed));
    }
    return {.rmgr = Rmgr::Heap,
            .info = 0,
            .xid = static_cast<std::uint32_t>(1000 + seed),
            .main = main};
}

// Records of every awkward size, over several pages and segments, with a switch among them.
inline WalForge awkward(int major = 15) {
    WalForge forge(major, kSmall, kAwkward);
    for (int i = 0; i < 300; ++i) {
        forge.append(record_of(static_cast<std::size_t>(i), i));
    }
    forge.append({.rmgr = Rmgr::Xlog, .info = 0x20});  // nothing but its head
    forge.append(record_of(30000));
    forge.append({.rmgr = Rmgr::Heap2,
                  .main = Bytes(5),
                  .blocks = {{.relation = {1663, 5, 9}, .block = 3, .image = Bytes(7000, 1)}}});
    forge.switch_segment();
    for (int i = 0; i < 40; ++i) {
        forge.append(record_of(4000, i));
    }
    return forge;
}

inline Bytes copy_of(BytesView bytes) {
    return {bytes.begin(), bytes.end()};
}

}  // namespace lifeboat::postgres

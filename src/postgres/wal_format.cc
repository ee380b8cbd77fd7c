#include "postgres/wal_format.h"

#include <cstdio>

// The layouts were read off PostgreSQL's installed headers and are checked against pg_waldump by
// wal_e2e_test.cc.
//
// Page:    u16 magic, u16 flags, u32 timeline, u64 address, u32 remaining, 4 bytes of padding;
//          long form, first page of a segment only: u64 system identifier, u32 segment size, u32
//          page size.
// Record:  u32 total length, u32 xid, u64 prev, u8 info, u8 rmgr, 2 bytes of padding, u32 CRC-32C;
//          then headers, each led by an id byte, until what is left is the sum of the lengths that
//          they announced; then that data, in the same order. The CRC covers what follows the head,
//          then the head without the CRC.
//   id 0..32   block: u8 fork and flags, u16 data length, [image], [relation: 3 × u32], u32 number
//              image: u16 length, u16 hole offset, u8 flags, [u16 hole length, in a compressed one]
//   id 252     u32 top-level xid (14 and later)
//   id 253     u16 replication origin
//   id 254/255 u32/u8 length of the main data: always the last

namespace lifeboat::postgres {

namespace {

struct Magic {
    std::uint16_t value;
    int major;
};

constexpr std::array<Magic, 6> kMagics = {
    {{0xD106, 13}, {0xD10D, 14}, {0xD110, 15}, {0xD113, 16}, {0xD116, 17}, {0xD118, 18}}};

constexpr std::array<const char*, kLastBuiltinRmgr + 1> kRmgrNames = {
    "XLOG",       "Transaction",   "Storage", "CLOG",     "Database",
    "Tablespace", "MultiXact",     "RelMap",  "Standby",  "Heap2",
    "Heap",       "Btree",         "Hash",    "Gin",      "Gist",
    "Sequence",   "SPGist",        "BRIN",    "CommitTs", "ReplicationOrigin",
    "Generic",    "LogicalMessage"};

constexpr std::uint8_t kDataShort = 255;
constexpr std::uint8_t kDataLong = 254;
constexpr std::uint8_t kOrigin = 253;
constexpr std::uint8_t kTopXid = 252;

constexpr std::uint8_t kForkMask = 0x0F;
constexpr std::uint8_t kHasImage = 0x10;
constexpr std::uint8_t kHasData = 0x20;
constexpr std::uint8_t kSameRelation = 0x80;

constexpr std::uint8_t kImageHasHole = 0x01;

bool image_is_compressed(std::uint8_t flags, int major) {
    return (flags & (major < 15 ? 0x02 : 0x1C)) != 0;
}

RelationKey load_relation(const Byte* from) {
    return {load_le<std::uint32_t>(from), load_le<std::uint32_t>(from + 4),
            load_le<std::uint32_t>(from + 8)};
}

// Walks the headers of one record. Each step returns what is wrong, or nothing.
class Splitter {
  public:
    Splitter(BytesView record, int major, WalRecord& out, BlockRefs& blocks)
        : record_(record), major_(major), out_(out), blocks_(blocks) {}

    std::string_view run() {
        while (left() > announced_ && !main_seen_) {
            const std::string_view wrong = header();
            if (!wrong.empty()) {
                return wrong;
            }
        }
        if (left() != announced_) {
            return "its parts do not add up to its length";
        }
        out_.main_data = record_.last(main_length_);
        out_.blocks = {blocks_.data(), count_};
        return {};
    }

  private:
    std::size_t left() const { return record_.size() - at_; }

    // Where `count` bytes lie, or nullptr.
    const Byte* take(std::size_t count) {
        if (left() < count) {
            return nullptr;
        }
        const Byte* const found = record_.data() + at_;
        at_ += count;
        return found;
    }

    std::string_view header() {
        const std::uint8_t id = *take(1);
        if (id < kMaxBlockRefs) {
            return block(id);
        }
        if (id >= kDataLong) {
            return main_length(id == kDataShort ? 1 : 4);
        }
        if (id == kOrigin) {
            const Byte* const origin = take(2);
            out_.origin = origin == nullptr ? out_.origin : load_le<std::uint16_t>(origin);
            return origin == nullptr ? kCut : std::string_view{};
        }
        if (id == kTopXid && major_ >= 14) {
            const Byte* const xid = take(4);
            out_.top_xid = xid == nullptr ? out_.top_xid : load_le<std::uint32_t>(xid);
            return xid == nullptr ? kCut : std::string_view{};
        }
        return "it has a part of no known kind";
    }

    std::string_view main_length(std::size_t width) {
        const Byte* const length = take(width);
        if (length == nullptr) {
            return kCut;
        }
        main_length_ = width == 1 ? *length : load_le<std::uint32_t>(length);
        announced_ += main_length_;
        main_seen_ = true;
        return {};
    }

    std::string_view block(std::uint8_t id) {
        if (count_ > 0 && id <= blocks_[count_ - 1].id) {
            return "its block references are out of order";
        }
        const Byte* const head = take(3);
        if (head == nullptr) {
            return kCut;
        }
        const std::uint8_t flags = head[0];
        const auto data_length = load_le<std::uint16_t>(head + 1);
        if ((flags & kForkMask) > static_cast<std::uint8_t>(Fork::Init)) {
            return "a block reference names no fork";
        }
        if (((flags & kHasData) != 0) != (data_length != 0)) {
            return "a block reference contradicts itself about its data";
        }
        announced_ += data_length;
        BlockRef& ref = blocks_[count_];
        ref.id = id;
        ref.flags = flags & static_cast<std::uint8_t>(~kForkMask);
        ref.fork = static_cast<Fork>(flags & kForkMask);
        const std::string_view wrong = (flags & kHasImage) != 0 ? image() : std::string_view{};
        return wrong.empty() ? place(ref) : wrong;
    }

    std::string_view image() {
        const Byte* const head = take(5);
        if (head == nullptr) {
            return kCut;
        }
        announced_ += load_le<std::uint16_t>(head);
        const std::uint8_t flags = head[4];
        const bool has_length = image_is_compressed(flags, major_) && (flags & kImageHasHole) != 0;
        return has_length && take(2) == nullptr ? kCut : std::string_view{};
    }

    std::string_view place(BlockRef& ref) {
        if ((ref.flags & kSameRelation) == 0) {
            const Byte* const relation = take(12);
            if (relation == nullptr) {
                return kCut;
            }
            ref.relation = load_relation(relation);
        } else if (count_ > 0) {
            ref.relation = blocks_[count_ - 1].relation;
        } else {
            return "its first block reference names no relation";
        }
        const Byte* const number = take(4);
        if (number == nullptr) {
            return kCut;
        }
        ref.block = load_le<std::uint32_t>(number);
        ++count_;
        return {};
    }

    static constexpr std::string_view kCut = "a header runs over its end";

    BytesView record_;
    int major_;
    WalRecord& out_;
    BlockRefs& blocks_;
    std::size_t at_ = kRecordHeader;
    std::size_t announced_ = 0;  // bytes of data that the headers so far have promised
    std::size_t main_length_ = 0;
    std::size_t count_ = 0;
    bool main_seen_ = false;
};

}  // namespace

Result<int> major_of_magic(std::uint16_t magic) {
    for (const Magic& known : kMagics) {
        if (known.value == magic) {
            return known.major;
        }
    }
    char text[8];
    std::snprintf(text, sizeof text, "0x%04X", magic);
    return Error(Code::Unsupported, "WAL with page magic '" + std::string(text) +
                                        "' is of no PostgreSQL from 13 to 18");
}

std::uint16_t magic_of_major(int major) {
    for (const Magic& known : kMagics) {
        if (known.major == major) {
            return known.value;
        }
    }
    return 0;
}

PageHeader load_page_header(const Byte* from, std::size_t available) {
    PageHeader header;
    header.magic = load_le<std::uint16_t>(from);
    header.flags = load_le<std::uint16_t>(from + 2);
    header.timeline = load_le<std::uint32_t>(from + 4);
    header.address = Lsn{load_le<std::uint64_t>(from + 8)};
    header.remaining = load_le<std::uint32_t>(from + 16);
    if (available >= kLongPageHeader && header.has(PageFlag::LongHeader)) {
        header.system_identifier = load_le<std::uint64_t>(from + 24);
        header.segment_size = load_le<std::uint32_t>(from + 32);
        header.page_size = load_le<std::uint32_t>(from + 36);
    }
    return header;
}

Result<SegmentHeader> read_segment_header(BytesView segment) {
    if (segment.size() < kLongPageHeader) {
        return Error(Code::Corrupt,
                     "a WAL segment of " + std::to_string(segment.size()) + " bytes has no header");
    }
    const PageHeader page = load_page_header(segment.data(), segment.size());
    const int major = TRY(major_of_magic(page.magic));
    auto size = SegmentSize::of(page.segment_size);
    if (!page.has(PageFlag::LongHeader) || !size || size->offset_at(page.address) != 0 ||
        page.timeline == 0) {
        return Error(Code::Corrupt, "a WAL segment begins with a page that cannot be its first");
    }
    if (page.page_size != kWalPage) {
        return Error(Code::Unsupported,
                     "WAL pages of " + std::to_string(page.page_size) + " bytes");
    }
    return SegmentHeader{major, page.timeline, page.address, page.system_identifier, *size};
}

std::string rmgr_name(std::uint8_t rmgr) {
    if (rmgr <= kLastBuiltinRmgr) {
        return kRmgrNames[rmgr];
    }
    char text[16];
    std::snprintf(text, sizeof text, "custom%03d", rmgr);
    return text;
}

bool is_rmgr(std::uint8_t rmgr, int major) {
    return rmgr <= kLastBuiltinRmgr || (rmgr >= kFirstCustomRmgr && major >= 15);
}

RecordHead load_record_head(const Byte* from) {
    return {load_le<std::uint32_t>(from),
            load_le<std::uint32_t>(from + 4),
            Lsn{load_le<std::uint64_t>(from + 8)},
            from[16],
            from[17],
            load_le<std::uint32_t>(from + 20)};
}

std::uint32_t record_crc(BytesView record) {
    const std::uint32_t body = base::crc32c(record.subspan(kRecordHeader));
    return base::crc32c(record.first(kRecordHeader - 4), body);
}

std::string_view split_record(BytesView record, int major, WalRecord& out, BlockRefs& blocks) {
    const RecordHead head = load_record_head(record.data());
    out.prev = head.prev;
    out.total_length = head.total_length;
    out.xid = head.xid;
    out.top_xid = 0;
    out.major = major;
    out.rmgr = head.rmgr;
    out.info = head.info;
    out.origin = 0;
    return Splitter(record, major, out, blocks).run();
}

}  // namespace lifeboat::postgres

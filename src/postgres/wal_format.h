#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "postgres/exclusions.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// The bytes of PostgreSQL's write-ahead log, majors 13 to 18, as 64-bit little-endian servers write
// them. Pure functions.

using base::Byte;
using base::BytesView;

static_assert(std::endian::native == std::endian::little,
              "WAL is read in the byte order of the server that wrote it");

inline constexpr std::uint32_t kWalPage =
    8192;  // XLOG_BLCKSZ; servers built with another are refused
inline constexpr std::uint32_t kShortPageHeader = 24;
inline constexpr std::uint32_t kLongPageHeader = 40;  // of the first page of a segment
inline constexpr std::uint32_t kRecordHeader = 24;
inline constexpr std::uint32_t kMaxRecord = (1U << 30) - 1;
inline constexpr std::size_t kMaxBlockRefs = 33;

template <class Integer>
Integer load_le(const Byte* from) {
    Integer value{};
    std::memcpy(&value, from, sizeof value);
    return value;
}

// The major release whose pages bear `magic`. Unsupported, naming the magic, for any other.
Result<int> major_of_magic(std::uint16_t magic);
std::uint16_t magic_of_major(int major);  // 0 for a major that is not supported

enum class PageFlag : std::uint16_t {
    Continues = 0x0001,  // begins inside a record
    LongHeader = 0x0002,
    Removable = 0x0004,
    Overwrites = 0x0008,  // the record that should continue here was lost in a crash; this page
                          // supersedes it
};
inline constexpr std::uint16_t kAllPageFlags = 0x000F;

struct PageHeader {
    std::uint16_t magic = 0;
    std::uint16_t flags = 0;
    TimelineId timeline = 0;
    Lsn address;
    std::uint32_t remaining =
        0;  // bytes of the record that continues here, on this and later pages
    std::uint64_t system_identifier = 0;  // this and the next two: long headers only
    std::uint32_t segment_size = 0;
    std::uint32_t page_size = 0;

    bool has(PageFlag flag) const { return (flags & static_cast<std::uint16_t>(flag)) != 0; }
};

// `from` has kShortPageHeader bytes, and kLongPageHeader if the flags say so and `available` is
// that many.
PageHeader load_page_header(const Byte* from, std::size_t available);

// What the first page of a segment says about the whole: for a check on what is pushed, fetched or
// streamed (T18).
struct SegmentHeader {
    int major = 0;
    TimelineId timeline = 0;  // of the first page: the name may say a later one, where a timeline
                              // begins inside the segment
    Lsn start;
    std::uint64_t system_identifier = 0;
    SegmentSize size;
};

Result<SegmentHeader> read_segment_header(
    BytesView segment);  // at least kLongPageHeader bytes; Corrupt, Unsupported

enum class Rmgr : std::uint8_t {
    Xlog,
    Transaction,
    Storage,
    CLog,
    Database,
    Tablespace,
    MultiXact,
    RelMap,
    Standby,
    Heap2,
    Heap,
    Btree,
    Hash,
    Gin,
    Gist,
    Sequence,
    SPGist,
    BRIN,
    CommitTs,
    ReplicationOrigin,
    Generic,
    LogicalMessage,
};
inline constexpr std::uint8_t kLastBuiltinRmgr = 21;
inline constexpr std::uint8_t kFirstCustomRmgr = 128;  // of extensions, since 15

std::string rmgr_name(std::uint8_t rmgr);  // as pg_waldump prints it
bool is_rmgr(std::uint8_t rmgr, int major);

inline constexpr std::uint8_t kRmgrInfoMask = 0xF0;
inline constexpr std::uint8_t kSpecialRelationUpdate =
    0x01;  // changes relation files in ways that no block reference tells

struct RelationKey {
    std::uint32_t tablespace = 0;
    std::uint32_t database = 0;
    std::uint32_t number = 0;  // relfilenode

    friend auto operator<=>(const RelationKey&, const RelationKey&) = default;
};

struct BlockRef {
    RelationKey relation;
    std::uint32_t block = 0;
    Fork fork = Fork::Main;
    std::uint8_t id = 0;
    std::uint8_t flags = 0;

    bool has_image() const { return (flags & 0x10) != 0; }

    bool will_init() const { return (flags & 0x40) != 0; }

    bool same_relation() const { return (flags & 0x80) != 0; }
};

// One record, borrowed from its reader.
struct WalRecord {
    Lsn start;
    Lsn end;   // where the next one begins, or the page or segment boundary before it (PostgreSQL's
               // EndRecPtr)
    Lsn prev;  // start of the record before
    std::uint32_t total_length = 0;
    std::uint32_t xid = 0;
    std::uint32_t top_xid = 0;  // the transaction that `xid` is a part of, where the record says so
                                // (14 and later, logical)
    int major = 0;
    std::uint8_t rmgr = 0;
    std::uint8_t info = 0;
    std::uint16_t origin = 0;  // replication origin
    BytesView main_data;
    std::span<const BlockRef> blocks;

    bool is(Rmgr manager) const { return rmgr == static_cast<std::uint8_t>(manager); }

    std::uint8_t operation() const { return info & kRmgrInfoMask; }

    bool is_special() const { return (info & kSpecialRelationUpdate) != 0; }
};

// The fixed head of a record.
struct RecordHead {
    std::uint32_t total_length = 0;
    std::uint32_t xid = 0;
    Lsn prev;
    std::uint8_t info = 0;
    std::uint8_t rmgr = 0;
    std::uint32_t crc = 0;
};

RecordHead load_record_head(const Byte* from);  // kRecordHeader bytes

// The checksum that the head of `record` (all its total_length bytes) should hold.
std::uint32_t record_crc(BytesView record);

using BlockRefs = std::array<BlockRef, kMaxBlockRefs>;

// Takes a whole record apart into `out` and `blocks`, which `out` then borrows; start and end are
// the caller's. Returns what is wrong with it, or nothing.
std::string_view split_record(BytesView record, int major, WalRecord& out, BlockRefs& blocks);

}  // namespace lifeboat::postgres

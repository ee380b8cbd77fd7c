#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "postgres/wal_format.h"

namespace lifeboat::postgres {

// Writes WAL as a server would, for tests and fuzzers: pages, headers, block references, checksums,
// back links.

struct ForgedBlock {
    RelationKey relation{};
    std::uint32_t block = 0;
    Fork fork = Fork::Main;
    bool same_relation = false;
    bool will_init = false;
    base::Bytes image{};
    base::Bytes data{};
};

struct ForgedRecord {
    Rmgr rmgr = Rmgr::Xlog;
    std::uint8_t info = 0x20;  // XLOG_NOOP
    std::uint32_t xid = 0;
    base::Bytes main{};
    std::vector<ForgedBlock> blocks{};
};

class WalForge {
  public:
    WalForge(int major, SegmentSize size, Lsn start, TimelineId timeline = 1,
             std::uint64_t system = 7000000000000000001ULL)
        : major_(major), size_(size), start_(start), timeline_(timeline), system_(system) {}

    Lsn start() const { return start_; }

    Lsn end() const { return start_ + out_.size(); }

    base::BytesView bytes() const { return out_.bytes(); }

    void set_timeline(TimelineId timeline) { timeline_ = timeline; }

    void set_last(Lsn last) { last_ = last; }

    Lsn last() const { return last_; }

    // Returns where the record begins.
    Lsn append(const ForgedRecord& record) { return append_raw(encode(record)); }

    // `record` is whole but for its back link and checksum.
    Lsn append_raw(base::Bytes record) {
        begin_record();
        const Lsn at = end();
        seal(record, at);
        write(record, record.size());
        return at;
    }

    // The record up to the end of its page only, as a crash leaves it; the next page supersedes it.
    Lsn append_lost(const ForgedRecord& record) {
        begin_record();
        base::Bytes bytes = encode(record);
        const Lsn at = end();
        const Lsn before = last_;
        seal(bytes, at);
        last_ = before;
        write(bytes, std::min<std::size_t>(bytes.size(), page_room()));
        supersede_ = true;
        base::ByteWriter main;
        main.u64(at.value);
        main.u64(0);
        append({.rmgr = Rmgr::Xlog, .info = 0xD0, .xid = 0, .main = main.take(), .blocks = {}});
        return at;
    }

    Lsn switch_segment() {
        const Lsn at =
            append({.rmgr = Rmgr::Xlog, .info = 0x40, .xid = 0, .main = {}, .blocks = {}});
        zeros(size_.boundary_after(end()) - end());
        return at;
    }

    void zeros(std::uint64_t count) { out_.raw(base::Bytes(static_cast<std::size_t>(count))); }

    base::Bytes encode(const ForgedRecord& record) const {
        base::ByteWriter heads;
        base::ByteWriter data;
        for (std::size_t i = 0; i < record.blocks.size(); ++i) {
            encode_block(record.blocks[i], static_cast<std::uint8_t>(i), heads, data);
        }
        if (record.main.size() > 255) {
            heads.u8(254);
            heads.u32(static_cast<std::uint32_t>(record.main.size()));
        } else if (!record.main.empty()) {
            heads.u8(255);
            heads.u8(static_cast<std::uint8_t>(record.main.size()));
        }
        data.raw(record.main);
        base::ByteWriter out;
        out.u32(static_cast<std::uint32_t>(kRecordHeader + heads.size() + data.size()));
        out.u32(record.xid);
        out.u64(0);
        out.u8(record.info);
        out.u8(static_cast<std::uint8_t>(record.rmgr));
        out.u16(0);
        out.u32(0);
        out.raw(heads.bytes());
        out.raw(data.bytes());
        return out.take();
    }

  private:
    void encode_block(const ForgedBlock& block, std::uint8_t id, base::ByteWriter& heads,
                      base::ByteWriter& data) const {
        int flags = static_cast<int>(block.fork);
        flags |= block.image.empty() ? 0 : 0x10;
        flags |= block.data.empty() ? 0 : 0x20;
        flags |= block.will_init ? 0x40 : 0;
        flags |= block.same_relation ? 0x80 : 0;
        heads.u8(id);
        heads.u8(static_cast<std::uint8_t>(flags));
        heads.u16(static_cast<std::uint16_t>(block.data.size()));
        if (!block.image.empty()) {
            heads.u16(static_cast<std::uint16_t>(block.image.size()));
            heads.u16(24);
            heads.u8(major_ < 15 ? 0x05 : 0x03);  // a hole, to be applied
        }
        if (!block.same_relation) {
            heads.u32(block.relation.tablespace);
            heads.u32(block.relation.database);
            heads.u32(block.relation.number);
        }
        heads.u32(block.block);
        data.raw(block.image);
        data.raw(block.data);
    }

    void seal(base::Bytes& record, Lsn at) {
        std::memcpy(record.data() + 8, &last_.value, 8);
        const std::uint32_t crc = record_crc(record);
        std::memcpy(record.data() + 20, &crc, 4);
        last_ = at;
    }

    std::size_t page_room() const {
        const std::uint64_t used = end().value % kWalPage;
        return used == 0 ? 0 : static_cast<std::size_t>(kWalPage - used);
    }

    void begin_record() {
        zeros(align_record(end()) - end());
        if (page_room() == 0) {
            page_header(0);
        }
    }

    void write(base::BytesView record, std::size_t count) {
        std::size_t done = 0;
        while (done < count) {
            if (page_room() == 0) {
                page_header(static_cast<std::uint32_t>(record.size() - done));
            }
            const std::size_t step = std::min(count - done, page_room());
            out_.raw(record.subspan(done, step));
            done += step;
        }
    }

    void page_header(std::uint32_t remaining) {
        const Lsn page = end();
        const bool is_long = size_.offset_at(page) == 0;
        out_.u16(magic_of_major(major_));
        out_.u16(static_cast<std::uint16_t>((remaining > 0 ? 1 : 0) | (is_long ? 2 : 0) |
                                            (supersede_ ? 8 : 0)));
        supersede_ = false;
        out_.u32(timeline_);
        out_.u64(page.value);
        out_.u32(remaining);
        out_.u32(0);
        if (is_long) {
            out_.u64(system_);
            out_.u32(static_cast<std::uint32_t>(size_.bytes()));
            out_.u32(kWalPage);
        }
    }

    int major_;
    SegmentSize size_;
    Lsn start_;
    TimelineId timeline_;
    std::uint64_t system_;
    Lsn last_;
    bool supersede_ = false;
    base::ByteWriter out_;
};

}  // namespace lifeboat::postgres

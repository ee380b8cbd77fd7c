#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

enum class Checksums { Off, On };

enum class PageVerdict {
    Good,
    New,             // all zeros: allocated and not yet written
    NewerThanStart,  // changed since the backup began: may be torn, and WAL replay rewrites it
    BadChecksum,
    BadHeader,
};

std::string_view name(PageVerdict verdict);

// Judges one page of a relation file; the size of `page` is the cluster's block size.
// `block` counts from the start of the relation, not of the segment file: see absolute_block.
// `start` is the start of the backup that reads a live cluster; a page whose LSN has reached it is
// not judged further (T3). With an unset `start` every page is judged: right for a cluster that is
// shut down. A page that fails may have been torn by a write in progress: it is bad only if it
// fails again, with the same bytes, when reread. What this cannot see: damage that moves the page's
// LSN to `start` or beyond. Once the backup's stop LSN is known, compare page_lsn.
PageVerdict check_page(base::BytesView page, std::uint32_t block, Lsn start, Checksums checksums);

// What pd_checksum must hold: never 0. The stored checksum itself does not count.
std::uint16_t page_checksum(base::BytesView page, std::uint32_t block);

// The LSN of the last change, as the page's header has it.
Lsn page_lsn(base::BytesView page);

inline std::uint32_t absolute_block(std::uint32_t segment, std::uint32_t block_in_segment,
                                    std::uint32_t blocks_per_segment) {
    return segment * blocks_per_segment + block_in_segment;
}

}  // namespace lifeboat::postgres

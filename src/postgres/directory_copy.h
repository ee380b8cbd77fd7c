#pragma once

#include <vector>

#include "engine/data_engine.h"
#include "postgres/data_directory.h"
#include "postgres/page_check.h"

namespace lifeboat::postgres {

struct CopyRules {
    std::uint32_t block_size = 8192;
    std::uint32_t blocks_per_segment = 131072;
    Checksums checksums = Checksums::Off;
    Lsn start;  // of the backup: pages at or beyond it are WAL's to mend (T3)
};

// Feeds files into a capture with `workers` threads, in chunks, so that one large segment does not
// leave cores idle. Files that vanish are left out: their relation was dropped, and WAL says so
// (T4). A file that got shorter is taken as long as it is; one that grew, as long as it was listed.
// Every page of a relation is verified; a page that fails is reread until it verifies, changes or
// proves stable (T3), and a stable bad one is reported as damage and stored as it is.
Result<> copy_files(base::Files& files, base::Clock& clock, const std::vector<FoundFile>& found,
                    const CopyRules& rules, std::size_t workers, repo::Capture& capture);

}  // namespace lifeboat::postgres

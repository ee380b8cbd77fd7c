// A spool directory from hostile bytes, as a disk could give it back: its identity, and the journal
// of a segment. The first byte chooses. Never crashes; whatever the journal names lies within its
// segment, and is written to what decodes to the same.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/files.h"
#include "postgres/wal_spool.h"
#include "postgres/wal_spool_file.h"
#include "tests/support/sim_files.h"

namespace {

using namespace lifeboat;            // NOLINT(google-build-using-namespace): a program of one file
using namespace lifeboat::postgres;  // NOLINT(google-build-using-namespace)

const SegmentSize kSegment = SegmentSize::of(1 << 20).value();
const SpoolPlace kPlace{"/spool/1/000000010000000000000005", 1, Lsn{5 << 20}, kSegment};

void put(test::SimFiles& files, const std::string& path, base::BytesView bytes) {
    auto file = files.open(path, base::OpenMode::CreateNew, 0600);
    LB_CHECK(file.has_value());
    LB_CHECK((*file)->write_at(0, bytes).has_value());
}

void check_identity(base::BytesView bytes) {
    test::SimFiles files;
    LB_CHECK(files.create_directory("/spool", 0700).has_value());
    put(files, "/spool/spool.json", bytes);
    const auto identity = WalSpool::identity_of(files, "/spool");
    LB_CHECK(!identity || !*identity || (*identity)->major > 0);
}

// The segment has few bytes, and behind them what the journal says.
void check_journal(base::BytesView journal) {
    test::SimFiles files;
    LB_CHECK(files.create_directory("/spool", 0700).has_value());
    LB_CHECK(files.create_directory("/spool/1", 0700).has_value());
    auto file = files.open(kPlace.path, base::OpenMode::CreateNew, 0600);
    LB_CHECK(file.has_value());
    LB_CHECK((*file)->write_at(kSegment.bytes(), journal).has_value());
    const auto runs = read_spool_journal(files, kPlace);
    if (!runs) {
        return;
    }
    for (const SpoolRun& run : *runs) {
        LB_CHECK(run.from < run.to && run.to <= kSegment.bytes());
        LB_CHECK(decode_spool_run(encode_spool_run(run, kPlace), kPlace) == run);
    }
    const auto proven = prove_spool_runs(files, kPlace, *runs);
    LB_CHECK(!proven || proven->size() <= runs->size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const base::BytesView bytes = base::BytesView(data, size).subspan(1);
    if (data[0] % 2 == 0) {
        check_identity(bytes);
    } else {
        check_journal(bytes);
    }
    return 0;
}

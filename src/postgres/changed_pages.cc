#include "postgres/changed_pages.h"

#include <algorithm>
#include <bit>

// Tested by changed_pages_test.cc, and by wal_e2e_test.cc against the files of a real cluster.
//
// Format 1. Numbers are varints.
//   4   "LBCP"
//   1   format, 1
//   1   1: the range is unsure; length and bytes of the reason follow
//   databases  count; database, tablespace each, ascending
//   files      count; each, ascending: tablespace, database, number, 1 byte fork, limit + 1 or 0
//   for
//              none, groups
//   groups     of 4096 blocks: count; each, ascending: number of the group, number of runs (gap and
//              length each), or 0 and 512 bytes, one bit for each block. Runs where there are at
//              most 96 of them.

namespace lifeboat::postgres {

namespace {

using base::ByteReader;
using base::ByteWriter;

constexpr std::string_view kMark = "LBCP";
constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kMostRuns = 96;
constexpr std::uint64_t kLongestReason = 1024;

// Visits the runs of set bits.
template <class Words, class Visit>
void for_each_run(const Words& words, Visit visit) {
    const auto bits = static_cast<std::uint32_t>(words.size() * 64);
    const auto is_set = [&](std::uint32_t i) { return (words[i / 64] >> (i % 64) & 1) != 0; };
    for (std::uint32_t i = 0; i < bits;) {
        if (words[i / 64] >> (i % 64) == 0) {
            i = (i / 64 + 1) * 64;
            continue;
        }
        i += static_cast<std::uint32_t>(std::countr_zero(words[i / 64] >> (i % 64)));
        const std::uint32_t first = i;
        while (i < bits && is_set(i)) {
            ++i;
        }
        visit(BlockRun{first, i - first});
    }
}

void add_run(std::vector<BlockRun>& runs, BlockRun run) {
    if (!runs.empty() && runs.back().first + runs.back().count == run.first) {
        runs.back().count += run.count;
    } else {
        runs.push_back(run);
    }
}

Error corrupt(const char* what) {
    return Error(Code::Corrupt, std::string("a list of changed pages holds ") + what);
}

Result<std::uint32_t> read_u32(ByteReader& in) {
    const std::uint64_t value = TRY(in.varint());
    if (value > 0xFFFFFFFFU) {
        return corrupt("a number that is too large");
    }
    return static_cast<std::uint32_t>(value);
}

bool tracks(Fork fork) {
    return fork == Fork::Main || fork == Fork::Init;
}

}  // namespace

// ---- Records -----------------------------------------------------------------------------------

Result<> ChangedPages::add(const WalRecord& record) {
    for (const BlockRef& ref : record.blocks) {
        if (tracks(ref.fork)) {
            changes_of(ref.relation, ref.fork).set(ref.block);
        }
    }
    if (is_transaction_end(record)) {
        return add_transaction_end(record);
    }
    if (record.is(Rmgr::Xlog)) {
        return add_xlog(record);
    }
    if (record.is_special() || record.is(Rmgr::Storage) || record.is(Rmgr::Database)) {
        return add_special(record);
    }
    return {};
}

Result<> ChangedPages::add_special(const WalRecord& record) {
    if (record.is(Rmgr::Storage)) {
        return add_storage(record);
    }
    if (record.is(Rmgr::Database)) {
        return add_database(record);
    }
    doubt("the " + rmgr_name(record.rmgr) + " record at " + format_lsn(record.start) +
          " changes files in a way that is not known");
    return {};
}

Result<> ChangedPages::add_transaction_end(const WalRecord& record) {
    const TransactionEnd end = TRY(read_transaction_end(record));
    for (std::size_t i = 0; i < end.dropped.size(); ++i) {
        cut_all_forks(end.dropped[i]);
    }
    return {};
}

Result<> ChangedPages::add_storage(const WalRecord& record) {
    if (is_operation(record, StorageOp::Create)) {
        const StorageCreate create = TRY(read_storage_create(record));
        if (tracks(create.fork)) {
            changes_of(create.relation, create.fork).cut(0);
        }
    } else if (is_operation(record, StorageOp::Truncate)) {
        const StorageTruncate truncate = TRY(read_storage_truncate(record));
        if (truncate.main_fork) {
            changes_of(truncate.relation, Fork::Main).cut(truncate.blocks);
        }
    } else {
        doubt("the Storage record at " + format_lsn(record.start) +
              " does what no known version does");
    }
    return {};
}

Result<> ChangedPages::add_database(const WalRecord& record) {
    const DatabaseChange change = TRY(read_database_change(record));
    for (std::size_t i = 0; i < change.tablespaces.size(); ++i) {
        const DatabaseKey key{change.database, change.tablespaces[i]};
        const auto at = std::lower_bound(databases_.begin(), databases_.end(), key);
        if (at == databases_.end() || *at != key) {
            databases_.insert(at, key);
        }
    }
    return {};
}

Result<> ChangedPages::add_xlog(const WalRecord& record) {
    std::optional<WalLevel> level;
    switch (static_cast<XlogOp>(record.operation())) {
        case XlogOp::CheckpointShutdown:
        case XlogOp::CheckpointOnline: {
            const Checkpoint checkpoint = TRY(read_checkpoint(record));
            level = checkpoint.level;
            break;
        }
        case XlogOp::EndOfRecovery: {
            const EndOfRecovery end = TRY(read_end_of_recovery(record));
            level = end.level;
            break;
        }
        case XlogOp::ParameterChange: {
            const Parameters now = TRY(read_parameter_change(record));
            level = now.level;
            break;
        }
        case XlogOp::CheckpointRedo:
            level = TRY(read_checkpoint_redo(record));
            break;
        default:
            break;
    }
    check_level(level, record.start);
    if (record.is_special()) {
        return add_special(record);
    }
    return {};
}

void ChangedPages::check_level(std::optional<WalLevel> level, Lsn at) {
    if (level == WalLevel::Minimal) {
        doubt("wal_level is minimal at " + format_lsn(at));
    }
}

void ChangedPages::doubt(std::string why) {
    if (!unsure_) {
        unsure_ = std::move(why);
    }
}

// ---- Sets --------------------------------------------------------------------------------------

std::size_t ChangedPages::Hash::operator()(const FileKey& key) const {
    const RelationKey& r = key.relation;
    std::uint64_t h = (std::uint64_t{r.number} << 32 | r.database) * 0x9E3779B97F4A7C15ULL;
    h ^= (std::uint64_t{r.tablespace} << 2 | static_cast<std::uint64_t>(key.fork)) *
         0xC2B2AE3D27D4EB4FULL;
    return static_cast<std::size_t>(h ^ h >> 29);
}

ChangedPages::FileChanges& ChangedPages::changes_of(const RelationKey& relation, Fork fork) {
    return files_[FileKey{relation, fork}];
}

void ChangedPages::cut_all_forks(const RelationKey& relation) {
    changes_of(relation, Fork::Main).cut(0);
    changes_of(relation, Fork::Init).cut(0);
}

void ChangedPages::FileChanges::set(std::uint32_t block) {
    if (block < limit) {
        groups[block / kGroup][block % kGroup / 64] |= 1ULL << block % 64;
    }
}

void ChangedPages::FileChanges::cut(std::uint64_t blocks) {
    limit = std::min(limit, blocks);
    const auto boundary = static_cast<std::uint32_t>(limit / kGroup);
    if (limit == kNoLimit) {
        return;
    }
    groups.erase(groups.upper_bound(boundary), groups.end());
    const auto last = groups.find(boundary);
    if (last == groups.end()) {
        return;
    }
    const auto kept = static_cast<std::size_t>(limit % kGroup);
    Bits& bits = last->second;
    if (kept % 64 != 0) {
        bits[kept / 64] &= (1ULL << kept % 64) - 1;
    }
    std::fill(bits.begin() + static_cast<std::ptrdiff_t>((kept + 63) / 64), bits.end(), 0);
    if (bits == Bits{}) {
        groups.erase(last);
    }
}

void ChangedPages::FileChanges::merge(const FileChanges& other) {
    for (const auto& [number, bits] : other.groups) {
        Bits& mine = groups[number];
        for (std::size_t i = 0; i < bits.size(); ++i) {
            mine[i] |= bits[i];
        }
    }
    cut(other.limit);
}

void ChangedPages::append(const ChangedPages& later) {
    if (later.unsure_) {
        doubt(*later.unsure_);
    }
    std::vector<DatabaseKey> joined;
    std::set_union(databases_.begin(), databases_.end(), later.databases_.begin(),
                   later.databases_.end(), std::back_inserter(joined));
    databases_ = std::move(joined);
    for (const auto& [key, changes] : later.files_) {
        files_[key].merge(changes);
    }
}

std::vector<BlockRun> ChangedPages::changed(const RelationKey& relation, Fork fork,
                                            std::uint32_t first, std::uint32_t count) const {
    std::vector<BlockRun> runs;
    const std::uint64_t end = std::min(std::uint64_t{first} + count, kNoLimit);
    if (first >= end) {
        return runs;
    }
    const bool whole_database = std::binary_search(
        databases_.begin(), databases_.end(), DatabaseKey{relation.database, relation.tablespace});
    if (unsure_ || whole_database || !tracks(fork)) {
        return {BlockRun{first, static_cast<std::uint32_t>(end - first)}};
    }
    const auto file = files_.find(FileKey{relation, fork});
    if (file == files_.end()) {
        return runs;
    }
    const FileChanges& changes = file->second;
    const std::uint64_t tracked_end = std::min(end, changes.limit);
    for (auto group = changes.groups.lower_bound(first / kGroup); group != changes.groups.end();
         ++group) {
        const std::uint64_t base = std::uint64_t{group->first} * kGroup;
        if (base >= tracked_end) {
            break;
        }
        for_each_run(group->second, [&](BlockRun run) {
            const std::uint64_t from = std::max<std::uint64_t>(base + run.first, first);
            const std::uint64_t to = std::min(base + run.first + run.count, tracked_end);
            if (from < to) {
                add_run(runs,
                        {static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to - from)});
            }
        });
    }
    const std::uint64_t from = std::max<std::uint64_t>(first, changes.limit);
    if (from < end) {
        add_run(runs, {static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(end - from)});
    }
    return runs;
}

// ---- Storage -----------------------------------------------------------------------------------

void ChangedPages::encode_bits(ByteWriter& out, const Bits& bits) {
    std::vector<BlockRun> runs;
    for_each_run(bits, [&](BlockRun run) { runs.push_back(run); });
    if (runs.size() > kMostRuns) {
        out.varint(0);
        for (std::uint64_t word : bits) {
            out.u64(word);
        }
        return;
    }
    out.varint(runs.size());
    std::uint32_t at = 0;
    for (const BlockRun& run : runs) {
        out.varint(run.first - at);
        out.varint(run.count);
        at = run.first + run.count;
    }
}

base::Bytes ChangedPages::encode() const {
    ByteWriter out;
    out.raw(kMark);
    out.u8(kFormat);
    out.u8(unsure_ ? 1 : 0);
    if (unsure_) {
        out.sized(std::string_view(*unsure_).substr(0, kLongestReason));
    }
    out.varint(databases_.size());
    for (const DatabaseKey& key : databases_) {
        out.varint(key.database);
        out.varint(key.tablespace);
    }
    std::vector<std::pair<FileKey, const FileChanges*>> files;
    for (const auto& [key, changes] : files_) {
        files.emplace_back(key, &changes);
    }
    std::sort(files.begin(), files.end());
    out.varint(files.size());
    for (const auto& [key, changes] : files) {
        out.varint(key.relation.tablespace);
        out.varint(key.relation.database);
        out.varint(key.relation.number);
        out.u8(static_cast<std::uint8_t>(key.fork));
        out.varint(changes->limit == kNoLimit ? 0 : changes->limit + 1);
        out.varint(changes->groups.size());
        for (const auto& [number, bits] : changes->groups) {
            out.varint(number);
            encode_bits(out, bits);
        }
    }
    return out.take();
}

Result<ChangedPages::Bits> ChangedPages::decode_bits(ByteReader& in) {
    Bits bits{};
    const std::uint64_t runs = TRY(in.varint());
    if (runs == 0) {
        for (std::uint64_t& word : bits) {
            word = TRY(in.u64());
        }
        return bits;
    }
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(runs, kGroup); ++i) {
        const std::uint32_t gap = TRY(read_u32(in));
        const std::uint32_t length = TRY(read_u32(in));
        at += gap;
        if (length == 0 || at + length > kGroup) {
            return corrupt("a run outside of its group");
        }
        for (const std::uint64_t end = at + length; at < end; ++at) {
            bits[at / 64] |= 1ULL << at % 64;
        }
    }
    return bits;
}

Result<ChangedPages::FileKey> ChangedPages::decode_key(ByteReader& in) {
    FileKey key;
    key.relation.tablespace = TRY(read_u32(in));
    key.relation.database = TRY(read_u32(in));
    key.relation.number = TRY(read_u32(in));
    const std::uint8_t fork = TRY(in.u8());
    key.fork = static_cast<Fork>(fork);
    if (fork > static_cast<std::uint8_t>(Fork::Init) || !tracks(key.fork)) {
        return corrupt("a fork that is not tracked");
    }
    return key;
}

Result<ChangedPages::FileChanges> ChangedPages::decode_file(ByteReader& in) {
    FileChanges file;
    const std::uint64_t limit = TRY(in.varint());
    if (limit > kNoLimit) {
        return corrupt("a number that is too large");
    }
    const std::uint64_t groups = TRY(in.varint());
    for (std::uint64_t i = 0; i < groups; ++i) {
        const std::uint32_t number = TRY(read_u32(in));
        if (number >= kNoLimit / kGroup ||
            (!file.groups.empty() && number <= file.groups.rbegin()->first)) {
            return corrupt("groups that are out of order");
        }
        const Bits bits = TRY(decode_bits(in));
        file.groups.emplace(number, bits);
    }
    file.cut(limit == 0 ? kNoLimit : limit - 1);
    return file;
}

Result<> ChangedPages::decode_databases(ByteReader& in, ChangedPages& out) {
    const std::uint64_t databases = TRY(in.varint());
    for (std::uint64_t i = 0; i < databases; ++i) {
        DatabaseKey key;
        key.database = TRY(read_u32(in));
        key.tablespace = TRY(read_u32(in));
        if (!out.databases_.empty() && key <= out.databases_.back()) {
            return corrupt("databases that are out of order");
        }
        out.databases_.push_back(key);
    }
    return {};
}

Result<ChangedPages> ChangedPages::decode(base::BytesView bytes) {
    ByteReader in(bytes);
    const base::BytesView mark = TRY(in.raw(kMark.size()));
    if (base::text(mark) != kMark) {
        return Error(Code::Corrupt, "not a list of changed pages");
    }
    const std::uint8_t format = TRY(in.u8());
    if (format != kFormat) {
        return Error(Code::Unsupported,
                     "a list of changed pages of format " + std::to_string(format));
    }
    ChangedPages out;
    const std::uint8_t unsure = TRY(in.u8());
    if (unsure != 0) {
        out.unsure_ = TRY(in.sized_text(kLongestReason));
    }
    TRY(decode_databases(in, out));
    const std::uint64_t files = TRY(in.varint());
    for (std::uint64_t i = 0; i < files; ++i) {
        const FileKey key = TRY(decode_key(in));
        FileChanges file = TRY(decode_file(in));
        if (!out.files_.emplace(key, std::move(file)).second) {
            return corrupt("a file twice");
        }
    }
    if (!in.at_end()) {
        return corrupt("more than it should");
    }
    return out;
}

}  // namespace lifeboat::postgres

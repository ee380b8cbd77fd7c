#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "postgres/wal_body.h"
#include "postgres/wal_format.h"

namespace lifeboat::postgres {

struct BlockRun {
    std::uint32_t first = 0;
    std::uint32_t count = 0;

    friend bool operator==(const BlockRun&, const BlockRun&) = default;
};

// Which pages of which relation files a range of WAL may have changed: what an incremental backup
// must read. Errs on the side of changed.
//
// The rules (T21, T22). A block reference changes its block. Visibility and free-space maps change
// without references, so those forks always count as changed throughout. A file that was created,
// or removed by the end of a transaction, is changed from block 0; a truncated one from where it
// was cut. A database that was created or dropped is changed in all its files. A record that says
// that it changes files in a way that this code does not know, or WAL written at wal_level minimal,
// makes the whole range unsure.
//
// The caller answers for the range: every record from the redo point of the older backup to the end
// of the newer one, in order. What a relation map, a transaction status file or any other file
// outside of relations holds is not tracked. About 512 bytes for each 32 MiB of relation that was
// touched. One thread.
class ChangedPages {
  public:
    Result<> add(const WalRecord& record);  // Corrupt, Unsupported

    // Adds what follows in the WAL.
    void append(const ChangedPages& later);

    // Nothing can be told from this range; the reason. Every block counts as changed.
    const std::optional<std::string>& unsure() const { return unsure_; }

    // The changed blocks among `count` blocks from `first`, in order, joined.
    std::vector<BlockRun> changed(const RelationKey& relation, Fork fork, std::uint32_t first,
                                  std::uint32_t count) const;

    // Format 1, described in changed_pages.cc. Equal sets have equal bytes. Decoding: Corrupt;
    // Unsupported for a newer format.
    base::Bytes encode() const;
    static Result<ChangedPages> decode(base::BytesView bytes);

  private:
    struct FileKey {
        RelationKey relation;
        Fork fork = Fork::Main;
        friend auto operator<=>(const FileKey&, const FileKey&) = default;
    };

    struct Hash {
        std::size_t operator()(const FileKey& key) const;
    };

    struct DatabaseKey {
        std::uint32_t database = 0;
        std::uint32_t tablespace = 0;
        friend auto operator<=>(const DatabaseKey&, const DatabaseKey&) = default;
    };

    static constexpr std::uint32_t kGroup = 4096;  // blocks
    using Bits = std::array<std::uint64_t, kGroup / 64>;
    static constexpr std::uint64_t kNoLimit = 1ULL << 32;

    struct FileChanges {
        std::uint64_t limit = kNoLimit;        // every block from here on is changed
        std::map<std::uint32_t, Bits> groups;  // of the blocks before; none is empty

        void set(std::uint32_t block);
        void cut(std::uint64_t blocks);
        void merge(const FileChanges& other);
    };

    FileChanges& changes_of(const RelationKey& relation, Fork fork);
    void cut_all_forks(const RelationKey& relation);
    Result<> add_special(const WalRecord& record);
    Result<> add_storage(const WalRecord& record);
    Result<> add_database(const WalRecord& record);
    Result<> add_transaction_end(const WalRecord& record);
    Result<> add_xlog(const WalRecord& record);
    void check_level(std::optional<WalLevel> level, Lsn at);
    void doubt(std::string why);

    static void encode_bits(base::ByteWriter& out, const Bits& bits);
    static Result<Bits> decode_bits(base::ByteReader& in);
    static Result<FileKey> decode_key(base::ByteReader& in);
    static Result<FileChanges> decode_file(base::ByteReader& in);
    static Result<> decode_databases(base::ByteReader& in, ChangedPages& out);

    std::optional<std::string> unsure_;
    std::vector<DatabaseKey> databases_;  // sorted
    std::unordered_map<FileKey, FileChanges, Hash> files_;
};

}  // namespace lifeboat::postgres

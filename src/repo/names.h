#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "policy/expiry.h"
#include "repo/keyring.h"

namespace lifeboat::repo {

// Object names of docs/format/layout.md: built here, parsed here, and nowhere else.

inline constexpr std::string_view kRepositoryObject = "lifeboat.json";

std::string data_pack_name(std::string_view system, policy::ExpiryDay expires, const Id128& pack);
std::string data_packs_prefix(std::string_view system);
std::string map_packs_prefix(std::string_view system);
std::string map_pack_name(std::string_view system, policy::ExpiryDay expires, const Id128& pack);
std::string writer_name(std::string_view writer);

struct ManifestName {
    std::string system;
    base::Timestamp stop;
    policy::ExpiryDay expires;
    std::string backup;  // the backup's id
    std::string text() const;
    static Result<ManifestName> parse(std::string_view object_name);  // Corrupt
};

std::string manifest_prefix(std::string_view system);
// "<start>-<4 hex digits>"
std::string make_backup_id(base::Timestamp start, base::Random& random);

// A contiguous range [from, to) of one timeline of a stream.
struct StreamRange {
    std::uint32_t timeline = 0;
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    auto operator<=>(const StreamRange&) const = default;
};
enum class StreamObject { Piece, Gathered, Gap };

struct StreamName {
    StreamObject kind = StreamObject::Piece;
    std::string system;
    policy::ExpiryDay expires;  // unused for gaps
    StreamRange range;
    std::string text() const;
    static Result<StreamName> parse(
        std::string_view object_name);  // Corrupt; a range is never empty
};

std::string stream_prefix(std::string_view system, StreamObject kind);
std::string history_prefix(std::string_view system);
std::string history_name(std::string_view system, std::uint32_t timeline, BytesView digest);
Result<std::uint32_t> history_timeline(std::string_view object_name);  // Corrupt

// What an object is for, from its name alone: for key-less checks and retention.
enum class ObjectClass {
    Repository,
    Writer,
    DataPack,
    MapPack,
    Manifest,
    Piece,
    Gathered,
    History,
    Gap,
    Unknown
};
ObjectClass classify(std::string_view object_name);
// The expiry day that a pack, map, manifest, piece or gathered pack carries in its name; Corrupt
// for names without one.
Result<policy::ExpiryDay> expiry_of(std::string_view object_name);

}  // namespace lifeboat::repo

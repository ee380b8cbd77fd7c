#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "crypto/fingerprint.h"

namespace lifeboat::repo {

using base::Result;

// The fingerprints of the pages of captured files (docs/format/map.md), by which the next backup
// and a restore over existing files know what is unchanged. A list has one for each page of a
// slice, 0.2 % of the data: written whole by each backup they would be most of what a small
// incremental stores. So a slice is told by a patch: a list, of this or of an earlier backup, and
// what has changed since. A patch rests on a list, never on a patch.

struct FingerprintList {
    std::string path;
    std::uint64_t first_page = 0;
    std::vector<crypto::Fingerprint> pages;
    static base::Result<FingerprintList> decode(base::ByteReader& in);
};

void encode_fingerprints(std::string_view path, std::uint64_t first_page,
                         std::span<const crypto::Fingerprint> pages, base::ByteWriter& out);

// Where a list lies: a frame of the pack with index `pack` among the manifest's prints.
struct PrintPlace {
    std::uint32_t pack = 0;
    std::uint32_t frame = 0;
    bool operator==(const PrintPlace&) const = default;
};

struct FingerprintPatch {
    std::string path;
    std::uint64_t first_page = 0;
    std::uint64_t count = 0;  // of the slice's pages
    PrintPlace base;          // of the list of the same path and first page
    // By page of the slice, ascending; every page that the list does not have is here.
    std::vector<std::pair<std::uint64_t, crypto::Fingerprint>> changes;

    void encode(base::ByteWriter& out) const;
    static base::Result<FingerprintPatch> decode(base::ByteReader& in);

    // The slice's fingerprints. Corrupt when `list` is of another slice, or too short.
    base::Result<std::vector<crypto::Fingerprint>> apply(const FingerprintList& list) const;

    // The patch of the same slice when its fingerprints, `before` by this patch, are `now`: on the
    // same list. Nothing when so much has changed that a new list is due.
    std::optional<FingerprintPatch> advanced(std::span<const crypto::Fingerprint> before,
                                             std::span<const crypto::Fingerprint> now) const;
};

// What a backup knows of one file: all its fingerprints, and how each slice of them is kept.
struct KnownPrints {
    std::vector<crypto::Fingerprint> pages;
    std::vector<FingerprintPatch> slices;
};

}  // namespace lifeboat::repo

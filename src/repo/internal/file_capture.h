#pragma once

#include <vector>

#include "base/bytes.h"
#include "crypto/fingerprint.h"
#include "repo/capture.h"
#include "repo/file_map.h"
#include "repo/fingerprint_list.h"

namespace lifeboat::repo {

// One regular file on its way in. Chunks write disjoint elements of the vectors, so lanes need no
// lock between them.
class FileCapture {
  public:
    FileCapture(FileMap file, std::uint64_t size)
        : meta(std::move(file)),
          capacity(size),
          pages((size + kPageSize - 1) / kPageSize),
          fingerprints(pages.size()),
          chunk_crcs((size + kChunkSize - 1) / kChunkSize),
          chunk_sizes(chunk_crcs.size()) {}

    // Length of page `number` in the previous backup.
    std::uint64_t before_length_of(std::uint64_t number) const {
        return std::min<std::uint64_t>(kPageSize, before_size - number * kPageSize);
    }

    // CRC-32C of the first `size` bytes, from the chunks' own.
    std::uint32_t crc_of_first(std::uint64_t size) const {
        std::uint32_t crc = 0;
        for (std::uint64_t at = 0; at < size; at += kChunkSize) {
            crc = base::crc32c_combine(crc, chunk_crcs[at / kChunkSize],
                                       std::min<std::uint64_t>(kChunkSize, size - at));
        }
        return crc;
    }

    // True iff each chunk of the first `size` bytes was given, no longer than the file: its CRC is
    // of all that was given.
    bool was_given(std::uint64_t size) const {
        for (std::uint64_t at = 0; at < size; at += kChunkSize) {
            if (chunk_sizes[at / kChunkSize] != std::min<std::uint64_t>(kChunkSize, size - at)) {
                return false;
            }
        }
        return true;
    }

    FileMap meta;
    const std::uint64_t capacity;
    std::vector<Location> pages;
    std::vector<crypto::Fingerprint> fingerprints;
    std::vector<std::uint32_t> chunk_crcs;
    std::vector<std::uint32_t> chunk_sizes;  // 0: not given
    std::vector<Location> before_pages;
    KnownPrints before;  // its slices are empty where no list of it may be referred to
    std::uint64_t before_size = 0;
};

}  // namespace lifeboat::repo

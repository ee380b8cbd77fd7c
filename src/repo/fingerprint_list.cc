#include "repo/fingerprint_list.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "repo/file_map.h"

// Fingerprint lists and patches. Tested by fingerprint_list_test.cc and tests/fuzz/fuzz_map.cc.

namespace lifeboat::repo {

using base::ByteReader;
using base::BytesView;
using base::ByteWriter;
using base::Code;
using base::Error;
using crypto::Fingerprint;

namespace {

// A new list costs all pages at once, a patch its changes again in each later backup. Where a share
// r of the pages changes from backup to backup the sum is least when a list is written at sqrt(2r)
// of them: an eighth suits the one per cent that an hour or a night changes.
constexpr std::uint64_t kListsPages = 8;

Result<std::uint32_t> decode_u32(ByteReader& in, std::string_view what) {
    const std::uint64_t value = TRY(in.varint());
    if (value > std::numeric_limits<std::uint32_t>::max()) {
        return Error(Code::Corrupt, "a fingerprint patch has an impossible " + std::string(what));
    }
    return static_cast<std::uint32_t>(value);
}

Fingerprint fingerprint_of(BytesView raw) {
    Fingerprint print{};
    std::copy(raw.begin(), raw.end(), print.begin());
    return print;
}

}  // namespace

void encode_fingerprints(std::string_view path, std::uint64_t first_page,
                         std::span<const Fingerprint> pages, ByteWriter& out) {
    out.sized(path);
    out.varint(first_page);
    out.varint(pages.size());
    for (const Fingerprint& page : pages) {
        out.raw(page);
    }
}

Result<FingerprintList> FingerprintList::decode(ByteReader& in) {
    FingerprintList list;
    list.path = TRY(in.sized_text(kMaxPath));
    list.first_page = TRY(in.varint());
    const std::uint64_t count = TRY(in.varint());
    if (count > in.remaining() / sizeof(Fingerprint)) {
        return Error(Code::Corrupt, "a fingerprint list is cut short");
    }
    const BytesView raw = TRY(in.raw(count * sizeof(Fingerprint)));
    list.pages.resize(count);
    if (count > 0) {
        std::memcpy(list.pages.data(), raw.data(), raw.size());
    }
    return list;
}

void FingerprintPatch::encode(ByteWriter& out) const {
    out.sized(path);
    out.varint(first_page);
    out.varint(count);
    out.varint(base.pack);
    out.varint(base.frame);
    out.varint(changes.size());
    std::uint64_t next = 0;
    for (const auto& [page, print] : changes) {
        out.varint(page - next);
        out.raw(print);
        next = page + 1;
    }
}

Result<FingerprintPatch> FingerprintPatch::decode(ByteReader& in) {
    FingerprintPatch patch;
    patch.path = TRY(in.sized_text(kMaxPath));
    patch.first_page = TRY(in.varint());
    patch.count = TRY(in.varint());
    patch.base.pack = TRY(decode_u32(in, "pack"));
    patch.base.frame = TRY(decode_u32(in, "frame"));
    const std::uint64_t changes = TRY(in.varint());
    if (patch.count > kPagesPerSlice || patch.first_page % kPagesPerSlice != 0 ||
        changes > patch.count || changes > in.remaining() / sizeof(Fingerprint)) {
        return Error(Code::Corrupt, "the fingerprint patch of '" + patch.path + "' cannot be");
    }
    patch.changes.reserve(changes);
    std::uint64_t next = 0;
    for (std::uint64_t i = 0; i < changes; ++i) {
        const std::uint64_t skipped = TRY(in.varint());
        const BytesView raw = TRY(in.raw(sizeof(Fingerprint)));
        if (skipped >= patch.count - next) {
            return Error(Code::Corrupt,
                         "the fingerprint patch of '" + patch.path + "' goes past its slice");
        }
        patch.changes.emplace_back(next + skipped, fingerprint_of(raw));
        next += skipped + 1;
    }
    return patch;
}

Result<std::vector<Fingerprint>> FingerprintPatch::apply(const FingerprintList& list) const {
    if (list.path != path || list.first_page != first_page) {
        return Error(Code::Corrupt, "the fingerprints of '" + path + "' rest on another list");
    }
    const std::uint64_t told = std::min<std::uint64_t>(count, list.pages.size());
    std::vector<Fingerprint> pages(list.pages.begin(),
                                   list.pages.begin() + static_cast<std::ptrdiff_t>(told));
    pages.resize(count);
    std::uint64_t beyond = 0;
    for (const auto& [page, print] : changes) {
        pages[page] = print;
        beyond += page >= told ? 1 : 0;
    }
    if (beyond != count - told) {
        return Error(Code::Corrupt, "the fingerprints of '" + path + "' lack pages");
    }
    return pages;
}

std::optional<FingerprintPatch> FingerprintPatch::advanced(std::span<const Fingerprint> before,
                                                           std::span<const Fingerprint> now) const {
    FingerprintPatch patch{path, first_page, now.size(), base, {}};
    auto told = changes.begin();
    for (std::uint64_t page = 0; page < now.size(); ++page) {
        const bool was_changed = told != changes.end() && told->first == page;
        told += was_changed ? 1 : 0;
        if (was_changed || page >= before.size() || now[page] != before[page]) {
            patch.changes.emplace_back(page, now[page]);
            if (patch.changes.size() * kListsPages > now.size()) {
                return std::nullopt;
            }
        }
    }
    return patch;
}

}  // namespace lifeboat::repo

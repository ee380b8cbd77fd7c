// File maps, fingerprint lists and patches from hostile bytes. What decodes is safe to restore, and
// encodes to what decodes to the same.
#include <cstdint>

#include "base/check.h"
#include "repo/file_map.h"
#include "repo/fingerprint_list.h"

namespace {

using namespace lifeboat;  // NOLINT(google-build-using-namespace): a program of one file
using base::BytesView;

void read_map(BytesView bytes) {
    base::ByteReader in(bytes);
    const auto map = repo::FileMap::decode(in);
    if (!map) {
        return;
    }
    LB_CHECK(repo::check_relative_path(map->path).has_value());
    base::ByteWriter out;
    map->encode(out);
    base::ByteReader again(out.bytes());
    const auto same = repo::FileMap::decode(again);
    LB_CHECK(same.has_value() && again.at_end());
    LB_CHECK(same->runs == map->runs && same->path == map->path && same->size == map->size &&
             same->target == map->target);

    const auto pages = repo::locations_of(*map);
    LB_CHECK(pages.size() == map->slice_pages() && pages.size() <= repo::kPagesPerSlice);
    repo::FileMap joined = *map;
    joined.runs = repo::runs_of(pages);
    LB_CHECK(joined.runs.size() <= map->runs.size());
    LB_CHECK(repo::locations_of(joined) == pages);
}

void read_list(BytesView bytes) {
    base::ByteReader in(bytes);
    const auto list = repo::FingerprintList::decode(in);
    if (!list) {
        return;
    }
    base::ByteWriter out;
    repo::encode_fingerprints(list->path, list->first_page, list->pages, out);
    base::ByteReader again(out.bytes());
    const auto same = repo::FingerprintList::decode(again);
    LB_CHECK(same.has_value() && same->pages == list->pages && same->path == list->path &&
             same->first_page == list->first_page);
}

void read_patch(BytesView bytes) {
    base::ByteReader in(bytes);
    const auto patch = repo::FingerprintPatch::decode(in);
    if (!patch) {
        return;
    }
    base::ByteWriter out;
    patch->encode(out);
    base::ByteReader again(out.bytes());
    const auto same = repo::FingerprintPatch::decode(again);
    LB_CHECK(same.has_value() && again.at_end() && same->changes == patch->changes &&
             same->base == patch->base && same->count == patch->count);
    const repo::FingerprintList list{patch->path, patch->first_page,
                                     std::vector<crypto::Fingerprint>(patch->count)};
    const auto pages = patch->apply(list);
    LB_CHECK(pages.has_value() && pages->size() == patch->count);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    read_map({data, size});
    read_list({data, size});
    read_patch({data, size});
    return 0;
}

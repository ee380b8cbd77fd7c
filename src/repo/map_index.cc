#include "repo/map_index.h"

#include <algorithm>

#include "repo/pack_source.h"

namespace lifeboat::repo {

using base::Code;
using base::Error;

namespace {

constexpr std::size_t kRecentFrames = 8;

// The signed manifest names the digest: a map pack that differs in one bit is refused before it is
// decoded.
Result<> check_digest(BytesView bytes, const NeededObject& object) {
    if (bytes.size() != object.size || crypto::sha256(bytes) != object.sha256) {
        return Error(Code::Corrupt, "'" + object.name + "' differs from what the manifest names")
            .hint("Run 'lifeboat repo check' to see what it costs.");
    }
    return {};
}

Error not_a_map_pack(const std::string& object) {
    return Error(Code::Corrupt, "'" + object + "' is not a map pack of this repository");
}

Error lacks_last_slice(const std::string& path) {
    return Error(Code::Corrupt, "the map of '" + path + "' lacks its last slice");
}

// `whole` is empty before the first slice.
Result<> append_slice(std::optional<FileMap>& whole, FileMap slice) {
    if (whole) {
        return join_slice(*whole, std::move(slice));
    }
    if (slice.first_page != 0) {
        return Error(Code::Corrupt, "the map of '" + slice.path + "' lacks its first slice");
    }
    whole = std::move(slice);
    return {};
}

}  // namespace

Result<std::unique_ptr<MapIndex>> MapIndex::open(store::ObjectStore& store, const Id128& repository,
                                                 const OpenedManifest& manifest) {
    const Key256 map_key = RepositoryKeys::derive(manifest.host_secret, repository).map;
    std::unique_ptr<MapIndex> index(
        new MapIndex(store, repository, map_key, manifest.manifest.prints));
    TRY(index->load(manifest.manifest)
            .during("reading the maps of backup '" + manifest.manifest.backup + "'"));
    return index;
}

Result<> MapIndex::load(const Manifest& manifest) {
    for (const PackRef& ref : manifest.maps) {
        const Bytes bytes = TRY(store_.get(ref.object.name));
        TRY(check_digest(bytes, ref.object));
        Pack pack;
        pack.object = ref.object.name;
        pack.header = TRY(PackHeader::parse(bytes));
        if (pack.header.repository != repository_ || pack.header.kind != PackKind::Map) {
            return not_a_map_pack(ref.object.name);
        }
        FrameOpener opener(pack.header, map_key_);
        pack.frames = TRY(opener.table(bytes, bytes.size(), pack.header.frames_at));
        packs_.push_back(std::move(pack));
        TRY(index_pack(static_cast<std::uint32_t>(packs_.size() - 1), bytes));
    }
    return {};
}

Result<> MapIndex::index_pack(std::uint32_t pack, BytesView bytes) {
    for (std::uint32_t number = 0; number < packs_[pack].frames.size(); ++number) {
        const Frame frame =
            TRY(decode(packs_[pack], number, bytes.subspan(packs_[pack].frames[number].offset)));
        for (std::uint32_t slot = 0; slot < frame.maps.size(); ++slot) {
            const FileMap& map = frame.maps[slot];
            Summary& summary = summaries_[map.path];
            summary.size = map.size;
            summary.runs += static_cast<std::uint32_t>(map.runs.size());
            for (const PageRun& run : map.runs) {
                summary.oldest_pack = std::min(summary.oldest_pack, run.at.pack);
            }
            places_[map.path].push_back({pack, number, slot});
        }
        for (std::uint32_t slot = 0; slot < frame.patches.size(); ++slot) {
            patches_[frame.patches[slot].path].push_back({pack, number, slot});
        }
    }
    return {};
}

// ---- Frames

Result<MapIndex::Frame> MapIndex::fetch(const Pack& pack, std::uint32_t number) {
    const FrameEntry& entry = pack.frames[number];
    Bytes sealed(entry.end() - entry.offset);
    TRY(store_.get_range(pack.object, entry.offset, sealed));
    return decode(pack, number, sealed);
}

Result<MapIndex::Frame> MapIndex::decode(const Pack& pack, std::uint32_t number,
                                         BytesView sealed) const {
    const FrameEntry& entry = pack.frames[number];
    FrameOpener opener(pack.header, map_key_);
    const Bytes plain =
        TRY(opener.open(number, entry, sealed).during("map pack '" + pack.object + "'"));
    base::ByteReader in(plain);
    Frame frame;
    while (!in.at_end() && entry.kind == FrameKind::FileMaps) {
        FileMap map = TRY(FileMap::decode(in));
        frame.maps.push_back(std::move(map));
    }
    while (!in.at_end() && entry.kind == FrameKind::FingerprintPatches) {
        FingerprintPatch patch = TRY(FingerprintPatch::decode(in));
        frame.patches.push_back(std::move(patch));
    }
    while (!in.at_end() && entry.kind == FrameKind::Fingerprints) {
        FingerprintList list = TRY(FingerprintList::decode(in));
        frame.lists.push_back(std::move(list));
    }
    return frame;
}

MapIndex::FramePtr MapIndex::recent(FrameKey key) {
    const base::Lock lock(mutex_);
    const auto found = std::find_if(recent_.begin(), recent_.end(),
                                    [&](const auto& known) { return known.first == key; });
    return found != recent_.end() ? found->second : nullptr;
}

MapIndex::FramePtr MapIndex::remember(FrameKey key, Frame frame) {
    auto shared = std::make_shared<const Frame>(std::move(frame));
    const base::Lock lock(mutex_);
    if (recent_.size() >= kRecentFrames) {
        recent_.erase(recent_.begin());
    }
    recent_.emplace_back(key, shared);
    return shared;
}

Result<MapIndex::FramePtr> MapIndex::frame(Place place) {
    const FrameKey key{false, place.pack, place.frame};
    if (auto known = recent(key)) {
        return known;
    }
    Frame fetched = TRY(fetch(packs_[place.pack], place.frame));
    return remember(key, std::move(fetched));
}

// ---- Packs of fingerprints

Result<MapIndex::Pack> MapIndex::open_print_pack(std::uint32_t index) {
    const auto ref = prints_.find(index);
    if (ref == prints_.end()) {
        return Error(Code::Corrupt, "fingerprints lie in pack " + std::to_string(index) +
                                        ", which the manifest does not name");
    }
    const NeededObject& object = ref->second.object;
    OpenPack opened =
        TRY(open_pack(store_, object.name, object.size,
                      [this](const PackHeader&) -> Result<Key256> { return map_key_; }));
    if (opened.header.repository != repository_ || opened.header.kind != PackKind::Map ||
        opened.header.pack != ref->second.pack) {
        return not_a_map_pack(object.name);
    }
    return Pack{object.name, std::move(opened.header), std::move(opened.frames)};
}

Result<std::shared_ptr<const MapIndex::Pack>> MapIndex::print_pack(std::uint32_t index) {
    {
        const base::Lock lock(mutex_);
        const auto known = print_packs_.find(index);
        if (known != print_packs_.end()) {
            return known->second;
        }
    }
    Pack opened = TRY(open_print_pack(index));
    auto shared = std::make_shared<const Pack>(std::move(opened));
    const base::Lock lock(mutex_);
    return print_packs_.emplace(index, std::move(shared)).first->second;
}

Result<MapIndex::FramePtr> MapIndex::print_frame(PrintPlace place) {
    const FrameKey key{true, place.pack, place.frame};
    if (auto known = recent(key)) {
        return known;
    }
    const auto pack = TRY(print_pack(place.pack));
    if (place.frame >= pack->frames.size()) {
        return Error(Code::Corrupt,
                     "'" + pack->object + "' has no frame " + std::to_string(place.frame));
    }
    Frame fetched = TRY(fetch(*pack, place.frame));
    return remember(key, std::move(fetched));
}

Result<FingerprintList> MapIndex::list_of(const FingerprintPatch& patch) {
    const auto holder = TRY(print_frame(patch.base));
    const auto found =
        std::find_if(holder->lists.begin(), holder->lists.end(), [&](const FingerprintList& list) {
            return list.path == patch.path && list.first_page == patch.first_page;
        });
    if (found == holder->lists.end()) {
        return Error(Code::Corrupt,
                     "the fingerprints of '" + patch.path + "' are not where the map says");
    }
    return *found;
}

// ---- Questions

Result<> MapIndex::for_each(const std::function<Result<>(FileMap)>& each) {
    std::optional<FileMap> open;  // a file whose later slices follow
    for (std::uint32_t pack = 0; pack < packs_.size(); ++pack) {
        for (std::uint32_t number = 0; number < packs_[pack].frames.size(); ++number) {
            if (packs_[pack].frames[number].kind != FrameKind::FileMaps) {
                continue;
            }
            Frame frame = TRY(fetch(packs_[pack], number));
            for (FileMap& slice : frame.maps) {
                const bool last = slice.is_last_slice();
                TRY(append_slice(open, std::move(slice)));
                if (last) {
                    TRY(each(*std::move(open)));
                    open.reset();
                }
            }
        }
    }
    if (open) {
        return lacks_last_slice(open->path);
    }
    return {};
}

Result<FileMap> MapIndex::map(const std::string& path) {
    const auto places = places_.find(path);
    if (places == places_.end()) {
        return Error(Code::NotFound, "the backup has no '" + path + "'");
    }
    std::optional<FileMap> whole;
    bool complete = false;
    for (const Place& place : places->second) {
        const auto holder = TRY(frame(place));
        complete = holder->maps[place.slot].is_last_slice();
        TRY(append_slice(whole, holder->maps[place.slot]));
    }
    if (!complete) {
        return lacks_last_slice(path);
    }
    return *std::move(whole);
}

Result<KnownPrints> MapIndex::fingerprints(const std::string& path) {
    const auto places = patches_.find(path);
    if (places == patches_.end()) {
        return Error(Code::NotFound, "the backup has no fingerprints of '" + path + "'");
    }
    KnownPrints known;
    for (const Place& place : places->second) {
        const auto holder = TRY(frame(place));
        const FingerprintPatch& patch = holder->patches[place.slot];
        if (patch.first_page != known.pages.size()) {
            return Error(Code::Corrupt, "the fingerprints of '" + path + "' lack a slice");
        }
        const FingerprintList list = TRY(list_of(patch));
        const auto pages = TRY(patch.apply(list));
        known.pages.insert(known.pages.end(), pages.begin(), pages.end());
        known.slices.push_back(patch);
    }
    return known;
}

}  // namespace lifeboat::repo

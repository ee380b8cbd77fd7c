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
    std::unique_ptr<MapIndex> index(new MapIndex(store));
    const Key256 map_key = RepositoryKeys::derive(manifest.host_secret, repository).map;
    TRY(index->load(repository, manifest.manifest, map_key)
            .during("reading the maps of backup '" + manifest.manifest.backup + "'"));
    return index;
}

Result<> MapIndex::load(const Id128& repository, const Manifest& manifest, const Key256& map_key) {
    map_key_ = map_key;
    for (const PackRef& ref : manifest.maps) {
        const Bytes bytes = TRY(store_.get(ref.object.name));
        TRY(check_digest(bytes, ref.object));
        Pack pack;
        pack.object = ref.object.name;
        pack.header = TRY(PackHeader::parse(bytes));
        if (pack.header.repository != repository || pack.header.kind != PackKind::Map) {
            return Error(Code::Corrupt,
                         "'" + ref.object.name + "' is not a map pack of this repository");
        }
        FrameOpener opener(pack.header, map_key);
        pack.frames = TRY(opener.table(bytes, bytes.size(), pack.header.frames_at));
        packs_.push_back(std::move(pack));
        TRY(index_pack(static_cast<std::uint32_t>(packs_.size() - 1), bytes));
    }
    return {};
}

Result<> MapIndex::index_pack(std::uint32_t pack, BytesView bytes) {
    for (std::uint32_t number = 0; number < packs_[pack].frames.size(); ++number) {
        const Frame frame =
            TRY(decode({pack, number, 0}, bytes.subspan(packs_[pack].frames[number].offset)));
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
        for (std::uint32_t slot = 0; slot < frame.lists.size(); ++slot) {
            lists_[frame.lists[slot].path].push_back({pack, number, slot});
        }
    }
    return {};
}

Result<MapIndex::Frame> MapIndex::fetch(Place place) {
    const Pack& pack = packs_[place.pack];
    const FrameEntry& entry = pack.frames[place.frame];
    Bytes sealed(entry.end() - entry.offset);
    TRY(store_.get_range(pack.object, entry.offset, sealed));
    return decode(place, sealed);
}

Result<MapIndex::Frame> MapIndex::decode(Place place, BytesView sealed) const {
    const Pack& pack = packs_[place.pack];
    const FrameEntry& entry = pack.frames[place.frame];
    FrameOpener opener(pack.header, map_key_);
    const Bytes plain =
        TRY(opener.open(place.frame, entry, sealed).during("map pack '" + pack.object + "'"));
    base::ByteReader in(plain);
    Frame frame;
    while (!in.at_end() && entry.kind == FrameKind::FileMaps) {
        FileMap map = TRY(FileMap::decode(in));
        frame.maps.push_back(std::move(map));
    }
    while (!in.at_end() && entry.kind == FrameKind::Fingerprints) {
        FingerprintList list = TRY(FingerprintList::decode(in));
        frame.lists.push_back(std::move(list));
    }
    return frame;
}

Result<std::shared_ptr<const MapIndex::Frame>> MapIndex::frame(Place place) {
    const std::uint64_t key = static_cast<std::uint64_t>(place.pack) << 32 | place.frame;
    {
        const base::Lock lock(mutex_);
        for (const auto& [known, frame] : recent_) {
            if (known == key) {
                return frame;
            }
        }
    }
    Frame decoded = TRY(fetch(place));
    auto shared = std::make_shared<const Frame>(std::move(decoded));
    const base::Lock lock(mutex_);
    if (recent_.size() >= kRecentFrames) {
        recent_.erase(recent_.begin());
    }
    recent_.emplace_back(key, shared);
    return shared;
}

Result<> MapIndex::for_each(const std::function<Result<>(FileMap)>& each) {
    std::optional<FileMap> open;  // a file whose later slices follow
    for (std::uint32_t pack = 0; pack < packs_.size(); ++pack) {
        for (std::uint32_t number = 0; number < packs_[pack].frames.size(); ++number) {
            if (packs_[pack].frames[number].kind != FrameKind::FileMaps) {
                continue;
            }
            Frame frame = TRY(fetch({pack, number, 0}));
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

Result<FingerprintList> MapIndex::fingerprints(const std::string& path) {
    const auto places = lists_.find(path);
    if (places == lists_.end()) {
        return Error(Code::NotFound, "the backup has no fingerprints of '" + path + "'");
    }
    FingerprintList whole;
    whole.path = path;
    for (const Place& place : places->second) {
        const auto holder = TRY(frame(place));
        const FingerprintList& list = holder->lists[place.slot];
        if (list.first_page != whole.pages.size()) {
            return Error(Code::Corrupt, "the fingerprints of '" + path + "' lack a slice");
        }
        whole.pages.insert(whole.pages.end(), list.pages.begin(), list.pages.end());
    }
    return whole;
}

}  // namespace lifeboat::repo

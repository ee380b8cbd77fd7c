#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "repo/file_map.h"
#include "repo/fingerprint_list.h"
#include "repo/manifest.h"
#include "repo/pack.h"
#include "store/object_store.h"

namespace lifeboat::repo {

// The maps of one backup: every file map in turn for a restore, one by path for the next backup.
// Memory is proportional to the number of files, not to their size: maps and fingerprints are
// decoded frame by frame; lists of fingerprints are fetched only when somebody asks for them.
class MapIndex {
  public:
    struct Summary {  // of one file, for plans that need no runs
        std::uint64_t size = 0;
        std::uint32_t runs = 0;
        std::uint32_t oldest_pack = Location::kZero;  // smallest pack index that it references
    };

    // Fetches and verifies every map pack. `store` and `manifest` must outlive the index.
    static Result<std::unique_ptr<MapIndex>> open(store::ObjectStore& store,
                                                  const Id128& repository,
                                                  const OpenedManifest& manifest);

    // Calls `each` for every entry in the order in which they were captured. One thread at a time.
    Result<> for_each(const std::function<Result<>(FileMap)>& each);

    // Thread-safe. NotFound when the backup has no such path.
    Result<FileMap> map(const std::string& path);
    Result<KnownPrints> fingerprints(const std::string& path);

    bool has(const std::string& path) const { return places_.contains(path); }

    const std::unordered_map<std::string, Summary>& summaries() const { return summaries_; }

  private:
    struct Place {
        std::uint32_t pack = 0;
        std::uint32_t frame = 0;
        std::uint32_t slot = 0;  // among the maps, or patches, of its frame
    };

    struct Frame {
        std::vector<FileMap> maps;
        std::vector<FingerprintPatch> patches;
        std::vector<FingerprintList> lists;
    };

    using FrameKey = std::tuple<bool, std::uint32_t, std::uint32_t>;  // of prints, pack, frame

    struct Pack {
        std::string object;
        PackHeader header;
        std::vector<FrameEntry> frames;
    };

    MapIndex(store::ObjectStore& store, const Id128& repository, const Key256& map_key,
             std::map<std::uint32_t, PackRef> prints)
        : store_(store), repository_(repository), map_key_(map_key), prints_(std::move(prints)) {}

    Result<> load(const Manifest& manifest);
    Result<> index_pack(std::uint32_t pack, BytesView bytes);
    using FramePtr = std::shared_ptr<const Frame>;  // shared: cache and callers
    Result<FramePtr> frame(Place place);
    Result<FramePtr> print_frame(PrintPlace place);
    Result<std::shared_ptr<const Pack>> print_pack(std::uint32_t index);  // as above
    Result<Pack> open_print_pack(std::uint32_t index);
    Result<FingerprintList> list_of(const FingerprintPatch& patch);
    FramePtr recent(FrameKey key);
    FramePtr remember(FrameKey key, Frame frame);
    Result<Frame> fetch(const Pack& pack, std::uint32_t number);
    Result<Frame> decode(const Pack& pack, std::uint32_t number, BytesView sealed) const;

    store::ObjectStore& store_;
    const Id128 repository_;
    const Key256 map_key_;
    const std::map<std::uint32_t, PackRef> prints_;
    std::vector<Pack> packs_;
    std::unordered_map<std::string, std::vector<Place>> places_;  // one for each slice
    std::unordered_map<std::string, std::vector<Place>> patches_;
    std::unordered_map<std::string, Summary> summaries_;
    base::Mutex mutex_;
    std::vector<std::pair<FrameKey, FramePtr>> recent_ LB_GUARDED_BY(mutex_);
    std::map<std::uint32_t, std::shared_ptr<const Pack>> print_packs_ LB_GUARDED_BY(mutex_);
};

}  // namespace lifeboat::repo

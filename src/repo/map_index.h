#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "repo/file_map.h"
#include "repo/manifest.h"
#include "repo/pack.h"
#include "store/object_store.h"

namespace lifeboat::repo {

// The maps of one backup: every file map in turn for a restore, one by path for the next backup.
// Memory is proportional to the number of files, not to their size: maps and fingerprints are
// decoded frame by frame.
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
    Result<FingerprintList> fingerprints(const std::string& path);

    bool has(const std::string& path) const { return places_.contains(path); }

    const std::unordered_map<std::string, Summary>& summaries() const { return summaries_; }

  private:
    struct Place {
        std::uint32_t pack = 0;
        std::uint32_t frame = 0;
        std::uint32_t slot = 0;  // among the maps, or lists, of its frame
    };

    struct Frame {
        std::vector<FileMap> maps;
        std::vector<FingerprintList> lists;
    };

    explicit MapIndex(store::ObjectStore& store) : store_(store) {}

    Result<> load(const Id128& repository, const Manifest& manifest, const Key256& map_key);
    Result<> index_pack(std::uint32_t pack, BytesView bytes);
    Result<std::shared_ptr<const Frame>> frame(Place place);  // shared: cache and callers
    Result<Frame> fetch(Place place);
    Result<Frame> decode(Place place, BytesView sealed) const;

    store::ObjectStore& store_;

    struct Pack {
        std::string object;
        PackHeader header;
        std::vector<FrameEntry> frames;
    };

    std::vector<Pack> packs_;
    Key256 map_key_;
    std::unordered_map<std::string, std::vector<Place>> places_;  // one for each slice
    std::unordered_map<std::string, std::vector<Place>> lists_;
    std::unordered_map<std::string, Summary> summaries_;
    base::Mutex mutex_;
    std::vector<std::pair<std::uint64_t, std::shared_ptr<const Frame>>> recent_
        LB_GUARDED_BY(mutex_);  // shared: cache and callers
};

}  // namespace lifeboat::repo

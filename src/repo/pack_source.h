#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "repo/file_map.h"
#include "repo/manifest.h"
#include "repo/pack.h"
#include "store/object_store.h"

namespace lifeboat::repo {

// A pack whose header and frame table were read and verified.
struct OpenPack {
    std::string object;
    PackHeader header;
    Key256 session_key;
    std::vector<FrameEntry> frames;
};

// Reads the header of the pack object `name` of `size` bytes, envelope and label included, with one
// or two ranged reads.
Result<PackHeader> read_pack_header(store::ObjectStore& store, const std::string& name,
                                    std::uint64_t size);

// Reads header and table of the pack object `name` of `size` bytes with two or three ranged reads.
// `key_of` yields the session key for the header. When the footer is damaged the frames are found
// by reading the whole pack: what is left of it can be read.
Result<OpenPack> open_pack(store::ObjectStore& store, const std::string& name, std::uint64_t size,
                           const std::function<Result<Key256>(const PackHeader&)>& key_of);

// The data packs of one backup, opened on first use. Thread-safe. All references must outlive it.
class PackSource {
  public:
    PackSource(store::ObjectStore& store, const Id128& repository, const Manifest& manifest,
               ReaderKeys& keys)
        : store_(store), repository_(repository), manifest_(manifest), keys_(keys) {}

    Result<std::shared_ptr<const OpenPack>> pack(
        std::uint32_t index);  // shared: the cache and the readers that use it

    store::ObjectStore& store() const { return store_; }

  private:
    Result<std::shared_ptr<const OpenPack>> load(std::uint32_t index);
    Result<Key256> key_from_sibling(std::uint32_t index, base::Error error);
    store::ObjectStore& store_;
    const Id128 repository_;
    const Manifest& manifest_;
    ReaderKeys& keys_;
    base::Mutex mutex_;
    std::map<std::uint32_t, std::shared_ptr<const OpenPack>> open_ LB_GUARDED_BY(mutex_);
};

// Turns page runs into bytes. One thread at a time; `source` must outlive it. Neighbouring frames
// are fetched with one ranged read.
class PageReader {
  public:
    explicit PageReader(PackSource& source) : source_(source) {}

    // Fills `out` with the pages of `runs`, in order; the last page may be short. Corrupt names the
    // pack and frame.
    Result<> read(std::span<const PageRun> runs, base::MutableBytes out);

  private:
    struct Piece;  // a run's bytes within one frame, and where they go
    using FrameKey = std::pair<std::uint32_t, std::uint32_t>;  // pack, frame

    struct Cached {
        std::shared_ptr<const OpenPack> pack;
        std::unique_ptr<FrameOpener> opener;
        std::uint64_t last_use = 0;
    };

    Result<Cached*> opener(std::uint32_t pack);
    Result<> read_pack(std::uint32_t pack, std::span<Piece> pieces);
    Result<> fetch_group(Cached& pack, std::uint32_t index, std::span<Piece> pieces);
    Result<> open_frame(Cached& pack, std::uint32_t index, std::span<Piece> pieces, BytesView group,
                        std::uint64_t group_start);
    const Bytes* remembered(const FrameKey& key);
    void remember(const FrameKey& key, Bytes plain);

    PackSource& source_;
    std::map<std::uint32_t, Cached> openers_;
    std::list<std::pair<FrameKey, Bytes>>
        recent_;  // frames of which only a part was asked: small files share them
    Bytes fetched_;
    std::uint64_t uses_ = 0;
};

}  // namespace lifeboat::repo

#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "repo/capture.h"
#include "repo/fingerprint_list.h"

namespace lifeboat::repo {

// Collects what a backup knows of its files into packs: file maps and fingerprint patches into map
// packs, which expire with the backup; fingerprint lists into packs that later backups refer to,
// and which expire with the data. Thread-safe.
struct Capture::MapWriter {
    struct Place {
        Id128 repository{};
        Key256 map_key;
        std::string system;
        policy::ExpiryDay maps_expire;
        policy::ExpiryDay prints_expire;
        std::uint32_t first_print_pack = 0;
    };

    MapWriter(Place place, base::Random& random, Uploader& uploader);
    // A directory, or a link.
    Result<> add(const FileMap& map);
    // A file. `before`: what the previous backup knew of it, where lists of it may be referred to.
    Result<> add(const FileMap& map, std::span<const crypto::Fingerprint> prints,
                 const KnownPrints& before);
    Result<> finish();

    // After everything submitted is durable:
    std::vector<PackRef> maps();
    // Packs of lists that this backup's patches rest on, its own and those of `inherited`. Bug when
    // one is in neither.
    Result<std::map<std::uint32_t, PackRef>> prints(
        const std::map<std::uint32_t, PackRef>& inherited);

  private:
    Result<> add_map(const FileMap& map) LB_REQUIRES(mutex_);
    Result<FingerprintPatch> write_list(const std::string& path, std::uint64_t first,
                                        std::span<const crypto::Fingerprint> prints)
        LB_REQUIRES(mutex_);
    Result<> append(FrameKind kind, base::ByteWriter& buffer, BytesView entry) LB_REQUIRES(mutex_);
    Result<> flush(FrameKind kind, base::ByteWriter& buffer) LB_REQUIRES(mutex_);
    Result<> flush_lists() LB_REQUIRES(mutex_);
    Result<> submit_map() LB_REQUIRES(mutex_);
    Result<> submit_prints() LB_REQUIRES(mutex_);

    const Place place_;
    const Session session_;
    base::Random& random_;
    Uploader& uploader_;
    base::Mutex mutex_;
    std::unique_ptr<PackBuilder> map_pack_ LB_GUARDED_BY(mutex_);
    base::ByteWriter maps_ LB_GUARDED_BY(mutex_);
    base::ByteWriter patches_ LB_GUARDED_BY(mutex_);
    std::unique_ptr<PackBuilder> print_pack_ LB_GUARDED_BY(mutex_);
    std::uint32_t print_index_ LB_GUARDED_BY(mutex_);
    base::ByteWriter lists_ LB_GUARDED_BY(mutex_);
    std::set<std::uint32_t> used_prints_ LB_GUARDED_BY(mutex_);
    std::size_t submitted_ LB_GUARDED_BY(mutex_) = 0;
    base::Mutex written_mutex_;  // its own: upload threads report while a lane holds mutex_ and
                                 // waits for them
    std::vector<PackRef> written_maps_ LB_GUARDED_BY(written_mutex_);
    std::map<std::uint32_t, PackRef> written_prints_ LB_GUARDED_BY(written_mutex_);
};

}  // namespace lifeboat::repo

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "repo/capture.h"

namespace lifeboat::repo {

// Collects file maps and fingerprint lists into map packs. Thread-safe.
struct Capture::MapWriter {
    MapWriter(const Id128& repository, const Key256& map_key, std::string system,
              policy::ExpiryDay expires, base::Random& random, Uploader& uploader);
    Result<> add(const FileMap& map, const FingerprintList* list);  // `list` may be null
    Result<> finish();
    std::vector<PackRef> written();

  private:
    Result<> flush(FrameKind kind, base::ByteWriter& buffer) LB_REQUIRES(mutex_);
    Result<> append(FrameKind kind, base::ByteWriter& buffer, BytesView entry) LB_REQUIRES(mutex_);
    Result<> submit() LB_REQUIRES(mutex_);

    const Id128 repository_;
    const Session session_;
    const std::string system_;
    const policy::ExpiryDay expires_;
    base::Random& random_;
    Uploader& uploader_;
    base::Mutex mutex_;
    std::unique_ptr<PackBuilder> pack_ LB_GUARDED_BY(mutex_);
    base::ByteWriter maps_ LB_GUARDED_BY(mutex_);
    base::ByteWriter lists_ LB_GUARDED_BY(mutex_);
    std::size_t submitted_ LB_GUARDED_BY(mutex_) = 0;
    base::Mutex written_mutex_;  // its own: upload threads report while a lane holds mutex_ and
                                 // waits for them
    std::vector<PackRef> written_ LB_GUARDED_BY(written_mutex_);
};

}  // namespace lifeboat::repo

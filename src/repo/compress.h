#pragma once

#include "base/bytes.h"
#include "base/result.h"

namespace lifeboat::repo {

// Whole-buffer zstd for small things (manifests, histories). Frames keep their own contexts in
// pack.cc.
base::Bytes zstd_pack(base::BytesView plain, int level);
// Corrupt when it is not zstd, or would expand beyond `limit`.
base::Result<base::Bytes> zstd_expand(base::BytesView packed, std::uint64_t limit);

}  // namespace lifeboat::repo

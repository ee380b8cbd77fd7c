#include "repo/compress.h"

#include <zstd.h>

#include "base/check.h"

namespace lifeboat::repo {

base::Bytes zstd_pack(base::BytesView plain, int level) {
    base::Bytes out(ZSTD_compressBound(plain.size()));
    const std::size_t size =
        ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), level);
    LB_CHECK(ZSTD_isError(size) == 0);
    out.resize(size);
    return out;
}

base::Result<base::Bytes> zstd_expand(base::BytesView packed, std::uint64_t limit) {
    const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > limit) {
        return base::Error(base::Code::Corrupt, "the compressed bytes do not say a sane length");
    }
    base::Bytes out(size);
    const std::size_t got = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
    if (ZSTD_isError(got) != 0 || got != size) {
        return base::Error(base::Code::Corrupt,
                           "the compressed bytes do not expand to their length");
    }
    return out;
}

}  // namespace lifeboat::repo

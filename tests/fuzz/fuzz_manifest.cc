// Manifests from hostile bytes. The first byte chooses: the bytes as they are; as the clear part
// under a good signature; or as the sealed part under a good seal and signature, as a stolen host
// could write it.
#include <cstdint>

#include "base/check.h"
#include "base/random.h"
#include "repo/compress.h"
#include "repo/manifest.h"

namespace {

using namespace lifeboat;  // NOLINT(google-build-using-namespace): a program of one file
using base::Bytes;
using base::BytesView;

struct World {
    World()
        : host(repo::HostKeys::generate(*random)),
          reader({}, host.secret, {host.signing_key().verify_key()}) {}

    const std::unique_ptr<base::Random> random = base::seeded_random(2);
    const repo::HostKeys host;
    const repo::ReaderKeys reader;
};

const World& world() {
    static const World instance;
    return instance;
}

// `sealed` yields the sealed part for the bytes before it.
template <class Sealed>
Bytes signed_manifest(std::string_view clear, std::size_t sealed_size, const Sealed& sealed) {
    base::ByteWriter out;
    out.raw(std::string_view("LBMANI\0\1", 8));
    out.u32(static_cast<std::uint32_t>(clear.size()));
    out.u32(0);
    out.u32(static_cast<std::uint32_t>(sealed_size));
    out.raw(clear);
    out.raw(sealed(out.bytes()));
    const auto signature = world().host.signing_key().sign(out.bytes());
    out.raw(signature);
    return out.take();
}

Bytes with_sealed_part(BytesView json) {
    const Bytes packed = repo::zstd_pack(json, 1);
    const std::string clear =
        R"({"format":1,"repository":"00000000000000000000000000000000","system":"a","backup":"b","stop":"2026-01-23T02:00:00Z",)"
        R"("expires":"20260222","signer":")" +
        world().host.signing_key().verify_key().text() +
        R"(","objects":[{"name":"x","size":1,"sha256":")" + std::string(64, '0') + R"("}]})";
    return signed_manifest(clear, packed.size() + crypto::kTagSize, [&](BytesView before) {
        const auto keys = repo::RepositoryKeys::derive(world().host.secret, repo::Id128{});
        crypto::Sealer sealer(
            crypto::derive_key(keys.map, crypto::sha256(before), "lifeboat v1 manifest"));
        Bytes out;
        sealer.seal(0, before, packed, out);
        return out;
    });
}

// What is accepted can be written, and means the same when it is read.
void check_round_trip(const repo::Manifest& m) {
    const auto bytes = repo::encode_manifest(m, repo::Id128{}, world().host, {});
    LB_CHECK(bytes.has_value());
    const auto again = repo::open_manifest(*bytes, repo::Id128{}, world().reader);
    LB_CHECK(again.has_value());
    LB_CHECK(again->manifest.packs.size() == m.packs.size() &&
             again->manifest.maps.size() == m.maps.size());
    LB_CHECK(again->manifest.details.dump() == m.details.dump() &&
             again->manifest.start == m.start);
}

void read(BytesView bytes) {
    repo::read_outline(bytes).discard("either answer is right");
    const auto opened = repo::open_manifest(bytes, repo::Id128{}, world().reader);
    if (opened) {
        check_round_trip(opened->manifest);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const BytesView rest = BytesView(data, size).subspan(1);
    switch (data[0] % 3) {
        case 0:
            read(rest);
            break;
        case 1:
            read(signed_manifest(base::text(rest), 0, [](BytesView) { return Bytes(); }));
            break;
        default:
            read(with_sealed_part(rest));
            break;
    }
    return 0;
}

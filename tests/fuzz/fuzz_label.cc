// Object names and stream labels from hostile bytes. The first byte chooses: a name, which comes
// back as it went or is foreign; a label as it is; or a label under a good signature.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/random.h"
#include "repo/names.h"
#include "repo/stream.h"

namespace {

using namespace lifeboat;  // NOLINT(google-build-using-namespace): a program of one file
using base::Bytes;
using base::BytesView;

void read_name(const std::string& name) {
    const auto manifest = repo::ManifestName::parse(name);
    LB_CHECK(!manifest || manifest->text() == name);
    const auto stream = repo::StreamName::parse(name);
    LB_CHECK(!stream || (stream->text() == name && stream->range.from < stream->range.to));
    const auto kind = repo::classify(name);
    LB_CHECK(manifest.has_value() == (kind == repo::ObjectClass::Manifest));
    LB_CHECK(repo::history_timeline(name).has_value() == (kind == repo::ObjectClass::History));
    LB_CHECK(!repo::expiry_of(name) || kind != repo::ObjectClass::Unknown);
}

const crypto::SigningKey& signing_key() {
    static const crypto::SigningKey key =
        crypto::SigningKey::from_seed(crypto::random_key(*base::seeded_random(3)));
    return key;
}

void read_label(BytesView label, bool with_signature) {
    const auto random = base::seeded_random(4);
    const repo::Session session{repo::random_id(*random), crypto::random_key(*random), {}, {}};
    repo::PackHeader header;
    header.kind = repo::PackKind::Wal;
    header.fixed = repo::pack_fixed_part(repo::Id128{}, repo::Id128{}, session, header.kind);
    header.label.assign(label.begin(), label.end());
    if (with_signature &&
        label.size() >= 64) {  // the last 64 bytes name the signer and the commitment
        const auto key = signing_key().verify_key().bytes();
        std::copy(key.begin(), key.end(), header.label.end() - 64);
        base::ByteWriter text;
        text.raw(std::string_view("lifeboat v1 stream"));
        text.raw(header.fixed);
        text.raw(header.label);
        const auto signature = signing_key().sign(text.bytes());
        header.label.insert(header.label.end(), signature.begin(), signature.end());
    }
    auto read = repo::label_of(header);
    if (read) {
        const repo::VerifiedLabel verified{std::move(read).value(), header};
        repo::open_summary(verified, session.key).discard("either answer is right");
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
            read_name(std::string(base::text(rest)));
            break;
        case 1:
            read_label(rest, false);
            break;
        default:
            read_label(rest, true);
            break;
    }
    return 0;
}

#include "repo/manifest.h"

#include <algorithm>
#include <limits>

#include "repo/compress.h"
#include "store/object_store.h"

// Manifests. Tested by manifest_test.cc, tests/golden and tests/fuzz/fuzz_manifest.cc;
// docs/format/manifest.md is the format.
//
// Order of trust when reading: bounds, then the signature against pinned keys, then everything
// else. The clear part is covered by the signature and is associated data of the sealed part, so
// neither half can be combined with another manifest's.

namespace lifeboat::repo {

using base::ByteReader;
using base::ByteWriter;
using base::Code;
using base::Error;
using base::Json;

namespace {

constexpr std::string_view kMagic("LBMANI\0\1", 8);
constexpr std::size_t kMaxManifest = 64 * base::kMiB;
constexpr int kFormat = 1;
constexpr std::string_view kFull = "full";
constexpr std::string_view kIncremental = "incremental";

Json object_json(const NeededObject& object) {
    Json json = Json::object();
    json.set("name", object.name).set("size", object.size).set("sha256", base::hex(object.sha256));
    return json;
}

Json clear_part(const Manifest& m, const Id128& repository, const crypto::VerifyKey& signer) {
    Json objects = Json::array();
    for (const auto& [index, pack] : m.packs) {
        objects.push(object_json(pack.object));
    }
    for (const PackRef& map : m.maps) {
        objects.push(object_json(map.object));
    }
    for (const auto& [index, print] : m.prints) {
        objects.push(object_json(print.object));
    }
    Json json = Json::object();
    json.set("format", kFormat)
        .set("repository", base::hex(repository))
        .set("system", m.system)
        .set("backup", m.backup);
    json.set("stop", base::format_time(m.stop))
        .set("expires", m.expires.text())
        .set("signer", signer.text());
    json.set("objects", std::move(objects));
    return json;
}

Json counts_json(const BackupCounts& c) {
    Json json = Json::object();
    json.set("files", c.files)
        .set("bytes", c.bytes)
        .set("zero_bytes", c.zero_bytes)
        .set("changed_bytes", c.changed_bytes);
    json.set("stored_bytes", c.stored_bytes).set("damaged_pages", c.damaged_pages);
    return json;
}

Json sealed_part(const Manifest& m) {
    Json packs = Json::array();
    for (const auto& [index, pack] : m.packs) {
        Json json = Json::object();
        json.set("index", index)
            .set("pack", base::hex(pack.pack))
            .set("session", base::hex(pack.session));
        packs.push(std::move(json));
    }
    Json maps = Json::array();
    for (const PackRef& map : m.maps) {
        maps.push(base::hex(map.pack));
    }
    Json prints = Json::array();
    for (const auto& [index, print] : m.prints) {
        Json json = Json::object();
        json.set("index", index).set("pack", base::hex(print.pack));
        prints.push(std::move(json));
    }
    Json sessions = Json::array();
    for (const auto& [id, commitment] : m.sessions) {
        Json json = Json::object();
        json.set("id", base::hex(id)).set("commitment", base::hex(commitment));
        sessions.push(std::move(json));
    }
    Json recipients = Json::array();
    for (const std::string& recipient : m.recipients) {
        recipients.push(recipient);
    }
    Json damage = Json::array();
    for (const DamagedPage& page : m.damage) {
        Json json = Json::object();
        json.set("path", page.path).set("page", page.page).set("why", page.why);
        damage.push(std::move(json));
    }
    Json json = Json::object();
    json.set("kind", m.kind == BackupKind::Full ? kFull : kIncremental).set("engine", m.engine);
    json.set("start", base::format_time(m.start)).set("parent", m.parent);
    json.set("packs", std::move(packs))
        .set("maps", std::move(maps))
        .set("prints", std::move(prints))
        .set("sessions", std::move(sessions))
        .set("recipients", std::move(recipients));
    json.set("counts", counts_json(m.counts))
        .set("damage", std::move(damage))
        .set("details", m.details);
    return json;
}

// The envelope among `before_sealed` is random, so the key, and with it number 0, serves this one
// manifest: two backups that start in the same second may well get the same id.
Key256 manifest_key(const Key256& host_secret, const Id128& repository, BytesView before_sealed) {
    const RepositoryKeys keys = RepositoryKeys::derive(host_secret, repository);
    return crypto::derive_key(keys.map, crypto::sha256(before_sealed), "lifeboat v1 manifest");
}

struct Parts {
    BytesView clear;
    BytesView envelope;
    BytesView sealed;
    BytesView before_sealed;  // what the sealed part is bound to
    BytesView before_signature;
    BytesView signature;
};

Result<Parts> split(BytesView bytes) {
    ByteReader in(bytes);
    const BytesView magic = TRY(in.raw(kMagic.size()));
    if (base::text(magic).substr(0, 7) != kMagic.substr(0, 7)) {
        return Error(Code::Corrupt, "not a manifest: the magic is wrong");
    }
    if (magic[7] != kFormat) {
        return Error(Code::Unsupported, "the manifest is of format " + std::to_string(magic[7]) +
                                            "; this lifeboat reads format 1")
            .hint("Use a newer lifeboat.");
    }
    const std::uint32_t clear = TRY(in.u32());
    const std::uint32_t envelope = TRY(in.u32());
    const std::uint32_t sealed = TRY(in.u32());
    Parts parts;
    parts.clear = TRY(in.raw(clear));
    parts.envelope = TRY(in.raw(envelope));
    parts.before_sealed = bytes.first(in.position());
    parts.sealed = TRY(in.raw(sealed));
    parts.before_signature = bytes.first(in.position());
    parts.signature = TRY(in.raw(crypto::kSignatureSize));
    if (!in.at_end() || bytes.size() > kMaxManifest) {
        return Error(Code::Corrupt, "the manifest is longer than its parts");
    }
    return parts;
}

template <std::size_t N>
Result<std::array<base::Byte, N>> hex_member(const Json& json, std::string_view key) {
    const std::string digits = TRY(json.text(key));
    const auto bytes = base::from_hex(digits);
    if (!bytes || bytes->size() != N) {
        return Error(Code::Corrupt, "'" + std::string(key) + "' is not " + std::to_string(N) +
                                        " bytes in hexadecimal");
    }
    std::array<base::Byte, N> out{};
    std::copy(bytes->begin(), bytes->end(), out.begin());
    return out;
}

Result<std::uint64_t> count_member(const Json& json, std::string_view key,
                                   std::uint64_t most = std::numeric_limits<std::int64_t>::max()) {
    const std::int64_t v = TRY(json.integer(key));
    if (v < 0 || static_cast<std::uint64_t>(v) > most) {
        return Error(Code::Corrupt, "'" + std::string(key) + "' is " + std::to_string(v) +
                                        ", which is impossible");
    }
    return static_cast<std::uint64_t>(v);
}

Result<NeededObject> parse_object(const Json& json) {
    NeededObject object;
    object.name = TRY(json.text("name"));
    object.size = TRY(count_member(json, "size", store::ObjectStore::kMaxObjectSize));
    object.sha256 = TRY(hex_member<32>(json, "sha256"));
    return object;
}

Result<ManifestOutline> parse_clear(BytesView clear) {
    const Json json = TRY(Json::parse(base::text(clear)));
    ManifestOutline outline;
    const std::string repository = TRY(json.text("repository"));
    outline.repository = TRY(parse_id(repository));
    outline.system = TRY(json.text("system"));
    outline.backup = TRY(json.text("backup"));
    const std::string stop = TRY(json.text("stop"));
    outline.stop = TRY(base::parse_rfc3339(stop));
    const std::string expires = TRY(json.text("expires"));
    outline.expires = TRY(policy::ExpiryDay::parse(expires));
    const std::string signer = TRY(json.text("signer"));
    outline.signer = TRY(crypto::VerifyKey::parse(signer));
    const Json::Array* objects = TRY(json.list("objects"));
    for (const Json& item : *objects) {
        NeededObject object = TRY(parse_object(item));
        outline.objects.push_back(std::move(object));
    }
    return outline;
}

Result<BackupCounts> parse_counts(const Json& json) {
    BackupCounts c;
    const auto read = [&json](std::string_view key, std::uint64_t& out) -> Result<> {
        out = TRY(count_member(json, key));
        return {};
    };
    TRY(read("files", c.files));
    TRY(read("bytes", c.bytes));
    TRY(read("zero_bytes", c.zero_bytes));
    TRY(read("changed_bytes", c.changed_bytes));
    TRY(read("stored_bytes", c.stored_bytes));
    TRY(read("damaged_pages", c.damaged_pages));
    return c;
}

Result<> add_indexed(const Json& item, PackRef ref, std::map<std::uint32_t, PackRef>& packs) {
    const std::uint64_t index =
        TRY(count_member(item, "index", std::numeric_limits<std::uint32_t>::max() - 1));
    ref.pack = TRY(hex_member<16>(item, "pack"));
    if (!packs.emplace(static_cast<std::uint32_t>(index), std::move(ref)).second) {
        return Error(Code::Corrupt, "the manifest names two packs under one index");
    }
    return {};
}

// The objects of the clear part stand in the order: packs by index, maps, prints by index.
Result<> parse_packs(const Json& json, const std::vector<NeededObject>& objects, Manifest& m) {
    const Json::Array* packs = TRY(json.list("packs"));
    const Json::Array* maps = TRY(json.list("maps"));
    const Json::Array* prints = TRY(json.list("prints"));
    if (packs->size() + maps->size() + prints->size() != objects.size()) {
        return Error(Code::Corrupt, "the manifest's two parts name different numbers of objects");
    }
    std::size_t at = 0;
    for (const Json& item : *packs) {
        PackRef ref;
        ref.object = objects[at++];
        ref.session = TRY(hex_member<16>(item, "session"));
        TRY(add_indexed(item, std::move(ref), m.packs));
    }
    for (const Json& item : *maps) {
        PackRef ref;
        ref.object = objects[at++];
        ref.pack = TRY(parse_id(item.as_text()));
        m.maps.push_back(std::move(ref));
    }
    for (const Json& item : *prints) {
        PackRef ref;
        ref.object = objects[at++];
        TRY(add_indexed(item, std::move(ref), m.prints));
    }
    return {};
}

Result<> parse_sessions(const Json& json, Manifest& m) {
    const Json::Array* sessions = TRY(json.list("sessions"));
    for (const Json& item : *sessions) {
        const auto id = TRY(hex_member<16>(item, "id"));
        const auto commitment = TRY(hex_member<32>(item, "commitment"));
        m.sessions.emplace(id, commitment);
    }
    const Json::Array* recipients = TRY(json.list("recipients"));
    for (const Json& item : *recipients) {
        m.recipients.emplace_back(item.as_text());
    }
    return {};
}

Result<> parse_damage(const Json& json, Manifest& m) {
    const Json::Array* damage = TRY(json.list("damage"));
    for (const Json& item : *damage) {
        DamagedPage page;
        page.path = TRY(item.text("path"));
        page.page = TRY(count_member(item, "page"));
        page.why = TRY(item.text("why"));
        m.damage.push_back(std::move(page));
    }
    return {};
}

Result<> parse_sealed(const Json& json, const std::vector<NeededObject>& objects, Manifest& m) {
    const std::string kind = TRY(json.text("kind"));
    if (kind != kFull && kind != kIncremental) {
        return Error(Code::Unsupported, "the backup is of unknown kind '" + kind + "'")
            .hint("Use a newer lifeboat.");
    }
    m.kind = kind == kFull ? BackupKind::Full : BackupKind::Incremental;
    m.engine = TRY(json.text("engine"));
    const std::string start = TRY(json.text("start"));
    m.start = TRY(base::parse_rfc3339(start));
    m.parent = TRY(json.text("parent"));
    TRY(parse_packs(json, objects, m));
    TRY(parse_sessions(json, m));
    const Json* counts = TRY(json.member("counts"));
    m.counts = TRY(parse_counts(*counts));
    TRY(parse_damage(json, m));
    const Json* details = TRY(json.member("details"));
    m.details = *details;
    return {};
}

Result<Bytes> unseal(const Parts& parts, const Key256& host_secret, const Id128& repository) {
    if (parts.sealed.size() < crypto::kTagSize) {
        return Error(Code::Corrupt, "the manifest's sealed part is cut short");
    }
    crypto::Opener opener(manifest_key(host_secret, repository, parts.before_sealed));
    Bytes packed(parts.sealed.size() - crypto::kTagSize);
    TRY(opener.open(0, parts.before_sealed, parts.sealed, packed)
            .during("the manifest's sealed part"));
    return zstd_expand(packed, kMaxManifest);
}

}  // namespace

std::uint64_t Manifest::needed_bytes() const {
    std::uint64_t sum = 0;
    for (const auto& [index, pack] : packs) {
        sum += pack.object.size;
    }
    for (const PackRef& map : maps) {
        sum += map.object.size;
    }
    for (const auto& [index, print] : prints) {
        sum += print.object.size;
    }
    return sum;
}

Result<Bytes> encode_manifest(const Manifest& m, const Id128& repository, const HostKeys& host,
                              BytesView host_envelope) {
    const crypto::SigningKey signing = host.signing_key();
    const std::string clear = clear_part(m, repository, signing.verify_key()).dump();
    const Bytes packed = zstd_pack(base::view(sealed_part(m).dump()), 3);
    ByteWriter out;
    out.raw(kMagic);
    out.u32(static_cast<std::uint32_t>(clear.size()));
    out.u32(static_cast<std::uint32_t>(host_envelope.size()));
    out.u32(static_cast<std::uint32_t>(packed.size() + crypto::kTagSize));
    out.raw(clear);
    out.raw(host_envelope);
    Bytes bytes = out.take();
    const Bytes bound = bytes;
    crypto::Sealer sealer(manifest_key(host.secret, repository, bound));
    sealer.seal(0, bound, packed, bytes);
    const auto signature = signing.sign(bytes);
    bytes.insert(bytes.end(), signature.begin(), signature.end());
    if (bytes.size() > kMaxManifest) {
        return Error(Code::InvalidInput, "the manifest would be " + base::human_size(bytes.size()) +
                                             ", more than a reader accepts");
    }
    return bytes;
}

Result<ManifestOutline> read_outline(BytesView bytes) {
    const Parts parts = TRY(split(bytes));
    ManifestOutline outline = TRY(parse_clear(parts.clear));
    if (!outline.signer.verifies(parts.before_signature, parts.signature)) {
        return Error(Code::Corrupt, "the manifest's signature does not fit its contents");
    }
    return outline;
}

Result<OpenedManifest> open_manifest(BytesView bytes, const Id128& repository,
                                     const ReaderKeys& keys) {
    const Parts parts = TRY(split(bytes));
    ManifestOutline outline = TRY(read_outline(bytes));
    TRY(keys.check_signer(outline.signer));
    if (outline.repository != repository) {
        return Error(Code::Corrupt,
                     "the manifest belongs to repository " + base::hex(outline.repository));
    }
    OpenedManifest opened;
    Result<Bytes> plain = Error(Code::Denied, "the manifest was written by another host");
    if (keys.own_secret()) {
        opened.host_secret = *keys.own_secret();
        plain = unseal(parts, opened.host_secret, repository);
    }
    if (!plain) {
        opened.host_secret = TRY(keys.host_secret(parts.envelope));
        plain = unseal(parts, opened.host_secret, repository);
    }
    const Bytes json_text = TRY(std::move(plain));
    const Json json = TRY(Json::parse(base::text(json_text)));
    Manifest& m = opened.manifest;
    m.system = std::move(outline.system);
    m.backup = std::move(outline.backup);
    m.stop = outline.stop;
    m.expires = outline.expires;
    m.signer = outline.signer;
    TRY(parse_sealed(json, outline.objects, m));
    return opened;
}

}  // namespace lifeboat::repo

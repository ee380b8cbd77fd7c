#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "policy/expiry.h"
#include "repo/keyring.h"

namespace lifeboat::repo {

// The commit point of a backup (P2): docs/format/manifest.md.

// An object that the backup needs, whoever wrote it.
struct NeededObject {
    std::string name;
    std::uint64_t size = 0;
    std::array<base::Byte, 32> sha256{};
};

// A data pack under the index that page runs use. Indexes are inherited from the parent and never
// reused.
struct PackRef {
    NeededObject object;
    Id128 pack{};
    Id128 session{};
};

struct BackupCounts {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;  // plain size of everything
    std::uint64_t zero_bytes = 0;
    std::uint64_t changed_bytes = 0;  // plain bytes that this backup stored
    std::uint64_t stored_bytes = 0;   // bytes of the objects that this backup wrote
    std::uint64_t damaged_pages = 0;
};

// A page that did not verify while it was copied, and is stored as it was found.
struct DamagedPage {
    std::string path;
    std::uint64_t page = 0;
    std::string why;
};

enum class BackupKind { Full, Incremental };

struct Manifest {
    std::string system;
    std::string backup;
    std::string engine;
    BackupKind kind = BackupKind::Full;
    base::Timestamp start;
    base::Timestamp stop;
    policy::ExpiryDay expires;
    std::string
        parent;  // id of the backup whose unchanged pages it references; empty for a full one
    std::map<std::uint32_t, PackRef> packs;
    std::vector<PackRef> maps;                // session is unused
    std::map<std::uint32_t, PackRef> prints;  // with fingerprint lists, of this and of earlier
                                              // backups; indexed as `packs`; session is unused
    std::map<Id128, std::array<base::Byte, 32>> sessions;  // id -> commitment
    std::vector<std::string> recipients;                   // who can open every session; ascending
    BackupCounts counts;
    std::vector<DamagedPage> damage;
    base::Json details = base::Json::object();  // the engine's own
    crypto::VerifyKey signer;                   // set by open

    // Sum of the sizes of all needed objects.
    std::uint64_t needed_bytes() const;
};

// Encodes, seals and signs. `host_envelope` is the host secret sealed to the recipients.
Result<Bytes> encode_manifest(const Manifest& manifest, const Id128& repository,
                              const HostKeys& host, BytesView host_envelope);

// What anyone can read of a manifest without keys: verified against its own stated signer only.
struct ManifestOutline {
    Id128 repository{};
    std::string system;
    std::string backup;
    base::Timestamp stop;
    policy::ExpiryDay expires;
    crypto::VerifyKey signer;
    std::vector<NeededObject> objects;
};

Result<ManifestOutline> read_outline(BytesView bytes);

// Checks the signature against the pinned signers, then opens it. Also yields the host secret,
// which opens its maps.
struct OpenedManifest {
    Manifest manifest;
    Key256 host_secret;
};

Result<OpenedManifest> open_manifest(BytesView bytes, const Id128& repository,
                                     const ReaderKeys& keys);

}  // namespace lifeboat::repo

#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "repo/check.h"
#include "repo/manifest.h"

namespace lifeboat::repo::check {

// What is known of one object. A worker writes to the item that it works on and to no other.
struct Item {
    enum class State { Sound, Missing, Damaged, Unread };

    std::uint64_t size = 0;
    ObjectClass kind = ObjectClass::Unknown;
    bool expired = false;
    bool referenced = false;
    State state = State::Sound;
    std::string why;
    std::optional<std::array<base::Byte, 32>> sha256;  // of an object that was read
    std::vector<std::uint32_t> frames;  // plain lengths of a data pack that was opened
    bool tried = false;                 // a damaged pack was opened as a restore would
    std::optional<std::set<std::uint32_t>> bad_frames;  // then; nothing when all of it is lost

    void fail(State to, std::string reason) {
        state = to;
        why = std::move(reason);
    }
};

using Items = std::map<std::string, Item>;

struct Backup {
    ManifestName name;
    std::optional<ManifestOutline> outline;
    std::optional<OpenedManifest> opened;
    BackupCheck result;
};

// How the session key of a data pack is known.
struct PackKey {
    std::size_t backup = 0;  // whose manifest names it
    std::uint32_t index = 0;
};

struct State {
    Repository& repository;
    ReaderKeys* keys;
    const CheckOptions& options;
    const CheckWatcher& watch;
    const base::StopToken& stop;
    Items items;
    std::vector<Backup> backups;
    std::map<std::string, PackKey> pack_keys;  // by object name
    CheckReport report;

    bool has_identity() const { return keys != nullptr && keys->has_identity(); }
};

// True iff the failure is the object's own; anything else says nothing about it.
bool tells_damage(const base::Error& error);
// Notes a failure to read or decode `item`.
void note(Item& item, const base::Error& error);

// A piece counts, although it has expired, until gathered packs hold its bytes (G1).
void keep_uncovered_pieces(State& state);

// The steps, in order. Each fails only on a stop, or when the store cannot be listed.
Result<> list_objects(State& state);
Result<> read_manifests(State& state);
Result<> compare_names(State& state);
Result<> read_objects(State& state);       // Objects and Data
Result<> try_damaged_packs(State& state);  // with an identity
Result<> weigh_backups(State& state);
Result<> weigh_streams(State& state);

}  // namespace lifeboat::repo::check

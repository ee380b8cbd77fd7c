#include <algorithm>
#include <atomic>

#include "base/json.h"
#include "base/mutex.h"
#include "base/workers.h"
#include "repo/internal/check_state.h"
#include "repo/pack_source.h"
#include "repo/stream.h"

// The part of check that reads objects: what each one says of itself, against what the manifests
// say of it.

namespace lifeboat::repo::check {

using base::Code;
using base::Error;

namespace {

// ---- One object
// ---------------------------------------------------------------------------------------------------

// Opens each frame of a pack whose bytes are in memory. Returns their plain lengths.
class FrameReader {
  public:
    Result<std::vector<std::uint32_t>> read(const PackHeader& header, const Key256& key,
                                            BytesView pack) {
        FrameOpener opener(header, key);
        const auto frames = TRY(opener.table(pack, pack.size(), header.frames_at));
        std::vector<std::uint32_t> lengths;
        for (std::uint32_t i = 0; i < frames.size(); ++i) {
            plain_.resize(std::max<std::size_t>(plain_.size(), frames[i].plain));
            TRY(opener.open(i, frames[i], pack.subspan(frames[i].offset),
                            base::MutableBytes(plain_).first(frames[i].plain)));
            lengths.push_back(frames[i].plain);
            plain_bytes_ += frames[i].plain;
        }
        return lengths;
    }

    std::uint64_t plain_bytes() const { return plain_bytes_; }

  private:
    Bytes plain_;  // reused: a pack has hundreds of frames
    std::uint64_t plain_bytes_ = 0;
};

Result<> check_data_pack(const State& state, const std::string& name, Item& item, BytesView bytes,
                         FrameReader& frames) {
    const auto known = state.pack_keys.find(name);
    if (state.options.level != CheckLevel::Data || known == state.pack_keys.end()) {
        return item.referenced
                   ? Result<>()
                   : check_pack_bytes(bytes);  // the manifest's digest sees more than the CRC
    }
    const Manifest& manifest = state.backups[known->second.backup].opened->manifest;
    const PackRef& ref = manifest.packs.at(known->second.index);
    const PackHeader header = TRY(PackHeader::parse(bytes));
    const auto session = manifest.sessions.find(ref.session);
    if (header.repository != state.repository.id() || header.pack != ref.pack ||
        header.session != ref.session || session == manifest.sessions.end()) {
        return Error(Code::Corrupt, "it is another pack than the manifest names");
    }
    const Key256 key =
        TRY(state.keys->session_key(header.session, header.envelope, session->second));
    item.frames = TRY(frames.read(header, key, bytes));
    return {};
}

Result<> check_stream_pack(const State& state, const std::string& name, BytesView bytes,
                           FrameReader& frames) {
    TRY(check_pack_bytes(bytes));
    const PackHeader header = TRY(PackHeader::parse(bytes));
    const StreamName place = TRY(StreamName::parse(name));
    const StreamLabel label = TRY(label_of(header));
    if (header.repository != state.repository.id() || label.range != place.range) {
        return Error(Code::Corrupt, "it was written for another place");
    }
    if (state.keys != nullptr) {
        TRY(state.keys->check_signer(label.signer));
    }
    if (state.options.level != CheckLevel::Data) {
        return {};
    }
    const Key256 key =
        TRY(state.keys->session_key(header.session, header.envelope, label.commitment));
    TRY(frames.read(header, key, bytes));
    return {};
}

Result<> check_gap(const std::string& name, BytesView bytes) {
    const base::Json json = TRY(base::Json::parse(base::text(bytes)));
    const StreamName place = TRY(StreamName::parse(name));
    const std::string system = TRY(json.text("system"));
    const std::int64_t timeline = TRY(json.integer("timeline"));
    if (system != place.system || timeline != place.range.timeline) {
        return Error(Code::Corrupt, "it was written for another place");
    }
    return {};
}

// Whoever can open the manifests of a system can open its histories.
Result<> check_history(const State& state, const std::string& name, BytesView bytes) {
    TRY(check_pack_bytes(bytes));
    std::optional<Error> failure;
    for (const Backup& backup : state.backups) {
        if (!backup.opened || !name.starts_with(history_prefix(backup.name.system))) {
            continue;
        }
        const Key256 map_key =
            RepositoryKeys::derive(backup.opened->host_secret, state.repository.id()).map;
        auto history = read_history(state.repository, name, map_key);
        if (history) {
            return {};
        }
        failure = std::move(history).error();
    }
    if (failure) {  // it may be another host's: that is not known to be damage
        return (*std::move(failure))
            .recode(Code::Denied)
            .during("opening it with the keys of its system's backups");
    }
    return {};
}

Result<> check_contents(const State& state, const std::string& name, Item& item, BytesView bytes,
                        FrameReader& frames) {
    switch (item.kind) {
        case ObjectClass::DataPack:
            return check_data_pack(state, name, item, bytes, frames);
        case ObjectClass::MapPack:
            return check_pack_bytes(bytes);
        case ObjectClass::Piece:
        case ObjectClass::Gathered:
            return check_stream_pack(state, name, bytes, frames);
        case ObjectClass::History:
            return check_history(state, name, bytes);
        case ObjectClass::Gap:
            return check_gap(name, bytes);
        case ObjectClass::Writer: {
            TRY(base::Json::parse(base::text(bytes)));
            return {};
        }
        case ObjectClass::Repository:
        case ObjectClass::Manifest:
        case ObjectClass::Unknown:
            return {};
    }
    return {};
}

// ---- All objects
// --------------------------------------------------------------------------------------------------

using Work = std::vector<std::pair<const std::string*, Item*>>;

// What every manifest that names an object says of it.
using Claims = std::map<std::string, std::vector<const NeededObject*>>;

Claims claims_of(const State& state) {
    Claims claims;
    for (const Backup& backup : state.backups) {
        if (backup.outline) {
            for (const NeededObject& object : backup.outline->objects) {
                claims[object.name].push_back(&object);
            }
        }
    }
    return claims;
}

Work work_of(State& state) {
    Work work;
    for (auto& [name, item] : state.items) {
        const bool idle = item.kind == ObjectClass::Unknown || item.kind == ObjectClass::Manifest ||
                          item.kind == ObjectClass::Repository;
        const bool gone = item.state == Item::State::Missing || item.state == Item::State::Unread ||
                          (item.expired && !item.referenced);
        if (!idle && !gone) {
            work.emplace_back(&name, &item);
        }
    }
    return work;
}

// Hands objects to workers and counts what they did.
class ObjectCheck {
  public:
    ObjectCheck(State& state, Work work, Claims claims)
        : state_(state), work_(std::move(work)), claims_(std::move(claims)) {
        progress_.objects_total = work_.size();
        for (const auto& [name, item] : work_) {
            progress_.bytes_total += item->size;
        }
    }

    Result<> run() {
        TRY(base::run_parallel(std::max<std::size_t>(1, state_.options.workers),
                               [this](std::size_t) { return work(); }));
        const base::Lock lock(mutex_);
        state_.report.plain_bytes += plain_bytes_;
        return {};
    }

  private:
    Result<> work() {
        FrameReader frames;
        for (std::size_t at = next_.fetch_add(1); at < work_.size(); at = next_.fetch_add(1)) {
            TRY(state_.stop.check());
            look_at(*work_[at].first, *work_[at].second, frames);
            report(work_[at].second->size);
        }
        const base::Lock lock(mutex_);
        plain_bytes_ += frames.plain_bytes();
        return {};
    }

    void look_at(const std::string& name, Item& item, FrameReader& frames) {
        const auto bytes = state_.repository.store().get(name);
        if (!bytes) {
            note(item, bytes.error());
            return;
        }
        item.sha256 = crypto::sha256(*bytes);
        if (item.state == Item::State::Damaged) {
            return;  // of another size than a manifest says
        }
        const auto claims = claims_.find(name);
        if (claims != claims_.end() && !fits(item, bytes->size(), claims->second)) {
            item.fail(Item::State::Damaged, "its SHA-256 is not the one that it was written with");
            return;
        }
        const auto sound = check_contents(state_, name, item, *bytes, frames);
        if (!sound) {
            note(item, sound.error());
        }
    }

    static bool fits(const Item& item, std::uint64_t size,
                     const std::vector<const NeededObject*>& claims) {
        return std::all_of(claims.begin(), claims.end(), [&](const NeededObject* claim) {
            return claim->size == size && claim->sha256 == *item.sha256;
        });
    }

    void report(std::uint64_t bytes) {
        const base::Lock lock(mutex_);
        ++progress_.objects_done;
        progress_.bytes_done += bytes;
        if (state_.watch) {
            state_.watch(progress_);
        }
    }

    State& state_;
    const Work work_;
    const Claims claims_;
    std::atomic<std::size_t> next_ = 0;
    base::Mutex mutex_;
    CheckProgress progress_ LB_GUARDED_BY(mutex_);
    std::uint64_t plain_bytes_ LB_GUARDED_BY(mutex_) = 0;
};

// ---- Damaged packs, frame by frame
// ----------------------------------------------------------------------------------

// Reads as a restore does, so that what is called lost is what a restore cannot give.
Result<> try_frames(State& state, PackSource& source, std::uint32_t index, Item& item) {
    const auto pack = TRY(source.pack(index));
    FrameOpener opener(pack->header, pack->session_key);
    std::set<std::uint32_t> bad;
    for (std::uint32_t i = 0; i < pack->frames.size(); ++i) {
        TRY(state.stop.check());
        const FrameEntry& entry = pack->frames[i];
        Bytes sealed(entry.end() - entry.offset);
        auto got = state.repository.store().get_range(pack->object, entry.offset, sealed);
        if (got) {
            got = opener.open(i, entry, sealed).has_value()
                      ? Result<>()
                      : Result<>(Error(Code::Corrupt, "it does not open"));
        }
        if (!got && !tells_damage(got.error())) {
            return got;
        }
        if (!got) {
            bad.insert(i);
        }
        item.frames.push_back(entry.plain);
    }
    item.bad_frames = std::move(bad);
    return {};
}

}  // namespace

Result<> read_objects(State& state) {
    const auto reopened = Repository::open(state.repository.store());
    if (!reopened || (*reopened)->id() != state.repository.id()) {
        Item& item = state.items[std::string(kRepositoryObject)];
        reopened ? item.fail(Item::State::Damaged, "it names another repository")
                 : note(item, reopened.error());
    }
    return ObjectCheck(state, work_of(state), claims_of(state)).run();
}

Result<> try_damaged_packs(State& state) {
    if (!state.has_identity()) {
        return {};
    }
    for (auto& [name, item] : state.items) {
        const auto known = state.pack_keys.find(name);
        if (item.state != Item::State::Damaged || known == state.pack_keys.end()) {
            continue;
        }
        TRY(state.stop.check());
        const Manifest& manifest = state.backups[known->second.backup].opened->manifest;
        PackSource source(state.repository.store(), state.repository.id(), manifest, *state.keys);
        item.frames.clear();
        const auto tried = try_frames(state, source, known->second.index, item);
        if (!tried && tried.error().code() == Code::Cancelled) {
            return tried.error().clone();
        }
        const bool settled =
            tried || tells_damage(tried.error()) || tried.error().code() == Code::Denied;
        if (!settled) {
            note(item, tried.error());
        }
        item.tried = settled;
    }
    return {};
}

}  // namespace lifeboat::repo::check

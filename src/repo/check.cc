#include "repo/check.h"

#include <algorithm>

#include "repo/internal/check_state.h"

// Check. Tested by check_test.cc and check_damage_test.cc.
//
// One list of all objects is the spine: each step adds to what is known of them. Backups and
// streams are weighed last, from what the objects turned out to be: a loss is a property of
// objects, its cost a property of backups.
//
//   list_objects -> read_manifests -> compare_names -> read_objects -> try_damaged_packs ->
//   weigh_backups -> weigh_streams
//
// Whatever could not be looked at is a state of its own (P8): a store that was busy is not a
// repository that is damaged.

namespace lifeboat::repo {

using base::Code;
using base::Error;

namespace check {

bool tells_damage(const Error& error) {
    return error.code() == Code::Corrupt || error.code() == Code::NotFound ||
           error.code() == Code::Conflict;
}

void note(Item& item, const Error& error) {
    if (error.code() == Code::NotFound) {
        item.fail(Item::State::Missing, "it was listed, and is not there any more");
    } else {
        item.fail(tells_damage(error) ? Item::State::Damaged : Item::State::Unread,
                  error.message());
    }
}

Result<> list_objects(State& state) {
    store::ObjectStore& store = state.repository.store();
    state.report.at = TRY(store.now());
    const auto collect = [&](const store::ObjectInfo& object) -> Result<> {
        Item& item = state.items[object.name];
        item.size = object.size;
        item.kind = classify(object.name);
        const auto expires = expiry_of(object.name);
        item.expired = expires && policy::may_delete(*expires, state.report.at);
        return state.stop.check();
    };
    std::vector<std::string> prefixes = {""};
    if (!state.options.systems.empty()) {
        prefixes = {std::string(kRepositoryObject)};
        for (const std::string& system : state.options.systems) {
            prefixes.push_back("s/" + system + "/");
        }
    }
    for (const std::string& prefix : prefixes) {
        TRY(store.list(prefix, collect).during("listing the repository"));
    }
    keep_uncovered_pieces(state);
    return {};
}

namespace {

// The manifest as anyone can read it, which must be what its name says.
Result<ManifestOutline> outline_of(State& state, const ManifestName& name, BytesView bytes) {
    ManifestOutline outline = TRY(read_outline(bytes));
    const ManifestName signed_name{outline.system, outline.stop, outline.expires, outline.backup};
    if (outline.repository != state.repository.id() || signed_name.text() != name.text()) {
        return Error(Code::Corrupt, "the manifest was written for another place");
    }
    return outline;
}

// Opens it if the keys do. A manifest that was sealed to others is no failure: its outline tells
// what it needs.
Result<> open_if_possible(State& state, Backup& backup, BytesView bytes) {
    if (state.keys == nullptr) {
        return {};
    }
    TRY(state.keys->check_signer(backup.outline->signer));
    auto opened = open_manifest(bytes, state.repository.id(), *state.keys);
    if (opened) {
        backup.opened = std::move(opened).value();
    } else if (opened.error().code() != Code::Denied) {
        return std::move(opened).error();
    }
    return {};
}

Result<> read_manifest(State& state, Backup& backup) {
    const Bytes bytes = TRY(state.repository.store().get(backup.name.text()));
    state.items[backup.name.text()].sha256 = crypto::sha256(bytes);
    backup.outline = TRY(outline_of(state, backup.name, bytes));
    return open_if_possible(state, backup, bytes);
}

void note_manifest(State& state, Backup& backup, const Error& error) {
    Item& item = state.items[backup.name.text()];
    if (error.code() == Code::Denied &&
        backup.outline) {  // not damage: a writer that nobody vouches for
        backup.result.fatal = error.message();
        return;
    }
    note(item, error);
    if (item.state != Item::State::Unread) {
        backup.result.fatal = "its manifest cannot be read: " + item.why;
    }
    state.report.references_known = false;
}

}  // namespace

Result<> read_manifests(State& state) {
    for (const auto& [object, item] : state.items) {
        if (item.kind == ObjectClass::Manifest && !item.expired) {
            Backup backup;
            backup.name = TRY(ManifestName::parse(object));
            state.backups.push_back(std::move(backup));
        }
    }
    for (std::size_t i = 0; i < state.backups.size(); ++i) {
        TRY(state.stop.check());
        Backup& backup = state.backups[i];
        auto read = read_manifest(state, backup);
        if (!read) {
            note_manifest(state, backup, read.error());
        }
        if (backup.opened) {
            for (const auto& [index, pack] : backup.opened->manifest.packs) {
                state.pack_keys.try_emplace(pack.object.name, PackKey{i, index});
            }
        }
    }
    return {};
}

namespace {

// A listing is no proof of absence: objects that were put meanwhile may be missing from it.
Result<Item*> find_needed(State& state, const NeededObject& object) {
    const auto known = state.items.find(object.name);
    if (known != state.items.end()) {
        return &known->second;
    }
    Item& item = state.items[object.name];
    item.kind = classify(object.name);
    item.size = object.size;
    const auto found = state.repository.store().stat(object.name);
    if (found) {
        item.size = found->size;
    } else if (found.error().code() == Code::NotFound ||
               found.error().code() ==
                   Code::InvalidInput) {  // InvalidInput: no object can be named so
        item.fail(Item::State::Missing, "it does not exist");
    } else {
        item.fail(Item::State::Unread, found.error().message());
    }
    return &item;
}

Result<> compare_needed(State& state, Backup& backup, const NeededObject& object) {
    TRY(state.stop.check());
    Item* item = TRY(find_needed(state, object));
    item->referenced = true;
    if (item->state == Item::State::Sound && item->size != object.size) {
        item->fail(Item::State::Damaged, "it is " + std::to_string(item->size) +
                                             " bytes long, and was written with " +
                                             std::to_string(object.size));
    }
    const auto expires = expiry_of(object.name);
    if (!expires || *expires < backup.name.expires) {
        backup.result.warnings.push_back("'" + object.name +
                                         "' may be deleted before the backup expires");  // W1
    }
    return {};
}

}  // namespace

Result<> compare_names(State& state) {
    for (Backup& backup : state.backups) {
        if (!backup.outline) {
            continue;
        }
        for (const NeededObject& object : backup.outline->objects) {
            TRY(compare_needed(state, backup, object));
        }
    }
    return {};
}

namespace {

void sort_findings(State& state) {
    CheckReport& report = state.report;
    for (const auto& [name, item] : state.items) {
        report.objects += item.state == Item::State::Missing ? 0 : 1;
        report.bytes += item.state == Item::State::Missing ? 0 : item.size;
        ObjectFinding finding{name, item.size, item.why};
        const bool is_pack =
            item.kind == ObjectClass::DataPack || item.kind == ObjectClass::MapPack;
        if (item.state == Item::State::Missing && (item.referenced || !item.expired)) {
            report.missing.push_back(finding);
        } else if (item.state == Item::State::Damaged) {
            report.damaged.push_back(finding);
        } else if (item.state == Item::State::Unread) {
            report.unread.push_back(finding);
        }
        if (item.kind == ObjectClass::Unknown) {
            report.foreign.push_back(std::move(finding));
        } else if (item.expired && !item.referenced) {
            report.expired.push_back(std::move(finding));
        } else if (is_pack && !item.referenced) {
            report.unreferenced.push_back(std::move(finding));
        }
    }
}

}  // namespace

}  // namespace check

bool CheckReport::is_healthy() const {
    const bool backups_whole = std::all_of(
        backups.begin(), backups.end(),
        [](const BackupCheck& b) { return b.state == BackupState::Whole && b.warnings.empty(); });
    const bool streams_whole =
        std::all_of(streams.begin(), streams.end(), [](const StreamCheck& s) {
            return std::all_of(s.lost.begin(), s.lost.end(), [](const StreamLoss& loss) {
                return loss.kind == StreamLossKind::Recorded;
            });
        });
    return missing.empty() && damaged.empty() && unread.empty() && backups_whole && streams_whole;
}

Result<CheckReport> check_repository(Repository& repository, ReaderKeys* keys,
                                     const CheckOptions& options, const CheckWatcher& watch,
                                     const base::StopToken& stop) {
    check::State state{repository, keys, options, watch, stop, {}, {}, {}, {}};
    if (options.level == CheckLevel::Data && !state.has_identity()) {
        return Error(Code::Denied, "checking data means decrypting it, and no identity was given")
            .hint("Name the identity file with --identity FILE, or check objects only.");
    }
    state.report.level = options.level;
    TRY(check::list_objects(state));
    TRY(check::read_manifests(state));
    TRY(check::compare_names(state));
    if (options.level != CheckLevel::Names) {
        TRY(check::read_objects(state));
        TRY(check::try_damaged_packs(state));
    }
    TRY(check::weigh_backups(state));
    TRY(check::weigh_streams(state));
    check::sort_findings(state);
    return std::move(state.report);
}

}  // namespace lifeboat::repo

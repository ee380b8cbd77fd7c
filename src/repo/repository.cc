#include "repo/repository.h"

#include <algorithm>
#include <set>

#include "base/json.h"

namespace lifeboat::repo {

using base::Code;
using base::Error;
using base::Json;

namespace {

constexpr int kFormat = 1;

Json describe(const Id128& id, const std::vector<crypto::Recipient>& recipients,
              base::Timestamp created) {
    Json list = Json::array();
    for (const crypto::Recipient& recipient : recipients) {
        list.push(recipient.text());
    }
    Json json = Json::object();
    json.set("format", kFormat)
        .set("repository", base::hex(id))
        .set("created", base::format_time(created));
    json.set("recipients", std::move(list));
    return json;
}

// Each once, and enough of them that one lost key loses nothing.
Result<> normalize(std::vector<crypto::Recipient>& recipients) {
    std::sort(recipients.begin(), recipients.end());
    recipients.erase(std::unique(recipients.begin(), recipients.end()), recipients.end());
    if (recipients.size() < 2) {
        return Error(Code::Refused, "a repository needs at least two recipients, " +
                                        std::to_string(recipients.size()) + " given")
            .hint(
                "One lost key must not lose every backup: make a second one with 'age-keygen' and "
                "keep it elsewhere.");
    }
    return {};
}

Result<> refuse_foreign_contents(store::ObjectStore& store) {
    std::string found;
    const auto stop_at_first = [&found](const store::ObjectInfo& object) -> Result<> {
        found = object.name;
        return Error(Code::Cancelled, "found one");
    };
    auto listed = store.list("", stop_at_first);
    if (!listed && found.empty()) {
        return std::move(listed).error();
    }
    if (!found.empty()) {
        return Error(Code::Refused, "'" + store.describe() +
                                        "' is not empty and holds no repository: it has '" + found +
                                        "'")
            .hint("Name an empty place for the repository.");
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<Repository>> Repository::create(store::ObjectStore& store,
                                                       std::vector<crypto::Recipient> recipients,
                                                       base::Clock& clock, base::Random& random) {
    TRY(normalize(recipients));
    const auto present = store.stat(std::string(kRepositoryObject));
    if (present) {
        return Error(Code::Conflict, "'" + store.describe() + "' already holds a repository")
            .hint("Use it as it is, or name an empty place.");
    }
    TRY(refuse_foreign_contents(store));
    const Id128 id = random_id(random);
    const std::string text = describe(id, recipients, clock.now()).dump(2) + "\n";
    TRY(store.put(std::string(kRepositoryObject), base::view(text))
            .during("creating the repository at '" + store.describe() + "'"));
    return std::unique_ptr<Repository>(new Repository(store, id, recipients, recipients));
}

namespace {

Result<std::vector<crypto::Recipient>> parse_recipients(const Json& json) {
    const Json::Array* list = TRY(json.list("recipients"));
    std::vector<crypto::Recipient> recipients;
    for (const Json& item : *list) {
        const crypto::Recipient recipient = TRY(crypto::Recipient::parse(item.as_text()));
        recipients.push_back(recipient);
    }
    return recipients;
}

}  // namespace

Result<std::span<const crypto::Recipient>> Repository::recipients() const {
    if (recipients_.empty()) {
        return Error(Code::Refused, "nothing says whom to seal to")
            .hint("List the recipients in lifeboat.yaml.");
    }
    return std::span<const crypto::Recipient>(recipients_);
}

Result<std::unique_ptr<Repository>> Repository::open(store::ObjectStore& store,
                                                     std::vector<crypto::Recipient> recipients) {
    if (!recipients.empty()) {
        TRY(normalize(recipients));
    }
    auto bytes = store.get(std::string(kRepositoryObject));
    if (!bytes && bytes.error().code() == Code::NotFound) {
        return Error(Code::NotFound, "there is no repository at '" + store.describe() + "'")
            .hint(
                "If it lies on a disk of its own, mount its disk; else correct 'repositories' in "
                "lifeboat.yaml, or create it with 'lifeboat init'.");
    }
    const base::Bytes text =
        TRY(std::move(bytes).during("opening the repository at '" + store.describe() + "'"));
    const Json json = TRY(
        Json::parse(base::text(text)).during("reading '" + std::string(kRepositoryObject) + "'"));
    const std::int64_t format = TRY(json.integer("format"));
    if (format > kFormat) {
        return Error(Code::Unsupported, "the repository is of format " + std::to_string(format) +
                                            "; this lifeboat reads format 1")
            .hint("Use a newer lifeboat.");
    }
    if (format < kFormat) {
        return Error(Code::Corrupt, "'" + std::string(kRepositoryObject) + "' claims format " +
                                        std::to_string(format));
    }
    const std::string id_text = TRY(json.text("repository"));
    const Id128 id = TRY(parse_id(id_text));
    auto claimed = TRY(parse_recipients(json));
    return std::unique_ptr<Repository>(
        new Repository(store, id, std::move(recipients), std::move(claimed)));
}

Result<> Repository::register_writer(const HostKeys& keys, std::string_view host_name,
                                     base::Clock& clock) const {
    Json json = Json::object();
    json.set("format", kFormat).set("writer", keys.writer_id()).set("host", host_name);
    json.set("signer", keys.signing_key().verify_key().text())
        .set("created", base::format_time(clock.now()));
    auto put = store_.put(writer_name(keys.writer_id()), base::view(json.dump(2) + "\n"));
    if (!put && put.error().code() != Code::Conflict) {
        return std::move(put).during("registering this writer");
    }
    return {};
}

Result<std::vector<ManifestName>> Repository::backups(std::string_view system) const {
    std::vector<ManifestName> found;
    const auto collect = [&found](const store::ObjectInfo& object) -> Result<> {
        auto name = ManifestName::parse(object.name);
        if (name) {
            found.push_back(std::move(name).value());
        }
        return {};
    };
    TRY(store_.list(manifest_prefix(system), collect)
            .during("listing backups of '" + std::string(system) + "'"));
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
        return std::tie(a.stop, a.backup) < std::tie(b.stop, b.backup);
    });
    return found;
}

Result<std::vector<std::string>> Repository::systems() const {
    std::set<std::string> found;
    const auto collect = [&found](const store::ObjectInfo& object) -> Result<> {
        const std::size_t end = object.name.find('/', 2);
        if (end != std::string::npos) {
            found.insert(object.name.substr(2, end - 2));
        }
        return {};
    };
    TRY(store_.list("s/", collect).during("listing systems"));
    return std::vector<std::string>(found.begin(), found.end());
}

Result<OpenedManifest> Repository::load(const ManifestName& name, const ReaderKeys& keys) const {
    const auto reading = "reading backup '" + name.backup + "'";
    const base::Bytes bytes = TRY(store_.get(name.text()).during(reading));
    OpenedManifest opened = TRY(open_manifest(bytes, id_, keys).during(reading));
    // All of the name: a backup under another time or expiry would be chosen, or deleted, as what
    // it is not.
    const Manifest& m = opened.manifest;
    if (ManifestName{m.system, m.stop, m.expires, m.backup}.text() != name.text()) {
        return Error(Code::Corrupt,
                     "the manifest '" + name.text() + "' was written under another name")
            .hint("Somebody moved objects of this repository: run 'lifeboat repo check'.");
    }
    return opened;
}

}  // namespace lifeboat::repo

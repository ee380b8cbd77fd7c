#include "service/installation.h"

#include <algorithm>

#include "service/shell_words.h"

namespace lifeboat::service {

using base::Code;
using base::Error;

Result<base::Bytes> read_key_file(base::Files& files, const std::string& path) {
    const base::FileStat stat = TRY(files.stat(path).during("reading the key file '" + path + "'"));
    if (stat.kind != base::FileKind::Regular) {
        return Error(Code::InvalidInput, "the key file '" + path + "' is not a regular file")
            .hint("Name the file that holds the key.");
    }
    if ((stat.mode & 077) != 0) {
        return Error(Code::Refused, "the key file '" + path + "' can be read by others")
            .hint("Type: chmod 600 " + shell_word(path));
    }
    return base::read_file(files, path, base::kMiB).during("reading the key file '" + path + "'");
}

Result<Installation> Installation::open(const World& world, const std::string& config_option) {
    const std::string path =
        TRY(config::find_config(world.files, config_option)
                .hint("Name the right file with --config, or make one with 'lifeboat init'."));
    config::Config config = TRY(config::load_config(world.files, path));
    return Installation(world, std::move(config));
}

Result<std::vector<const config::System*>> Installation::systems(
    const std::vector<std::string>& names) const {
    std::vector<const config::System*> found;
    for (const std::string& name : names) {
        const config::System* system = TRY(config::find_system(config_, name));
        found.push_back(system);
    }
    if (names.empty()) {
        for (const config::System& system : config_.systems) {
            found.push_back(&system);
        }
    }
    if (found.empty()) {
        return Error(Code::InvalidInput, "no system is configured")
            .hint("Add one under 'systems' in '" + config_.file + "'.");
    }
    return found;
}

std::string Installation::state_path(std::string_view name) const {
    return base::join(config_.site.state, name);
}

namespace {

Result<std::vector<crypto::Recipient>> parse_recipients(const config::Config& config) {
    std::vector<crypto::Recipient> recipients;
    for (const std::string& text : config.recipients) {
        const auto recipient = TRY(
            crypto::Recipient::parse(text).during("reading 'recipients' of '" + config.file + "'"));
        recipients.push_back(recipient);
    }
    return recipients;
}

// Everything else is found and checked by way of this object, so no verb can look further; and a
// person can write it anew.
std::string rebuild_hint(const std::string& config) {
    return "Put 'lifeboat.json' of the repository back by hand: {\"format\": 1, \"repository\": "
           "\"ID\", \"recipients\": [\"age1...\", \"age1...\"]}. Each recovery key says ID in its "
           "line '# repository:', and the recipients are those of '" +
           config + "'. No other object needs a change.";
}

}  // namespace

Result<OpenRepository*> Installation::repository(const std::string& name) {
    if (config_.repositories.empty()) {
        return Error(Code::InvalidInput, "no repository is configured")
            .hint("Add one under 'repositories' in '" + config_.file + "'.");
    }
    const config::Repository* wanted = &config_.repositories.front();
    if (!name.empty()) {
        wanted = TRY(config::find_repository(config_, name));
    }
    for (const auto& open : open_) {
        if (open->name == wanted->name) {
            return open.get();
        }
    }
    auto open = std::make_unique<OpenRepository>();
    open->name = wanted->name;
    open->url = wanted->url;
    open->store = TRY(world_->open_store(wanted->url, World::Place::MustExist)
                          .during("opening repository '" + wanted->name + "'"));
    auto recipients = TRY(parse_recipients(config_));
    auto opened = repo::Repository::open(*open->store, std::move(recipients));
    if (!opened && opened.error().code() == Code::Corrupt) {
        opened = std::move(opened).hint(rebuild_hint(config_.file));
    }
    open->repository = TRY(std::move(opened).during("opening repository '" + wanted->name + "'"));
    for (const std::string& text : wanted->signers) {
        const crypto::VerifyKey key = TRY(crypto::VerifyKey::parse(text).during(
            "reading 'signers' of repository '" + wanted->name + "'"));
        open->signers.push_back(key);
    }
    open_.push_back(std::move(open));
    return open_.back().get();
}

Result<const repo::HostKeys*> Installation::host_keys() {
    if (!host_) {
        auto bytes = read_key_file(world_->files, config_.keys.host);
        if (!bytes && bytes.error().code() == Code::NotFound) {
            return Error(Code::NotFound, "there is no host key at '" + config_.keys.host + "'")
                .hint(
                    "Restore it from its safe copy, or run 'lifeboat init' if this host has never "
                    "written backups.");
        }
        const base::Bytes contents = TRY(std::move(bytes));
        host_ = TRY(repo::HostKeys::parse(base::text(contents))
                        .during("reading '" + config_.keys.host + "'"));
    }
    return &*host_;
}

Result<std::optional<crypto::IdentityFile>> Installation::read_identity(
    const IdentityChoice& choice) const {
    const std::string path =
        !choice.file.empty() ? choice.file : config_.keys.identity.value_or("");
    if (path.empty()) {
        if (choice.required) {
            return Error(Code::Denied, "the data is sealed, and no identity was given")
                .hint(
                    "Pass --identity FILE with one of the recovery keys, or set 'keys.identity' in "
                    "'" +
                    config_.file + "'.");
        }
        return std::optional<crypto::IdentityFile>{};
    }
    auto bytes = read_key_file(world_->files, path);
    if (!bytes && bytes.error().code() == Code::NotFound && choice.file.empty() &&
        !choice.required) {
        return std::optional<crypto::IdentityFile>{};
    }
    const base::Bytes contents = TRY(std::move(bytes));
    if (repo::HostKeys::parse(base::text(contents)).has_value()) {
        return Error(Code::InvalidInput, "'" + path + "' is a host key, which opens no data")
            .hint("This is the host key: pass one of the recovery keys.");
    }
    crypto::IdentityFile file = TRY(crypto::parse_identity_file(base::text(contents))
                                        .during("reading the identity file '" + path + "'"));
    return std::optional<crypto::IdentityFile>(std::move(file));
}

namespace {

// An identity file that Lifeboat wrote says for which repository: a wrong one is named before
// anything fails to open.
Result<> check_identity_fits(const crypto::IdentityFile& file, const repo::Repository& repository) {
    if (!file.repository.empty() && file.repository != base::hex(repository.id())) {
        return Error(Code::Denied, "the identity file is for repository " + file.repository +
                                       ", this one is " + base::hex(repository.id()))
            .hint("Use the recovery key that was made for this repository.");
    }
    const auto& claimed = repository.claimed_recipients();
    const auto configured = TRY(repository.recipients());
    const auto is_among = [](const auto& recipients, const crypto::Identity& identity) {
        return std::find(recipients.begin(), recipients.end(), identity.recipient()) !=
               recipients.end();
    };
    const bool fits = std::any_of(
        file.identities.begin(), file.identities.end(), [&](const crypto::Identity& identity) {
            return is_among(configured, identity) || is_among(claimed, identity);
        });
    if (!fits && !file.identities.empty()) {
        return Error(Code::Denied, "no key in the identity file is a recipient of this repository")
            .hint(
                "The repository's recipients are in its 'lifeboat.json'; use the key of one of "
                "them.");
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<repo::ReaderKeys>> Installation::reader_keys(
    const OpenRepository& repository, const IdentityChoice& choice) {
    std::vector<crypto::VerifyKey> signers = repository.signers;
    std::optional<base::Key256> secret;
    const auto host = host_keys();
    if (host) {
        secret = (*host)->secret;
        signers.push_back((*host)->signing_key().verify_key());
    } else if (host.error().code() != Code::NotFound) {
        return host.error().clone();
    }
    auto identity = TRY(read_identity(choice));
    std::vector<crypto::Identity> identities;
    if (identity) {
        const std::string path =
            !choice.file.empty() ? choice.file : config_.keys.identity.value_or("");
        TRY(check_identity_fits(*identity, *repository.repository)
                .during("opening repository '" + repository.name + "' with '" + path + "'"));
        for (const std::string& text : identity->signers) {
            const crypto::VerifyKey key = TRY(
                crypto::VerifyKey::parse(text).during("reading '# signer:' of the identity file"));
            signers.push_back(key);
        }
        identities = std::move(identity->identities);
    }
    if (signers.empty()) {
        return Error(Code::Denied, "nothing says whose backups to trust")
            .hint(
                "List the writing host's key under 'signers' of the repository, or use an identity "
                "file that lifeboat wrote.");
    }
    return std::make_unique<repo::ReaderKeys>(std::move(identities), std::move(secret),
                                              std::move(signers));
}

Result<std::unique_ptr<engine::DataEngine>> Installation::engine(
    const config::System& system) const {
    base::Secret password;
    if (system.password) {
        password = TRY(config::resolve(*system.password, world_->files)
                           .during("reading the password of system '" + system.name + "'"));
    }
    return world_->make_engine(system, password);
}

}  // namespace lifeboat::service

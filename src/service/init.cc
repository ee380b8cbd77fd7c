#include "service/init.h"

#include <algorithm>

#include "config/config.h"
#include "service/installation.h"

namespace lifeboat::service {

using base::Code;
using base::Error;
using base::join;
using base::Json;

namespace {

struct Recipients {
    std::vector<crypto::Recipient> points;
    std::vector<std::pair<std::string, crypto::Identity>> made;  // file, identity
};

Result<> refuse_existing_configuration(base::Files& files, const std::string& path) {
    const bool there = TRY(base::exists(files, path));
    if (there) {
        return Error(Code::Conflict, "'" + path + "' is there already")
            .hint("Edit it, or name another file with --config. Nothing was changed.");
    }
    return {};
}

Result<crypto::Identity> read_or_make_identity(const World& world, const std::string& path) {
    auto bytes = read_key_file(world.files, path);
    if (!bytes && bytes.error().code() != Code::NotFound) {
        return std::move(bytes).error();
    }
    if (!bytes) {
        return crypto::Identity::generate(world.random);
    }
    auto file = TRY(crypto::parse_identity_file(base::text(*bytes))
                        .during("reading '" + path + "', left by an earlier init"));
    if (file.identities.size() != 1) {
        return Error(Code::Conflict, "'" + path + "' is there and holds no single key")
            .hint("Move it away, or pass --recipient twice.");
    }
    return std::move(file.identities.front());
}

Result<Recipients> choose_recipients(const World& world, const InitRequest& request) {
    Recipients chosen;
    for (const std::string& text : request.recipients) {
        const crypto::Recipient recipient =
            TRY(crypto::Recipient::parse(text).during("reading --recipient '" + text + "'"));
        chosen.points.push_back(recipient);
    }
    if (!request.recipients.empty()) {
        return chosen;
    }
    for (const std::string_view name : {"recovery-1.key", "recovery-2.key"}) {
        const std::string path = join(request.keys_directory, name);
        crypto::Identity identity = TRY(read_or_make_identity(world, path));
        chosen.points.push_back(identity.recipient());
        chosen.made.emplace_back(path, std::move(identity));
    }
    return chosen;
}

Result<> check_count(const Recipients& recipients) {
    std::vector<crypto::Recipient> points = recipients.points;
    std::sort(points.begin(), points.end());
    points.erase(std::unique(points.begin(), points.end()), points.end());
    if (points.size() < 2) {
        return Error(Code::Refused,
                     "one recipient is not enough: one lost key would lose every backup")
            .hint(
                "Pass --recipient a second time, with a key that is kept elsewhere ('age-keygen' "
                "makes one).");
    }
    return {};
}

std::string identity_text(const crypto::Identity& identity, const std::string& repository,
                          const std::string& signer) {
    return "# Lifeboat recovery key: opens every backup of this repository. Move it off this "
           "machine, and keep it safe.\n# recipient: " +
           identity.recipient().text() + "\n" +
           (repository.empty() ? "" : "# repository: " + repository + "\n") +
           "# signer: " + signer + "\n" + identity.text().reveal() + "\n";
}

// Keys are on disk before anything is sealed to them: a crash must not leave a repository that
// nobody can open.
Result<> write_recovery_keys(const World& world, const Recipients& recipients,
                             const std::string& repository, const std::string& signer) {
    for (const auto& [path, identity] : recipients.made) {
        TRY(base::create_directories(world.files, base::parent_of(path)));
        base::Secret text(identity_text(identity, repository, signer));
        TRY(base::write_durably(world.files, path, base::view(text.reveal()), base::Replace::Yes,
                                0600)
                .during("writing a recovery key"));
    }
    return {};
}

Result<repo::HostKeys> read_or_make_host_keys(const World& world, const std::string& path) {
    auto bytes = read_key_file(world.files, path);
    if (bytes) {
        return repo::HostKeys::parse(base::text(*bytes)).during("reading '" + path + "'");
    }
    if (bytes.error().code() != Code::NotFound) {
        return std::move(bytes).error();
    }
    repo::HostKeys keys = repo::HostKeys::generate(world.random);
    TRY(base::create_directories(world.files, base::parent_of(path)));
    TRY(base::write_durably(world.files, path, base::view(keys.text().reveal()), base::Replace::No,
                            0600)
            .during("writing the host key"));
    return keys;
}

struct Opened {
    std::unique_ptr<store::ObjectStore> store;
    std::unique_ptr<repo::Repository> repository;
    bool joined = false;
};

Result<Opened> open_or_create(const World& world, const InitRequest& request,
                              const Recipients& recipients) {
    Opened opened;
    opened.store = TRY(world.open_store(request.repository_url, World::Place::Create));
    auto created =
        repo::Repository::create(*opened.store, recipients.points, world.clock, world.random);
    if (created) {
        opened.repository = std::move(created).value();
        return opened;
    }
    if (created.error().code() != Code::Conflict) {
        return std::move(created).error();
    }
    opened.repository = TRY(repo::Repository::open(*opened.store, recipients.points));
    opened.joined = true;
    std::vector<crypto::Recipient> wanted = recipients.points;
    std::sort(wanted.begin(), wanted.end());
    const auto& there = opened.repository->claimed_recipients();
    if (!std::includes(there.begin(), there.end(), wanted.begin(), wanted.end())) {
        return Error(Code::Conflict, "the repository at '" + request.repository_url +
                                         "' is sealed to other recipients")
            .hint(
                "Pass its own recipients with --recipient (they are in its 'lifeboat.json'), or "
                "name an empty place.");
    }
    return opened;
}

config::Config configuration(const InitRequest& request, const Recipients& recipients,
                             const std::string& signer) {
    config::Config c;
    c.site.name = request.site;
    c.site.state = request.state;
    c.repositories.push_back({"local", request.repository_url, {signer}});
    for (const crypto::Recipient& recipient : recipients.points) {
        c.recipients.push_back(recipient.text());
    }
    c.keys.host = config::default_host_key(c.site);
    if (!request.identity.empty()) {
        c.keys.identity = request.identity;
    }
    c.tiers.push_back({"critical", {std::chrono::hours(1), std::chrono::minutes(5)}});
    c.tiers.push_back({"important", {std::chrono::hours(4), std::chrono::hours(1)}});
    if (!request.connection.empty()) {
        config::System system;
        system.name = request.system;
        system.tier = "critical";
        system.connection = request.connection;
        using Kind = config::DataDirectory::Kind;
        system.data_directory.kind = request.data_directory == "auto"   ? Kind::Auto
                                     : request.data_directory == "none" ? Kind::None
                                                                        : Kind::At;
        system.data_directory.path =
            system.data_directory.kind == Kind::At ? request.data_directory : "";
        system.stream.slot = config::default_slot(request.system);
        system.stream.spool = config::default_spool(c.site, request.system);
        c.systems.push_back(std::move(system));
    }
    return c;
}

}  // namespace

Result<InitReport> init(const World& world, const InitRequest& request) {
    TRY(refuse_existing_configuration(world.files, request.config_file));
    const Recipients recipients = TRY(choose_recipients(world, request));
    TRY(check_count(recipients));
    const std::string host_key = config::default_host_key({request.site, {}, request.state});
    const repo::HostKeys host = TRY(read_or_make_host_keys(world, host_key));
    const std::string signer = host.signing_key().verify_key().text();
    TRY(write_recovery_keys(world, recipients, "", signer));
    const Opened opened = TRY(open_or_create(world, request, recipients));
    TRY(write_recovery_keys(world, recipients, base::hex(opened.repository->id()),
                            signer));  // now they can say for which repository
    TRY(opened.repository->register_writer(host, request.site, world.clock));
    const std::string text = config::render_config(configuration(request, recipients, signer));
    TRY(config::parse_config(text, request.config_file)
            .during("checking the configuration that init wrote"));
    TRY(base::create_directories(world.files, base::parent_of(request.config_file)));
    TRY(base::write_durably(world.files, request.config_file, base::view(text), base::Replace::No,
                            0640)
            .during("writing the configuration"));

    InitReport report;
    report.config_file = request.config_file;
    report.repository = request.repository_url;
    report.repository_id = base::hex(opened.repository->id());
    report.host_key = host_key;
    report.signer = signer;
    report.joined = opened.joined;
    for (const auto& [path, identity] : recipients.made) {
        report.recovery_keys.push_back(path);
    }
    for (const crypto::Recipient& recipient : recipients.points) {
        report.recipients.push_back(recipient.text());
    }
    return report;
}

Json InitReport::to_json() const {
    const auto list = [](const std::vector<std::string>& items) {
        Json json = Json::array();
        for (const std::string& item : items) {
            json.push(item);
        }
        return json;
    };
    Json json = Json::object();
    json.set("config", config_file)
        .set("repository", repository)
        .set("repository_id", repository_id)
        .set("host_key", host_key);
    json.set("signer", signer)
        .set("recovery_keys", list(recovery_keys))
        .set("recipients", list(recipients))
        .set("joined", joined);
    return json;
}

}  // namespace lifeboat::service

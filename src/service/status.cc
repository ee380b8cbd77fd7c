#include "service/status.h"

#include "service/lock.h"

namespace lifeboat::service {

using base::Json;

namespace {

Result<> add_sizes(store::ObjectStore& store, SystemStatus& status) {
    return store.list("s/" + status.name + "/",
                      [&status](const store::ObjectInfo& object) -> Result<> {
                          ++status.objects;
                          status.bytes += object.size;
                          return {};
                      });
}

SystemStatus look_at(const Installation& installation, const OpenRepository& repository,
                     repo::ReaderKeys* keys, const config::System& system) {
    SystemStatus status;
    status.name = system.name;
    status.tier = system.tier;
    status.running = SystemLock::holder(installation.config().site.state, system.name).value_or("");
    auto standing = take_standing(installation, repository, keys, system);
    if (!standing) {
        status.trouble = standing.error().message();
        return status;
    }
    status.standing = std::move(standing).value();
    const auto sizes = add_sizes(*repository.store, status);
    if (!sizes) {
        status.trouble = sizes.error().message();
    }
    return status;
}

}  // namespace

Result<StatusReport> status(Installation& installation, const std::string& name) {
    const auto systems = TRY(installation.systems({}));
    OpenRepository* repository = TRY(installation.repository(name));
    auto keys = installation.reader_keys(*repository, {});
    StatusReport report;
    report.repository = repository->name;
    report.url = repository->url;
    for (const config::System* system : systems) {
        report.systems.push_back(
            look_at(installation, *repository, keys ? keys->get() : nullptr, *system));
    }
    return report;
}

Json StatusReport::to_json() const {
    Json list = Json::array();
    for (const SystemStatus& system : systems) {
        Json json = system.trouble.empty() ? system.standing.to_json() : Json::object();
        json.set("system", system.name).set("tier", system.tier).set("objects", system.objects);
        json.set("bytes", system.bytes).set("running", system.running);
        json.set("trouble", system.trouble);
        if (!system.trouble.empty()) {
            json.set("verdict", policy::name(policy::Verdict::Unknown));
        }
        list.push(std::move(json));
    }
    Json json = Json::object();
    json.set("repository", repository).set("url", url).set("systems", std::move(list));
    return json;
}

}  // namespace lifeboat::service

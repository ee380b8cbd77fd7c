#include "service/list.h"

namespace lifeboat::service {

using base::Json;

namespace {

ListedBackup describe(const repo::Repository& repository, const repo::ManifestName& name,
                      const repo::ReaderKeys& keys) {
    ListedBackup listed{name.backup, name.stop, name.expires, {}, {}};
    auto opened = repository.load(name, keys);
    if (opened) {
        listed.manifest = std::move(opened->manifest);
    } else {
        listed.trouble = opened.error().message();
    }
    return listed;
}

Result<ListedSystem> list_system(Installation& installation, OpenRepository& repository,
                                 repo::ReaderKeys& keys, const config::System& system) {
    ListedSystem listed;
    listed.name = system.name;
    const auto names = TRY(repository.repository->backups(system.name));
    for (const repo::ManifestName& name : names) {
        listed.backups.push_back(describe(*repository.repository, name, keys));
    }
    const auto engine = TRY(installation.engine(system));
    auto windows = engine->windows(*repository.repository, keys, installation.world().context());
    if (windows) {
        listed.windows = std::move(windows).value();
    } else {
        listed.trouble = windows.error().message();
    }
    return listed;
}

Json backup_json(const ListedBackup& b) {
    Json json = Json::object();
    json.set("backup", b.id)
        .set("stop", base::format_time(b.stop))
        .set("expires", b.expires.text())
        .set("trouble", b.trouble);
    if (b.manifest) {
        const repo::Manifest& m = *b.manifest;
        json.set("kind", m.kind == repo::BackupKind::Full ? "full" : "incremental")
            .set("start", base::format_time(m.start));
        json.set("bytes", m.counts.bytes)
            .set("stored_bytes", m.counts.stored_bytes)
            .set("needed_bytes", m.needed_bytes());
        json.set("damaged_pages", m.counts.damaged_pages).set("state", "taken");
    }
    return json;
}

Json window_json(const engine::Window& w) {
    Json json = Json::object();
    json.set("from", w.from).set("to", w.to);
    json.set("from_time", w.from_time ? Json(base::format_time(*w.from_time)) : Json());
    json.set("to_time", w.to_time ? Json(base::format_time(*w.to_time)) : Json());
    json.set("note", w.note);
    return json;
}

}  // namespace

Result<ListReport> list(Installation& installation, const ListRequest& request) {
    const auto systems = TRY(installation.systems(
        request.system.empty() ? std::vector<std::string>{} : std::vector{request.system}));
    OpenRepository* repository = TRY(installation.repository(request.repository));
    const auto keys = TRY(installation.reader_keys(*repository, {}));
    ListReport report;
    report.repository = repository->name;
    for (const config::System* system : systems) {
        ListedSystem listed = TRY(list_system(installation, *repository, *keys, *system)
                                      .during("listing '" + system->name + "'"));
        report.systems.push_back(std::move(listed));
    }
    return report;
}

Json ListReport::to_json() const {
    Json list = Json::array();
    for (const ListedSystem& system : systems) {
        Json backups = Json::array();
        for (const ListedBackup& backup : system.backups) {
            backups.push(backup_json(backup));
        }
        Json windows = Json::array();
        for (const engine::Window& window : system.windows) {
            windows.push(window_json(window));
        }
        Json json = Json::object();
        json.set("system", system.name)
            .set("backups", std::move(backups))
            .set("windows", std::move(windows))
            .set("trouble", system.trouble);
        list.push(std::move(json));
    }
    Json json = Json::object();
    json.set("repository", repository).set("systems", std::move(list));
    return json;
}

}  // namespace lifeboat::service

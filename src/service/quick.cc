#include "service/quick.h"

namespace lifeboat::service {

using base::Code;
using base::Error;
using base::Json;

namespace {

Result<engine::Discovered> find_system(const World& world, const InitRequest& request) {
    if (!world.discover) {
        return Error(Code::Unsupported, "this program finds no systems by itself")
            .hint("Run 'lifeboat init --connection ...'.");
    }
    return world.discover(request.connection, world.context());
}

Result<InitReport> set_up(const World& world, InitRequest request, const QuickWatch& watch,
                          QuickReport& report) {
    report.found = TRY(find_system(world, request));
    watch.found(*report.found);
    request.connection = report.found->connection;
    if (request.data_directory == "auto") {
        request.data_directory = report.found->data_directory;
    }
    return init(world, request);
}

// A configuration that is there already is an earlier run's if it has no backup yet.
Result<> check_unfinished(Installation& installation, const InitRequest& request) {
    OpenRepository* repository = TRY(installation.repository());
    const auto systems = TRY(installation.systems({}));
    for (const config::System* system : systems) {
        const auto backups = TRY(repository->repository->backups(system->name));
        if (!backups.empty()) {
            return Error(Code::Conflict, "'" + request.config_file +
                                             "' is there already, with a "
                                             "backup of '" +
                                             system->name + "'")
                .hint("Take another with 'lifeboat backup'. Nothing was changed.");
        }
    }
    return {};
}

Result<> check_outcome(const BackupReport& report, const std::string& config_file) {
    for (const BackupOutcome& outcome : report.outcomes) {
        if (outcome.error) {
            const bool stopped = outcome.error->code() == base::Code::Cancelled;
            const std::string said = stopped ? "It was stopped on request." : outcome.error->hint();
            return outcome.error->clone().hint(
                said + (said.empty() ? "" : " ") + "Everything else is set up; " +
                (stopped ? "for the backup," : "when this is mended,") +
                " type: lifeboat --config " + config_file + " backup");
        }
    }
    return {};
}

}  // namespace

Result<QuickReport> init_quick(const World& world, InitRequest request, const QuickWatch& watch) {
    QuickReport report;
    const bool resumed = TRY(base::exists(world.files, request.config_file));
    if (!resumed) {
        report.init = TRY(set_up(world, request, watch, report));
        watch.ready(*report.init);
    }
    Installation installation = TRY(Installation::open(world, request.config_file));
    if (resumed) {
        TRY(check_unfinished(installation, request));
    }
    report.backup = TRY(backup(installation, {}, watch.backup));
    TRY(check_outcome(report.backup, request.config_file));
    return report;
}

Json QuickReport::to_json() const {
    Json json = Json::object();
    json.set("found", found ? Json(found->about) : Json());
    json.set("connection", found ? Json(found->connection) : Json());
    json.set("init", init ? init->to_json() : Json()).set("backup", backup.to_json());
    return json;
}

}  // namespace lifeboat::service

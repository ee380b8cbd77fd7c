#include "service/check.h"

#include <algorithm>

namespace lifeboat::service {

using base::Code;
using base::Json;

namespace {

// Without --identity a check of names or objects goes on without keys, and learns less.
Result<std::unique_ptr<repo::ReaderKeys>> find_keys(Installation& installation,
                                                    const OpenRepository& repository,
                                                    const CheckRequest& request) {
    const bool must = request.level == repo::CheckLevel::Data;
    auto keys = installation.reader_keys(repository, {request.identity, must});
    if (!keys && !must && request.identity.empty() && keys.error().code() == Code::Denied) {
        return std::unique_ptr<repo::ReaderKeys>();
    }
    return keys;
}

bool has_unknown(const repo::CheckReport& report) {
    return !report.unread.empty() ||
           std::any_of(report.backups.begin(), report.backups.end(), [](const auto& backup) {
               return backup.state == repo::BackupState::Unknown;
           });
}

}  // namespace

std::string_view name(repo::BackupState state) {
    switch (state) {
        case repo::BackupState::Whole:
            return "whole";
        case repo::BackupState::Degraded:
            return "degraded";
        case repo::BackupState::Unknown:
            break;
    }
    return "unknown";
}

bool has_loss(const repo::CheckReport& report) {
    const auto degraded = [](const repo::BackupCheck& backup) {
        return backup.state == repo::BackupState::Degraded;
    };
    const auto lost = [](const repo::StreamLoss& loss) {
        return loss.kind == repo::StreamLossKind::Hole ||
               loss.kind == repo::StreamLossKind::Damaged;
    };
    const auto holed = [&](const repo::StreamCheck& stream) {
        return std::any_of(stream.lost.begin(), stream.lost.end(), lost);
    };
    return !report.missing.empty() || !report.damaged.empty() ||
           std::any_of(report.backups.begin(), report.backups.end(), degraded) ||
           std::any_of(report.streams.begin(), report.streams.end(), holed);
}

Result<CheckOutcome> check(Installation& installation, const CheckRequest& request,
                           const repo::CheckWatcher& watch) {
    base::Clock& clock = installation.world().clock;
    const auto began = clock.steady();
    OpenRepository* repository = TRY(installation.repository(request.repository));
    const auto keys = TRY(find_keys(installation, *repository, request));
    repo::CheckOptions options;
    options.level = request.level;
    options.systems = request.systems;
    CheckOutcome outcome;
    outcome.repository = repository->name;
    outcome.keyed = keys != nullptr;
    outcome.report = TRY(repo::check_repository(*repository->repository, keys.get(), options, watch,
                                                installation.world().stop)
                             .during("checking repository '" + repository->name + "'"));
    outcome.took = std::chrono::duration_cast<base::Duration>(clock.steady() - began);
    return outcome;
}

int CheckOutcome::exit_code() const {
    if (has_loss(report)) {
        return base::exit_code(Code::Corrupt);
    }
    return has_unknown(report) ? base::exit_code(Code::Partial) : 0;
}

namespace {

Json texts(const std::vector<std::string>& items) {
    Json json = Json::array();
    for (const std::string& item : items) {
        json.push(item);
    }
    return json;
}

Json findings_json(const std::vector<repo::ObjectFinding>& findings) {
    Json list = Json::array();
    for (const repo::ObjectFinding& finding : findings) {
        Json json = Json::object();
        json.set("object", finding.name).set("size", finding.size).set("why", finding.why);
        list.push(std::move(json));
    }
    return list;
}

Json lost_json(const repo::LostFile& file) {
    Json ranges = Json::array();
    for (const repo::PageRange& range : file.lost) {
        Json json = Json::array();
        json.push(range.first).push(range.last);
        ranges.push(std::move(json));
    }
    Json json = Json::object();
    json.set("path", file.path).set("pages", file.pages).set("lost", std::move(ranges));
    return json;
}

Json backup_json(const repo::BackupCheck& backup) {
    Json lost = Json::array();
    for (const repo::LostFile& file : backup.lost) {
        lost.push(lost_json(file));
    }
    Json json = Json::object();
    json.set("system", backup.name.system).set("backup", backup.name.backup);
    json.set("state", name(backup.state)).set("fatal", backup.fatal);
    json.set("missing", texts(backup.missing)).set("damaged", texts(backup.damaged));
    json.set("unread", texts(backup.unread)).set("warnings", texts(backup.warnings));
    json.set("paths_known", backup.paths_known).set("exact", backup.exact);
    json.set("files", backup.files).set("lost", std::move(lost));
    return json;
}

std::string_view level_name(repo::CheckLevel level) {
    switch (level) {
        case repo::CheckLevel::Names:
            return "names";
        case repo::CheckLevel::Objects:
            return "objects";
        case repo::CheckLevel::Data:
            break;
    }
    return "data";
}

}  // namespace

Json CheckOutcome::to_json() const {
    Json backups = Json::array();
    for (const repo::BackupCheck& backup : report.backups) {
        backups.push(backup_json(backup));
    }
    Json json = Json::object();
    json.set("repository", repository).set("level", level_name(report.level));
    json.set("healthy", report.is_healthy()).set("at", base::format_time(report.at));
    json.set("objects", report.objects).set("bytes", report.bytes);
    json.set("plain_bytes", report.plain_bytes);
    json.set("seconds", std::chrono::duration<double>(took).count());
    json.set("missing", findings_json(report.missing));
    json.set("damaged", findings_json(report.damaged));
    json.set("unread", findings_json(report.unread));
    json.set("unreferenced", findings_json(report.unreferenced));
    json.set("expired", findings_json(report.expired));
    json.set("foreign", findings_json(report.foreign));
    json.set("backups", std::move(backups)).set("sentences", texts(repo::describe(report)));
    return json;
}

}  // namespace lifeboat::service

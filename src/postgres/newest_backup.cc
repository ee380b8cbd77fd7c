// Tested by wal_push_test.cc, wal_receiver_test.cc and tests/e2e/cli_server_test.cc.

#include "postgres/newest_backup.h"

#include <utility>

namespace lifeboat::postgres {

using base::Code;
using base::Error;

namespace {

std::string cluster_words(std::uint64_t identifier, int major) {
    return "cluster " + std::to_string(identifier) + " (PostgreSQL " + std::to_string(major) + ")";
}

}  // namespace

Result<std::optional<NewestBackup>> find_newest_backup(
    repo::Repository& repository, const repo::HostKeys& host, std::string_view system,
    const std::function<void(const Error&)>& unread) {
    const auto names = TRY(repository.backups(system));
    const repo::ReaderKeys keys({}, host.secret, {host.signing_key().verify_key()});
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
        const auto opened = repository.load(*name, keys);
        if (!opened && opened.error().code() == Code::Unavailable) {
            return opened.error().clone();
        }
        auto details = opened ? BackupDetails::from_json(opened->manifest.details)
                              : Result<BackupDetails>(opened.error().clone());
        if (details) {
            return std::optional(NewestBackup{opened->manifest.backup, std::move(details).value()});
        }
        if (unread) {
            unread(details.error());
        }
    }
    return std::optional<NewestBackup>();
}

Result<> check_backup_cluster(const NewestBackup& newest, std::uint64_t system_identifier,
                              int major) {
    const BackupDetails& details = newest.details;
    if (details.system_identifier == system_identifier && details.major() == major) {
        return {};
    }
    return Error(Code::Conflict, "the newest backup of this system, '" + newest.id + "', is of " +
                                     cluster_words(details.system_identifier, details.major()) +
                                     "; the server is " + cluster_words(system_identifier, major))
        .hint(
            "Correct 'connection', or the system that archive_command names, or give this server a "
            "system of its own in lifeboat.yaml: after an upgrade to a new major version too.");
}

}  // namespace lifeboat::postgres

#include "service/plumbing.h"

namespace lifeboat::service {

Result<> wal_push(Installation& installation, const std::string& name,
                  const std::string& repository_name, const std::string& path) {
    const config::System* system = TRY(config::find_system(installation.config(), name));
    OpenRepository* repository = TRY(installation.repository(repository_name));
    const repo::HostKeys* host = TRY(installation.host_keys());
    const auto engine = TRY(installation.engine(*system));
    engine::StreamJob job{*repository->repository,
                          *host,
                          system->stream.retention,
                          system->stream.spool,
                          system->stream.spool_limit,
                          system->stream.interval,
                          true,
                          {},
                          {},
                          false};
    return engine->push(job, path, installation.world().context())
        .during("storing '" + path + "' of system '" + name + "'");
}

Result<> wal_feed(Installation& installation, const FeedRequest& request) {
    const config::System* system = TRY(config::find_system(installation.config(), request.system));
    OpenRepository* repository = TRY(installation.repository(request.repository));
    const auto keys = TRY(installation.reader_keys(*repository, {request.identity, true}));
    const auto engine = TRY(installation.engine(*system));
    return engine->feed(*repository->repository, *keys, request.target,
                        installation.world().context());
}

}  // namespace lifeboat::service

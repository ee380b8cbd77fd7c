#include "postgres/postgres_engine.h"

#include "postgres/backup.h"
#include "postgres/doctor.h"
#include "postgres/recovery_landing.h"
#include "postgres/recovery_plan.h"
#include "postgres/recovery_windows.h"
#include "postgres/server_process.h"
#include "postgres/wal_feeder.h"
#include "postgres/wal_push.h"
#include "postgres/wal_receiver.h"

namespace lifeboat::postgres {

using base::Result;

Result<repo::Manifest> PostgresEngine::backup(engine::BackupJob& job,
                                              const engine::Context& context) {
    return take_backup(config_, job, context);
}

Result<> PostgresEngine::stream(engine::StreamJob& job, const engine::Context& context) {
    return stream_wal(config_, job, context);
}

Result<engine::RecoveryPlan> PostgresEngine::plan_restore(repo::Repository& repository,
                                                          repo::ReaderKeys& keys,
                                                          const engine::RecoveryRequest& request,
                                                          const engine::Context& context) {
    return plan_recovery(config_.system, repository, keys, request, context);
}

Result<engine::Landing> PostgresEngine::landing(const engine::RecoveryPlan& plan,
                                                const engine::LandingRequest& request) {
    return recovery_landing(plan, request);
}

Result<std::vector<engine::Window>> PostgresEngine::windows(repo::Repository& repository,
                                                            repo::ReaderKeys& keys,
                                                            const engine::Context&) {
    return recovery_windows(config_.system, repository, keys);
}

bool PostgresEngine::reaches(const engine::Window& window, const std::string& position) const {
    return window_reaches(window, position);
}

Result<engine::StartReport> PostgresEngine::start(repo::Repository& repository,
                                                  repo::ReaderKeys& keys,
                                                  const engine::RecoveryPlan& plan,
                                                  const engine::StartRequest& request,
                                                  const engine::Context& context) {
    return start_recovered(repository, keys, {plan, request, config_.connection, context});
}

Result<> PostgresEngine::push(engine::StreamJob& job, const std::string& path,
                              const engine::Context& context) {
    return push_segment({job.repository, job.host, config_.system, job.retention, job.spool},
                        context, path);
}

Result<> PostgresEngine::feed(repo::Repository& repository, repo::ReaderKeys& keys,
                              const std::string& target, const engine::Context& context) {
    ResidentRequest request;
    request.target = target;
    return run_resident_feeder(request, repository, keys, context.files, context.clock,
                               context.stop);
}

Result<std::vector<engine::Finding>> PostgresEngine::diagnose(const engine::Context& context) {
    return diagnose_server(config_, context);
}

}  // namespace lifeboat::postgres

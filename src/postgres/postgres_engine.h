#pragma once

#include "engine/data_engine.h"
#include "postgres/postgres_config.h"

namespace lifeboat::postgres {

// PostgreSQL 13 to 18 behind the engine interface. Each call is a function of its own file; this
// class only joins them to one configuration.
class PostgresEngine final : public engine::DataEngine {
  public:
    explicit PostgresEngine(PostgresConfig config) : config_(std::move(config)) {}

    std::string_view name() const override { return "postgres"; }

    base::Result<repo::Manifest> backup(engine::BackupJob& job,
                                        const engine::Context& context) override;
    base::Result<> stream(engine::StreamJob& job, const engine::Context& context) override;
    base::Result<> push(engine::StreamJob& job, const std::string& path,
                        const engine::Context& context) override;
    base::Result<> feed(repo::Repository& repository, repo::ReaderKeys& keys,
                        const std::string& target, const engine::Context& context) override;
    base::Result<engine::RecoveryPlan> plan_restore(repo::Repository& repository,
                                                    repo::ReaderKeys& keys,
                                                    const engine::RecoveryRequest& request,
                                                    const engine::Context& context) override;
    base::Result<engine::Landing> landing(const engine::RecoveryPlan& plan,
                                          const engine::LandingRequest& request) override;
    bool reaches(const engine::Window& window, const std::string& position) const override;
    base::Result<std::vector<engine::Window>> windows(repo::Repository& repository,
                                                      repo::ReaderKeys& keys,
                                                      const engine::Context& context) override;
    base::Result<engine::StartReport> start(repo::Repository& repository, repo::ReaderKeys& keys,
                                            const engine::RecoveryPlan& plan,
                                            const engine::StartRequest& request,
                                            const engine::Context& context) override;
    base::Result<std::vector<engine::Finding>> diagnose(const engine::Context& context) override;

  private:
    const PostgresConfig config_;
};

}  // namespace lifeboat::postgres

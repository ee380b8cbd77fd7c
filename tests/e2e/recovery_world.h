#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data_engine.h"
#include "postgres/lsn.h"
#include "restore/apply.h"
#include "store/decorators.h"
#include "tests/support/pg_cluster.h"
#include "tests/support/repo_world.h"

namespace lifeboat::test {

// A moment of the original cluster, and what it held then.
struct Moment {
    postgres::Lsn lsn;      // where the next record went
    std::uint64_t xid = 0;  // of the transaction that made it so; 0: none did
    base::Timestamp time;   // of its commit
    std::string rows;       // "1,2,3": the table's rows right after it
};

// One cluster with a life: commits at known moments, a restore point, a prepared transaction, an
// abort, a table that is dropped, a setting that grows, a timeline that is left and two that go on.
// Its backup and its WAL lie in a repository on this disk, the WAL in pieces and packs of many
// sizes. Expensive, so made once and shared: nothing in it changes afterwards.
class RecoveryWorld {
  public:
    RecoveryWorld();
    ~RecoveryWorld();

    const Moment& at(const std::string& name) const { return moments_.at(name); }

    engine::Context context() {
        return {base::real_files(), base::system_clock(), base::system_random(), stop};
    }

    const std::string& backup() const { return backup_; }

    postgres::Lsn captured_to() const { return two_ends_; }  // on timeline 2

    std::string directory(const std::string& name) const { return cluster_->inside(name); }

    const postgres::PgCluster& cluster() const { return *cluster_; }

    // What `decide` says of each call from now on; nothing: all is well.
    void set_faults(store::FaultPlan decide) { faults_ = std::move(decide); }

    std::unique_ptr<store::ObjectStore> store;
    RepoKeys keys;
    std::unique_ptr<repo::ReaderKeys> reader;
    std::unique_ptr<repo::Repository> repository;
    base::StopToken stop;

  private:
    void live();
    void live_on_timeline_one();
    void live_on_timeline_two();
    void take_backup();
    void store_wal();
    void store_segments(const std::string& directory, std::uint32_t timeline, postgres::Lsn from,
                        postgres::Lsn to);
    void store_history();
    Moment note(const std::string& name, std::uint64_t xid);
    Moment insert(const std::string& name, int n);
    std::string ask(const std::string& sql) const;

    std::unique_ptr<postgres::PgCluster> cluster_;
    std::map<std::string, Moment> moments_;
    store::FaultPlan faults_;
    std::string backup_;
    int port_ = 5432;
    std::uint64_t system_identifier_ = 0;
    postgres::Lsn begin_;     // of what is stored of timeline 1
    postgres::Lsn one_ends_;  // the last byte of timeline 1
    postgres::Lsn two_ends_;
    postgres::Lsn switched_;
};

// One restore, in a directory that the destructor removes, after stopping the server that runs
// there.
class Restored {
  public:
    Restored(RecoveryWorld& world, std::string name);
    ~Restored();
    Restored(const Restored&) = delete;
    Restored& operator=(const Restored&) = delete;

    base::Result<> plan(const engine::Target& target,
                        std::optional<std::uint32_t> timeline = std::nullopt);
    base::Result<> apply(const std::vector<std::pair<std::string, std::string>>& remap = {});
    base::Result<> start(engine::StartRequest request = {});
    base::Result<> all(const engine::Target& target,
                       std::optional<std::uint32_t> timeline = std::nullopt);

    std::string rows() const;
    std::string ask(const std::string& sql, int port = 0) const;
    void stop_server();
    bool exists(const std::string& name) const;
    std::string read(const std::string& name) const;

    std::string directory;
    std::optional<engine::RecoveryPlan> recovery;
    engine::StartReport report;

  private:
    RecoveryWorld& world_;
};

}  // namespace lifeboat::test

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/stop.h"
#include "service/init.h"
#include "service/installation.h"
#include "service/world.h"
#include "store/decorators.h"
#include "tests/support/repo_world.h"
#include "tests/support/temp_dir.h"

namespace lifeboat::test {

// What an engine of the service's tests does and saw. Set before the verb is called.
struct EngineScript {
    Tree tree;                      // what a backup captures
    std::set<std::string> failing;  // systems whose backup fails with Unavailable
    std::set<std::string> damaged;  // systems whose backup finds a damaged page
    std::vector<engine::Window> windows;
    std::optional<base::Error> windows_error;
    std::vector<engine::Finding> findings;
    std::optional<base::Error> silence;       // diagnose and plan_restore fail so
    std::vector<engine::StreamState> states;  // that a stream reports
    std::string need_base;  // why a stream asks for a new base; empty: it does not
    std::vector<engine::StreamState> states_after;  // that it reports when all of this is done
    std::function<void()> while_streaming;          // after that, in the stream's thread
    std::function<void()> during_backup;            // in whichever thread takes it
    std::optional<base::Error> stream_error;        // after that; nothing: it ends in good order
    engine::StartReport started;
    std::optional<base::Error> start_error;  // nothing: it starts

    std::atomic<int> backups = 0;
    std::vector<std::string> parents;  // of the backups that were taken; "" for none
    std::vector<engine::RecoveryRequest> planned;
    std::vector<engine::LandingRequest> landed;
    std::vector<engine::StartRequest> starts;
    std::vector<std::string> pushed;  // paths
    std::vector<std::string> fed;     // targets
};

// The world of the service's tests: stores in memory by URL, engines that follow the script, a
// clock that stands, and real files in a directory of their own (locks are the kernel's).
class ServiceWorld {
  public:
    ServiceWorld();

    // 'init' with one system per name; no name, no system.
    base::Result<service::InitReport> init(const std::vector<std::string>& systems = {"main"});
    service::Installation open();  // of what init wrote
    void append_config(const std::string& text);

    std::string config() const { return dir / "lifeboat.yaml"; }

    std::string url() const { return "mem://one"; }

    store::ObjectStore& objects() { return *stores.at(url()); }

    std::string write(const std::string& name, const std::string& text, std::uint32_t mode = 0600);
    std::string read(const std::string& name);

    TempDir dir;
    base::ManualClock clock{base::from_unix_micros(1'769'176'800'000'000)};  // 2026-01-23T14:00:00Z
    std::unique_ptr<base::Random> random = base::seeded_random(7);
    base::StopToken stop;
    std::map<std::string, std::unique_ptr<store::ObjectStore>> stores;
    EngineScript script;
    std::function<base::Result<engine::Discovered>(const std::string&)> discover;
    service::World world;
};

}  // namespace lifeboat::test

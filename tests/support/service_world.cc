#include "tests/support/service_world.h"

#include "tests/support/expect.h"

namespace lifeboat::test {

using base::Code;
using base::Error;
using base::Result;

namespace {

// A store that several installations open one after another.
class Shared final : public store::ObjectStore {
  public:
    explicit Shared(store::ObjectStore& inner) : inner_(inner) {}

    Result<> put(const std::string& name, base::BytesView bytes) override {
        return inner_.put(name, bytes);
    }

    Result<base::Bytes> get(const std::string& name) override { return inner_.get(name); }

    Result<> get_range(const std::string& name, std::uint64_t offset,
                       base::MutableBytes out) override {
        return inner_.get_range(name, offset, out);
    }

    Result<store::ObjectInfo> stat(const std::string& name) override { return inner_.stat(name); }

    Result<> list(const std::string& prefix,
                  const std::function<Result<>(const store::ObjectInfo&)>& each) override {
        return inner_.list(prefix, each);
    }

    Result<> remove(const std::string& name) override { return inner_.remove(name); }

    Result<base::Timestamp> now() override { return inner_.now(); }

    std::string describe() const override { return inner_.describe(); }

  private:
    store::ObjectStore& inner_;
};

class ScriptedEngine final : public engine::DataEngine {
  public:
    ScriptedEngine(EngineScript& script, std::string system)
        : script_(script), system_(std::move(system)) {}

    std::string_view name() const override { return "files"; }

    Result<repo::Manifest> backup(engine::BackupJob& job, const engine::Context& context) override {
        ++script_.backups;
        if (script_.during_backup) {
            script_.during_backup();
        }
        if (script_.failing.count(system_) > 0) {
            return Error(Code::Unavailable, "server of '" + system_ + "' does not answer")
                .hint("Start it.");
        }
        if (job.full) {
            job.parent.reset();
        }
        script_.parents.push_back(job.parent ? job.parent->manifest.backup : "");
        job.notes.push_back("The script was followed.");
        CaptureJob capture;
        capture.system = system_;
        capture.tree = &script_.tree;
        capture.previous = job.parent ? &*job.parent : nullptr;
        if (script_.damaged.count(system_) > 0) {
            capture.damage.push_back({"base/5/1259", 7, "checksum"});
        }
        return capture_tree(job.repository, job.host, capture, context.clock, context.random);
    }

    Result<> stream(engine::StreamJob& job, const engine::Context&) override {
        for (const engine::StreamState& state : script_.states) {
            job.report(state);
        }
        if (!script_.need_base.empty()) {
            job.need_base({script_.need_base, [](const repo::Manifest&) { return true; }});
        }
        if (script_.while_streaming) {
            script_.while_streaming();
        }
        for (const engine::StreamState& state : script_.states_after) {
            job.report(state);
        }
        if (script_.stream_error) {
            return script_.stream_error->clone();
        }
        return {};
    }

    Result<> push(engine::StreamJob&, const std::string& path, const engine::Context&) override {
        script_.pushed.push_back(path);
        return {};
    }

    Result<> feed(repo::Repository&, repo::ReaderKeys& keys, const std::string& target,
                  const engine::Context&) override {
        script_.fed.push_back(target + (keys.has_identity() ? " with an identity" : ""));
        return {};
    }

    Result<engine::RecoveryPlan> plan_restore(repo::Repository& repository, repo::ReaderKeys& keys,
                                              const engine::RecoveryRequest& request,
                                              const engine::Context&) override {
        script_.planned.push_back(request);
        if (script_.silence) {
            return script_.silence->clone();
        }
        const auto names = TRY(repository.backups(system_));
        if (names.empty()) {
            return Error(Code::NotFound, "there is no backup").hint("Take one.");
        }
        engine::RecoveryPlan plan;
        plan.backup = TRY(repository.load(names.back(), keys));
        plan.point = "the end";
        plan.sentences = {"Everything is brought back."};
        return plan;
    }

    Result<engine::Landing> landing(const engine::RecoveryPlan&,
                                    const engine::LandingRequest& request) override {
        script_.landed.push_back(request);
        return engine::Landing{};
    }

    Result<std::vector<engine::Window>> windows(repo::Repository&, repo::ReaderKeys&,
                                                const engine::Context&) override {
        if (script_.windows_error) {
            return script_.windows_error->clone();
        }
        return script_.windows;
    }

    bool reaches(const engine::Window& window, const std::string& position) const override {
        return window.to == position;
    }

    Result<engine::StartReport> start(repo::Repository&, repo::ReaderKeys&,
                                      const engine::RecoveryPlan&,
                                      const engine::StartRequest& request,
                                      const engine::Context&) override {
        script_.starts.push_back(request);
        if (script_.start_error) {
            return script_.start_error->clone();
        }
        return script_.started;
    }

    Result<std::vector<engine::Finding>> diagnose(const engine::Context&) override {
        if (script_.silence) {
            return script_.silence->clone();
        }
        return script_.findings;
    }

  private:
    EngineScript& script_;
    const std::string system_;
};

}  // namespace

ServiceWorld::ServiceWorld()
    : world{base::real_files(),
            clock,
            *random,
            stop,
            [this](const std::string& url,
                   service::World::Place place) -> Result<std::unique_ptr<store::ObjectStore>> {
                if (stores.count(url) == 0) {
                    if (place == service::World::Place::MustExist) {
                        return Error(Code::NotFound, "'" + url + "' does not exist")
                            .hint("Mount it.");
                    }
                    stores[url] = store::memory_store(clock);
                }
                return std::unique_ptr<store::ObjectStore>(new Shared(*stores[url]));
            },
            [this](const config::System& system,
                   const base::Secret&) -> Result<std::unique_ptr<engine::DataEngine>> {
                return std::unique_ptr<engine::DataEngine>(new ScriptedEngine(script, system.name));
            },
            "/usr/bin/lifeboat",
            [this](const std::string& connection, const engine::Context&)
                -> Result<engine::Discovered> { return discover(connection); }} {
    script.tree = {{"PG_VERSION", {'1', '5', '\n'}}, {"base/5/1259", table_like(1, 40 * 8192)}};
}

Result<service::InitReport> ServiceWorld::init(const std::vector<std::string>& systems) {
    service::InitRequest request;
    request.config_file = config();
    request.state = dir / "state";
    request.repository_url = url();
    request.keys_directory = dir / "keys";
    request.site = "test";
    if (!systems.empty()) {
        request.system = systems.front();
        request.connection = "host=/nowhere";
    }
    auto report = service::init(world, request);
    for (std::size_t i = 1; i < systems.size(); ++i) {
        append_config("  " + systems[i] + ": {engine: postgres, connection: host=/nowhere}\n");
    }
    return report;
}

service::Installation ServiceWorld::open() {
    auto installation = service::Installation::open(world, config());
    EXPECT_TRUE(ok(installation));
    return std::move(installation).value();
}

void ServiceWorld::append_config(const std::string& text) {
    write("lifeboat.yaml", read("lifeboat.yaml") + text, 0640);
}

std::string ServiceWorld::write(const std::string& name, const std::string& text,
                                std::uint32_t mode) {
    const std::string path = dir / name;
    EXPECT_TRUE(ok(
        base::write_durably(base::real_files(), path, base::view(text), base::Replace::Yes, mode)));
    return path;
}

std::string ServiceWorld::read(const std::string& name) {
    const auto bytes = base::read_file(base::real_files(), dir / name);
    EXPECT_TRUE(ok(bytes));
    return bytes ? std::string(base::text(*bytes)) : "";
}

}  // namespace lifeboat::test

#include "service/stream.h"

#include <utility>

#include "base/log.h"
#include "base/workers.h"
#include "service/anchor.h"

namespace lifeboat::service {

using base::Code;
using base::Error;
using base::Json;

namespace {

Json state_json(const engine::StreamState& s) {
    Json json = Json::object();
    json.set("phase", s.phase)
        .set("position", s.position)
        .set("captured", s.captured ? Json(base::format_time(*s.captured)) : Json());
    json.set("lag_bytes", s.lag_bytes)
        .set("spool_bytes", s.spool_bytes)
        .set("reconnects", s.reconnects)
        .set("gaps", s.gaps);
    json.set("trouble", s.trouble).set("updated", base::format_time(s.updated));
    return json;
}

std::string status_path(const Installation& installation, const std::string& system) {
    return base::join(installation.state_path("status"), system + ".json");
}

struct Streaming {
    Installation& installation;
    OpenRepository& repository;
    const repo::HostKeys& host;
    const StreamWatch& watch;
    bool drain;
};

// However a capture ends: its anchor must not wait for it.
struct EndAnchor {
    Anchor& anchor;

    ~EndAnchor() { anchor.end(); }
};

std::string joined(const std::string& a, const std::string& b) {
    return a + (a.empty() || b.empty() ? "" : "; ") + b;
}

// A status that cannot be written must not end a capture; it is logged when that begins or the
// reason changes, and `status` shows it as old. `unwritten` is the last reason.
void publish(Streaming& all, const std::string& system, const engine::StreamState& state,
             std::string& unwritten) {
    const std::string text = state_json(state).dump() + "\n";
    const auto written =
        base::write_durably(all.installation.world().files, status_path(all.installation, system),
                            base::view(text), base::Replace::Yes, 0644);
    const std::string trouble = written ? "" : written.error().message();
    if (trouble != unwritten && !trouble.empty()) {
        base::log(base::LogLevel::Warn, "writing the stream's status failed",
                  {{"system", system}, {"error", trouble}});
    }
    unwritten = trouble;
    all.watch(system, state);
}

Result<> capture(Streaming& all, const config::System& system, engine::DataEngine& engine,
                 Anchor& anchor) {
    const World& world = all.installation.world();
    engine::StreamJob job{*all.repository.repository,
                          all.host,
                          system.stream.retention,
                          system.stream.spool,
                          system.stream.spool_limit,
                          system.stream.interval,
                          system.stream.acknowledge == config::Acknowledge::Repository,
                          {},
                          {},
                          all.drain};
    std::string unwritten;
    job.report = [&](engine::StreamState state) {
        state.trouble = joined(state.trouble, anchor.state());
        publish(all, system.name, state, unwritten);
    };
    job.need_base = [&](engine::BaseNeed need) { anchor.ask(std::move(need)); };
    const std::string doing = all.drain ? "storing what the spool of '" + system.name + "' holds"
                                        : "streaming '" + system.name + "'";
    return engine.stream(job, world.context()).during(doing);
}

Result<std::vector<const config::System*>> chosen(const Installation& installation,
                                                  const StreamRequest& request) {
    auto systems = TRY(installation.systems(request.systems));
    if (request.systems.empty()) {
        std::erase_if(systems,
                      [](const config::System* system) { return !system->stream.enabled; });
    }
    if (systems.empty()) {
        return Error(Code::InvalidInput, "no system has a stream")
            .hint("Set 'stream: {enabled: true}' for one in the configuration.");
    }
    return systems;
}

}  // namespace

Result<> stream(Installation& installation, const StreamRequest& request,
                const StreamWatch& watch) {
    const auto systems = TRY(chosen(installation, request));
    OpenRepository* repository = TRY(installation.repository(request.repository));
    const repo::HostKeys* host = TRY(installation.host_keys());
    TRY(repository->repository->register_writer(*host, installation.config().site.name,
                                                installation.world().clock));
    TRY(base::create_directories(installation.world().files, installation.state_path("status"),
                                 0755));
    std::vector<std::unique_ptr<engine::DataEngine>> engines;
    for (const config::System* system : systems) {
        auto engine = TRY(installation.engine(*system));
        engines.push_back(std::move(engine));
    }
    std::vector<std::unique_ptr<Anchor>> anchors;
    for (const config::System* system : systems) {
        anchors.push_back(std::make_unique<Anchor>(
            installation, Anchor::Wanted{system->name, repository->name, request.anchor_pause}));
    }
    Streaming all{installation, *repository, *host, watch, request.drain};
    return base::run_parallel(2 * systems.size(), [&](std::size_t i) -> Result<> {
        const std::size_t at = i / 2;
        if (i % 2 == 1) {
            anchors[at]->run();
            return {};
        }
        const EndAnchor end{*anchors[at]};  // after a stop was requested, if it is
        auto ended = capture(all, *systems[at], *engines[at], *anchors[at]);
        if (!ended) {
            installation.world()
                .stop.request();  // the others end in good order, and the failure is seen
        }
        return ended;
    });
}

Json StreamStatus::to_json() const {
    return state_json(state);
}

namespace {

Result<StreamStatus> parse_status(const Json& json) {
    StreamStatus status;
    engine::StreamState& s = status.state;
    s.phase = TRY(json.text("phase"));
    s.position = TRY(json.text("position"));
    const std::string captured =
        json.find("captured") != nullptr ? json.find("captured")->as_text() : "";
    if (!captured.empty()) {
        s.captured = TRY(base::parse_rfc3339(captured));
    }
    const auto count = [&json](std::string_view key) {
        const Json* value = json.find(key);
        return static_cast<std::uint64_t>(value != nullptr ? value->as_integer() : 0);
    };
    s.lag_bytes = count("lag_bytes");
    s.spool_bytes = count("spool_bytes");
    s.reconnects = count("reconnects");
    s.gaps = count("gaps");
    s.trouble = TRY(json.text("trouble"));
    const std::string updated = TRY(json.text("updated"));
    s.updated = TRY(base::parse_rfc3339(updated));
    return status;
}

}  // namespace

Result<std::optional<StreamStatus>> read_stream_status(const Installation& installation,
                                                       const std::string& system) {
    const std::string path = status_path(installation, system);
    auto bytes = base::read_file(installation.world().files, path, base::kMiB);
    if (!bytes && bytes.error().code() == Code::NotFound) {
        return std::optional<StreamStatus>{};
    }
    const base::Bytes text = TRY(std::move(bytes));
    const Json json = TRY(Json::parse(base::text(text)).during("reading '" + path + "'"));
    StreamStatus status = TRY(parse_status(json).during("reading '" + path + "'"));
    return std::optional<StreamStatus>(std::move(status));
}

}  // namespace lifeboat::service

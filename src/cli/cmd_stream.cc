#include <map>

#include "base/log.h"
#include "base/mutex.h"
#include "cli/commands.h"
#include "service/stream.h"

namespace lifeboat::cli {

namespace {

constexpr auto kQuietBeat = std::chrono::seconds(60);

// In good order: an old note is no news then. What ends badly is 'failed', and an error.
bool is_end(const std::string& phase) {
    return phase == "stopping" || phase == "stopped";
}

// Says what changed when it changes, and that all is well once a minute.
class Teller {
  public:
    void tell(const std::string& system, const engine::StreamState& state) {
        const base::Lock lock(mutex_);
        Last& last = last_[system];
        const auto now = std::chrono::steady_clock::now();
        const bool same_trouble = state.trouble == last.said.trouble;
        const bool another_try = state.phase == "connecting" && last.said.phase == "waiting";
        const bool changed = (state.phase != last.said.phase && !another_try) || !same_trouble ||
                             state.gaps != last.said.gaps;
        const bool beat = now - last.at >= kQuietBeat;
        last.seen = state;
        if (!changed && !beat) {
            return;
        }
        last.said = state;
        last.at = now;
        const bool explain = !state.trouble.empty() && (!same_trouble || beat);
        base::log(state.trouble.empty() || is_end(state.phase) ? base::LogLevel::Info
                                                               : base::LogLevel::Warn,
                  explain ? state.phase + ": " + state.trouble : state.phase,
                  {{"system", system},
                   {"position", state.position},
                   {"lag", base::human_size(state.lag_bytes)},
                   {"spool", base::human_size(state.spool_bytes)},
                   {"gaps", std::to_string(state.gaps)}});
    }

    // The newest state of each system.
    std::map<std::string, engine::StreamState> states() {
        const base::Lock lock(mutex_);
        std::map<std::string, engine::StreamState> all;
        for (const auto& [system, last] : last_) {
            all.emplace(system, last.seen);
        }
        return all;
    }

  private:
    struct Last {
        engine::StreamState said;
        engine::StreamState seen;
        std::chrono::steady_clock::time_point at;
    };

    base::Mutex mutex_;
    std::map<std::string, Last> last_ LB_GUARDED_BY(mutex_);
};

std::string captured_words(const engine::StreamState& state) {
    return state.captured ? ", captured by " + base::human_time(*state.captured) : "";
}

// Not a second before all of it is stored: an operator acts on these words.
int finish_drain(Teller& teller, Console& console) {
    base::Json systems = base::Json::array();
    for (const auto& [system, state] : teller.states()) {
        const std::string what = state.position.empty() ? "the spool is empty" : state.position;
        console.line(console.tint(Tone::Good, "done") + "  " + console.tint(Tone::Bold, system) +
                     "  all that was captured is in the repository: " + what +
                     captured_words(state));
        base::Json json = base::Json::object();
        json.set("system", system).set("position", state.position);
        json.set("captured",
                 state.captured ? base::Json(base::format_time(*state.captured)) : base::Json());
        systems.push(std::move(json));
    }
    base::Json result = base::Json::object();
    result.set("systems", std::move(systems));
    return console.finish(result);
}

}  // namespace

int run_stream(const service::World& world, const Common& common, const StreamArguments& arguments,
               Console& console) {
    base::set_log(common.quiet ? base::LogLevel::Warn : base::LogLevel::Info,
                  common.json ? base::LogFormat::Json : base::LogFormat::Text);
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    Teller teller;
    const auto ended =
        service::stream(*installation, {arguments.systems, arguments.repository, arguments.drain},
                        [&](const std::string& system, const engine::StreamState& state) {
                            teller.tell(system, state);
                        });
    const bool stopped = !ended && ended.error().code() == base::Code::Cancelled;
    if (!ended && (!stopped || arguments.drain)) {
        return console.fail(ended.error());
    }
    if (arguments.drain) {
        return finish_drain(teller, console);
    }
    return console.finish(base::Json::object());
}

}  // namespace lifeboat::cli

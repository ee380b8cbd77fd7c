#include <map>

#include "base/log.h"
#include "base/mutex.h"
#include "cli/commands.h"
#include "service/stream.h"

namespace lifeboat::cli {

namespace {

constexpr auto kQuietBeat = std::chrono::seconds(60);

// Says what changed when it changes, and that all is well once a minute.
class Teller {
  public:
    void tell(const std::string& system, const engine::StreamState& state) {
        const base::Lock lock(mutex_);
        Last& last = last_[system];
        const auto now = std::chrono::steady_clock::now();
        const bool changed =
            state.phase != last.phase || state.trouble != last.trouble || state.gaps != last.gaps;
        if (!changed && now - last.said < kQuietBeat) {
            return;
        }
        last = {state.phase, state.trouble, state.gaps, now};
        const auto level = state.trouble.empty() ? base::LogLevel::Info : base::LogLevel::Warn;
        base::log(level, state.trouble.empty() ? state.phase : state.phase + ": " + state.trouble,
                  {{"system", system},
                   {"position", state.position},
                   {"lag", base::human_size(state.lag_bytes)},
                   {"spool", base::human_size(state.spool_bytes)},
                   {"gaps", std::to_string(state.gaps)}});
    }

  private:
    struct Last {
        std::string phase;
        std::string trouble;
        std::uint64_t gaps = 0;
        std::chrono::steady_clock::time_point said;
    };

    base::Mutex mutex_;
    std::map<std::string, Last> last_ LB_GUARDED_BY(mutex_);
};

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
        service::stream(*installation, {arguments.systems, arguments.repository},
                        [&](const std::string& system, const engine::StreamState& state) {
                            teller.tell(system, state);
                        });
    if (!ended && ended.error().code() != base::Code::Cancelled) {
        return console.fail(ended.error());
    }
    return console.finish(base::Json::object());
}

}  // namespace lifeboat::cli

// A process that captures WAL, for tests that kill it: stream_receiver CONNINFO SLOT REPOSITORY
// SPOOL CONTROL LIMIT ACK INTERVAL.

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/files.h"
#include "base/json.h"
#include "postgres/wal_receiver.h"
#include "store/decorators.h"
#include "store/local_store.h"
#include "tests/e2e/stream_keys.h"

namespace {

using namespace lifeboat;

base::StopToken stop;

void on_signal(int /*number*/) {
    stop.request();
}

void write_state(const std::string& control, const engine::StreamState& state) {
    base::Json json = base::Json::object();
    json.set("phase", state.phase)
        .set("position", state.position)
        .set("lag_bytes", state.lag_bytes)
        .set("spool_bytes", state.spool_bytes);
    json.set("reconnects", state.reconnects).set("gaps", state.gaps).set("trouble", state.trouble);
    json.set("updated", base::format_time(state.updated))
        .set("captured", state.captured ? base::format_time(*state.captured) : "");
    const std::string temporary = control + "/state.tmp";
    std::FILE* const file = std::fopen(temporary.c_str(), "w");
    if (file != nullptr) {
        const std::string text = json.dump();
        std::fwrite(text.data(), 1, text.size(), file);
        std::fclose(file);
        std::rename(temporary.c_str(), (control + "/state.json").c_str());
    }
}

void note_base(const std::string& control, const std::string& reason) {
    std::FILE* const file = std::fopen((control + "/bases").c_str(), "a");
    if (file != nullptr) {
        std::fprintf(file, "%s\n", reason.c_str());
        std::fclose(file);
    }
}

base::Result<> capture(char** arguments) {
    const std::string control = arguments[5];
    auto local = TRY(store::LocalStore::open(base::real_files(), base::system_clock(), arguments[3],
                                             store::LocalStore::Create::Yes));
    std::atomic<unsigned> faults = 0;
    const auto decide = [&](store::Operation operation, const std::string&) {
        if (operation != store::Operation::Put || !base::real_files().stat(control + "/fail")) {
            return store::Fault::None;
        }
        return ++faults % 3 == 0 ? store::Fault::LoseReply : store::Fault::Fail;
    };
    const auto store = store::with_faults(std::move(local), decide);
    const test::StreamKeys keys;
    auto opened = repo::Repository::open(*store, keys.recipients());
    if (!opened && opened.error().code() == base::Code::NotFound) {
        opened = repo::Repository::create(*store, keys.recipients(), base::system_clock(),
                                          base::system_random());
    }
    const auto repository = TRY(std::move(opened));
    engine::StreamJob job{
        .repository = *repository,
        .host = keys.host,
        .spool = arguments[4],
        .spool_limit = std::strtoull(arguments[6], nullptr, 10),
        .interval = std::chrono::milliseconds(std::atoi(arguments[8])),
        .acknowledge_repository = std::string(arguments[7]) == "repository",
        .report = [&](const engine::StreamState& state) { write_state(control, state); },
        .need_base = [&](const engine::BaseNeed& need) { note_base(control, need.reason); }};
    postgres::PostgresConfig config;
    config.system = "prod";
    config.connection = arguments[1];
    config.slot = arguments[2];
    const engine::Context context{base::real_files(), base::system_clock(), base::system_random(),
                                  stop};
    return postgres::stream_wal(config, job, context);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 9) {
        return 2;
    }
    std::signal(SIGTERM, on_signal);
    const auto done = capture(arguments);
    if (!done) {
        std::fprintf(stderr, "%s: %s\n", std::string(base::name(done.error().code())).c_str(),
                     done.error().message().c_str());
        return base::exit_code(done.error().code());
    }
    return 0;
}

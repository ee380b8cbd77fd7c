#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string>

#include "cli/run.h"
#include "postgres/discover.h"
#include "postgres/postgres_engine.h"
#include "postgres/wal_fetch_client.h"
#include "store/decorators.h"
#include "store/local_store.h"

// The one file that names concrete stores and engines, and wires the world.

namespace {

using namespace lifeboat;  // NOLINT(google-build-using-namespace): this file joins all rooms and
                           // defines nothing for others
using base::Code;
using base::Error;
using base::Result;

base::StopToken stop_token;

// The first signal asks for a stop in good order; the second one means it.
extern "C" void on_signal(int number) {
    if (stop_token.requested()) {
        ::_exit(128 + number);
    }
    stop_token.request();
}

void handle_signals() {
    struct sigaction action{};
    action.sa_handler = on_signal;
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
}

std::string own_path() {
    std::string path(4096, '\0');
    const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
    return size > 0 ? path.substr(0, static_cast<std::size_t>(size)) : "lifeboat";
}

Result<std::unique_ptr<store::ObjectStore>> open_store(const std::string& url,
                                                       service::World::Place place) {
    constexpr std::string_view kFile = "file://";
    if (!url.starts_with(kFile) || url.size() <= kFile.size() || url[kFile.size()] != '/') {
        return Error(Code::InvalidInput,
                     "'" + url + "' is not a repository URL that this lifeboat opens")
            .hint("Write file:///absolute/directory.");
    }
    const auto create = place == service::World::Place::Create ? store::LocalStore::Create::Yes
                                                               : store::LocalStore::Create::No;
    auto local = TRY(store::LocalStore::open(base::real_files(), base::system_clock(),
                                             url.substr(kFile.size()), create));
    return store::with_retry(std::move(local), {}, base::system_clock(), base::system_random(),
                             stop_token);
}

postgres::PostgresConfig postgres_config(const config::System& system,
                                         const base::Secret& password) {
    using From = config::DataDirectory::Kind;
    using Read = postgres::PostgresConfig::Read;
    postgres::PostgresConfig config;
    config.system = system.name;
    config.connection = system.connection;
    config.password = password;
    config.read = system.data_directory.kind == From::None ? Read::Wire
                  : system.data_directory.kind == From::At ? Read::Directory
                                                           : Read::Auto;
    config.data_directory = system.data_directory.path;
    config.slot = system.stream.slot;
    config.bin_directory = system.restore.bin_directory.value_or("");
    return config;
}

Result<std::unique_ptr<engine::DataEngine>> make_engine(const config::System& system,
                                                        const base::Secret& password) {
    switch (system.engine) {
        case config::Engine::Postgres:
            return std::unique_ptr<engine::DataEngine>(
                new postgres::PostgresEngine(postgres_config(system, password)));
    }
    return Error(Code::Unsupported,
                 "system '" + system.name + "' has an engine that is not in this binary");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::strcmp(argv[1], "wal-fetch") == 0) {
        return postgres::wal_fetch_main(argc, argv);  // a server waits for it: nothing heavy first
    }
    handle_signals();
    const service::World world{base::real_files(), base::system_clock(), base::system_random(),
                               stop_token,         open_store,           make_engine,
                               own_path(),         postgres::discover};
    return cli::run(argc, argv, world);
}

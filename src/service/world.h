#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/files.h"
#include "base/random.h"
#include "base/stop.h"
#include "config/config.h"
#include "engine/data_engine.h"
#include "store/object_store.h"

namespace lifeboat::service {

using base::Result;

// Everything concrete that verbs need, passed in by main.cc: the only place that names a store or
// an engine. All references outlive every verb.
struct World {
    base::Files& files;
    base::Clock& clock;
    base::Random& random;
    base::StopToken& stop;

    // Opens the store behind a repository URL ("file:///var/backups"); with Create, makes its place
    // when that is missing.
    enum class Place { MustExist, Create };
    std::function<Result<std::unique_ptr<store::ObjectStore>>(const std::string& url, Place place)>
        open_store;
    // The engine of a configured system; its password is resolved by now.
    std::function<Result<std::unique_ptr<engine::DataEngine>>(const config::System& system,
                                                              const base::Secret& password)>
        make_engine;
    std::string program;  // absolute path of this binary: what servers are told to call
    // Finds a system of this machine, by its connection when one is given.
    std::function<Result<engine::Discovered>(const std::string& connection,
                                             const engine::Context& context)>
        discover = {};

    engine::Context context() const { return {files, clock, random, stop}; }
};

}  // namespace lifeboat::service

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "service/backup.h"
#include "service/init.h"

namespace lifeboat::service {

struct QuickReport {
    std::optional<engine::Discovered> found;  // nothing: an earlier run had set everything up
    std::optional<InitReport> init;           // likewise
    BackupReport backup;
    base::Json to_json() const;
};

// Told of each step as it is done.
struct QuickWatch {
    std::function<void(const engine::Discovered& found)> found;
    std::function<void(const InitReport& report)> ready;
    BackupWatch backup;
};

// From nothing to the first backup: finds the local cluster, makes keys, a repository and a
// configuration, takes a backup. Asks nothing. Safe to repeat: one that was interrupted is taken up
// where it stopped; one that was finished is Conflict.
Result<QuickReport> init_quick(const World& world, InitRequest request, const QuickWatch& watch);

}  // namespace lifeboat::service

#pragma once

#include <memory>

#include "cli/console.h"
#include "service/backup.h"

namespace lifeboat::cli {

// The progress of backups, one after another. `console` outlives it.
class BackupBar {
  public:
    explicit BackupBar(Console& console) : console_(console) {}

    service::BackupWatch watch();  // valid as long as this

  private:
    Console& console_;
    std::shared_ptr<void> bar_;
};

// Each system's outcome, with what was decided on the way.
void show_backup(const service::BackupReport& report, Console& console);

}  // namespace lifeboat::cli

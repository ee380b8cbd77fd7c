#pragma once

#include <memory>
#include <string>

#include "cli/console.h"
#include "repo/check.h"

namespace lifeboat::cli {

// Shows how far a check is, until `bar` dies. `watch` is for the check, and stays valid as long as
// this does.
struct CheckProgressBar {
    CheckProgressBar(const std::string& label, Console& console);

    repo::CheckWatcher watch;
    std::shared_ptr<void> bar;
};

// "2.1 s, 1.9 GiB/s", without the rate where only names were looked at.
std::string check_pace(const repo::CheckReport& report, base::Duration took);
// "checked 1.2 GiB in 340 objects, 4.0 GiB of data decrypted; 2.1 s, 1.9 GiB/s".
std::string check_sums(const repo::CheckReport& report, base::Duration took);

}  // namespace lifeboat::cli

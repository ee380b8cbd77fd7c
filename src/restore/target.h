#pragma once

#include <string>
#include <string_view>

#include "restore/apply.h"

namespace lifeboat::restore {

// A fresh ext4 file system has it, and it belongs to root: neither contents nor a leftover.
inline constexpr std::string_view kLostAndFound = "lost+found";

// What stands in the target before a restore begins.
enum class Ground {
    Fresh,      // absent or empty
    Resumable,  // an interrupted restore of the same backup, however little of it
    Existing,   // something else: only with the caller's consent
};

// The target itself, or the nearest directory above it that is there: in which the others will be
// made. Refused where a file or a link to nothing stands in the way.
Result<std::string> nearest_directory(base::Files& files, const std::string& target);

// Reads, never writes. Refused when a server is at work there.
Result<Ground> survey(base::Files& files, const ApplyRequest& request,
                      const repo::Manifest& manifest);

// The marker says that the tree is not complete, and of which backup it is a part. Durable once
// set; durable in its absence once cleared.
Result<> set_marker(base::Files& files, const std::string& target, const repo::Manifest& manifest);
Result<> clear_marker(base::Files& files, const std::string& target);

}  // namespace lifeboat::restore

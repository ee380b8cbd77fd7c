#pragma once

#include <chrono>
#include <set>
#include <string>

#include "base/time.h"
#include "repo/map_index.h"

namespace lifeboat::repo {

// Chooses the files that an incremental backup stores anew although their pages are unchanged: the oldest first, then the most fragmented, until
// the share of all bytes that `elapsed` is of `cycle` is reached. So every page is rewritten within one cycle, from the live plaintext, and the age
// and the fragmentation of what a restore reads stay bounded without ever decrypting. Pure.
std::set<std::string> plan_rewrites(const MapIndex& previous, base::Duration elapsed, std::chrono::days cycle);

}  // namespace lifeboat::repo

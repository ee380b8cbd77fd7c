#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/files.h"

namespace lifeboat::restore {

// Removes every file, symlink and directory below `target` that is not in `keep` (paths relative to
// it; parents of kept paths are kept), following the links named in `through` as if they were
// directories. For a delta and for a resumed restore: what the backup does not have must not be
// there.
base::Result<> remove_leftovers(base::Files& files, const std::string& target,
                                const std::set<std::string>& keep,
                                const std::set<std::string>& through);

}  // namespace lifeboat::restore

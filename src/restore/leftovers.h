#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/files.h"
#include "engine/data_engine.h"

namespace lifeboat::restore {

// Removes every file, symlink and directory below `target` that is not in `keep` (paths relative to
// it; parents of kept paths are kept), and leaves the file system's own 'lost+found' alone. Of the
// directories that `links` lead to, only what is their own is entered: what others keep there is
// not ours to judge. For a delta and for a resumed restore: what the backup does not have must not
// be there.
base::Result<> remove_leftovers(base::Files& files, const std::string& target,
                                const std::set<std::string>& keep,
                                const std::vector<engine::LandingLink>& links);

}  // namespace lifeboat::restore

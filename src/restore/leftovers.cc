#include "restore/leftovers.h"

#include <algorithm>

#include "restore/target.h"

namespace lifeboat::restore {

using base::FileKind;
using base::join;
using base::Result;

namespace {

struct Sweep {
    base::Files& files;
    const std::string& target;
    const std::set<std::string>& keep;
    const std::vector<engine::LandingLink>& links;

    // True when something below `path` is kept: kept paths sort right behind their parents.
    bool holds_kept(const std::string& path) const {
        const auto next = keep.lower_bound(path + "/");
        return next != keep.end() && next->starts_with(path + "/");
    }

    const engine::LandingLink* link_at(const std::string& relative) const {
        const auto found =
            std::find_if(links.begin(), links.end(),
                         [&](const engine::LandingLink& link) { return link.path == relative; });
        return found == links.end() ? nullptr : &*found;
    }

    Result<> directory(const std::string& relative) const {
        const std::string absolute = relative.empty() ? target : join(target, relative);
        const engine::LandingLink* const link = link_at(relative);
        const auto names = TRY(files.list(absolute));
        for (const std::string& name : names) {
            const bool of_others = link != nullptr && !link->own.empty() && name != link->own;
            if (of_others || name == kLostAndFound) {
                continue;
            }
            TRY(entry(relative.empty() ? name : join(relative, name)));
        }
        return {};
    }

    Result<> entry(const std::string& relative) const {
        const std::string absolute = join(target, relative);
        const base::FileStat stat = TRY(files.lstat(absolute));
        const bool enter = stat.kind == FileKind::Directory || link_at(relative) != nullptr;
        const bool wanted = keep.contains(relative) || holds_kept(relative);
        if (enter && wanted) {
            return directory(relative);
        }
        if (wanted) {
            return {};
        }
        return stat.kind == FileKind::Directory ? base::remove_tree(files, absolute)
                                                : files.remove(absolute);
    }
};

}  // namespace

Result<> remove_leftovers(base::Files& files, const std::string& target,
                          const std::set<std::string>& keep,
                          const std::vector<engine::LandingLink>& links) {
    return Sweep{files, target, keep, links}.directory("").during(
        "removing what the backup does not have from '" + target + "'");
}

}  // namespace lifeboat::restore

#include "restore/leftovers.h"

namespace lifeboat::restore {

using base::FileKind;
using base::join;
using base::Result;

namespace {

struct Sweep {
    base::Files& files;
    const std::string& target;
    const std::set<std::string>& keep;
    const std::set<std::string>& through;

    // True when something below `path` is kept: kept paths sort right behind their parents.
    bool holds_kept(const std::string& path) const {
        const auto next = keep.lower_bound(path + "/");
        return next != keep.end() && next->starts_with(path + "/");
    }

    Result<> directory(const std::string& relative) const {
        const std::string absolute = relative.empty() ? target : join(target, relative);
        const auto names = TRY(files.list(absolute));
        for (const std::string& name : names) {
            TRY(entry(relative.empty() ? name : join(relative, name)));
        }
        return {};
    }

    Result<> entry(const std::string& relative) const {
        const std::string absolute = join(target, relative);
        const base::FileStat stat = TRY(files.lstat(absolute));
        const bool enter = stat.kind == FileKind::Directory || through.contains(relative);
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
                          const std::set<std::string>& keep, const std::set<std::string>& through) {
    return Sweep{files, target, keep, through}.directory("").during(
        "removing what the backup does not have from '" + target + "'");
}

}  // namespace lifeboat::restore

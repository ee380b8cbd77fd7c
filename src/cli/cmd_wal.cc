#include "cli/commands.h"
#include "service/plumbing.h"

namespace lifeboat::cli {

int run_wal_push(const service::World& world, const Common& common, const WalPushArguments& a,
                 Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    const auto pushed = service::wal_push(*installation, a.system, a.repository, a.path);
    return pushed ? console.finish(base::Json::object()) : console.fail(pushed.error());
}

int run_wal_feed(const service::World& world, const Common& common, const WalFeedArguments& a,
                 Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    const auto fed =
        service::wal_feed(*installation, {a.system, a.repository, a.target, a.identity});
    return fed ? console.finish(base::Json::object()) : console.fail(fed.error());
}

}  // namespace lifeboat::cli

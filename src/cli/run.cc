#include "cli/run.h"

#include <cstdio>

#include "cli/commands.h"
#include "cli/parse.h"

namespace lifeboat::cli {

namespace {

template <class... Cases>
struct Overloaded : Cases... {
    using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

int dispatch(const service::World& world, const Arguments& arguments, Console& console) {
    const Common& common = arguments.common;
    return std::visit(
        Overloaded{
            [&](const InitArguments& a) { return run_init(world, common, a, console); },
            [&](const BackupArguments& a) { return run_backup(world, common, a, console); },
            [&](const ListArguments& a) { return run_list(world, common, a, console); },
            [&](const StreamArguments& a) { return run_stream(world, common, a, console); },
            [&](const RestoreArguments& a) { return run_restore(world, common, a, console); },
            [&](const VerifyArguments& a) { return run_verify(world, common, a, console); },
            [&](const CheckArguments& a) { return run_check(world, common, a, console); },
            [&](const StatusArguments& a) { return run_status(world, common, a, console); },
            [&](const DoctorArguments& a) { return run_doctor(world, common, a, console); },
            [&](const WalPushArguments& a) { return run_wal_push(world, common, a, console); },
            [&](const WalFeedArguments& a) { return run_wal_feed(world, common, a, console); },
        },
        arguments.what);
}

}  // namespace

int run(int argc, const char* const* argv, const service::World& world) {
    const auto parsed = parse(argc, argv);
    if (const auto* stop = std::get_if<ParseStop>(&parsed)) {
        Console console(stop->common, stop->verb);
        if (stop->error) {
            return console.fail(*stop->error);
        }
        if (!console.json()) {
            std::fputs(stop->text.c_str(), stdout);
        }
        return console.finish(base::Json::object().set("text", stop->text));
    }
    const Arguments& arguments = std::get<Arguments>(parsed);
    Console console(arguments.common, arguments.verb);
    return dispatch(world, arguments, console);
}

}  // namespace lifeboat::cli

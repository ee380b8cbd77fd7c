#pragma once

#include "cli/arguments.h"
#include "cli/console.h"
#include "service/world.h"

namespace lifeboat::cli {

// One function per verb: arguments into a service call, its report into words. Each returns the
// exit code.
int run_init(const service::World& world, const Common& common, const InitArguments& arguments,
             Console& console);
int run_backup(const service::World& world, const Common& common, const BackupArguments& arguments,
               Console& console);
int run_list(const service::World& world, const Common& common, const ListArguments& arguments,
             Console& console);
int run_stream(const service::World& world, const Common& common, const StreamArguments& arguments,
               Console& console);
int run_wal_push(const service::World& world, const Common& common,
                 const WalPushArguments& arguments, Console& console);
int run_wal_feed(const service::World& world, const Common& common,
                 const WalFeedArguments& arguments, Console& console);
int run_restore(const service::World& world, const Common& common,
                const RestoreArguments& arguments, Console& console);
int run_verify(const service::World& world, const Common& common, const VerifyArguments& arguments,
               Console& console);
int run_check(const service::World& world, const Common& common, const CheckArguments& arguments,
              Console& console);
int run_status(const service::World& world, const Common& common, const StatusArguments& arguments,
               Console& console);
int run_doctor(const service::World& world, const Common& common, const DoctorArguments& arguments,
               Console& console);

}  // namespace lifeboat::cli

// JSON from hostile bytes, and each document that is read from a store or a disk as JSON. The first
// byte chooses which. Never crashes; what is accepted is written to what means the same.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "base/time.h"
#include "postgres/backup_details.h"
#include "postgres/wal_feed_plan.h"
#include "repo/keyring.h"
#include "repo/names.h"
#include "repo/repository.h"
#include "store/decorators.h"

namespace {

using namespace lifeboat;  // NOLINT(google-build-using-namespace): a program of one file

void check_value(std::string_view text) {
    const auto value = base::Json::parse(text);
    if (!value) {
        return;
    }
    const std::string line = value->dump();
    const auto again = base::Json::parse(line);
    LB_CHECK(again.has_value() && again->dump() == line);
    const auto pretty = base::Json::parse(value->dump(2));
    LB_CHECK(pretty.has_value() && pretty->dump() == line);
}

void check_details(std::string_view text) {
    const auto json = base::Json::parse(text);
    if (!json) {
        return;
    }
    const auto details = postgres::BackupDetails::from_json(*json);
    if (!details) {
        return;
    }
    const std::string written = details->to_json().dump();
    const auto again = postgres::BackupDetails::from_json(details->to_json());
    LB_CHECK(again.has_value() && again->to_json().dump() == written);
}

void check_feed_plan(std::string_view text) {
    const auto json = base::Json::parse(text);
    if (!json) {
        return;
    }
    const auto plan = postgres::FeedPlan::from_json(*json);
    if (!plan) {
        return;
    }
    const std::string written = plan->to_json().dump();
    const auto again = postgres::FeedPlan::from_json(plan->to_json());
    LB_CHECK(again.has_value() && again->to_json().dump() == written);
    for (const auto& span : plan->way) {
        const std::uint64_t number = span.begin.value / plan->segment.bytes();
        for (const auto& part : plan_segment(*plan, span.timeline, number).parts) {
            LB_CHECK(part.from < part.to);
        }
    }
}

void check_repository(std::string_view text) {
    const auto store = store::memory_store(base::system_clock());
    LB_CHECK(store->put(std::string(repo::kRepositoryObject), base::view(text)).has_value());
    repo::Repository::open(*store, {}).discard("either answer is right");
}

void check_host_keys(std::string_view text) {
    const auto keys = repo::HostKeys::parse(text);
    if (keys) {
        const auto again = repo::HostKeys::parse(keys->text().reveal());
        LB_CHECK(again.has_value() && again->writer_id() == keys->writer_id());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 5) {
        case 0:
            check_value(text);
            break;
        case 1:
            check_details(text);
            break;
        case 2:
            check_feed_plan(text);
            break;
        case 3:
            check_repository(text);
            break;
        default:
            check_host_keys(text);
            break;
    }
    return 0;
}

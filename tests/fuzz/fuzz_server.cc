// What a server says on a replication connection and leaves in its directory, and connection
// strings. The first byte chooses. Never crashes; what is accepted is written back to what means
// the same.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "postgres/backup_session.h"
#include "postgres/conninfo.h"
#include "postgres/exclusions.h"
#include "postgres/recovery_settings.h"
#include "postgres/replication.h"
#include "postgres/server_process.h"

namespace {

using namespace lifeboat;            // NOLINT(google-build-using-namespace): a program of one file
using namespace lifeboat::postgres;  // NOLINT(google-build-using-namespace)

void check_message(base::BytesView bytes) {
    const auto message = decode_stream_message(bytes);
    if (!message) {
        return;
    }
    if (const auto* data = std::get_if<WalData>(&*message)) {
        LB_CHECK(data->bytes.size() < bytes.size());
    }
}

void check_map(std::string_view text) {
    const auto links = parse_tablespace_map(text);
    if (!links) {
        return;
    }
    const auto again = parse_tablespace_map(encode_tablespace_map(*links));
    LB_CHECK(again.has_value() && again->size() == links->size());
    for (std::size_t i = 0; i < links->size(); ++i) {
        LB_CHECK((*again)[i].oid == (*links)[i].oid && (*again)[i].path == (*links)[i].path);
    }
}

// Only what the server itself names so is a relation's file.
void check_path(const std::string& path) {
    const auto relation = parse_relation_path(path);
    if (relation && (path.starts_with("base/") || path.starts_with("global/"))) {
        LB_CHECK(relation_path(*relation, "PG_15_202209061") == path);
    }
    for (const auto kind : {base::FileKind::Regular, base::FileKind::Directory}) {
        judge(path, kind, {.version_directory = "PG_15_202209061"});
    }
}

void check_log(std::string_view text) {
    const std::string fatal = fatal_in_log(text);
    LB_CHECK(fatal.size() <= text.size());
    hint_for_fatal(fatal);
}

// P10: a connection string that is refused is not repeated.
void check_conninfo(const std::string& text) {
    constexpr std::string_view kPassword = "swordfish-4711";
    const auto attempts = plan_attempts({.conninfo = text, .password = {}});
    if (!attempts) {
        LB_CHECK(attempts.error().message().find(kPassword) == std::string::npos);
        return;
    }
    LB_CHECK(!attempts->empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const base::BytesView bytes = base::BytesView(data, size).subspan(1);
    const std::string_view text = base::text(bytes);
    switch (data[0] % 7) {
        case 0:
            check_message(bytes);
            break;
        case 1:
            parse_backup_label(text).discard("either answer is right");
            break;
        case 2:
            check_map(text);
            break;
        case 3:
            parse_pid_file(text);
            break;
        case 4:
            check_path(std::string(text));
            break;
        case 5:
            check_log(text);
            break;
        default:
            check_conninfo(std::string(text));
            break;
    }
    return 0;
}

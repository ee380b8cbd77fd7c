#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postgres/recovery_plan.h"

namespace lifeboat::postgres {

// The texts that a restored data directory gets. Pure.

// 'it''s \\ so': a value of postgresql.conf.
std::string quote_setting(std::string_view value);

// A value of restore_command: `fetch_command` (quoted for a shell already) with the file's name and
// where it goes.
std::string restore_command(std::string_view fetch_command);

// What the original does to others while it recovers, and how it is kept from doing so here: its
// commands would move its address or empty its archive, and a delayed standby's delay would hold
// recovery up.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kKeptToItself = {
    {{"recovery_end_command", ""},
     {"archive_cleanup_command", ""},
     {"recovery_min_apply_delay", "0"}}};

// What postgresql.auto.conf gets, behind whatever it holds: the target, how WAL is fetched, and the
// settings without which the server would not replay this WAL (T24). Every other recovery target is
// unset first: a server refuses two. `pinned` settings follow as they are.
std::string recovery_settings(const PostgresPlan& plan, std::string_view fetch_command,
                              const std::vector<std::pair<std::string, std::string>>& pinned = {});

// `text` of postgresql.auto.conf once recovery is over: without the target and the restore_command
// of recovery_settings(), and kKeptToItself, of which the server's own become true again. A replica
// or a copy made of the server would take both for its own, and refuse a stop before its own
// beginning. Everything else stays, the minimums too: a transaction that was prepared needs its
// place.
std::string without_recovery(std::string_view text);

// (old absolute directory -> new one), as a person gave it.
using Remap = std::vector<std::pair<std::string, std::string>>;

// What of `remap` is left for the backup's own tablespaces. Those that the WAL creates cannot be
// sent elsewhere: the server makes them where they were. Refused, beside the original data
// directory, unless `remap` says of each that it may lie there (from itself to itself);
// InvalidInput when it sends one elsewhere.
Result<Remap> allow_created_tablespaces(const std::vector<TablespaceMade>& created,
                                        const BackupDetails& details, const Remap& remap,
                                        std::string_view target);

struct TablespaceLink {
    std::uint32_t oid = 0;
    std::string path;
};

// The lines of a tablespace_map; InvalidInput (a damaged backup) for anything else. encode is its
// inverse.
Result<std::vector<TablespaceLink>> parse_tablespace_map(std::string_view text);
std::string encode_tablespace_map(const std::vector<TablespaceLink>& links);

// Where each linked tablespace goes. InvalidInput: an old directory in `remap` that no tablespace
// has, one that is not absolute, two tablespaces in one place. Refused: the target is not the
// directory that was backed up and a tablespace would go where it was, which may be a living
// server's.
Result<std::vector<TablespaceLink>> place_tablespaces(const BackupDetails& details,
                                                      const Remap& remap, std::string_view target);

// A captured postgresql.conf, for a directory that holds all its configuration itself: what points
// elsewhere is commented out.
std::string self_contained_configuration(const OutsideFile& captured);

}  // namespace lifeboat::postgres

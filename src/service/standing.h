#pragma once

#include <optional>
#include <string>

#include "policy/objectives.h"
#include "service/stream.h"

namespace lifeboat::service {

// How a system stands against what its tier demands, measured now. What could not be looked at is
// Unknown, with the reason, never Met (P8).
struct Standing {
    std::size_t backups = 0;
    std::optional<repo::ManifestName> newest;
    std::size_t damaged_pages = 0;  // of the newest backup, as far as a key tells
    policy::Assessment backup_age;
    std::optional<base::Timestamp> newest_point;  // that can be recovered, as far as is known
    policy::Assessment rpo;
    policy::Assessment rto;
    std::optional<StreamStatus> stream;  // what the stream on this host last said of itself
    std::string stream_trouble;  // why it does not protect; empty: it does, or is not wanted

    // Of the objectives that are set; Unknown without any. Missed while the newest backup holds
    // damaged pages.
    policy::Verdict verdict() const;
    base::Json to_json() const;
};

// `keys` may be null: then only names and the local stream can be asked.
Result<Standing> take_standing(const Installation& installation, const OpenRepository& repository,
                               repo::ReaderKeys* keys, const config::System& system);

// A backup older than this is too old: its stream, which is kept for stream.retention, would soon
// no longer reach back to it. Without a stream the tier's RPO holds; nothing when there is none.
std::optional<base::Duration> backup_age_limit(const config::Config& config,
                                               const config::System& system);

base::Json assessment_json(const policy::Assessment& assessment);

}  // namespace lifeboat::service

#include "postgres/recovery_landing.h"

#include <algorithm>
#include <set>

#include "crypto/seal.h"
#include "postgres/exclusions.h"
#include "postgres/pg_control.h"
#include "postgres/recovery_settings.h"
#include "postgres/wal_feed_plan.h"
#include "postgres/wal_feeder.h"
#include "postgres/wal_push.h"

// Tested by recovery_landing_test.cc and tests/e2e/recovery_test.cc.

namespace lifeboat::postgres {

namespace {

using engine::ExtraFile;
using engine::Landing;
using engine::LandingRequest;

ExtraFile text_file(std::string path, std::string_view text, bool append = false) {
    const base::BytesView bytes = base::view(text);
    return {std::move(path), {bytes.begin(), bytes.end()}, 0600, append};
}

bool is_named_like(const OutsideFile& file, std::string_view part) {
    return file.name.find(part) != std::string::npos;
}

// Also those that were created while the backup was taken: they were copied, but its map does not
// know them, so that the WAL creates them too.
Result<std::vector<TablespaceMade>> created_by_wal(const PostgresPlan& plan) {
    const BackupDetails& d = plan.details;
    const std::vector<TablespaceLink> map = TRY(parse_tablespace_map(d.tablespace_map));
    std::vector<TablespaceMade> out = plan.tablespaces;
    for (const CreatedTablespace& space : d.created_tablespaces) {
        out.push_back({d.start, space.oid, space.path});
    }
    for (const TablespaceDetails& space : d.tablespaces) {
        const bool mapped = std::any_of(map.begin(), map.end(), [&](const TablespaceLink& line) {
            return line.oid == space.oid;
        });
        if (!space.in_place && !mapped) {
            out.push_back({d.start, space.oid, space.path});
        }
    }
    return out;
}

Result<> add_tablespaces(const PostgresPlan& plan, const LandingRequest& request,
                         Landing& landing) {
    const BackupDetails& d = plan.details;
    const std::vector<TablespaceMade> created = TRY(created_by_wal(plan));
    const Remap remap = TRY(allow_created_tablespaces(created, d, request.remap, request.target));
    std::vector<TablespaceLink> links = TRY(place_tablespaces(d, remap, request.target));
    for (const TablespaceLink& link : links) {
        landing.links.push_back(
            {"pg_tblspc/" + std::to_string(link.oid), link.path, d.version_directory});
    }
    if (d.tablespace_map.empty()) {
        return {};
    }
    std::vector<TablespaceLink> map = TRY(parse_tablespace_map(d.tablespace_map));
    for (TablespaceLink& line : map) {
        const auto placed =
            std::find_if(links.begin(), links.end(),
                         [&](const TablespaceLink& link) { return link.oid == line.oid; });
        if (placed == links.end()) {
            return Error(Code::Corrupt, "the backup's tablespace map names " +
                                            std::to_string(line.oid) +
                                            ", of which nothing was captured");
        }
        line.path = placed->path;
    }
    landing.extra.push_back(text_file("tablespace_map", encode_tablespace_map(map)));
    return {};
}

// The backup's own segments: the server must not take them for new ones when it archives again
// (T8).
Result<std::vector<std::string>> own_segments(const BackupDetails& d) {
    const SegmentSize size = TRY(SegmentSize::of(d.wal_segment_size));
    std::vector<std::string> out;
    for (std::uint64_t n = size.number_at(d.start); n <= size.number_before(d.stop); ++n) {
        out.push_back(segment_name(d.timeline, n, size));
    }
    return out;
}

// Returns the settings that make the server find what was written here.
std::vector<std::pair<std::string, std::string>> add_configuration(const PostgresPlan& plan,
                                                                   const LandingRequest& request,
                                                                   Landing& landing) {
    std::vector<std::pair<std::string, std::string>> pinned;
    for (const OutsideFile& file : plan.outside) {
        const bool hba = is_named_like(file, "hba");
        const bool ident = is_named_like(file, "ident");
        if (!hba && !ident) {
            if (plan.needs_configuration) {
                landing.extra.push_back(
                    text_file("postgresql.conf", self_contained_configuration(file)));
            }
            continue;
        }
        const std::string name = hba ? "pg_hba.conf" : "pg_ident.conf";
        landing.extra.push_back(text_file(name, file.contents));
        pinned.emplace_back(hba ? "hba_file" : "ident_file", base::join(request.target, name));
    }
    return pinned;
}

}  // namespace

Result<Landing> recovery_landing(const engine::RecoveryPlan& neutral,
                                 const LandingRequest& request) {
    const auto plan = TRY(postgres_plan(neutral));
    const BackupDetails& d = plan->details;
    Landing landing;
    landing.last = kControlFile;
    landing.pid_file = "postmaster.pid";
    landing.extra.push_back(text_file("backup_label", d.backup_label));
    landing.extra.push_back(text_file("recovery.signal", ""));
    const FeedPlan feed = FeedPlan::of(*plan);
    landing.recovery_bytes = feed_room(feed);
    landing.extra.push_back(text_file(std::string(kFeedPlanFile), feed.to_json().dump(2) + "\n"));
    landing.extra.push_back(text_file(
        std::string(kRestoredFile),
        "Restored from backup '" + plan->backup + "' of '" + plan->system +
            "'. While this file is here, 'lifeboat wal-push' takes nothing from this server.\n"
            "Remove it when the server takes the place of the original, which is off for good.\n"));
    TRY(add_tablespaces(*plan, request, landing));
    const auto pinned = add_configuration(*plan, request, landing);
    landing.extra.push_back(text_file(
        "postgresql.auto.conf", recovery_settings(*plan, request.fetch_command, pinned), true));
    const std::vector<std::string> segments = TRY(own_segments(d));
    for (const std::string& segment : segments) {
        landing.extra.push_back(text_file("pg_wal/archive_status/" + segment + ".done", ""));
    }
    landing.directories = required_empty_directories(d.major());
    landing.listing = [details = d](const std::vector<engine::LandedFile>& landed) {
        return backup_manifest(details, landed);
    };
    return landing;
}

// ---- backup_manifest
// ------------------------------------------------------------------------------------------------

namespace {

// What pg_verifybackup does not look at.
bool is_ignored(std::string_view path) {
    return path == "backup_manifest" || path == "postgresql.auto.conf" ||
           path == "recovery.signal" || path == "standby.signal" || path.starts_with("pg_wal/");
}

// True for what a JSON string may hold as it is.
bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const std::size_t more = lead < 0x80                   ? 0
                                 : lead >= 0xC2 && lead < 0xE0 ? 1
                                 : lead >= 0xE0 && lead < 0xF0 ? 2
                                 : lead >= 0xF0 && lead < 0xF5 ? 3
                                                               : 9;
        if (more == 9 || i + more >= text.size()) {
            return false;
        }
        for (std::size_t k = 1; k <= more; ++k) {
            if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) {
                return false;
            }
        }
        const auto second = more == 0 ? 0U : static_cast<unsigned char>(text[i + 1]);
        const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
        if (overlong || (lead == 0xED && second >= 0xA0) || (lead == 0xF4 && second >= 0x90)) {
            return false;
        }
        i += more + 1;
    }
    return true;
}

std::string checksum_text(std::uint32_t crc) {
    base::ByteWriter bytes;
    bytes.u32(crc);
    return base::hex(bytes.bytes());
}

// "2026-01-23 14:00:00 GMT"
std::string gmt(base::Timestamp t) {
    const std::string utc = base::human_time(std::chrono::floor<std::chrono::seconds>(t));
    return utc.substr(0, utc.size() - 3) + "GMT";
}

std::string file_line(const engine::LandedFile& file) {
    const std::string path = is_utf8(file.path)
                                 ? "\"Path\": " + base::Json(file.path).dump()
                                 : "\"Encoded-Path\": \"" + base::hex(base::view(file.path)) + "\"";
    return "{ " + path + ", \"Size\": " + std::to_string(file.size) + ", \"Last-Modified\": \"" +
           gmt(file.modified) + "\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"" +
           checksum_text(file.crc) + "\" }";
}

Result<> check_wal_landed(const BackupDetails& d, const std::vector<engine::LandedFile>& landed) {
    std::set<std::string> paths;
    for (const engine::LandedFile& file : landed) {
        paths.insert(file.path);
    }
    const std::vector<std::string> segments = TRY(own_segments(d));
    for (const std::string& segment : segments) {
        if (!paths.contains("pg_wal/" + segment)) {
            return Error(Code::Corrupt,
                         "the backup does not hold its own WAL segment '" + segment + "'")
                .hint("This backup cannot become consistent: restore another one.");
        }
    }
    return {};
}

}  // namespace

Result<ExtraFile> backup_manifest(const BackupDetails& d,
                                  const std::vector<engine::LandedFile>& landed) {
    TRY(check_wal_landed(d, landed));
    const bool names_system = d.major() >= 17;
    std::string text = std::string("{ \"PostgreSQL-Backup-Manifest-Version\": ") +
                       (names_system ? "2" : "1") + ",\n";
    if (names_system) {
        text += "\"System-Identifier\": " + std::to_string(d.system_identifier) + ",\n";
    }
    text += "\"Files\": [";
    const char* separator = "\n";
    for (const engine::LandedFile& file : landed) {
        if (!is_ignored(file.path)) {
            text += separator + file_line(file);
            separator = ",\n";
        }
    }
    text += "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": " + std::to_string(d.timeline) +
            ", \"Start-LSN\": \"" + format_lsn(d.start) + "\", \"End-LSN\": \"" +
            format_lsn(d.stop) + "\" }\n],\n";
    text += "\"Manifest-Checksum\": \"" + base::hex(crypto::sha256(base::view(text))) + "\"}\n";
    return text_file("backup_manifest", text);
}

}  // namespace lifeboat::postgres

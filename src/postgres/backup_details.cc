#include "postgres/backup_details.h"

#include <charconv>

namespace lifeboat::postgres {

using base::Code;
using base::Error;
using base::Json;

Json BackupDetails::to_json() const {
    Json spaces = Json::array();
    for (const TablespaceDetails& space : tablespaces) {
        Json json = Json::object();
        json.set("oid", space.oid).set("path", space.path).set("in_place", space.in_place);
        spaces.push(std::move(json));
    }
    Json created = Json::array();
    for (const CreatedTablespace& space : created_tablespaces) {
        Json json = Json::object();
        json.set("oid", space.oid).set("path", space.path);
        created.push(std::move(json));
    }
    Json kept = Json::object();
    for (const auto& [name, value] : settings) {
        kept.set(name, value);
    }
    Json outside = Json::array();
    for (const std::string& file : outside_files) {
        outside.push(file);
    }
    Json json = Json::object();
    // 64 unsigned bits do not fit every JSON reader: as text.
    json.set("system_identifier", std::to_string(system_identifier))
        .set("version", version)
        .set("timeline", timeline);
    json.set("start", format_lsn(start))
        .set("stop", format_lsn(stop))
        .set("from_standby", from_standby);
    json.set("backup_label", backup_label).set("tablespace_map", tablespace_map);
    json.set("block_size", block_size)
        .set("wal_segment_size", wal_segment_size)
        .set("relation_segment_size", relation_segment_size);
    json.set("checksums", checksums)
        .set("version_directory", version_directory)
        .set("data_directory", data_directory);
    json.set("tablespaces", std::move(spaces))
        .set("created_tablespaces", std::move(created))
        .set("settings", std::move(kept))
        .set("outside_files", std::move(outside));
    return json;
}

namespace {

Result<std::uint64_t> parse_u64(const std::string& text) {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) {
        return Error(Code::Corrupt, "'" + text + "' is not a number");
    }
    return value;
}

Result<Lsn> lsn_member(const Json& json, std::string_view key) {
    const std::string text = TRY(json.text(key));
    return parse_lsn(text);
}

template <class T>
Result<> integer_member(const Json& json, std::string_view key, T& out) {
    const std::int64_t value = TRY(json.integer(key));
    out = static_cast<T>(value);
    return {};
}

Result<> parse_tablespaces(const Json& json, BackupDetails& d) {
    const Json::Array* spaces = TRY(json.list("tablespaces"));
    for (const Json& item : *spaces) {
        TablespaceDetails space;
        TRY(integer_member(item, "oid", space.oid));
        space.path = TRY(item.text("path"));
        space.in_place = TRY(item.boolean("in_place"));
        d.tablespaces.push_back(std::move(space));
    }
    const Json::Array* created = TRY(json.list("created_tablespaces"));
    for (const Json& item : *created) {
        CreatedTablespace space;
        TRY(integer_member(item, "oid", space.oid));
        space.path = TRY(item.text("path"));
        d.created_tablespaces.push_back(std::move(space));
    }
    return {};
}

Result<> parse_numbers(const Json& json, BackupDetails& d) {
    const std::string identifier = TRY(json.text("system_identifier"));
    d.system_identifier = TRY(parse_u64(identifier));
    TRY(integer_member(json, "version", d.version));
    TRY(integer_member(json, "timeline", d.timeline));
    TRY(integer_member(json, "block_size", d.block_size));
    TRY(integer_member(json, "wal_segment_size", d.wal_segment_size));
    TRY(integer_member(json, "relation_segment_size", d.relation_segment_size));
    d.start = TRY(lsn_member(json, "start"));
    d.stop = TRY(lsn_member(json, "stop"));
    d.from_standby = TRY(json.boolean("from_standby"));
    d.checksums = TRY(json.boolean("checksums"));
    return {};
}

}  // namespace

Result<BackupDetails> BackupDetails::from_json(const Json& json) {
    BackupDetails d;
    TRY(parse_numbers(json, d));
    d.backup_label = TRY(json.text("backup_label"));
    d.tablespace_map = TRY(json.text("tablespace_map"));
    d.version_directory = TRY(json.text("version_directory"));
    d.data_directory = TRY(json.text("data_directory"));
    TRY(parse_tablespaces(json, d));
    const Json* settings = TRY(json.member("settings"));
    for (const auto& [name, value] : settings->members()) {
        d.settings[name] = value.as_text();
    }
    const Json::Array* outside = TRY(json.list("outside_files"));
    for (const Json& file : *outside) {
        d.outside_files.push_back(file.as_text());
    }
    return d;
}

}  // namespace lifeboat::postgres

#include "repo/names.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <vector>

namespace lifeboat::repo {

using base::Code;
using base::Error;

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    std::size_t at = 0;
    while (true) {
        const std::size_t end = text.find(separator, at);
        parts.push_back(text.substr(at, end == std::string_view::npos ? end : end - at));
        if (end == std::string_view::npos) {
            return parts;
        }
        at = end + 1;
    }
}

Error foreign(std::string_view name) {
    return Error(Code::Corrupt, "'" + std::string(name) + "' is not a name that lifeboat writes");
}

std::string hex_number(std::uint64_t value, int digits) {
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), "%0*llX", digits, static_cast<unsigned long long>(value));
    return out.data();
}

// Exactly `digits` upper-case hexadecimal digits.
bool parse_hex(std::string_view text, std::size_t digits, std::uint64_t& out) {
    if (text.size() != digits ||
        text.find_first_not_of("0123456789ABCDEF") != std::string_view::npos) {
        return false;
    }
    return std::from_chars(text.data(), text.data() + text.size(), out, 16).ec == std::errc{};
}

std::string system_prefix(std::string_view system) {
    return "s/" + std::string(system) + "/";
}

bool parse_range(std::string_view timeline, std::string_view lsns, StreamRange& out) {
    std::uint64_t tli = 0;
    const auto ends = split(lsns, '-');
    if (ends.size() != 2 || !parse_hex(timeline, 8, tli) || !parse_hex(ends[0], 16, out.from) ||
        !parse_hex(ends[1], 16, out.to)) {
        return false;
    }
    out.timeline = static_cast<std::uint32_t>(tli);
    return out.from < out.to;
}

bool drop_suffix(std::string_view& text, std::string_view suffix) {
    if (!text.ends_with(suffix)) {
        return false;
    }
    text.remove_suffix(suffix.size());
    return true;
}

constexpr std::string_view kLowerHex = "0123456789abcdef";

bool is_of(std::string_view text, std::string_view alphabet) {
    return text.find_first_not_of(alphabet) == std::string_view::npos;
}

bool is_system(std::string_view text) {
    return !text.empty() && text.size() <= 40 &&
           is_of(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

bool is_lower_hex(std::string_view text, std::size_t digits) {
    return text.size() == digits && is_of(text, kLowerHex);
}

// "<start>-<4 hex digits>"
bool is_backup_id(std::string_view text) {
    return text.size() == 21 && text[16] == '-' && base::parse_compact_time(text.substr(0, 16)) &&
           is_lower_hex(text.substr(17), 4);
}

// "s/<system>/<room>/<E>/<32 hex digits><suffix>"
bool is_pack_name(const std::vector<std::string_view>& parts, std::string_view room,
                  std::string_view suffix) {
    if (parts.size() != 5 || parts[2] != room) {
        return false;
    }
    std::string_view file = parts[4];
    return policy::ExpiryDay::parse(parts[3]) && drop_suffix(file, suffix) &&
           is_lower_hex(file, 32);
}

// "s/<system>/history/<tli>-<16 hex digits>.history"
bool parse_history(const std::vector<std::string_view>& parts, std::uint64_t& timeline) {
    if (parts.size() != 4 || parts[0] != "s" || !is_system(parts[1]) || parts[2] != "history") {
        return false;
    }
    std::string_view file = parts[3];
    return drop_suffix(file, ".history") && file.size() == 25 && file[8] == '-' &&
           parse_hex(file.substr(0, 8), 8, timeline) && is_lower_hex(file.substr(9), 16);
}

bool is_writer_name(std::string_view file) {
    return drop_suffix(file, ".json") && is_lower_hex(file, 16);
}

}  // namespace

std::string data_packs_prefix(std::string_view system) {
    return system_prefix(system) + "pack/";
}

std::string data_pack_name(std::string_view system, policy::ExpiryDay expires, const Id128& pack) {
    return data_packs_prefix(system) + expires.text() + "/" + base::hex(pack) + ".pack";
}

std::string map_packs_prefix(std::string_view system) {
    return system_prefix(system) + "map/";
}

std::string map_pack_name(std::string_view system, policy::ExpiryDay expires, const Id128& pack) {
    return map_packs_prefix(system) + expires.text() + "/" + base::hex(pack) + ".map";
}

std::string writer_name(std::string_view writer) {
    return "writers/" + std::string(writer) + ".json";
}

std::string manifest_prefix(std::string_view system) {
    return system_prefix(system) + "manifest/";
}

std::string ManifestName::text() const {
    return manifest_prefix(system) + base::compact_time(stop) + "-" + expires.text() + "-" +
           backup + ".manifest";
}

Result<ManifestName> ManifestName::parse(std::string_view object_name) {
    const auto parts = split(object_name, '/');
    if (parts.size() != 4 || parts[0] != "s" || !is_system(parts[1]) || parts[2] != "manifest") {
        return foreign(object_name);
    }
    std::string_view file = parts[3];
    // 16 characters of time, '-', 8 of expiry, '-', the id
    if (!drop_suffix(file, ".manifest") || file.size() < 28 || file[16] != '-' || file[25] != '-') {
        return foreign(object_name);
    }
    const auto stop = base::parse_compact_time(file.substr(0, 16));
    const auto expires = policy::ExpiryDay::parse(file.substr(17, 8));
    if (!stop || !expires || !is_backup_id(file.substr(26))) {
        return foreign(object_name);
    }
    ManifestName name{std::string(parts[1]), *stop, *expires, std::string(file.substr(26))};
    if (name.text() != object_name) {  // a second of 60: one backup must not have two names
        return foreign(object_name);
    }
    return name;
}

std::string make_backup_id(base::Timestamp start, base::Random& random) {
    std::array<base::Byte, 2> tail{};
    random.fill(tail);
    return base::compact_time(start) + "-" + base::hex(tail);
}

std::string stream_prefix(std::string_view system, StreamObject kind) {
    switch (kind) {
        case StreamObject::Piece:
            return system_prefix(system) + "wal/";
        case StreamObject::Gathered:
            return system_prefix(system) + "walpack/";
        case StreamObject::Gap:
            return system_prefix(system) + "gap/";
    }
    return {};
}

std::string history_prefix(std::string_view system) {
    return system_prefix(system) + "history/";
}

std::string history_name(std::string_view system, std::uint32_t timeline, BytesView digest) {
    return history_prefix(system) + hex_number(timeline, 8) + "-" + base::hex(digest.first(8)) +
           ".history";
}

Result<std::uint32_t> history_timeline(std::string_view object_name) {
    std::uint64_t timeline = 0;
    if (!parse_history(split(object_name, '/'), timeline)) {
        return foreign(object_name);
    }
    return static_cast<std::uint32_t>(timeline);
}

std::string StreamName::text() const {
    const std::string lsns = hex_number(range.from, 16) + "-" + hex_number(range.to, 16);
    const std::string tail = hex_number(range.timeline, 8) + "/" + lsns;
    switch (kind) {
        case StreamObject::Piece:
            return stream_prefix(system, kind) + expires.text() + "/" + tail + ".piece";
        case StreamObject::Gathered:
            return stream_prefix(system, kind) + expires.text() + "/" + tail + ".pack";
        case StreamObject::Gap:
            return stream_prefix(system, kind) + tail + ".gap";
    }
    return {};
}

Result<StreamName> StreamName::parse(std::string_view object_name) {
    const auto parts = split(object_name, '/');
    StreamName name;
    if (parts.size() < 5 || parts[0] != "s" || !is_system(parts[1])) {
        return foreign(object_name);
    }
    name.system = parts[1];
    std::string_view lsns = parts.back();
    if (parts[2] == "gap" && parts.size() == 5 && drop_suffix(lsns, ".gap") &&
        parse_range(parts[3], lsns, name.range)) {
        name.kind = StreamObject::Gap;
        return name;
    }
    const bool piece = parts[2] == "wal" && drop_suffix(lsns, ".piece");
    const bool gathered = parts[2] == "walpack" && drop_suffix(lsns, ".pack");
    if (parts.size() != 6 || (!piece && !gathered) || !parse_range(parts[4], lsns, name.range)) {
        return foreign(object_name);
    }
    const auto expires = policy::ExpiryDay::parse(parts[3]);
    if (!expires) {
        return foreign(object_name);
    }
    name.kind = piece ? StreamObject::Piece : StreamObject::Gathered;
    name.expires = *expires;
    return name;
}

ObjectClass classify(std::string_view object_name) {
    if (object_name == kRepositoryObject) {
        return ObjectClass::Repository;
    }
    const auto parts = split(object_name, '/');
    if (parts.size() == 2 && parts[0] == "writers" && is_writer_name(parts[1])) {
        return ObjectClass::Writer;
    }
    if (parts.size() < 4 || parts[0] != "s" || !is_system(parts[1])) {
        return ObjectClass::Unknown;
    }
    if (is_pack_name(parts, "pack", ".pack")) {
        return ObjectClass::DataPack;
    }
    if (is_pack_name(parts, "map", ".map")) {
        return ObjectClass::MapPack;
    }
    if (history_timeline(object_name)) {
        return ObjectClass::History;
    }
    if (ManifestName::parse(object_name)) {
        return ObjectClass::Manifest;
    }
    const auto stream = StreamName::parse(object_name);
    if (!stream) {
        return ObjectClass::Unknown;
    }
    switch (stream->kind) {
        case StreamObject::Piece:
            return ObjectClass::Piece;
        case StreamObject::Gathered:
            return ObjectClass::Gathered;
        case StreamObject::Gap:
            return ObjectClass::Gap;
    }
    return ObjectClass::Unknown;
}

Result<policy::ExpiryDay> expiry_of(std::string_view object_name) {
    switch (classify(object_name)) {
        case ObjectClass::Manifest: {
            const ManifestName name = TRY(ManifestName::parse(object_name));
            return name.expires;
        }
        case ObjectClass::DataPack:
        case ObjectClass::MapPack:
        case ObjectClass::Piece:
        case ObjectClass::Gathered:
            return policy::ExpiryDay::parse(split(object_name, '/')[3]);
        default:
            return foreign(object_name);
    }
}

}  // namespace lifeboat::repo

// Whose spool it is, and the timeline histories beside the WAL. Tested by wal_spool_test.cc.

#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "postgres/timeline.h"
#include "postgres/wal_spool.h"

namespace lifeboat::postgres {

using base::Bytes;
using base::BytesView;
using base::Files;

namespace {

constexpr std::string_view kIdentityFile = "spool.json";

Result<ClusterIdentity> decode_identity(BytesView file) {
    const base::Json json = TRY(base::Json::parse(base::text(file)));
    const auto format = TRY(json.integer("format"));
    if (format != 1) {
        return Error(Code::Unsupported, "the spool is of format " + std::to_string(format) +
                                            ", this lifeboat reads up to 1")
            .hint("Use the lifeboat that wrote it, or a newer one.");
    }
    const std::string system = TRY(json.text("system_identifier"));
    const auto major = TRY(json.integer("major"));
    const auto segment_size = TRY(json.integer("segment_size"));
    ClusterIdentity cluster;
    const auto [end, error] =
        std::from_chars(system.data(), system.data() + system.size(), cluster.system_identifier);
    if (error != std::errc{} || end != system.data() + system.size()) {
        return Error(Code::Corrupt, "'" + system + "' is no system identifier");
    }
    cluster.major = static_cast<int>(major);
    cluster.segment_size = TRY(SegmentSize::of(static_cast<std::uint64_t>(segment_size)));
    return cluster;
}

std::string encode_identity(const ClusterIdentity& cluster) {
    base::Json json = base::Json::object();
    json.set("format", 1)
        .set("system_identifier", std::to_string(cluster.system_identifier))
        .set("major", cluster.major);
    json.set("segment_size", cluster.segment_size.bytes());
    return json.dump(2) + "\n";
}

std::string describe(const ClusterIdentity& cluster) {
    return "cluster " + std::to_string(cluster.system_identifier) + " (PostgreSQL " +
           std::to_string(cluster.major) + ", segments of " +
           base::human_size(cluster.segment_size.bytes()) + ")";
}

}  // namespace

Result<std::optional<ClusterIdentity>> WalSpool::identity_of(Files& files,
                                                             const std::string& directory) {
    const std::string path = base::join(directory, kIdentityFile);
    auto file = base::read_file(files, path, base::kMiB);
    if (!file && file.error().code() == Code::NotFound) {
        return std::optional<ClusterIdentity>{};
    }
    const Bytes bytes = TRY(std::move(file));
    const ClusterIdentity cluster = TRY(decode_identity(bytes).during("reading '" + path + "'"));
    return std::optional(cluster);
}

Result<> WalSpool::claim(Files& files, const std::string& directory,
                         const ClusterIdentity& cluster) {
    TRY(base::create_directories(files, directory));
    auto there = TRY(identity_of(files, directory));
    if (!there) {
        const std::string path = base::join(directory, kIdentityFile);
        auto written = base::write_durably(files, path, base::view(encode_identity(cluster)),
                                           base::Replace::No);
        if (written || written.error().code() != Code::Conflict) {
            return written;
        }
        there = TRY(identity_of(files, directory));
    }
    if (*there != cluster) {
        return Error(Code::Conflict, "spool '" + directory + "' holds WAL of " + describe(*there) +
                                         ", not of " + describe(cluster))
            .hint(
                "Give each cluster its own system and spool in lifeboat.yaml. If this server "
                "replaces the old one for good, and what the "
                "spool holds is in the repository, remove the spool.");
    }
    return {};
}

Result<> WalSpool::keep_history(TimelineId timeline, BytesView contents) {
    const std::string path = base::join(directory_, history_name(timeline));
    const auto known = base::read_file(files_, path, base::kMiB);
    if (known && std::equal(known->begin(), known->end(), contents.begin(), contents.end())) {
        return {};
    }
    const auto before = known ? parse_history(timeline, base::text(*known))
                              : Result<TimelineHistory>(known.error().clone());
    const auto now = parse_history(timeline, base::text(contents));
    if (before && now) {
        TRY(check_same_branch(*before, *now, "spool '" + directory_ + "'"));
    }
    return base::write_durably(files_, path, contents, base::Replace::Yes)
        .during("keeping a timeline's history in the spool");
}

Result<std::vector<std::pair<TimelineId, Bytes>>> WalSpool::histories() const {
    std::vector<std::pair<TimelineId, Bytes>> out;
    const auto names = TRY(files_.list(directory_));
    for (const std::string& name : names) {
        const auto parsed = parse_wal_file_name(name, cluster_.segment_size);
        if (parsed && parsed->kind == WalFileKind::History) {
            auto contents = TRY(base::read_file(files_, base::join(directory_, name), base::kMiB));
            out.emplace_back(parsed->timeline, std::move(contents));
        }
    }
    return out;
}

}  // namespace lifeboat::postgres

#include "postgres/wal_receiver_claims.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/log.h"
#include "postgres/timeline.h"

namespace lifeboat::postgres {

using repo::StreamRange;

namespace {

bool is_verdict(Code code) {
    return code == Code::Corrupt || code == Code::Denied || code == Code::NotFound;
}

Result<repo::VerifiedLabel> examine(repo::Repository& repository, const repo::HostKeys& host,
                                    const repo::StreamCatalog::Entry& claim) {
    const repo::ReaderKeys keys({}, host.secret, {host.signing_key().verify_key()});
    auto label = TRY(repo::read_label(repository, claim, keys));
    const std::string name = claim.name.text();
    const base::Bytes bytes = TRY(repository.store().get(name));
    TRY(repo::check_pack_bytes(bytes).during("pack '" + name + "'"));
    return label;
}

}  // namespace

Result<bool> prove_claim(repo::Repository& repository, const repo::HostKeys& host,
                         const ClusterIdentity& cluster, const repo::StreamCatalog::Entry& claim) {
    auto seen = examine(repository, host, claim);
    if (!seen && !is_verdict(seen.error().code())) {
        return std::move(seen).error();
    }
    if (!seen) {
        base::log(base::LogLevel::Error, "stream: an object of the repository is not believed",
                  {{"object", claim.name.text()}, {"error", seen.error().message()}});
        return false;
    }
    const repo::StreamLabel& label = seen->label;
    if (label.source != cluster.system_identifier ||
        label.major != static_cast<std::uint32_t>(cluster.major) ||
        label.segment_size != cluster.segment_size.bytes()) {
        return Error(Code::Conflict, "'" + claim.name.text() + "' holds WAL of cluster " +
                                         std::to_string(label.source) + " (PostgreSQL " +
                                         std::to_string(label.major) + "), not of " +
                                         std::to_string(cluster.system_identifier) +
                                         " (PostgreSQL " + std::to_string(cluster.major) + ")")
            .hint("Give this server a system of its own in lifeboat.yaml.");
    }
    return true;
}

WalRanges claims_before(const WalRanges& claimed, const WalStart& kept,
                        const TimelineHistory& history) {
    std::vector<TimelineId> way;
    for (const Departure& departure : history.ancestors) {
        way.push_back(departure.timeline);
    }
    way.push_back(history.timeline);
    WalRanges out;
    for (const TimelineId timeline : way) {
        for (const StreamRange& range : claimed.ranges(timeline)) {
            const bool last = timeline == kept.timeline;
            out.add({timeline, range.from, last ? std::min(range.to, kept.from.value) : range.to});
        }
        if (timeline == kept.timeline) {
            break;
        }
    }
    return out;
}

std::optional<StreamRange> byte_before(const WalStart& start, const TimelineHistory& history) {
    const Departure* origin = nullptr;
    for (const Departure& departure : history.ancestors) {
        if (departure.timeline == start.timeline) {
            break;
        }
        origin = &departure;
    }
    if (origin != nullptr && start.from <= origin->at) {
        return StreamRange{origin->timeline, origin->at.value - 1, origin->at.value};
    }
    if (!start.from.is_set()) {
        return std::nullopt;
    }
    return StreamRange{start.timeline, start.from.value - 1, start.from.value};
}

Result<> check_history(repo::Repository& repository, const repo::HostKeys& host,
                       std::string_view system, TimelineId timeline, base::BytesView contents) {
    const TimelineHistory ours = TRY(parse_history(timeline, base::text(contents)));
    std::vector<std::string> stored;
    TRY(repository.store().list(repo::history_prefix(system),
                                [&](const store::ObjectInfo& object) -> Result<> {
                                    const auto number = repo::history_timeline(object.name);
                                    if (number && *number == timeline) {
                                        stored.push_back(object.name);
                                    }
                                    return {};
                                }));
    const auto map_key = repo::RepositoryKeys::derive(host.secret, repository.id()).map;
    for (const std::string& name : stored) {
        auto history = repo::read_history(repository, name, map_key);
        if (!history && !is_verdict(history.error().code())) {
            return std::move(history).error();
        }
        const auto theirs = history ? parse_history(timeline, base::text(history->contents))
                                    : Result<TimelineHistory>(std::move(history).error());
        if (theirs) {
            TRY(check_same_branch(*theirs, ours, "the repository"));
        }
    }
    return {};
}

}  // namespace lifeboat::postgres

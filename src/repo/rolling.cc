#include "repo/rolling.h"

#include <algorithm>
#include <vector>

#include "repo/names.h"

namespace lifeboat::repo {

namespace {

// Runs per page, compared without division: a fresh file has one run for each frame of pages.
bool more_urgent(const RewriteCandidate& a, const RewriteCandidate& b) {
    if (a.age_days != b.age_days) {
        return a.age_days > b.age_days;
    }
    const std::uint64_t left = a.runs * (b.size / kPageSize + 1);
    const std::uint64_t right = b.runs * (a.size / kPageSize + 1);
    return left != right ? left > right : a.path < b.path;
}

std::int64_t days_between(policy::ExpiryDay earlier, policy::ExpiryDay later) {
    return std::chrono::duration_cast<std::chrono::days>(later.end() - earlier.end()).count();
}

}  // namespace

std::set<std::string> choose_rewrites(std::vector<RewriteCandidate> candidates,
                                      std::chrono::days cycle) {
    std::set<std::string> chosen;
    if (candidates.empty() || cycle.count() <= 0) {
        return chosen;
    }
    std::sort(candidates.begin(), candidates.end(), more_urgent);
    const std::int64_t oldest = candidates.front().age_days;
    double total = 0;
    double done = 0;
    for (const RewriteCandidate& candidate : candidates) {
        total += static_cast<double>(candidate.size);
        done += candidate.age_days < oldest ? static_cast<double>(candidate.size) : 0;
    }
    const double allowed = total * static_cast<double>(std::min(oldest, cycle.count())) /
                           static_cast<double>(cycle.count());
    for (const RewriteCandidate& candidate : candidates) {
        // After days without a backup several generations are overdue at once: all of them, or each
        // would stay as late as the first.
        const bool overdue = candidate.age_days >= cycle.count();
        const bool in_turn =
            candidate.age_days == oldest && done + static_cast<double>(candidate.size) <= allowed;
        if (!overdue && !in_turn) {
            break;
        }
        done += static_cast<double>(candidate.size);
        chosen.insert(candidate.path);
    }
    return chosen;
}

std::set<std::string> plan_rewrites(const MapIndex& previous, const Manifest& manifest,
                                    policy::ExpiryDay new_pack_expires, std::chrono::days cycle) {
    std::vector<RewriteCandidate> candidates;
    for (const auto& [path, summary] : previous.summaries()) {
        const auto pack = manifest.packs.find(summary.oldest_pack);
        if (summary.size == 0 || pack == manifest.packs.end()) {
            continue;
        }
        const auto expires = expiry_of(pack->second.object.name);
        const std::int64_t age =
            expires ? std::max<std::int64_t>(0, days_between(*expires, new_pack_expires))
                    : cycle.count();
        candidates.push_back({path, summary.size, summary.runs, age});
    }
    return choose_rewrites(std::move(candidates), cycle);
}

}  // namespace lifeboat::repo

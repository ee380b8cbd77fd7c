#include "repo/rolling.h"

#include <algorithm>
#include <vector>

namespace lifeboat::repo {

namespace {

struct Candidate {
    const std::string* path;
    const MapIndex::Summary* summary;
};

// Runs per page, compared without division: a fresh file has one run for each sixteen pages.
bool more_urgent(const Candidate& a, const Candidate& b) {
    if (a.summary->oldest_pack != b.summary->oldest_pack) {
        return a.summary->oldest_pack < b.summary->oldest_pack;
    }
    const auto left = static_cast<std::uint64_t>(a.summary->runs) * (b.summary->size / kPageSize + 1);
    const auto right = static_cast<std::uint64_t>(b.summary->runs) * (a.summary->size / kPageSize + 1);
    return left != right ? left > right : *a.path < *b.path;
}

}  // namespace

std::set<std::string> plan_rewrites(const MapIndex& previous, base::Duration elapsed, std::chrono::days cycle) {
    std::vector<Candidate> candidates;
    double total = 0;
    for (const auto& [path, summary] : previous.summaries()) {
        if (summary.size > 0) {
            candidates.push_back({&path, &summary});
            total += static_cast<double>(summary.size);
        }
    }
    std::sort(candidates.begin(), candidates.end(), more_urgent);
    const double cycle_length = std::chrono::duration<double>(cycle).count();
    const double share = cycle_length <= 0 ? 0 : std::clamp(std::chrono::duration<double>(elapsed).count() / cycle_length, 0.0, 1.0);
    double budget = total * share;
    std::set<std::string> chosen;
    for (const Candidate& candidate : candidates) {
        // The one that crosses the line is left for the next backup, whose share is then larger: what is due is never exceeded.
        if (static_cast<double>(candidate.summary->size) > budget) {
            break;
        }
        budget -= static_cast<double>(candidate.summary->size);
        chosen.insert(*candidate.path);
    }
    return chosen;
}

}  // namespace lifeboat::repo

#pragma once

#include <chrono>
#include <set>
#include <string>

#include "policy/expiry.h"
#include "repo/manifest.h"
#include "repo/map_index.h"

namespace lifeboat::repo {

// Chooses the files that an incremental backup stores anew although their pages are unchanged, so
// that every page is rewritten within one `cycle` from the live plaintext: the age and the
// fragmentation of what a restore reads stay bounded without ever decrypting. Oldest first, then
// the most fragmented; what was rewritten since the oldest file was, plus what is chosen, stays
// within the share of all bytes that its age is of the cycle. Ages are read from expiry days: a
// pack that expires d days before one written now is d days old. Pure.
std::set<std::string> plan_rewrites(const MapIndex& previous, const Manifest& manifest,
                                    policy::ExpiryDay new_pack_expires, std::chrono::days cycle);

// The arithmetic of it, over bare facts.
struct RewriteCandidate {
    std::string path;
    std::uint64_t size = 0;
    std::uint32_t runs = 0;
    std::int64_t age_days = 0;
};

std::set<std::string> choose_rewrites(std::vector<RewriteCandidate> candidates,
                                      std::chrono::days cycle);

}  // namespace lifeboat::repo

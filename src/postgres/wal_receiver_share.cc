#include "postgres/wal_receiver_share.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

namespace lifeboat::postgres {

using base::Lock;
using repo::StreamObject;
using repo::StreamRange;

namespace {

constexpr std::size_t kPacksAtOnce = 2;  // each in memory as a whole
constexpr std::size_t kPiecesAtOnce = 16;

bool is_gathered(const repo::StreamCatalog::Entry& claim) {
    return claim.name.kind == StreamObject::Gathered;
}

// In their order otherwise; how many there are. (clang calls what std::stable_partition uses
// deprecated.)
std::size_t gathered_first(std::vector<WalShare::Claim>& claims) {
    std::vector<WalShare::Claim> ordered;
    std::copy_if(claims.begin(), claims.end(), std::back_inserter(ordered), is_gathered);
    const std::size_t count = ordered.size();
    std::remove_copy_if(claims.begin(), claims.end(), std::back_inserter(ordered), is_gathered);
    claims = std::move(ordered);
    return count;
}

std::optional<StreamRange> overlap(const StreamRange& a, const StreamRange& b) {
    const StreamRange both{a.timeline, std::max(a.from, b.from), std::min(a.to, b.to)};
    return a.timeline == b.timeline && both.from < both.to ? std::optional(both) : std::nullopt;
}

}  // namespace

void WalShare::changed() {
    ++changes_;
    change_.notify_all();
}

void WalShare::end() {
    const Lock lock(mutex_);
    ended_ = true;
    changed();
}

bool WalShare::ended() const {
    const Lock lock(mutex_);
    return ended_;
}

void WalShare::use_spool(WalSpool& spool) {
    const Lock lock(mutex_);
    spool_ = &spool;
    changed();
}

void WalShare::set_current(const WalStart& next) {
    const Lock lock(mutex_);
    current_ = next;
}

void WalShare::received() {
    const Lock lock(mutex_);
    changed();
}

void WalShare::set_eager(bool eager) {
    const Lock lock(mutex_);
    if (std::exchange(eager_, eager) != eager) {
        changed();
    }
}

void WalShare::set_pressure(bool pressure) {
    const Lock lock(mutex_);
    if (std::exchange(pressure_, pressure) != pressure) {
        changed();
    }
}

void WalShare::store_history(HistoryToStore history) {
    const Lock lock(mutex_);
    histories_.push_back(std::move(history));
    changed();
}

void WalShare::record_gap(GapToRecord gap) {
    const Lock lock(mutex_);
    gaps_.push_back(std::move(gap));
    changed();
}

void WalShare::drain() {
    const Lock lock(mutex_);
    draining_ = true;
    changed();
}

void WalShare::stored(const StreamRange& range) {
    const Lock lock(mutex_);
    stored_.add(range);
    changed();
}

void WalShare::gathered(const StreamRange& range) {
    const Lock lock(mutex_);
    stored_.add(range);
    gathered_.add(range);
    changed();
}

void WalShare::set_catalog(const repo::StreamCatalog& catalog,
                           const std::optional<WalStart>& base) {
    const Lock lock(mutex_);
    claims_ = catalog.entries();
    base_ = base;
    catalog_known_ = true;
    changed();
}

void WalShare::settle(const Claim& claim, bool proven) {
    const Lock lock(mutex_);
    std::erase_if(claims_, [&](const Claim& other) {
        return other.name.range == claim.name.range && other.name.kind == claim.name.kind &&
               other.name.expires == claim.name.expires;
    });
    if (proven) {
        stored_.add(claim.name.range);
        if (claim.name.kind == StreamObject::Gathered) {
            gathered_.add(claim.name.range);
        }
    }
    changed();
}

// Only the thread that took them calls this, after it dealt with all that histories() and gaps()
// had shown: later ones stay.
void WalShare::side_work_done(std::size_t histories, std::size_t gaps) {
    const Lock lock(mutex_);
    histories_.erase(histories_.begin(),
                     histories_.begin() + static_cast<std::ptrdiff_t>(histories));
    gaps_.erase(gaps_.begin(), gaps_.begin() + static_cast<std::ptrdiff_t>(gaps));
    changed();
}

WalSpool* WalShare::spool() const {
    const Lock lock(mutex_);
    return spool_;
}

std::optional<WalStart> WalShare::current() const {
    const Lock lock(mutex_);
    return current_;
}

bool WalShare::eager() const {
    const Lock lock(mutex_);
    return eager_;
}

bool WalShare::pressure() const {
    const Lock lock(mutex_);
    return pressure_;
}

bool WalShare::draining() const {
    const Lock lock(mutex_);
    return draining_;
}

bool WalShare::catalog_known() const {
    const Lock lock(mutex_);
    return catalog_known_;
}

std::optional<WalStart> WalShare::base() const {
    const Lock lock(mutex_);
    return base_;
}

bool WalShare::side_work_waits() const {
    const Lock lock(mutex_);
    return !histories_.empty() || !gaps_.empty();
}

WalRanges WalShare::stored_ranges() const {
    const Lock lock(mutex_);
    return stored_;
}

WalRanges WalShare::claimed_ranges() const {
    const Lock lock(mutex_);
    WalRanges all;
    for (const Claim& claim : claims_) {
        all.add(claim.name.range);
    }
    return all;
}

std::vector<WalShare::Claim> WalShare::claims_of(const StreamRange& range) const {
    const Lock lock(mutex_);
    std::vector<Claim> found;
    for (const Claim& claim : claims_) {
        if (overlap(claim.name.range, range)) {
            found.push_back(claim);
        }
    }
    gathered_first(found);
    return found;
}

std::vector<WalShare::Claim> WalShare::open_claims() const {
    const WalSpool* const spool = this->spool();
    std::vector<Claim> found;
    const auto ranges = spool == nullptr ? std::vector<StreamRange>() : spool->ranges();
    const Lock lock(mutex_);
    for (const Claim& claim : claims_) {
        const WalRanges& done = is_gathered(claim) ? gathered_ : stored_;
        const bool matters = std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
            const auto both = overlap(claim.name.range, range);
            return both && !done.contains(*both);
        });
        if (matters) {
            found.push_back(claim);
        }
    }
    // A gathered pack that is whole spares the look at the pieces that it covers.
    const std::size_t gathered = gathered_first(found);
    const std::size_t most = gathered > 0 ? std::min(gathered, kPacksAtOnce) : kPiecesAtOnce;
    if (found.size() > most) {
        found.erase(found.begin() + static_cast<std::ptrdiff_t>(most), found.end());
    }
    return found;
}

std::optional<StreamRange> WalShare::first_unstored() const {
    const WalSpool* const spool = this->spool();
    if (spool == nullptr) {
        return std::nullopt;
    }
    const auto ranges = spool->ranges();
    const Lock lock(mutex_);
    for (const StreamRange& range : ranges) {
        if (const auto missing = stored_.first_missing(range)) {
            return missing;
        }
    }
    return std::nullopt;
}

std::optional<Lsn> WalShare::lowest_unstored() const {
    const WalSpool* const spool = this->spool();
    std::optional<Lsn> lowest;
    if (spool == nullptr) {
        return lowest;
    }
    const auto ranges = spool->ranges();
    const Lock lock(mutex_);
    for (const StreamRange& range : ranges) {
        const auto missing = stored_.first_missing(range);
        if (missing && (!lowest || Lsn{missing->from} < *lowest)) {
            lowest = Lsn{missing->from};
        }
    }
    return lowest;
}

// The spool is asked first: what it drops meanwhile was stored before.
Lsn WalShare::held_to(const WalStart& from) const {
    const WalSpool* const spool = this->spool();
    const auto ranges = spool == nullptr ? std::vector<StreamRange>() : spool->ranges();
    const Lock lock(mutex_);
    std::uint64_t end = from.from.value;
    for (const StreamRange& range : ranges) {
        end = stored_.covered_to(from.timeline, end);
        if (range.timeline == from.timeline && range.from <= end) {
            end = std::max(end, range.to);
        }
    }
    return Lsn{stored_.covered_to(from.timeline, end)};
}

WalRanges WalShare::gathered_ranges() const {
    const Lock lock(mutex_);
    return gathered_;
}

std::vector<HistoryToStore> WalShare::histories() const {
    const Lock lock(mutex_);
    return histories_;
}

std::vector<GapToRecord> WalShare::gaps() const {
    const Lock lock(mutex_);
    return gaps_;
}

void WalShare::complain(TroubleSource source, std::string text) {
    const Lock lock(mutex_);
    repository_failures_ += source == TroubleSource::Repository && !text.empty() ? 1 : 0;
    std::string& said = trouble_[source];
    if (said != text) {
        said = std::move(text);
        changed();
    }
}

bool WalShare::complains(TroubleSource source) const {
    const Lock lock(mutex_);
    const auto said = trouble_.find(source);
    return said != trouble_.end() && !said->second.empty();
}

std::uint64_t WalShare::repository_failures() const {
    const Lock lock(mutex_);
    return repository_failures_;
}

std::string WalShare::trouble() const {
    const Lock lock(mutex_);
    std::string all;
    for (const auto& [source, text] : trouble_) {
        if (!text.empty()) {
            all += (all.empty() ? "" : "; ") + text;
        }
    }
    return all;
}

std::uint64_t WalShare::wait(std::uint64_t seen, base::Duration most) {
    const Lock lock(mutex_);
    if (changes_ == seen && !ended_) {
        change_.wait_for(mutex_, most);
    }
    return changes_;
}

}  // namespace lifeboat::postgres

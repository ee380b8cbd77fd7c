#include "config/config.h"

#include <algorithm>

#include "config/nearest.h"
#include "policy/text.h"

namespace lifeboat::config {

using base::Code;
using base::Error;
using base::Result;

namespace {

template <class T>
Result<const T*> find_named(const std::vector<T>& all, std::string_view name,
                            const std::string& what) {
    const auto found = std::ranges::find(all, name, &T::name);
    if (found != all.end()) {
        return &*found;
    }
    std::vector<std::string_view> names;
    std::string listed;
    for (const T& each : all) {
        names.emplace_back(each.name);
        listed += (listed.empty() ? "" : ", ") + each.name;
    }
    std::string text = "there is no " + what + " " + policy::quoted(name);
    if (const auto meant = nearest(name, names)) {
        text += "; did you mean '" + std::string(*meant) + "'?";
    }
    return Error(Code::InvalidInput, std::move(text))
        .hint("Configured: " + (listed.empty() ? "none" : listed) + ".");
}

}  // namespace

bool Config::operator==(const Config& other) const {
    return site == other.site && repositories == other.repositories &&
           recipients == other.recipients && keys == other.keys && tiers == other.tiers &&
           systems == other.systems && others == other.others;
}

bool is_name(std::string_view text) {
    const auto legal = [](char c) {
        return (c >= 'a' && c <= 'z') || policy::is_digit(c) || c == '-';
    };
    return !text.empty() && text.size() <= 40 && text.front() != '-' &&
           std::ranges::all_of(text, legal);
}

std::string default_host_key(const Site& site) {
    return base::join(site.state, "keys/host.key");
}

std::string default_slot(std::string_view system) {
    std::string slot = "lifeboat_" + std::string(system);
    std::ranges::replace(slot, '-', '_');
    return slot;
}

std::string default_spool(const Site& site, std::string_view system) {
    return base::join(base::join(site.state, "spool"), system);
}

Result<const System*> find_system(const Config& config, std::string_view name) {
    return find_named(config.systems, name, "system");
}

Result<const Repository*> find_repository(const Config& config, std::string_view name) {
    return find_named(config.repositories, name, "repository");
}

const policy::Tier* tier_of(const Config& config, const System& system) {
    const auto found = std::ranges::find(config.tiers, system.tier, &policy::Tier::name);
    return found == config.tiers.end() ? nullptr : &*found;
}

}  // namespace lifeboat::config

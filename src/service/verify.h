#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "service/check.h"
#include "service/standing.h"

namespace lifeboat::service {

struct VerifyRequest {
    std::string system;  // empty: all
    std::string repository;
    std::string identity;
    bool data = false;  // decrypt every byte
};

// How a system stands, worst first: what a headline says, and what the exit code is made of.
enum class SystemState {
    Damaged,   // something of it is lost
    OddSize,   // its newest backup is out of band
    Late,      // an objective is missed
    Unknown,   // something could not be looked at
    Unjudged,  // whole, and without an objective
    Ok,
};

std::string_view name(SystemState state);  // "damaged", "odd size", ...

struct VerifiedSystem {
    std::string name;
    std::size_t whole = 0;
    std::size_t degraded = 0;
    std::size_t unknown = 0;
    std::size_t lost_objects = 0;      // of this system, missing or damaged
    std::size_t unread_objects = 0;    // of this system: could not be looked at
    std::size_t stream_losses = 0;     // stretches of its stream that are lost, unrecorded
    std::optional<Standing> standing;  // nothing: `trouble` says why
    std::string trouble;
    std::string size_trouble;  // why the newest backup's size is out of band; empty: it is in it

    SystemState state() const;
};

struct VerifyReport {
    CheckOutcome check;
    std::vector<VerifiedSystem> systems;
    base::Json to_json() const;
    // By the worst of all systems, and of what belongs to none: lost data 1, else an objective or
    // the size band missed 5, else something that is not known 3, else 0.
    int exit_code() const;
};

// Are the backups there, of sane size, and young enough? Presence is repo::check_repository's; with
// `data` every frame is decrypted, which needs an identity.
Result<VerifyReport> verify(Installation& installation, const VerifyRequest& request,
                            const repo::CheckWatcher& watch);

// Says why the newest size is out of band: less than half or more than twice the median of the
// earlier ones. Fewer than three of them say nothing. Pure.
std::string judge_size(std::span<const std::uint64_t> earlier, std::uint64_t newest);

}  // namespace lifeboat::service

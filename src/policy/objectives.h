#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"
#include "policy/quantity.h"

namespace lifeboat::policy {

// How fast a system must be back, and how much of its newest data may be lost.
struct Objectives {
    base::Duration rto{};
    base::Duration rpo{};
    bool operator==(const Objectives&) const = default;
};

struct Tier {
    std::string name;
    Objectives objectives;
    bool operator==(const Tier&) const = default;
};

// P8: what was not measured, or not lately, is neither met nor missed.
enum class Verdict { Met, Missed, Unknown };

std::string_view name(Verdict verdict);  // "met", "missed", "unknown"

// Of several verdicts the one to report for all: Missed, else Unknown, else Met. Unknown for none
// at all: nothing was looked at.
Verdict worst(std::span<const Verdict> verdicts);

// A verdict with its arithmetic, so that nobody has to take it on faith.
struct Assessment {
    Verdict verdict = Verdict::Unknown;
    std::optional<base::Duration> objective;
    std::optional<base::Duration> measured;
    std::string reason;  // "1.2 s of 5 min 0 s", "no drill has measured it", ...
};

// A measured duration is Met up to and including the objective. Unknown without an objective or a
// measurement, and for a negative one, which only a clock that was set can produce.
Assessment assess(std::optional<base::Duration> objective, std::optional<base::Duration> measured);

// RPO: what a disaster at `now` would lose, from the newest point that can be recovered. Nothing
// means that the repository was read and holds no such point: all would be lost, and any
// objective is missed. (A repository that could not be read yields no assessment at all: use a
// default one, with the reason.) A point further in the future than clocks may differ is Unknown.
Assessment assess_rpo(std::optional<base::Duration> objective,
                      std::optional<base::Timestamp> newest_point, base::Timestamp now);

// A recovery time, and when it was measured.
struct Proof {
    base::Duration took{};
    base::Timestamp at;
};

// RTO, from the newest proof (P7): one older than `proof_lifetime` no longer says anything, so it
// is Unknown, never Met.
Assessment assess_rto(std::optional<base::Duration> objective,
                      const std::optional<Proof>& newest_proof, base::Timestamp now,
                      base::Duration proof_lifetime);

}  // namespace lifeboat::policy

#include "policy/objectives.h"

#include <algorithm>

#include "policy/expiry.h"

namespace lifeboat::policy {

using base::Duration;
using base::human_duration;
using base::Timestamp;

namespace {

Assessment unknown(std::optional<Duration> objective, std::optional<Duration> measured,
                   std::string reason) {
    return {Verdict::Unknown, objective, measured, std::move(reason)};
}

}  // namespace

std::string_view name(Verdict verdict) {
    switch (verdict) {
        case Verdict::Met:
            return "met";
        case Verdict::Missed:
            return "missed";
        case Verdict::Unknown:
            break;
    }
    return "unknown";
}

Verdict worst(std::span<const Verdict> verdicts) {
    if (std::ranges::find(verdicts, Verdict::Missed) != verdicts.end()) {
        return Verdict::Missed;
    }
    const bool all_met = std::ranges::all_of(verdicts, [](Verdict v) { return v == Verdict::Met; });
    return all_met && !verdicts.empty() ? Verdict::Met : Verdict::Unknown;
}

Assessment assess(std::optional<Duration> objective, std::optional<Duration> measured) {
    if (!measured) {
        return unknown(objective, measured, "not measured");
    }
    if (*measured < Duration(0)) {
        return unknown(objective, measured,
                       "the measurement is negative: a clock was set meanwhile");
    }
    if (!objective) {
        return unknown(objective, measured,
                       human_duration(*measured) + ", and no tier sets an objective");
    }
    const Verdict verdict = *measured <= *objective ? Verdict::Met : Verdict::Missed;
    return {verdict, objective, measured,
            human_duration(*measured) + " of " + human_duration(*objective)};
}

Assessment assess_rpo(std::optional<Duration> objective, std::optional<Timestamp> newest_point,
                      Timestamp now) {
    if (!newest_point) {
        const Verdict verdict = objective ? Verdict::Missed : Verdict::Unknown;
        return {verdict, objective, std::nullopt,
                "there is no recovery point: everything would be lost"};
    }
    const Duration loss = now - *newest_point;
    if (loss < -Duration(kClockTolerance)) {
        return unknown(
            objective, std::nullopt,
            "the newest recovery point lies " + human_duration(-loss) + " in the future");
    }
    return assess(objective, std::max(loss, Duration(0)));
}

Assessment assess_rto(std::optional<Duration> objective, const std::optional<Proof>& newest_proof,
                      Timestamp now, Duration proof_lifetime) {
    if (!newest_proof) {
        return unknown(objective, std::nullopt, "no drill has measured it");
    }
    const Duration age = now - newest_proof->at;
    if (age > proof_lifetime) {
        return unknown(objective, newest_proof->took,
                       "the last drill is " + human_duration(age) + " old");
    }
    return assess(objective, newest_proof->took);
}

}  // namespace lifeboat::policy

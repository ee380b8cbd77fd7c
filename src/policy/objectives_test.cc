#include "policy/objectives.h"

#include <gtest/gtest.h>

#include <vector>

namespace lifeboat::policy {
namespace {

using namespace std::chrono_literals;

const base::Timestamp kNow = base::parse_rfc3339("2026-01-23T14:00:00Z").value();

TEST(Objectives, AreMetUpToAndIncludingTheLimit) {
    EXPECT_EQ(assess(5min, 4min).verdict, Verdict::Met);
    EXPECT_EQ(assess(5min, 5min).verdict, Verdict::Met);
    EXPECT_EQ(assess(5min, 5min + 1us).verdict, Verdict::Missed);
    EXPECT_EQ(assess(0min, 0min).verdict, Verdict::Met);
    EXPECT_EQ(assess(5min, 4min).reason, "4 min 0 s of 5 min 0 s");
}

TEST(Objectives, P8_WhatWasNotMeasuredIsUnknown) {
    EXPECT_EQ(assess(5min, std::nullopt).verdict, Verdict::Unknown);
    EXPECT_EQ(assess(std::nullopt, 4min).verdict, Verdict::Unknown);
    EXPECT_EQ(assess(5min, -1s).verdict, Verdict::Unknown);
    EXPECT_EQ(Assessment().verdict, Verdict::Unknown);
}

TEST(Rpo, IsTheAgeOfTheNewestRecoverablePoint) {
    EXPECT_EQ(assess_rpo(5min, kNow - 5min, kNow).verdict, Verdict::Met);
    EXPECT_EQ(assess_rpo(5min, kNow - 6min, kNow).verdict, Verdict::Missed);
    EXPECT_EQ(assess_rpo(5min, kNow - 6min, kNow).measured, base::Duration(6min));
}

TEST(Rpo, IsMissedWhenNothingCanBeRecovered) {
    EXPECT_EQ(assess_rpo(5min, std::nullopt, kNow).verdict, Verdict::Missed);
    EXPECT_EQ(assess_rpo(std::nullopt, std::nullopt, kNow).verdict, Verdict::Unknown);
}

TEST(Rpo, TakesAPointInTheFutureForAWrongClock) {
    EXPECT_EQ(assess_rpo(5min, kNow + 1min, kNow).verdict, Verdict::Met);
    EXPECT_EQ(assess_rpo(5min, kNow + 1min, kNow).measured, base::Duration(0));
    EXPECT_EQ(assess_rpo(5min, kNow + 6min, kNow).verdict, Verdict::Unknown);
}

TEST(Rto, P7_AProofAges) {
    const Proof proof{30min, kNow - 24h * 10};
    EXPECT_EQ(assess_rto(1h, proof, kNow, 24h * 31).verdict, Verdict::Met);
    EXPECT_EQ(assess_rto(20min, proof, kNow, 24h * 31).verdict, Verdict::Missed);
    EXPECT_EQ(assess_rto(1h, proof, kNow, 24h * 7).verdict, Verdict::Unknown);
    EXPECT_EQ(assess_rto(1h, proof, kNow, 24h * 7).reason, "the last drill is 10 d 0 h old");
    EXPECT_EQ(assess_rto(1h, std::nullopt, kNow, 24h * 7).verdict, Verdict::Unknown);
}

TEST(Verdicts, AreAsBadAsTheWorstOfThem) {
    using enum Verdict;
    const auto of = [](std::vector<Verdict> verdicts) { return worst(verdicts); };
    EXPECT_EQ(of({Met, Met}), Met);
    EXPECT_EQ(of({Met, Unknown}), Unknown);
    EXPECT_EQ(of({Unknown, Missed, Met}), Missed);
    EXPECT_EQ(of({}), Unknown);
    EXPECT_EQ(name(Met), "met");
    EXPECT_EQ(name(Missed), "missed");
    EXPECT_EQ(name(Unknown), "unknown");
}

}  // namespace
}  // namespace lifeboat::policy

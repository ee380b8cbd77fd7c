#include "postgres/recovery_survey.h"

#include <gtest/gtest.h>

namespace lifeboat::postgres {
namespace {

// A piece whose records begin at the given positions; `before` is the back link of the first.
WalPiece piece(std::uint64_t before, std::uint64_t first, std::uint64_t last) {
    WalPiece out;
    out.summary.emplace();
    out.summary->before = Lsn{before};
    out.summary->first = Lsn{first};
    out.summary->last = Lsn{last};
    return out;
}

TEST(DoubtBrokenLinks, KeepsSummariesThatFollowEachOther) {
    std::vector<WalPiece> pieces = {piece(5, 10, 30), piece(30, 40, 60), piece(60, 70, 70)};
    doubt_broken_links(pieces);
    for (const WalPiece& one : pieces) {
        EXPECT_TRUE(one.summary.has_value());
    }
}

// Two pushed segments, each read by itself: the record at 35 begins in one and ends in the other.
TEST(DoubtBrokenLinks, ARecordThatNoSummaryTellsOfMakesTheNextOneUnknown) {
    std::vector<WalPiece> pieces = {piece(5, 10, 30), piece(35, 40, 60), piece(60, 70, 70)};
    doubt_broken_links(pieces);
    EXPECT_TRUE(pieces[0].summary.has_value());
    EXPECT_FALSE(pieces[1].summary.has_value());
    EXPECT_TRUE(pieces[2].summary.has_value());
}

TEST(DoubtBrokenLinks, AnUnknownPieceSaysNothingOfTheNext) {
    std::vector<WalPiece> pieces = {piece(5, 10, 30), {}, piece(60, 70, 70)};
    doubt_broken_links(pieces);
    EXPECT_TRUE(pieces[2].summary.has_value());
}

// Objects that overlap, and the first segment of a timeline, tell some records twice.
TEST(DoubtBrokenLinks, WhatIsToldTwiceIsNoGap) {
    std::vector<WalPiece> pieces = {piece(5, 10, 60), piece(30, 40, 80)};
    doubt_broken_links(pieces);
    EXPECT_TRUE(pieces[1].summary.has_value());
}

}  // namespace
}  // namespace lifeboat::postgres

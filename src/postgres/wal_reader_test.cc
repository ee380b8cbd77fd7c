#include "postgres/wal_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/support/wal_trace.h"

namespace lifeboat::postgres {
namespace {

TEST(WalReader, YieldsEveryRecordOfEveryMajor) {
    for (int major : {13, 14, 15, 16, 17, 18}) {
        WalForge forge(major, kSmall, kStart);
        std::vector<Lsn> starts;
        for (int i = 0; i < 1000; ++i) {
            starts.push_back(forge.append(record_of(static_cast<std::size_t>(i % 700), i)));
        }
        ASSERT_GT(forge.bytes().size(), kMegabyte / 4);
        WalReader reader({.segment_size = kSmall});
        ASSERT_TRUE(reader.feed(kStart, forge.bytes()));
        for (std::size_t i = 0; i < starts.size(); ++i) {
            ASSERT_EQ(reader.next(), WalStep::Record) << reader.failure().message();
            EXPECT_EQ(reader.record().start, starts[i]);
            EXPECT_EQ(reader.record().prev, i == 0 ? Lsn{} : starts[i - 1]);
            EXPECT_EQ(reader.record().main_data.size(), i % 700);
            EXPECT_EQ(reader.record().xid, 1000 + i);
        }
        EXPECT_EQ(reader.next(), WalStep::NeedMore);
        EXPECT_EQ(reader.position(), (WalPosition{align_record(forge.end()), starts.back()}));
        EXPECT_EQ(reader.major(), major);
        EXPECT_EQ(reader.timeline(), 1U);
        EXPECT_EQ(reader.system_identifier(), 7000000000000000001ULL);
    }
}

TEST(WalReader, EndsARecordWhereTheNextMayBegin) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(kWalPage - kLongPageHeader - kRecordHeader -
                           5));  // fills its page to the last byte
    forge.append(record_of(1));
    WalReader reader({.segment_size = kSmall});
    ASSERT_TRUE(reader.feed(kStart, forge.bytes()));
    ASSERT_EQ(reader.next(), WalStep::Record);
    EXPECT_EQ(reader.record().end, kStart + kWalPage);
    ASSERT_EQ(reader.next(), WalStep::Record);
    EXPECT_EQ(reader.record().start, kStart + kWalPage + kShortPageHeader);
    EXPECT_EQ(reader.record().end, kStart + kWalPage + kShortPageHeader + 32);
}

TEST(WalReader, T28_SkipsWhatFollowsASegmentSwitch) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(10));
    const Lsn at = forge.switch_segment();
    const Lsn next = forge.append(record_of(20));
    const Outcome seen = read(forge);
    ASSERT_EQ(seen.records.size(), 3U);
    EXPECT_EQ(seen.positions[1], (WalPosition{kStart + kMegabyte, at}));
    EXPECT_EQ(seen.positions[2].last, next);
    EXPECT_EQ(next, kStart + kMegabyte + kLongPageHeader);
}

class WalReaderCuts : public testing::TestWithParam<const char*> {
  protected:
    static Bytes stream() {
        const WalForge forge = awkward();
        Bytes bytes = copy_of(forge.bytes());
        const std::string kind = GetParam();
        const std::size_t tail = forge.bytes().size() % kWalPage;
        if (kind == "zeros") {
            bytes.resize(bytes.size() + 3 * kWalPage - tail);
        } else if (kind == "zeros then bytes") {
            bytes.resize(bytes.size() + kWalPage - tail - 1);
            bytes.push_back(1);
        } else if (kind == "bad checksum") {
            bytes[bytes.size() - 5000] ^= 1;
        } else if (kind == "torn") {
            std::fill(bytes.end() - static_cast<std::ptrdiff_t>(tail), bytes.end(), Byte{0});
        } else if (kind == "garbage page") {
            std::fill(bytes.end() - static_cast<std::ptrdiff_t>(tail), bytes.end(), Byte{0x55});
        }
        return bytes;
    }
};

TEST_P(WalReaderCuts, NeverChangeTheOutcome) {
    const Bytes bytes = stream();
    const WalReaderOptions options{.segment_size = kSmall};
    const Outcome whole = read(kAwkward, bytes);
    for (std::size_t size : {3U, 8U, 23U, 24U, 4095U, 8192U, 8193U}) {
        EXPECT_TRUE(read(kAwkward, bytes, options, [&] { return size; }).same_as(whole)) << size;
    }
    std::mt19937 dice(1);
    for (int round = 0; round < 10; ++round) {
        const std::size_t longest = round % 2 == 0 ? 200 : 20000;
        const auto cut = [&] { return 1 + dice() % longest; };
        EXPECT_TRUE(read(kAwkward, bytes, options, cut).same_as(whole)) << round;
    }
    EXPECT_GT(whole.records.size(), 300U);
}

INSTANTIATE_TEST_SUITE_P(WalReader, WalReaderCuts,
                         testing::Values("intact", "zeros", "zeros then bytes", "bad checksum",
                                         "torn", "garbage page"));

TEST(WalReader, FindsTheFirstRecordWhereverTheStreamBegins) {
    const WalForge forge = awkward();
    const Outcome whole = read(forge);
    const std::size_t size = forge.bytes().size();
    std::vector<std::size_t> begins = {1, 7, 24, 39, 40, 8191, 8193, 8200, 70001};
    for (std::size_t page = 0; page < size; page += kWalPage) {
        begins.push_back(page);
    }
    for (std::size_t begin : begins) {
        const Lsn first_page{(kAwkward.value + begin + kWalPage - 1) / kWalPage * kWalPage};
        const Outcome seen = read(kAwkward + begin, forge.bytes().subspan(begin));
        ASSERT_NE(seen.last, WalStep::Failed) << begin << " " << seen.what;
        ASSERT_FALSE(seen.records.empty()) << begin;
        const std::size_t missing = whole.records.size() - seen.records.size();
        EXPECT_EQ(seen.records, std::vector<std::string>(
                                    whole.records.begin() + static_cast<std::ptrdiff_t>(missing),
                                    whole.records.end()));
        // None was passed over: the one before the first begins before the first page.
        EXPECT_TRUE(missing == 0 || whole.positions[missing - 1].last < first_page) << begin;
    }
}

TEST(WalReader, ChecksThatATailGoesOn) {
    WalForge forge(15, kSmall, kStart);
    forge.append(record_of(30000));
    forge.append(record_of(10));
    Bytes bytes = copy_of(forge.bytes().subspan(kWalPage));
    EXPECT_EQ(read(kStart + kWalPage, bytes).records.size(), 1U);
    bytes[kWalPage + 16] ^= 1;
    EXPECT_EQ(read(kStart + kWalPage, bytes).last, WalStep::Failed);
}

TEST(WalReader, ResumesAtEveryBoundary) {
    const WalForge forge = awkward();
    const Outcome whole = read(forge);
    for (std::size_t i = 0; i + 1 < whole.records.size(); i += 7) {
        const WalPosition resume = whole.positions[i];
        const WalReaderOptions options{.segment_size = kSmall, .major = 15, .resume = resume};
        const std::vector<std::string> rest(
            whole.records.begin() + static_cast<std::ptrdiff_t>(i) + 1, whole.records.end());
        EXPECT_EQ(read(resume.next, forge.bytes().subspan(resume.next - kAwkward), options).records,
                  rest)
            << i;
        const Lsn page{resume.next.value / kWalPage * kWalPage};
        if (page < kAwkward + 90000 || page >= kStart + kMegabyte) {
            const WalReaderOptions from_page{.segment_size = kSmall, .resume = resume};
            EXPECT_EQ(read(page, forge.bytes().subspan(page - kAwkward), from_page).records, rest)
                << i;
        }
    }
}

TEST(WalReader, ResumesOnlyWhereItMay) {
    const WalForge forge = awkward();
    const auto refused = [&](Lsn start, WalPosition resume, std::optional<int> major) {
        WalReader reader({.segment_size = kSmall, .major = major, .resume = resume});
        return reader.feed(start, forge.bytes().subspan(start - kAwkward)).error().code();
    };
    EXPECT_EQ(refused(kAwkward + 40, {kAwkward + 40, {}}, std::nullopt),
              Code::InvalidInput);  // version unknown
    EXPECT_EQ(refused(kAwkward, {kAwkward + 16, {}}, 15),
              Code::InvalidInput);  // inside a page header
    EXPECT_EQ(refused(kAwkward, {kAwkward + 41, {}}, 15), Code::InvalidInput);  // not aligned
    EXPECT_EQ(refused(kAwkward + 80, {kAwkward + 40, {}}, 15),
              Code::InvalidInput);  // not in what is fed
    EXPECT_EQ(refused(kAwkward, {kAwkward, {}}, 12), Code::Unsupported);
}

TEST(WalReader, RefusesARecordThatNamesAnotherOneBeforeIt) {
    const WalForge forge = awkward();
    const Outcome whole = read(forge);
    WalPosition resume = whole.positions[10];
    resume.last = resume.last - 8;
    const Outcome seen = read(resume.next, forge.bytes().subspan(resume.next - kAwkward),
                              {.segment_size = kSmall, .major = 15, .resume = resume});
    EXPECT_EQ(seen.last, WalStep::Failed);
    EXPECT_TRUE(seen.records.empty());

    WalForge forward(15, kSmall, kStart);
    forward.set_last(kStart + kMegabyte);
    forward.append(record_of(1));
    EXPECT_EQ(read(forward).last, WalStep::Failed);
}

TEST(WalReader, RefusesAGapAndAnOverlap) {
    const WalForge forge = awkward();
    WalReader reader({.segment_size = kSmall});
    ASSERT_TRUE(reader.feed(kAwkward, forge.bytes().first(10000)));
    EXPECT_EQ(reader.feed(kAwkward + 10000, forge.bytes().subspan(10000, 10)).error().code(),
              Code::Bug);  // not used up
    while (reader.next() == WalStep::Record) {
    }
    EXPECT_EQ(reader.feed(kAwkward + 10001, forge.bytes().subspan(10001, 10)).error().code(),
              Code::InvalidInput);
    EXPECT_EQ(reader.feed(kAwkward + 9999, forge.bytes().subspan(9999, 10)).error().code(),
              Code::InvalidInput);
    EXPECT_TRUE(reader.feed(kAwkward + 10000, forge.bytes().subspan(10000, 10)));
    WalReader far({.segment_size = kSmall});
    EXPECT_EQ(far.feed(Lsn{~std::uint64_t{0} - 100}, forge.bytes()).error().code(),
              Code::InvalidInput);
}

}  // namespace
}  // namespace lifeboat::postgres

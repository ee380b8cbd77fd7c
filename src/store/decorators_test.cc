#include "store/decorators.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "tests/support/expect.h"

namespace lifeboat::store {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::Result;
using test::fails;

namespace {

// Answers each call with the next fault of a script, then with none; remembers what was asked.
struct Script {
    std::deque<Fault> faults;
    std::vector<Operation> asked;

    FaultPlan plan() {
        return [this](Operation operation, const std::string&) {
            asked.push_back(operation);
            if (faults.empty()) {
                return Fault::None;
            }
            const Fault next = faults.front();
            faults.pop_front();
            return next;
        };
    }
};

using Operations = std::vector<Operation>;
using enum Operation;

// A clock that notes each sleep, and may request a stop during one.
class SleepLog final : public base::Clock {
  public:
    base::Timestamp now() override { return time_.now(); }

    std::chrono::steady_clock::time_point steady() override { return time_.steady(); }

    void sleep_for(base::Duration d) override {
        sleeps.push_back(d);
        time_.sleep_for(d);
        if (stop_at_sleep == sleeps.size()) {
            stop.request();
        }
    }

    base::Duration slept() {
        base::Duration sum{};
        for (const base::Duration d : sleeps) {
            sum += d;
        }
        return sum;
    }

    std::vector<base::Duration> sleeps;
    std::size_t stop_at_sleep = 0;
    base::StopToken stop;

  private:
    base::ManualClock time_{base::Timestamp{}};
};

class Retry : public testing::Test {
  protected:
    Retry() : Retry(Backoff{}) {}

    explicit Retry(Backoff backoff) {
        auto memory = memory_store(clock);
        inner = memory.get();
        store = with_retry(with_faults(std::move(memory), script.plan()), backoff, clock, *random,
                           clock.stop);
    }

    void fails_with(std::initializer_list<Fault> faults) { script.faults = faults; }

    Script script;
    SleepLog clock;
    std::unique_ptr<base::Random> random = base::seeded_random(1);
    ObjectStore* inner = nullptr;  // without faults
    std::unique_ptr<ObjectStore> store;
};

TEST_F(Retry, AnswersUnavailableWithAnotherTry) {
    fails_with({Fault::Fail, Fault::Fail});
    EXPECT_TRUE(store->put("a", base::view("x")));
    EXPECT_EQ(script.asked, Operations({Put, Put, Put}));
}

TEST_F(Retry, AsksOnceWhenTheAnswerIsFinal) {
    fails_with({Fault::Deny});
    EXPECT_TRUE(fails(store->get("a"), Code::Denied));
    EXPECT_TRUE(fails(store->get("a"), Code::NotFound));
    EXPECT_EQ(script.asked, Operations({Get, Get}));
    EXPECT_TRUE(clock.sleeps.empty());
}

TEST_F(Retry, GivesUpAfterItsTriesAndSaysSo) {
    script.faults.assign(6, Fault::Fail);
    const auto answer = store->stat("a");
    EXPECT_TRUE(fails(answer, Code::Unavailable));
    EXPECT_EQ(answer.error().message(), "after 6 tries: injected failure at 'a'");
    EXPECT_EQ(script.asked.size(), 6U);
}

TEST_F(Retry, TakesItsOwnEarlierPutForSuccess) {
    fails_with({Fault::LoseReply});
    EXPECT_TRUE(store->put("a", base::view("mine")));
    EXPECT_EQ(script.asked, Operations({Put, Put, Stat, Get}));
}

TEST_F(Retry, CallsAnothersObjectOfTheSameSizeConflict) {
    ASSERT_TRUE(inner->put("a", base::view("your")));
    fails_with({Fault::Fail});
    EXPECT_TRUE(fails(store->put("a", base::view("mine")), Code::Conflict));
    EXPECT_EQ(script.asked, Operations({Put, Put, Stat, Get}));
}

TEST_F(Retry, ReadsNoBytesToTellObjectsOfDifferentSizes) {
    ASSERT_TRUE(inner->put("a", base::view("yours")));
    fails_with({Fault::LoseReply});
    EXPECT_TRUE(fails(store->put("a", base::view("mine")), Code::Conflict));
    EXPECT_EQ(script.asked, Operations({Put, Put, Stat}));
}

TEST_F(Retry, LooksAtNothingWhenNoTryCanHaveLanded) {
    ASSERT_TRUE(inner->put("a", base::view("mine")));
    EXPECT_TRUE(fails(store->put("a", base::view("mine")), Code::Conflict));
    EXPECT_EQ(script.asked, Operations({Put}));
}

TEST_F(Retry, CallsAPutUnknownWhenTheLookIsDenied) {
    fails_with({Fault::LoseReply, Fault::None, Fault::Deny});
    const auto answer = store->put("a", base::view("mine"));
    EXPECT_TRUE(fails(answer, Code::OutcomeUnknown));
    EXPECT_EQ(answer.error().hint(),
              "The object may be in memory:: look there before it is put again.");
}

TEST_F(Retry, CallsAPutUnknownWhenTheLookStaysUnavailable) {
    fails_with({Fault::LoseReply, Fault::None});
    script.faults.insert(script.faults.end(), 6, Fault::Fail);
    EXPECT_TRUE(fails(store->put("a", base::view("mine")), Code::OutcomeUnknown));
}

// A full disk at the second try does not prove that the first did not land.
TEST_F(Retry, LooksBeforeItBelievesAnErrorAfterALostReply) {
    fails_with({Fault::LoseReply, Fault::NoSpace});
    EXPECT_TRUE(store->put("landed", base::view("mine")));
    fails_with({Fault::Fail, Fault::NoSpace});
    EXPECT_TRUE(fails(store->put("lost", base::view("mine")), Code::NoSpace));
}

TEST_F(Retry, PutsAgainWhenTheConflictingObjectHasGone) {
    auto memory = memory_store(clock);
    ObjectStore& shared = *memory;
    ASSERT_TRUE(shared.put("a", base::view("yours")));
    int puts = 0;
    const auto plan = [&](Operation operation, const std::string& name) {
        if (operation == Stat) {
            EXPECT_TRUE(shared.remove(name));  // another host takes it away just before we look
        }
        return operation == Put && ++puts == 1 ? Fault::Fail : Fault::None;
    };
    const auto patient =
        with_retry(with_faults(std::move(memory), plan), Backoff{}, clock, *random, clock.stop);
    EXPECT_TRUE(patient->put("a", base::view("mine")));
    EXPECT_EQ(puts, 3);
    EXPECT_EQ(base::text(*shared.get("a")), "mine");
}

TEST_F(Retry, TakesItsOwnEarlierRemoveForSuccess) {
    ASSERT_TRUE(inner->put("a", base::view("x")));
    fails_with({Fault::LoseReply});
    EXPECT_TRUE(store->remove("a"));
    EXPECT_TRUE(fails(store->remove("a"), Code::NotFound));
}

TEST_F(Retry, ListsEachObjectOnceOverLostReplies) {
    for (const char* name : {"a", "b", "c"}) {
        ASSERT_TRUE(inner->put(name, {}));
    }
    fails_with({Fault::LoseReply, Fault::Fail, Fault::LoseReply});
    const auto all = list_all(*store, "");
    ASSERT_TRUE(all);
    EXPECT_EQ(all->size(), 3U);
    EXPECT_EQ(script.asked.size(), 4U);
}

TEST_F(Retry, DoesNotRetryTheReadersOwnError) {
    ASSERT_TRUE(inner->put("a", {}));
    fails_with({Fault::LoseReply});
    const auto listed = store->list(
        "", [](const ObjectInfo&) -> Result<> { return Error(Code::Unavailable, "mine"); });
    EXPECT_TRUE(fails(listed, Code::Unavailable));
    EXPECT_EQ(listed.error().message(), "mine");
    EXPECT_EQ(script.asked.size(), 1U);
}

// ---- Waiting ------------------------------------------------------------------------------------

constexpr Backoff kEight{8, std::chrono::milliseconds(100), std::chrono::seconds(1)};

class RetryWaits : public Retry {
  protected:
    RetryWaits() : Retry(kEight) {}

    std::unique_ptr<ObjectStore> always_failing() {
        return with_faults(memory_store(clock),
                           [](Operation, const std::string&) { return Fault::Fail; });
    }

    base::Duration slept_with(base::Random& jitter) {
        clock.sleeps.clear();
        const auto host = with_retry(always_failing(), kEight, clock, jitter, clock.stop);
        EXPECT_TRUE(fails(host->get("a"), Code::Unavailable));
        return clock.slept();
    }
};

// 0.1 + 0.2 + 0.4 + 0.8 + 1 + 1 + 1 s at most; over many hosts, close to it.
TEST_F(RetryWaits, UpToCeilingsThatDoubleAndThenStay) {
    base::Duration longest{};
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        longest = std::max(longest, slept_with(*base::seeded_random(seed)));
    }
    EXPECT_LE(longest, std::chrono::milliseconds(4500));
    EXPECT_GE(longest, std::chrono::milliseconds(3000));
}

TEST_F(RetryWaits, DifferentlyForDifferentHosts) {
    EXPECT_NE(slept_with(*base::seeded_random(1)), slept_with(*base::seeded_random(2)));
}

TEST_F(RetryWaits, NotAtAllWhenTheJitterIsZero) {
    class ZeroRandom final : public base::Random {
        void fill(base::MutableBytes out) override { std::ranges::fill(out, base::Byte{0}); }
    } zero;

    EXPECT_EQ(slept_with(zero), base::Duration::zero());
    EXPECT_TRUE(clock.sleeps.empty());
}

TEST_F(RetryWaits, EndWithinATenthOfASecondOfAStop) {
    script.faults.assign(8, Fault::Fail);
    clock.stop_at_sleep = 3;
    EXPECT_TRUE(fails(store->get("a"), Code::Cancelled));
    EXPECT_EQ(clock.sleeps.size(), 3U);
    for (const base::Duration d : clock.sleeps) {
        EXPECT_LE(d, std::chrono::milliseconds(100));
    }
}

TEST_F(RetryWaits, EndInUnknownWhenAStoppedPutMayHaveLanded) {
    script.faults.assign(8, Fault::LoseReply);
    clock.stop_at_sleep = 1;
    EXPECT_TRUE(fails(store->put("a", base::view("x")), Code::OutcomeUnknown));
    EXPECT_TRUE(fails(store->remove("b"), Code::OutcomeUnknown));
}

TEST_F(RetryWaits, DoNotKeepAStoppedCallerFromItsFirstTry) {
    clock.stop.request();
    EXPECT_TRUE(store->put("last-words", base::view("x")));
}

// ---- Meter --------------------------------------------------------------------------------------

TEST(Meter, CountsCallsBytesAndFailures) {
    base::ManualClock clock{base::Timestamp{}};
    const auto meter = std::make_shared<Meter>();
    const auto store = with_meter(memory_store(clock), meter);
    Bytes out(2);
    EXPECT_TRUE(store->put("a", base::view("12345")));
    EXPECT_FALSE(store->put("a", base::view("12345")));
    EXPECT_TRUE(store->get("a"));
    EXPECT_TRUE(store->get_range("a", 1, out));
    EXPECT_FALSE(store->get("b"));
    EXPECT_TRUE(store->stat("a"));
    EXPECT_TRUE(store->remove("a"));
    EXPECT_TRUE(list_all(*store, ""));
    EXPECT_EQ(meter->puts, 2U);
    EXPECT_EQ(meter->bytes_put, 5U);
    EXPECT_EQ(meter->gets, 3U);
    EXPECT_EQ(meter->bytes_got, 7U);
    EXPECT_EQ(meter->stats, 1U);
    EXPECT_EQ(meter->removes, 1U);
    EXPECT_EQ(meter->lists, 1U);
    EXPECT_EQ(meter->failures, 2U);
}

TEST(Meter, DoesNotBlameTheStoreForItsReader) {
    base::ManualClock clock{base::Timestamp{}};
    const auto meter = std::make_shared<Meter>();
    const auto store = with_meter(memory_store(clock), meter);
    ASSERT_TRUE(store->put("a", {}));
    EXPECT_FALSE(store->list(
        "", [](const ObjectInfo&) -> Result<> { return Error(Code::Cancelled, "enough"); }));
    EXPECT_EQ(meter->failures, 0U);
}

// ---- Faults -------------------------------------------------------------------------------------

class Faults : public testing::Test {
  protected:
    Faults()
        : store(with_faults(memory_store(clock),
                            [this](Operation, const std::string&) { return fault; })) {
        EXPECT_TRUE(store->put("a", base::view("12345678")));
    }

    base::ManualClock clock{base::Timestamp{}};
    Fault fault = Fault::None;
    std::unique_ptr<ObjectStore> store;
};

TEST_F(Faults, FailDoesNothingAndLoseReplyDoesIt) {
    fault = Fault::Fail;
    EXPECT_TRUE(fails(store->put("b", {}), Code::Unavailable));
    fault = Fault::LoseReply;
    EXPECT_TRUE(fails(store->put("c", {}), Code::Unavailable));
    fault = Fault::None;
    EXPECT_TRUE(fails(store->stat("b"), Code::NotFound));
    EXPECT_TRUE(store->stat("c"));
}

TEST_F(Faults, NoSpaceIsForPutsAlone) {
    fault = Fault::NoSpace;
    EXPECT_TRUE(fails(store->put("b", {}), Code::NoSpace));
    EXPECT_TRUE(store->get("a"));
}

TEST_F(Faults, DenyIsForEveryCall) {
    fault = Fault::Deny;
    Bytes out(1);
    EXPECT_TRUE(fails(store->put("b", {}), Code::Denied));
    EXPECT_TRUE(fails(store->get("a"), Code::Denied));
    EXPECT_TRUE(fails(store->get_range("a", 0, out), Code::Denied));
    EXPECT_TRUE(fails(store->stat("a"), Code::Denied));
    EXPECT_TRUE(fails(store->remove("a"), Code::Denied));
    EXPECT_TRUE(fails(list_all(*store, ""), Code::Denied));
}

TEST_F(Faults, TruncateIsReportedAsCorrupt) {
    fault = Fault::Truncate;
    Bytes out(4);
    const auto got = store->get("a");
    EXPECT_TRUE(fails(got, Code::Corrupt));
    EXPECT_EQ(got.error().message(), "object 'a' ended after 4 of 8 bytes");
    EXPECT_TRUE(fails(store->get_range("a", 0, out), Code::Corrupt));
}

TEST_F(Faults, FlipBitChangesOneBitOfWhatIsRead) {
    fault = Fault::FlipBit;
    const auto got = store->get("a");
    ASSERT_TRUE(got);
    EXPECT_EQ(base::text(*got), "12344678");
    Bytes out(3);
    ASSERT_TRUE(store->get_range("a", 0, out));
    EXPECT_EQ(base::text(out), "133");
    fault = Fault::None;
    EXPECT_EQ(base::text(*store->get("a")), "12345678");
}

}  // namespace

}  // namespace lifeboat::store

#include "service/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/support/expect.h"
#include "tests/support/service_world.h"

namespace lifeboat::service {
namespace {

using base::Code;
using test::fails;
using test::ok;

class StreamTest : public testing::Test {
  protected:
    Result<> run(const StreamRequest& request = {}) {
        Installation installation = world_.open();
        return stream(installation, request, [this](const std::string&, const auto& state) {
            seen_.push_back(state.phase);
        });
    }

    engine::StreamState state() {
        engine::StreamState state;
        state.phase = "streaming";
        state.position = "0/5000000";
        state.captured = world_.clock.now();
        state.lag_bytes = 17;
        state.spool_bytes = 4096;
        state.reconnects = 3;
        state.gaps = 1;
        state.trouble = "the repository is slow";
        state.updated = world_.clock.now();
        return state;
    }

    test::ServiceWorld world_;
    std::vector<std::string> seen_;
};

TEST_F(StreamTest, AStatusThatCannotBeWrittenIsToldOnce) {
    ASSERT_TRUE(ok(world_.init()));  // then a directory stands where the status belongs
    ASSERT_TRUE(
        ok(base::create_directories(base::real_files(), world_.dir / "state/status/main.json/x")));
    world_.script.states.assign(5, state());
    testing::internal::CaptureStderr();
    const auto ended = run();
    const std::string said = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(ok(ended));
    const std::size_t first = said.find("writing the stream's status failed");
    ASSERT_NE(first, std::string::npos) << said;
    EXPECT_EQ(said.find("writing the stream's status failed", first + 1), std::string::npos)
        << said;
}

TEST_F(StreamTest, LeavesItsStateForStatus) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.states = {state()};
    ASSERT_TRUE(ok(run()));
    const auto read = read_stream_status(world_.open(), "main");
    ASSERT_TRUE(ok(read));
    ASSERT_TRUE(read->has_value());
    const engine::StreamState& s = (*read)->state;
    EXPECT_EQ((*read)->to_json().dump(), StreamStatus{state()}.to_json().dump());
    EXPECT_EQ(s.captured, state().captured);
    EXPECT_EQ(s.spool_bytes, 4096U);
    EXPECT_THAT(seen_, testing::ElementsAre("streaming"));
}

TEST_F(StreamTest, AStreamThatNeverRanHasNoStatus) {
    ASSERT_TRUE(ok(world_.init()));
    const auto read = read_stream_status(world_.open(), "main");
    ASSERT_TRUE(ok(read));
    EXPECT_FALSE(read->has_value());
}

TEST_F(StreamTest, AStatusThatIsNoneIsNotTakenForOne) {
    ASSERT_TRUE(ok(world_.init()));
    ASSERT_TRUE(ok(base::create_directories(base::real_files(), world_.dir / "state/status")));
    world_.write("state/status/main.json", "{\"phase\": 3}");
    EXPECT_TRUE(fails(read_stream_status(world_.open(), "main"), Code::Corrupt));
}

TEST_F(StreamTest, AHoleIsAnchoredWithABackup) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.need_base = "the slot was lost";
    ASSERT_TRUE(ok(run()));
    EXPECT_EQ(world_.script.backups, 1);
}

TEST_F(StreamTest, AHoleThatCannotBeAnchoredDoesNotEndTheStream) {
    ASSERT_TRUE(ok(world_.init()));
    world_.script.need_base = "the slot was lost";
    world_.script.failing = {"main"};
    EXPECT_TRUE(ok(run()));
    EXPECT_EQ(world_.script.backups, 1);
}

// A gate that one thread opens for another; not for ever when the code under test is wrong.
class Gate {
  public:
    void open() { promise_.set_value(); }

    bool passed() {
        return promise_.get_future().wait_for(std::chrono::seconds(20)) ==
               std::future_status::ready;
    }

  private:
    std::promise<void> promise_;
};

TEST_F(StreamTest, TheStreamGoesOnWhileTheBackupIsTaken) {
    ASSERT_TRUE(ok(world_.init()));
    Gate streamed;
    bool in_time = false;
    world_.script.need_base = "the slot was lost";
    world_.script.while_streaming = [&] { streamed.open(); };
    world_.script.during_backup = [&] { in_time = streamed.passed(); };
    ASSERT_TRUE(ok(run()));
    EXPECT_TRUE(in_time) << "the backup held the stream up";
    EXPECT_EQ(world_.script.backups, 1);
}

TEST_F(StreamTest, ABackupThatFailsIsTriedAgainUntilTheHoleIsAnchored) {
    ASSERT_TRUE(ok(world_.init()));
    Gate anchored;
    int backups = 0;
    world_.script.need_base = "the slot was lost";
    world_.script.failing = {"main"};
    world_.script.during_backup = [&] {
        if (++backups == 3) {
            world_.script.failing.clear();
            anchored.open();
        }
    };
    bool in_time = false;
    world_.script.while_streaming = [&] { in_time = anchored.passed(); };
    StreamRequest request;
    request.anchor_pause = std::chrono::milliseconds(1);
    ASSERT_TRUE(ok(run(request)));
    EXPECT_TRUE(in_time);
    EXPECT_EQ(world_.script.parents.size(), 1U);
}

TEST_F(StreamTest, ItsStatusSaysThatABackupIsNeeded) {
    ASSERT_TRUE(ok(world_.init()));
    Gate tried;
    world_.script.need_base = "the slot was lost";
    world_.script.failing = {"main"};
    world_.script.during_backup = [&] { tried.open(); };
    world_.script.while_streaming = [&] { EXPECT_TRUE(tried.passed()); };
    world_.script.states_after = {state()};
    ASSERT_TRUE(ok(run()));
    const auto read = read_stream_status(world_.open(), "main");
    ASSERT_TRUE(ok(read));
    EXPECT_THAT((*read)->state.trouble,
                testing::StartsWith("the repository is slow; a backup is needed: the slot was "
                                    "lost"));
}

TEST_F(StreamTest, AFailureStopsTheOthersAndIsReported) {
    ASSERT_TRUE(ok(world_.init({"alpha", "beta"})));
    world_.script.stream_error = base::Error(Code::Conflict, "another cluster");
    EXPECT_TRUE(fails(run(), Code::Conflict));
    EXPECT_TRUE(world_.stop.requested());
}

TEST_F(StreamTest, WithNothingToStreamItSaysWhatToSet) {
    ASSERT_TRUE(ok(world_.init()));
    world_.append_config("    stream: {enabled: false}\n");
    const auto refused = run();
    ASSERT_TRUE(fails(refused, Code::InvalidInput));
    EXPECT_THAT(refused.error().hint(), testing::HasSubstr("stream: {enabled: true}"));
}

}  // namespace
}  // namespace lifeboat::service

#include "service/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/backup.h"
#include "tests/support/expect.h"
#include "tests/support/service_world.h"

namespace lifeboat::service {
namespace {

using base::Code;
using engine::Finding;
using engine::Severity;
using test::fails;
using test::ok;
using testing::HasSubstr;

class DoctorTest : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(ok(world_.init())); }

    DoctorReport run() {
        Installation installation = world_.open();
        auto report = doctor(installation, {});
        EXPECT_TRUE(ok(report));
        return std::move(report).value();
    }

    // The first finding about `subject`, or one that says nothing.
    Finding find(const std::string& subject) {
        for (const DoctorSection& section : run().sections) {
            for (const Finding& finding : section.findings) {
                if (finding.subject == subject) {
                    return finding;
                }
            }
        }
        return {};
    }

    test::ServiceWorld world_;
};

TEST_F(DoctorTest, WithoutABackupItSaysWhatToType) {
    const Finding finding = find("backups");
    EXPECT_EQ(finding.severity, Severity::Error);
    EXPECT_EQ(finding.remedy, "lifeboat backup main");
    EXPECT_EQ(run().exit_code(), 1);
}

TEST_F(DoctorTest, AfterABackupThatIsGone) {
    Installation installation = world_.open();
    ASSERT_TRUE(
        ok(backup(installation, {}, [](const std::string&, const repo::CaptureProgress*) {})));
    EXPECT_EQ(find("backups").what, "");
    EXPECT_EQ(run().exit_code(), 0);
    EXPECT_EQ(find("stream").remedy, "lifeboat stream main");
}

TEST_F(DoctorTest, AnIdentityOnAProtectedHostIsAWarning) {
    EXPECT_EQ(find("identity").what, "");
    world_.write("recovery-1.key", world_.read("keys/recovery-1.key"));
    EXPECT_EQ(find("identity").severity, Severity::Warn);
    world_.write("recovery-1.key", world_.read("keys/recovery-1.key"), 0644);
    const Finding open = find("identity");
    EXPECT_EQ(open.severity, Severity::Error);
    EXPECT_THAT(open.remedy, HasSubstr("chmod 600"));
}

TEST_F(DoctorTest, AHostKeyThatOthersReadOrThatIsGoneIsAnError) {
    ASSERT_TRUE(ok(base::real_files().set_mode(world_.dir / "state/keys/host.key", 0640)));
    EXPECT_THAT(find("host key").remedy, HasSubstr("chmod 600"));
    ASSERT_TRUE(ok(base::real_files().remove(world_.dir / "state/keys/host.key")));
    EXPECT_EQ(find("host key").severity, Severity::Error);
}

TEST_F(DoctorTest, PassesOnWhatTheEngineFoundWorstFirst) {
    world_.script.findings = {{Severity::Info, "a", "A.", ""},
                              {Severity::Error, "wal_level", "Minimal.", "Set it."}};
    const DoctorReport report = run();
    const auto& findings = report.sections.back().findings;
    ASSERT_GE(findings.size(), 2U);
    EXPECT_EQ(findings.front().severity, Severity::Error);
    EXPECT_EQ(findings.back().subject, "a");
}

TEST_F(DoctorTest, AServerThatDoesNotAnswerIsAFinding) {
    world_.script.silence =
        base::Error(Code::Unavailable, "connection refused").hint("Start the server.");
    const Finding finding = find("server");
    EXPECT_EQ(finding.severity, Severity::Error);
    EXPECT_EQ(finding.what, "connection refused.");
    EXPECT_EQ(finding.remedy, "Start the server.");
}

TEST_F(DoctorTest, ARepositoryThatIsGoneIsAFinding) {
    world_.stores.clear();
    EXPECT_EQ(find("repository").severity, Severity::Error);
}

TEST_F(DoctorTest, AClockThatIsOffIsAFinding) {
    base::ManualClock other(world_.clock.now());
    auto store = store::memory_store(other);
    for (const auto& info : *store::list_all(world_.objects(), "")) {
        const auto bytes = world_.objects().get(info.name);
        ASSERT_TRUE(ok(bytes));
        ASSERT_TRUE(ok(store->put(info.name, *bytes)));
    }
    world_.stores[world_.url()] = std::move(store);
    EXPECT_EQ(find("clock").what, "");
    other.advance(std::chrono::minutes(6));
    EXPECT_EQ(find("clock").severity, Severity::Error);
    world_.stores.clear();
}

TEST_F(DoctorTest, ARecipientThatTheRepositoryDoesNotKnowIsAWarning) {
    const auto stranger = crypto::Identity::generate(*world_.random);
    std::string text = world_.read("lifeboat.yaml");
    const std::size_t at = text.find("  - age1");
    ASSERT_NE(at, std::string::npos);
    text.insert(at, "  - " + stranger.recipient().text() + "\n");
    world_.write("lifeboat.yaml", text, 0640);
    EXPECT_THAT(find("recipients").what, HasSubstr(stranger.recipient().text()));
}

TEST_F(DoctorTest, AWrongRepositoryNameIsUsage) {
    Installation installation = world_.open();
    EXPECT_TRUE(fails(doctor(installation, {{}, "nowhere"}), Code::InvalidInput));
}

}  // namespace
}  // namespace lifeboat::service

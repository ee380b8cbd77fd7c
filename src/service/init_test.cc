#include "service/init.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/service_world.h"

namespace lifeboat::service {
namespace {

using base::Code;
using test::fails;
using test::ok;
using testing::HasSubstr;

class InitTest : public testing::Test {
  protected:
    std::uint32_t mode(const std::string& name) {
        const auto stat = base::real_files().stat(world_.dir / name);
        EXPECT_TRUE(ok(stat)) << name;
        return stat ? stat->mode : 0;
    }

    InitRequest request() {
        InitRequest request;
        request.config_file = world_.config();
        request.state = world_.dir / "state";
        request.repository_url = world_.url();
        request.keys_directory = world_.dir / "keys";
        request.site = "test";
        return request;
    }

    test::ServiceWorld world_;
};

TEST_F(InitTest, MakesKeysThatOnlyTheirOwnerReads) {
    const auto report = world_.init();
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(mode("keys/recovery-1.key"), 0600U);
    EXPECT_EQ(mode("keys/recovery-2.key"), 0600U);
    EXPECT_EQ(mode("state/keys/host.key"), 0600U);
    EXPECT_EQ(report->recovery_keys.size(), 2U);
}

TEST_F(InitTest, ARecoveryKeyKnowsItsRepositoryAndWhomToTrust) {
    const auto report = world_.init();
    ASSERT_TRUE(ok(report));
    const std::string key = world_.read("keys/recovery-2.key");
    EXPECT_THAT(key, HasSubstr("# repository: " + report->repository_id));
    EXPECT_THAT(key, HasSubstr("# signer: " + report->signer));
}

TEST_F(InitTest, TheConfigurationThatItWritesOpens) {
    ASSERT_TRUE(ok(world_.init()));
    Installation installation = world_.open();
    const auto repository = installation.repository();
    ASSERT_TRUE(ok(repository));
    EXPECT_EQ((*repository)->repository->claimed_recipients().size(), 2U);
    EXPECT_EQ(installation.config().systems.front().name, "main");
}

TEST_F(InitTest, NeverTouchesAConfigurationThatIsThere) {
    ASSERT_TRUE(ok(world_.init()));
    const std::string before = world_.read("lifeboat.yaml");
    EXPECT_TRUE(fails(world_.init(), Code::Conflict));
    EXPECT_EQ(world_.read("lifeboat.yaml"), before);
}

TEST_F(InitTest, ContinuesWithTheKeysOfAnInterruptedRun) {
    const auto first = world_.init();
    ASSERT_TRUE(ok(first));
    const std::string key = world_.read("keys/recovery-1.key");
    ASSERT_TRUE(ok(base::real_files().remove(world_.config())));
    const auto second = world_.init();
    ASSERT_TRUE(ok(second));
    EXPECT_TRUE(second->joined);
    EXPECT_EQ(second->repository_id, first->repository_id);
    EXPECT_EQ(world_.read("keys/recovery-1.key"), key);
}

TEST_F(InitTest, RefusesASingleRecipient) {
    const auto identity = crypto::Identity::generate(*world_.random);
    InitRequest one = request();
    one.recipients = {identity.recipient().text(), identity.recipient().text()};
    const auto refused = init(world_.world, one);
    ASSERT_TRUE(fails(refused, Code::Refused));
    EXPECT_THAT(refused.error().hint(), HasSubstr("--recipient a second time"));
    EXPECT_TRUE(world_.stores.empty());
}

TEST_F(InitTest, NamesARecipientThatIsNone) {
    InitRequest wrong = request();
    wrong.recipients = {"age1nonsense"};
    const auto refused = init(world_.world, wrong);
    ASSERT_TRUE(fails(refused, Code::InvalidInput));
    EXPECT_THAT(refused.error().message(), HasSubstr("--recipient 'age1nonsense'"));
}

TEST_F(InitTest, DoesNotJoinARepositoryThatIsSealedToOthers) {
    ASSERT_TRUE(ok(world_.init()));
    ASSERT_TRUE(ok(base::real_files().remove(world_.config())));
    InitRequest other = request();
    other.keys_directory = world_.dir / "other";
    EXPECT_TRUE(fails(init(world_.world, other), Code::Conflict));
    EXPECT_FALSE(base::real_files().stat(world_.config()));
}

}  // namespace
}  // namespace lifeboat::service

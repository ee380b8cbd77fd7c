#include <unistd.h>

#include "tests/e2e/cli_fixture.h"

// Repositories that are not there, not ours, not writable; keys that do not fit.

namespace lifeboat {
namespace {

using testing::HasSubstr;

using CliRepositories = CliServer;

std::string repository(const std::string& name) {
    return "file://" + CliServer::world().cli.path(name);
}

struct Wrong {
    std::string url;
    int exit_code;
    const char* message;
    const char* hint;
};

TEST_F(CliRepositories, ThatAreNotThereOrNotOursAreNamedWhateverTheVerb) {
    cli().shell(
        "mkdir -p empty && cp -r repo newer && cp -r repo torn && cp -r repo headless &&"
        "sed -i 's/\"format\": 1/\"format\": 99/' newer/lifeboat.json &&"
        "head -c 20 repo/lifeboat.json > torn/lifeboat.json && rm headless/lifeboat.json");
    const Wrong cases[] = {
        {repository("nowhere"), 1, "opening repository 'local': ", "mount its disk"},
        {repository("lifeboat.yaml"), 2, "opening repository 'local': ", "directory"},
        {repository("empty"), 1, "there is no repository at 'file://", "mount its disk"},
        {repository("headless"), 1, "there is no repository at 'file://", "'lifeboat init'"},
        {repository("newer"), 1, "is of format 99", "Use a newer lifeboat"},
        {repository("torn"), 1, "reading 'lifeboat.json'",
         "back by hand: {\"format\": 1, \"repository\""},
    };
    for (const Wrong& c : cases) {
        const std::string config = cli().variant("elsewhere.yaml", {{repository("repo"), c.url}});
        for (const std::vector<std::string>& verb :
             {std::vector<std::string>{"backup"},
              {"stream"},
              {"list"},
              {"status"},
              {"verify"},
              {"repo", "check"},
              {"restore", "main", "--target", cli().path("target"), "--identity", key()}}) {
            std::vector<std::string> words = {"--config", config};
            words.insert(words.end(), verb.begin(), verb.end());
            expect_refusal(cli().run(words), c.exit_code, c.message, c.hint);
        }
    }
    EXPECT_EQ(cli().shell("ls -A empty").output, "");
    EXPECT_NE(::access(cli().path("target").c_str(), F_OK), 0);
}

TEST_F(CliRepositories, KeysThatDoNotFitAreNamedWithTheirFile) {
    EXPECT_EQ(cli()
                  .run({"--config", "alien/lifeboat.yaml", "init", "--repository",
                        repository("alien/repo"), "--state", cli().path("alien/state"),
                        "--keys-directory", cli().path("alien"), "--connection", "host=/nowhere"})
                  .exit_status,
              0);
    // By hand, without the comments: what an operator typed off a printed page.
    cli().shell("(umask 077; grep ^AGE alien/recovery-1.key > bare.key; : > empty.key)");
    const std::vector<std::pair<std::string, std::pair<const char*, int>>> cases = {
        {"alien/recovery-1.key", {"the identity file is for repository ", 1}},
        {"bare.key", {"no key in the identity file is a recipient of this repository", 1}},
        {"missing.key", {"missing.key", 1}},
        {"empty.key", {"empty.key", 2}},
        {"state/keys/host.key", {"is a host key, which opens no data", 2}},
    };
    for (const auto& [file, expected] : cases) {
        for (const std::vector<std::string>& verb :
             {std::vector<std::string>{"restore", "main", "--target", cli().path("target")},
              {"verify", "--data"},
              {"repo", "check", "--data"}}) {
            std::vector<std::string> words = verb;
            words.insert(words.end(), {"--identity", file});
            const base::Finished done = cli().run(words);
            expect_refusal(done, expected.second, expected.first, "");
            EXPECT_THAT(done.output, HasSubstr(file));
        }
    }
    EXPECT_NE(::access(cli().path("target").c_str(), F_OK), 0);
}

TEST_F(CliRepositories, TheHostKeyIsMissedAndGuarded) {
    cli().shell("mv state/keys/host.key away.key");
    for (const char* verb : {"backup", "stream"}) {
        expect_refusal(cli().run({verb}), 1, "there is no host key at '", "safe copy");
    }
    cli().shell("mv away.key state/keys/host.key && chmod 644 state/keys/host.key");
    expect_refusal(cli().run({"backup"}), 4, "can be read by others", "chmod 600");
    cli().shell("chmod 600 state/keys/host.key");
    cli().json({"backup"});
}

TEST_F(CliRepositories, OneRecipientIsRefusedByInitAndByTheConfiguration) {
    const std::string recipient = cli().shell("grep -om1 'age1[a-z0-9]*' lifeboat.yaml").output;
    expect_refusal(cli().run({"--config", "one.yaml", "init", "--repository", repository("one"),
                              "--recipient", recipient.substr(0, recipient.find('\n'))}),
                   4, "one recipient is not enough", "--recipient a second time");
    EXPECT_NE(::access(cli().path("one").c_str(), F_OK), 0);
    cli().shell("awk '/- age1/ && n++ {next} 1' lifeboat.yaml > one.yaml");
    expect_refusal(cli().run({"--config", "one.yaml", "backup"}), 4,
                   "recipients: 1 given, at least 2", "age-keygen");
}

TEST_F(CliRepositories, AStoreThatIsReadOnlyLosesNothingAndIsNamed) {
    const std::string mount =
        "mkdir -p mounted && mount --bind repo mounted && "
        "mount -o remount,bind,ro mounted && ";
    if (cli().shell("unshare -m sh -c '" + mount + "true'").exit_status != 0) {
        GTEST_SKIP() << "this host permits no private mounts";
    }
    const std::string config =
        cli().variant("mounted.yaml", {{repository("repo"), repository("mounted")}});
    const std::size_t before = backups();
    const auto inside = [&](const std::string& line) {
        return cli().shell("unshare -m sh -c '" + mount + line + "'");
    };
    expect_refusal(inside("\"$LB\" --config mounted.yaml backup --quiet"), 1,
                   "backing up 'main': ", "mounted read-only: remount it for writing");
    const base::Finished stream =
        inside("timeout -s INT 3 \"$LB\" --config mounted.yaml stream --quiet");
    EXPECT_THAT(stream.output, HasSubstr("Read-only file system"));
    EXPECT_EQ(inside("\"$LB\" --config mounted.yaml list").exit_status, 0);
    EXPECT_EQ(inside("\"$LB\" --config mounted.yaml verify >/dev/null; test $? -ne 1").exit_status,
              0);
    EXPECT_EQ(backups(), before);
    cli().json({"backup"});
}

}  // namespace
}  // namespace lifeboat

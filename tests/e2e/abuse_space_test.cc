#include "tests/e2e/abuse_fixture.h"

// Full disks, at every stage and on either side: small file systems in a private mount namespace,
// which go with the shell that made them.

namespace lifeboat {
namespace {

using testing::HasSubstr;

class AbuseSpace : public Abuse {
  protected:
    void SetUp() override {
        Abuse::SetUp();
        if (!IsSkipped() && cli().shell("unshare -m mount -t tmpfs tmpfs /mnt").exit_status != 0) {
            GTEST_SKIP() << "this host permits no private mounts";
        }
        cli().shell("mkdir -p small");
    }

    // `script` runs with ./small on a file system of its own, mounted with `options`.
    static base::Finished within(const std::string& options, const std::string& script) {
        cli().write("within.sh", "mount -t tmpfs -o " + options +
                                     ",mode=755 tmpfs small || exit 99\n" + script + "\n");
        return cli().shell("unshare -m bash within.sh");
    }

    static std::string answer(const base::Finished& done, const std::string& label) {
        const std::size_t at = done.output.find(label + "=");
        return at == std::string::npos ? "" : done.output.substr(at + label.size() + 1, 3);
    }

    static std::string repository(const std::string& name) { return "file://" + cli().path(name); }
};

TEST_F(AbuseSpace, ARepositoryWithoutRoomKeepsWhatItHasAndTakesTheNextBackup) {
    cli().variant("small.yaml", {{repository("repo"), repository("small/repo")}});
    const base::Finished done = within("size=400m", R"sh(
cp -r repo small/repo
avail=$(df -k --output=avail small | tail -1)
head -c $(( (avail - 1024) * 1024 )) /dev/zero > small/filler
"$LB" --config small.yaml backup --full --quiet; echo "full=$?."
echo "torn=$(find small/repo -name '.tmp-*' | wc -l)."
"$LB" --config small.yaml repo check --quiet >/dev/null; echo "check=$?."
"$LB" --config small.yaml list --quiet >/dev/null; echo "list=$?."
rm small/filler
"$LB" --config small.yaml backup --quiet >/dev/null; echo "next=$?."
"$LB" --config small.yaml repo check --data --identity recovery-1.key --quiet >/dev/null; echo "data=$?."
)sh");
    EXPECT_EQ(answer(done, "full"), "1.\n") << done.output;
    EXPECT_THAT(done.output, HasSubstr("lifeboat: backing up 'main': "));
    EXPECT_THAT(done.output, HasSubstr("hint: '" + cli().path("small/repo") + "' has "));
    for (const char* label : {"torn", "check", "list", "next", "data"}) {
        EXPECT_EQ(answer(done, label), "0.\n") << label << "\n" << done.output;
    }
}

TEST_F(AbuseSpace, ATargetThatFillsUpCannotBeStartedAndIsCompletedLater) {
    cli().json({"backup"});
    const base::Finished done = within("size=400m,nr_inodes=300", R"sh(
target=$PWD/small/pg
"$LB" restore main --quiet --target "$target" --identity recovery-1.key; echo "full=$?."
test -e "$target/global/pg_control"; echo "control=$?."
test -e "$target/lifeboat.restore"; echo "marker=$?."
mount -o remount,nr_inodes=100000 small
"$LB" restore main --target "$target" --identity recovery-1.key --start --validate 'SELECT count(*) FROM bulk' --json > up.json; echo "next=$?."
su postgres -s /bin/bash -c "/usr/lib/postgresql/15/bin/pg_ctl stop -w -m fast -D $target" >/dev/null; echo "stop=$?."
)sh");
    EXPECT_EQ(answer(done, "full"), "1.\n") << done.output;
    EXPECT_THAT(done.output, HasSubstr("No space left on device"));
    EXPECT_THAT(done.output, HasSubstr("\nhint: "));
    EXPECT_EQ(answer(done, "control"), "1.\n");
    for (const char* label : {"marker", "next", "stop"}) {
        EXPECT_EQ(answer(done, label), "0.\n") << label << "\n" << done.output;
    }
    EXPECT_THAT(cli().read("up.json"), HasSubstr("\"40000\""));
    EXPECT_THAT(cli().read("up.json"), HasSubstr("\"resumed\": true"));
}

// The tree is complete by then: the same command would be refused.
TEST_F(AbuseSpace, AReplayWithoutRoomSaysWhatToFreeAndHowToGoOn) {
    const base::Finished done = within("size=600m", R"sh(
target=$PWD/small/pg
"$LB" restore main --quiet --target "$target" --identity recovery-1.key; echo "tree=$?."
avail=$(df -k --output=avail small | tail -1)
head -c $(( (avail - 700) * 1024 )) /dev/zero > small/filler
"$LB" restore main --quiet --target "$target" --identity recovery-1.key --delta --start; echo "full=$?."
rm small/filler
"$LB" restore main --quiet --target "$target" --identity recovery-1.key --delta --start >/dev/null; echo "next=$?."
su postgres -s /bin/bash -c "/usr/lib/postgresql/15/bin/pg_ctl stop -w -m fast -D $target" >/dev/null; echo "stop=$?."
)sh");
    EXPECT_EQ(answer(done, "full"), "1.\n") << done.output;
    EXPECT_THAT(done.output, HasSubstr("No space left on device"));
    EXPECT_THAT(done.output, HasSubstr("hint: Free some space in '" + cli().path("small/pg")));
    EXPECT_THAT(done.output, HasSubstr("repeat the restore with --delta"));
    for (const char* label : {"tree", "next", "stop"}) {
        EXPECT_EQ(answer(done, label), "0.\n") << label << "\n" << done.output;
    }
}

TEST_F(AbuseSpace, ATargetThatIsTooSmallIsRefusedBeforeAByte) {
    const base::Finished done = within("size=1m", R"sh(
"$LB" restore main --target "$PWD/small/pg" --identity recovery-1.key; echo "full=$?."
echo "left=$(ls -A small | wc -l)."
)sh");
    EXPECT_EQ(answer(done, "full"), "1.\n") << done.output;
    EXPECT_THAT(done.output, HasSubstr(" free, the restore needs "));
    EXPECT_THAT(done.output, HasSubstr("hint: Free some space"));
    EXPECT_EQ(answer(done, "left"), "0.\n") << done.output;
}

// The server keeps what the stream cannot take; nothing is lost, and it goes on by itself.
TEST_F(AbuseSpace, AStreamWithoutRoomWaitsAndGoesOn) {
    cli().shell("rm -rf wide && cp -r state wide");
    for (const char* side : {"spool", "repo"}) {
        const bool spool = std::string(side) == "spool";
        const std::string config =
            spool ? cli().variant("full.yaml", {{"# stream:", "stream:"},
                                                {"#   spool: " + cli().path("state/spool/main"),
                                                 "  spool: " + cli().path("small/spool")},
                                                {"/state", "/wide"}})
                  : cli().variant("full.yaml", {{repository("repo"), repository("small/repo")},
                                                {"/state", "/wide"}});
        const base::Finished done = within("size=400m",
                                           R"sh(
cp -r repo small/repo
status() { for i in $(seq 600); do grep -q "$1" wide/status/main.json && return 0; sleep 0.1; done; cat wide/status/main.json; return 1; }
rm -f wide/status/main.json
"$LB" --config full.yaml stream --quiet 2>stream.log & stream=$!
status '"phase":"streaming"' || echo never started
head -c 1G /dev/zero > small/filler 2>/dev/null
psql -d postgres -qc 'CREATE TABLE IF NOT EXISTS more(i int)' -c 'INSERT INTO more SELECT generate_series(1, 60000)'
status 'No space left'; echo "told=$?."
kill -0 $stream; echo "alive=$?."
rm small/filler
status '"trouble":"[^N]*"'; echo "well=$?."
kill -TERM $stream; wait $stream; echo "end=$?."
"$LB" --config full.yaml repo check --quiet >/dev/null; echo "check=$?."
)sh");
        for (const char* label : {"told", "alive", "well", "end", "check"}) {
            EXPECT_EQ(answer(done, label), "0.\n") << side << " " << label << "\n"
                                                   << done.output << cli().read("stream.log");
        }
    }
}

}  // namespace
}  // namespace lifeboat

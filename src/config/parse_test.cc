#include <gtest/gtest.h>

#include "config/config.h"
#include "config/internal/sample.h"

namespace lifeboat::config {
namespace {

using base::Code;
using std::chrono::days;
using namespace std::chrono_literals;

Config parse(std::string_view text, const std::string& file = "/etc/lifeboat/lifeboat.yaml") {
    auto got = parse_config(text, file);
    EXPECT_TRUE(got.has_value()) << (got.has_value() ? "" : got.error().message());
    return got.has_value() ? std::move(*got) : Config{};
}

// kMinimal with one line changed.
std::string with(std::string_view line, std::string_view replacement) {
    std::string text(kMinimal);
    const std::size_t at = text.find(line);
    EXPECT_NE(at, std::string::npos) << line;
    return text.replace(at, line.size(), replacement);
}

std::string in_system(const std::string& lines) {
    return std::string(kMinimal) + lines;
}

void expect_problem(const std::string& text, std::string_view wanted,
                    Code code = Code::InvalidInput) {
    const auto got = parse_config(text, "lifeboat.yaml");
    ASSERT_FALSE(got.has_value()) << text;
    EXPECT_EQ(got.error().message(), wanted);
    EXPECT_EQ(got.error().code(), code) << got.error().message();
}

void expect_hint(const std::string& text, std::string_view wanted) {
    const auto got = parse_config(text, "lifeboat.yaml");
    ASSERT_FALSE(got.has_value()) << text;
    EXPECT_EQ(got.error().hint(), wanted);
}

TEST(Parse, FillsInDefaults) {
    const Config config = parse(kMinimal);
    EXPECT_EQ(config.file, "/etc/lifeboat/lifeboat.yaml");
    EXPECT_EQ(config.site, (Site{"prod-eu", policy::ZoneName(), "/var/lib/lifeboat"}));
    EXPECT_EQ(config.keys, (Keys{"/var/lib/lifeboat/keys/host.key", std::nullopt}));
    ASSERT_EQ(config.systems.size(), 1U);
    const System& system = config.systems[0];
    EXPECT_EQ(system.data_directory.kind, DataDirectory::Kind::Auto);
    EXPECT_EQ(system.backup, (Backup{days(30), days(28), 2, 2, ""}));
    EXPECT_EQ(system.stream, (Stream{true, "lifeboat_main_db", "/var/lib/lifeboat/spool/main-db",
                                     8 * base::kGiB, 500ms, Acknowledge::Repository, days(7)}));
    EXPECT_EQ(system.restore, (Restore{{}, "postgres", std::nullopt}));
    EXPECT_FALSE(system.password.has_value());
    EXPECT_EQ(tier_of(config, system), nullptr);
}

TEST(Parse, ReadsEveryKey) {
    const Config config = parse(kFull);
    EXPECT_EQ(config.site.zone.text(), "Europe/Berlin");
    EXPECT_EQ(config.site.state, "/etc/lifeboat/state");
    EXPECT_EQ(config.repositories[0].signers,
              (std::vector<std::string>{"ed25519:AAAA", "ed25519:BB+/"}));
    EXPECT_EQ(config.repositories[1].url, "s3://bucket/prefix");
    EXPECT_EQ(config.keys, (Keys{"/etc/lifeboat/host.key", "/etc/lifeboat/recovery-1.key"}));
    EXPECT_EQ(config.tiers,
              (std::vector<policy::Tier>{{"critical", {1h, 5min}}, {"stateless", {15min, 0min}}}));
    const System& system = config.systems[0];
    EXPECT_EQ(tier_of(config, system)->name, "critical");
    EXPECT_EQ(system.password, (SecretRef{SecretRef::Kind::File, "/etc/lifeboat/pg.pass"}));
    EXPECT_EQ(system.data_directory, (DataDirectory{DataDirectory::Kind::At, "/srv/pg"}));
    EXPECT_EQ(system.backup, (Backup{days(10), days(14), 4, -3, "0 2 * * *"}));
    EXPECT_EQ(system.stream, (Stream{false, "my_slot", "/fast/spool", 10'000'000'000, 1s,
                                     Acknowledge::Spool, days(14)}));
    EXPECT_EQ(system.restore,
              (Restore{{"SELECT count(*) FROM prospects", "SELECT max(created_at) FROM prospects"},
                       "pg",
                       "/opt/pg/bin"}));
    EXPECT_EQ(config.systems[1].data_directory.kind, DataDirectory::Kind::None);
    EXPECT_EQ(config.systems[1].stream.spool, "/etc/lifeboat/state/spool/other");
}

TEST(Parse, KeepsTheSectionsOfOthersAsTheyAre) {
    const Config config = parse(kFull);
    ASSERT_EQ(config.others.size(), 2U);
    EXPECT_EQ(config.others[0].name, "contacts");
    EXPECT_EQ(
        config.others[0].content.dump(),
        R"({"dba":{"name":"Zoë \"Z\"","phone":"+49 30 1","on":true,"level":3,"ratio":"0.5","none":null}})");
    EXPECT_EQ(config.others[1].content.dump(),
              R"([{"name":"disk","below":"10%"},[1,"two","true"]])");
}

TEST(Parse, RelativePathsStartWhereTheFileLies) {
    EXPECT_EQ(parse(kFull, "conf/lifeboat.yaml").site.state, "conf/state");
    EXPECT_EQ(parse(kFull, "lifeboat.yaml").site.state, "state");
    EXPECT_EQ(parse(kFull, "./lifeboat.yaml").systems[0].password->name, "pg.pass");
    EXPECT_EQ(parse(kFull, "/lifeboat.yaml").site.state, "/state");
}

TEST(Parse, AKeyFileMayBeWrittenAsAReference) {
    const std::string lines = "keys:\n  host: ${file:/etc/host.key}\n  identity: ${file:id.key}\n";
    EXPECT_EQ(parse(in_system(lines)).keys, (Keys{"/etc/host.key", "/etc/lifeboat/id.key"}));
    expect_problem(in_system("keys: {host: \"${env:HOST_KEY}\"}\n"),
                   "lifeboat.yaml:12:14: a reference ${...} is not read here");
}

TEST(Parse, AnUnknownKeyNamesTheNearest) {
    expect_problem(in_system("    backup: {retension: 30d}\n"),
                   "lifeboat.yaml:12:14: unknown key 'retension'; did you mean 'retention'?");
    expect_hint(in_system("    backup: {retension: 30d}\n"),
                "Known here: retention, rolling_full, workers, compression, schedule.");
    expect_problem(in_system("    slot: x\n"),
                   "lifeboat.yaml:12:5: unknown key 'slot'; it belongs to systems.*.stream");
    expect_problem(in_system("    retention: 30d\n"),
                   "lifeboat.yaml:12:5: unknown key 'retention'; it belongs to systems.*.backup, "
                   "systems.*.stream");
    expect_problem(in_system("backups: {}\n"), "lifeboat.yaml:12:1: unknown key 'backups'");
}

TEST(Parse, ReportsAllProblemsTogetherInTheOrderOfTheFile) {
    const auto got = parse_config(
        in_system("    tier: gold\n    backup: {workers: many, retention: 30}\n    stream: [1]\n"),
        "lifeboat.yaml");
    ASSERT_FALSE(got.has_value());
    EXPECT_EQ(got.error().message(),
              "4 problems\n"
              "  lifeboat.yaml:12:11: there is no tier 'gold'\n"
              "      Add it under 'tiers' with its rto and rpo.\n"
              "  lifeboat.yaml:13:23: expected a whole number from 1 to 64, found 'many'\n"
              "  lifeboat.yaml:13:40: '30' is not a duration\n"
              "      Write a whole number and a unit: 500ms, 90s, 5m, 1h, 30d, or '5 minutes'.\n"
              "  lifeboat.yaml:14:13: expected a mapping, found a list");
    EXPECT_EQ(got.error().hint(), "Edit the file at those lines.");
    EXPECT_EQ(parse_config(in_system("    stream: [1]\n"), "lifeboat.yaml").error().hint(),
              "Edit the file at that line.");
}

TEST(Parse, SaysWhatWasExpectedAndFound) {
    struct Case {
        const char* lines;
        const char* message;
    };

    const Case cases[] = {
        {"    backup: {workers: 0}\n", "12:23: expected a whole number from 1 to 64, found '0'"},
        {"    backup: {workers: \"2\"}\n",
         "12:23: expected a whole number from 1 to 64, found '2'"},
        {"    backup: {workers: 2.5}\n",
         "12:23: expected a whole number from 1 to 64, found '2.5'"},
        {"    backup: {workers: }\n", "12:23: expected a whole number from 1 to 64, found nothing"},
        {"    backup: {compression: 20}\n",
         "12:27: expected a whole number from -7 to 19, found '20'"},
        {"    backup: {retention: 0}\n",
         "12:25: expected a number of days from 1d to 36500d, found '0'"},
        {"    backup: {retention: 36h}\n", "12:25: '36h' is not a whole number of days"},
        {"    backup: {rolling_full: 366d}\n",
         "12:28: expected a number of days from 1d to 365d, found '366d'"},
        {"    backup: {schedule: [a]}\n", "12:24: expected text, found a list"},
        {"    backup: {schedule: ''}\n", "12:24: expected text, found an empty one"},
        {"    stream: {enabled: yes}\n", "12:23: expected true or false, found 'yes'"},
        {"    stream: {enabled: 'true'}\n", "12:23: expected true or false, found 'true'"},
        {"    stream: {acknowledge: disk}\n",
         "12:27: expected one of repository, spool, found 'disk'"},
        {"    stream: {spool_limit: 1MiB}\n",
         "12:27: expected a size of at least 64MiB, found '1MiB'"},
        {"    stream: {spool_limit: 8G}\n", "12:27: '8G' is not a size"},
        {"    stream: {interval: 2m}\n", "12:24: expected a duration from 50ms to 1m, found '2m'"},
        {"    stream: {interval: 10ms}\n",
         "12:24: expected a duration from 50ms to 1m, found '10ms'"},
        {"    stream: {slot: My-Slot}\n", "12:20: 'My-Slot' is not a name for a replication slot"},
        {"    stream: {spool: ~/spool}\n", "12:21: a path may not start with '~'"},
        {"    stream: {spool: \"${env:X}\"}\n", "12:21: a reference ${...} is not read here"},
        {"    restore: {validate: SELECT 1}\n", "12:25: expected a list, found 'SELECT 1'"},
        {"    restore: {validate: [{a: b}]}\n", "12:26: expected text, found a mapping"},
        {"    restore: {owner: \"a\\nb\"}\n", "12:22: expected one line of text, found several"},
        {"    data_directory: [a]\n", "12:21: expected a path, found a list"},
        {"    password: [a]\n",
         "12:15: expected a reference ${env:NAME} or ${file:PATH}, found a list"},
        {"    password: ${PGPASS}\n", "12:15: 'password' is not a reference to a secret"},
        {"  Bad_Name: {engine: postgres, connection: dbname=x}\n",
         "12:3: 'Bad_Name' is not a name"},
        {"  ../x: {engine: postgres, connection: dbname=x, stream: {}}\n",
         "12:3: '../x' is not a name"},
        {"  -x: {engine: postgres, connection: dbname=x}\n", "12:3: '-x' is not a name"},
        {"  other: postgres\n", "12:10: expected a mapping for 'systems.other', found text"},
        {"  other: {engine: oracle, connection: dbname=x}\n",
         "12:19: expected postgres, found 'oracle'"},
        {"  other: {engine: postgres}\n", "12:10: missing key 'systems.other.connection'"},
        {"  other: {engine: postgres, connection: dbname=x, stream: {spool: "
         "/var/lib/lifeboat/spool/main-db}}\n",
         "9:3: systems 'main-db' and 'other' have the same spool"},
        {"tiers: {gold: {rto: 1h}}\n", "12:15: missing key 'tiers.gold.rpo'"},
        {"tiers: {gold: {rto: 0, rpo: 0}}\n",
         "12:21: expected a duration from 1s to 36500d, found '0'"},
        {"tiers: {gold: {rto: soon, rpo: 0}}\n", "12:21: 'soon' is not a duration"},
        {"keys: /etc/key\n", "12:7: expected a mapping, found '/etc/key'"},
        {"contacts: bob\n", "12:11: expected a mapping or a list for 'contacts', found text"},
        {"contacts:\n", "13:1: expected a mapping or a list for 'contacts', found nothing"},
    };
    for (const Case& c : cases) {
        expect_problem(in_system(c.lines), "lifeboat.yaml:" + std::string(c.message));
    }
}

TEST(Parse, ChecksTheTopLevelToo) {
    expect_problem(with("version: 1", "version: one"),
                   "lifeboat.yaml:1:10: expected a whole number from 1 to 1, found 'one'");
    expect_problem(with("version: 1\n", ""), "lifeboat.yaml:1:1: missing key 'version'");
    expect_problem(with("{name: prod-eu}", "{}"), "lifeboat.yaml:2:7: missing key 'site.name'");
    expect_problem(with("{name: prod-eu}", "{name: prod-eu, zone: Mars Base}"),
                   "lifeboat.yaml:2:29: 'Mars Base' is not a time zone");
    expect_problem(with("- {name: local", "- {nam: local"),
                   "2 problems\n  lifeboat.yaml:4:5: missing key 'repositories[0].name'\n"
                   "  lifeboat.yaml:4:6: unknown key 'nam'; did you mean 'name'?\n      Known "
                   "here: name, url, signers.");
    expect_problem(with("file:///var/backups/lifeboat", "/var/backups"),
                   "lifeboat.yaml:4:24: '/var/backups' is not a repository's URL");
    expect_problem(with("file:///var/backups/lifeboat", "file://var/backups"),
                   "lifeboat.yaml:4:24: 'file://var/backups' does not name a directory in full");
    expect_problem(with("lifeboat}", "lifeboat, signers: [rsa:x]}"),
                   "lifeboat.yaml:4:63: 'rsa:x' is not a signer");
    expect_problem(with("lifeboat}", "lifeboat}\n  - {name: local, url: file:///other}"),
                   "lifeboat.yaml:4:3: repository 'local' is given twice");
    expect_problem(with("lifeboat}", "lifeboat}\n  - local"),
                   "lifeboat.yaml:5:5: expected a mapping with name and url, found text");
    expect_problem(with("  - {name: local, url: file:///var/backups/lifeboat}", "  []"),
                   "lifeboat.yaml:4:3: expected at least one repository, found an empty list");
    expect_problem("- a\n", "lifeboat.yaml:1:1: expected a mapping of sections, found a list");
    expect_problem("", "lifeboat.yaml:1:1: expected a mapping of sections, found nothing");
}

TEST(Parse, ANewerVersionIsNotPickedApart) {
    expect_problem("version: 2\nnovelty: {}\n",
                   "'lifeboat.yaml' is written for a newer Lifeboat: version 2, known is 1",
                   Code::Unsupported);
}

TEST(Parse, NeedsTwoDifferentRecipients) {
    const std::string text(kMinimal);
    const std::size_t first = text.find("  - age1");
    const std::size_t second = text.find("  - age1", first + 1);
    const std::size_t end = text.find("systems:");
    const std::string line = text.substr(first, second - first);
    const auto recipients = [&](const std::string& lines) {
        return text.substr(0, first) + lines + text.substr(end);
    };

    expect_problem(recipients(line),
                   "lifeboat.yaml:6:3: recipients: 1 given, at least 2 different ones are needed",
                   Code::Refused);
    expect_hint(recipients(line),
                "If the only key is lost, every backup is lost. Make a second one with "
                "'age-keygen', keep it elsewhere, and list its age1... here.");
    const auto twice = parse_config(recipients(line + line), "lifeboat.yaml");
    EXPECT_EQ(twice.error().code(), Code::Refused);
    EXPECT_NE(twice.error().message().find("is listed twice"), std::string::npos);
    expect_problem(recipients("  []\n"),
                   "lifeboat.yaml:6:3: recipients: 0 given, at least 2 different ones are needed",
                   Code::Refused);
    expect_problem(text.substr(0, text.find("recipients:")) + text.substr(end),
                   "lifeboat.yaml:1:1: recipients: 0 given, at least 2 different ones are needed",
                   Code::Refused);
    expect_problem(
        recipients(line + "  - age1zzz\n  - ssh-ed25519 AAAA\n"),
        "lifeboat.yaml:8:5: expected a recipient, which begins with 'age1', found something else");
}

TEST(Parse, IsBounded) {
    expect_problem(std::string(kMinimal) + std::string(kLargestConfig, '#'),
                   "'lifeboat.yaml' is larger than 256 KiB: not a configuration");
    expect_problem(std::string(kMinimal) + "# \xff\n",
                   "lifeboat.yaml:12:3: the file is not UTF-8 text");
    expect_problem(std::string(kMinimal) + "# \xc3\n",
                   "lifeboat.yaml:12:4: the file is not UTF-8 text");
    expect_problem(std::string(kMinimal) + std::string("# \0\n", 4),
                   "lifeboat.yaml:12:3: the file is not UTF-8 text");
    EXPECT_EQ(parse("\xef\xbb\xbf" + std::string(kMinimal)), parse(kMinimal));
}

TEST(Parse, FindsSystemsAndRepositoriesByName) {
    const Config config = parse(kFull);
    EXPECT_EQ(find_system(config, "main-db").value()->stream.slot, "my_slot");
    EXPECT_EQ(find_repository(config, "offsite").value()->url, "s3://bucket/prefix");
    const auto none = find_system(config, "man-db");
    EXPECT_EQ(none.error().code(), Code::InvalidInput);
    EXPECT_EQ(none.error().message(), "there is no system 'man-db'; did you mean 'main-db'?");
    EXPECT_EQ(none.error().hint(), "Configured: main-db, other.");
}

}  // namespace
}  // namespace lifeboat::config

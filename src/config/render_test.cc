#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "config/config.h"
#include "config/internal/sample.h"

namespace lifeboat::config {
namespace {

using namespace std::chrono_literals;

const std::string kFile = "/etc/lifeboat/lifeboat.yaml";

void expect_same_again(const Config& config) {
    const std::string text = render_config(config);
    const auto again = parse_config(text, kFile);
    ASSERT_TRUE(again.has_value()) << again.error().message() << "\n" << text;
    EXPECT_TRUE(*again == config) << text << "\n---\n" << render_config(*again);
}

TEST(Render, ReadsBackEqual) {
    expect_same_again(parse_config(kMinimal, kFile).value());
    expect_same_again(parse_config(kFull, kFile).value());
}

TEST(Render, ShowsDefaultsAsComments) {
    const std::string text = render_config(parse_config(kMinimal, kFile).value());
    EXPECT_NE(text.find("\n    # backup:\n    #   retention: 30d\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\n    #   slot: lifeboat_main_db\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\n    # password: \"${file:/etc/lifeboat/main-db.pass}\"\n"),
              std::string::npos)
        << text;
}

TEST(Render, MarksOnlyWhatIsTheDefault) {
    Config config = parse_config(kMinimal, kFile).value();
    config.systems[0].backup.workers = 4;
    const std::string text = render_config(config);
    EXPECT_NE(text.find("\n    backup:\n      # retention: 30d\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\n      workers: 4\n"), std::string::npos) << text;
}

// Taking the comment marks away must leave a valid file with the same meaning: that is what the
// comments promise.
TEST(Render, ItsCommentedDefaultsAreTheDefaults) {
    const Config config = parse_config(kMinimal, kFile).value();
    const std::string text = render_config(config);
    std::string open;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        std::string line = text.substr(at, end - at);
        at = end + 1;
        const std::size_t mark = line.find_first_not_of(' ');
        const bool example = line.find("# password:") != std::string::npos ||
                             line.find("# tier:") != std::string::npos ||
                             line.find("schedule:") != std::string::npos ||
                             line.find("validate:") != std::string::npos ||
                             line.find("# identity:") != std::string::npos;
        if (mark != std::string::npos && mark > 0 && line[mark] == '#' && !example) {
            line.erase(mark, 2);
        }
        open += line + "\n";
    }
    const auto again = parse_config(open, kFile);
    ASSERT_TRUE(again.has_value()) << again.error().message() << "\n" << open;
    EXPECT_TRUE(*again == config) << open;
}

TEST(Render, SurvivesEveryAwkwardText) {
    Config config = parse_config(kMinimal, kFile).value();
    for (const char* text : {"true",
                             "null",
                             "~",
                             "- a",
                             "a: b",
                             "a #b",
                             "'",
                             "\"",
                             "\\",
                             "{x}",
                             "[x]",
                             "&a",
                             "*a",
                             "!a",
                             "%a",
                             "@a",
                             "`a",
                             " a",
                             "a ",
                             "1",
                             "1e3",
                             "0x10",
                             ".5",
                             "=",
                             "<<",
                             "?",
                             "|",
                             ">",
                             "---",
                             "...",
                             "no",
                             "ja/nein",
                             "Z\xc3\xbcrich",
                             "\xe2\x80\xa8",
                             "\xf0\x9f\x9a\xa8",
                             "a\tb"}) {
        System& system = config.systems[0];
        system.restore.validate = {text, "SELECT 1"};
        system.restore.owner = text;
        system.backup.schedule = text;
        system.data_directory = {DataDirectory::Kind::At, "/" + std::string(text)};
        system.stream.spool = "/" + std::string(text);
        system.password = SecretRef{SecretRef::Kind::File, "/" + std::string(text)};
        config.site.state = "/" + std::string(text);
        config.keys = {"/" + std::string(text), "/" + std::string(text)};
        config.others = {{"contacts", base::Json::object().set(text, text)}};
        if (std::string_view(text) == "a\tb") {
            system.password.reset();  // no path of a secret holds a control character
        }
        expect_same_again(config);
    }
}

TEST(Render, ReadsBackWhateverIsConfigured) {
    const auto random = base::seeded_random(11);
    const auto below = [&](std::uint64_t n) { return static_cast<int>(random->u64() % n); };
    for (int i = 0; i < 50; ++i) {
        Config config = parse_config(below(2) == 0 ? kMinimal : kFull, kFile).value();
        for (System& system : config.systems) {
            system.backup = {std::chrono::days(1 + below(36500)), std::chrono::days(1 + below(365)),
                             1 + below(64), below(27) - 7, ""};
            system.stream.enabled = below(2) == 0;
            system.stream.spool_limit =
                (64 + static_cast<std::uint64_t>(below(1 << 20))) * base::kMiB +
                static_cast<std::uint64_t>(below(2));
            system.stream.interval = std::chrono::milliseconds(50 + below(59950));
            system.stream.acknowledge =
                below(2) == 0 ? Acknowledge::Spool : Acknowledge::Repository;
            system.stream.retention = std::chrono::days(1 + below(36500));
        }
        config.tiers.push_back({"made-up",
                                {std::chrono::seconds(1 + below(1 << 30)),
                                 std::chrono::milliseconds(below(1 << 30))}});
        expect_same_again(config);
    }
}

}  // namespace
}  // namespace lifeboat::config

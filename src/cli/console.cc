#include "cli/console.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "base/bytes.h"
#include "base/mutex.h"
#include "cli/hints.h"

namespace lifeboat::cli {

using base::Json;

namespace {

constexpr auto kTerminalBeat = std::chrono::milliseconds(200);
constexpr auto kPlainBeat = std::chrono::seconds(10);
constexpr int kBarWidth = 24;

// One that obeys: an editor's or a log's that calls itself dumb shows escapes as they are.
bool is_terminal(int fd) {
    const char* kind = std::getenv("TERM");
    return ::isatty(fd) == 1 && kind != nullptr && *kind != '\0' &&
           std::string_view(kind) != "dumb";
}

bool wants_colour() {
    const char* no = std::getenv("NO_COLOR");
    return is_terminal(STDOUT_FILENO) && (no == nullptr || *no == '\0');
}

// Width on the screen: bytes that do not continue a UTF-8 character.
std::size_t width(const std::string& text) {
    bool escape = false;
    std::size_t count = 0;
    for (const char c : text) {
        if (c == '\033') {
            escape = true;
        } else if (escape) {
            escape = c != 'm';
        } else {
            count += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
        }
    }
    return count;
}

Json error_json(const base::Error& error) {
    Json trail = Json::array();
    for (auto step = error.trail().rbegin(); step != error.trail().rend(); ++step) {
        trail.push(*step);
    }
    Json json = Json::object();
    json.set("code", base::name(error.code()))
        .set("message", error.message())
        .set("trail", std::move(trail))
        .set("hint", hint_for(error));
    return json;
}

}  // namespace

Console::Console(const Common& common, std::string verb)
    : common_(common),
      verb_(std::move(verb)),
      terminal_(is_terminal(STDERR_FILENO)),
      colour_(wants_colour()) {}

void Console::line(const std::string& text) {
    if (!common_.json) {
        std::printf("%s\n", text.c_str());
    }
}

void Console::note(const std::string& text) {
    if (!common_.json && !common_.quiet) {
        std::fflush(stdout);
        std::fprintf(stderr, "%s\n", text.c_str());
    }
}

void Console::complain(const base::Error& error) {
    if (common_.json) {
        return;
    }
    std::fflush(stdout);
    std::fprintf(stderr, "lifeboat: %s\n", error.message().c_str());
    std::fprintf(stderr, "hint: %s\n", hint_for(error).c_str());
}

std::string Console::tint(Tone tone, const std::string& text) const {
    if (!colour_ || tone == Tone::Plain) {
        return text;
    }
    static constexpr std::array<const char*, 6> kCodes = {"", "32", "33", "31", "2", "1"};
    return std::string("\033[") + kCodes[static_cast<std::size_t>(tone)] + "m" + text + "\033[0m";
}

void Console::table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], width(row[i]));
        }
    }
    for (std::size_t r = 0; r < rows.size(); ++r) {
        std::string text;
        for (std::size_t i = 0; i < rows[r].size(); ++i) {
            const std::string& cell = rows[r][i];
            const bool last = i + 1 == rows[r].size();
            text += (r == 0 ? tint(Tone::Bold, cell) : cell) +
                    (last ? "" : std::string(widths[i] - width(cell) + 2, ' '));
        }
        line(text);
    }
}

int exit_code_of_all_said(int code) {
    errno = 0;
    const bool said = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    if (!said && errno != EPIPE) {
        std::fputs(
            "lifeboat: standard output could not be written\n"
            "hint: Look whether the disk that it goes to is full.\n",
            stderr);
    }
    return said || code != 0 ? code : 1;
}

int Console::finish(const Json& result, int exit_code) {
    if (common_.json) {
        Json json = Json::object();
        json.set("lifeboat", 1).set("verb", verb_).set("exit", exit_code).set("result", result);
        std::printf("%s\n", json.dump(2).c_str());
    }
    return exit_code_of_all_said(exit_code);
}

int Console::fail(const base::Error& error) {
    const int code = base::exit_code(error.code());
    std::fflush(stdout);
    if (common_.json) {
        Json json = Json::object();
        json.set("lifeboat", 1)
            .set("verb", verb_)
            .set("exit", code)
            .set("error", error_json(error));
        std::printf("%s\n", json.dump(2).c_str());
        std::fflush(stdout);
        return code;
    }
    complain(error);
    return code;
}

namespace {

// A thread that looks at atomic counters now and then, and tells.
class Progress {
  public:
    Progress(std::function<Console::Tick()> look, bool terminal, bool silent)
        : look_(std::move(look)), terminal_(terminal) {
        if (!silent) {
            thread_ = std::thread([this] { run(); });
        }
    }

    ~Progress() {
        {
            const base::Lock lock(mutex_);
            ended_ = true;
            ended_changed_.notify_all();
        }
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

  private:
    void run() {
        const base::Lock lock(mutex_);
        while (!ended_) {
            if (terminal_) {
                ended_changed_.wait_for(mutex_, kTerminalBeat);
            } else {
                ended_changed_.wait_for(mutex_, kPlainBeat);
            }
            if (!ended_) {
                show();
            }
        }
        if (terminal_) {
            std::fputs("\r\033[K", stderr);
        }
    }

    void show() {
        const Console::Tick tick = look_();
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
        const double rate = seconds > 0 ? static_cast<double>(tick.done) / seconds : 0;
        std::string text = tick.label + " " + base::human_size(tick.done);
        if (tick.expected > 0) {
            const double share =
                std::min(1.0, static_cast<double>(tick.done) / static_cast<double>(tick.expected));
            const int filled = static_cast<int>(share * kBarWidth);
            const std::string bar = "[" + std::string(static_cast<std::size_t>(filled), '#') +
                                    std::string(static_cast<std::size_t>(kBarWidth - filled), '.') +
                                    "] ";
            text = tick.label + " " + (terminal_ ? bar : "") +
                   std::to_string(static_cast<int>(share * 100)) + "% of " +
                   base::human_size(tick.expected);
        }
        text += ", " + base::human_size(static_cast<std::uint64_t>(rate)) + "/s";
        if (tick.expected > tick.done && rate > 0) {
            const double left = static_cast<double>(tick.expected - tick.done) / rate;
            text += ", " +
                    base::human_duration(
                        std::chrono::microseconds(static_cast<std::int64_t>(left * 1e6))) +
                    " left";
        }
        std::fprintf(stderr, terminal_ ? "\r\033[K%s" : "%s\n", text.c_str());
        std::fflush(stderr);
    }

    const std::function<Console::Tick()> look_;
    const bool terminal_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    base::Mutex mutex_;
    base::CondVar ended_changed_;
    bool ended_ LB_GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace

std::shared_ptr<void> Console::progress(std::function<Tick()> look) {
    return std::make_shared<Progress>(std::move(look), terminal_, common_.json || common_.quiet);
}

}  // namespace lifeboat::cli

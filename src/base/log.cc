#include "base/log.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "base/json.h"
#include "base/mutex.h"
#include "base/time.h"

namespace lifeboat::base {

namespace {

struct Settings {
    Mutex mutex;
    LogLevel least LB_GUARDED_BY(mutex) = LogLevel::Info;
    LogFormat format LB_GUARDED_BY(mutex) = LogFormat::Text;
    std::function<void(std::string_view)> sink LB_GUARDED_BY(mutex);
};

Settings& settings() {
    static auto* the = new Settings;  // never destroyed: threads may log while the process ends
    return *the;
}

std::string_view name(LogLevel level) {
    static constexpr std::array<std::string_view, 4> kNames = {"debug", "info", "warn", "error"};
    return kNames.at(static_cast<std::size_t>(level));
}

// Control bytes would let a value forge lines or drive the terminal.
std::string printable(std::string_view raw) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (const char c : raw) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            out += "\\x";
            out += kDigits[byte >> 4];
            out += kDigits[byte & 15];
        } else {
            out += c;
        }
    }
    return out;
}

std::string value_text(std::string_view value) {
    std::string safe = printable(value);
    if (!safe.empty() && safe.find_first_of(" \"=") == std::string::npos) {
        return safe;
    }
    std::string quoted = "\"";
    for (const char c : safe) {
        quoted += c == '"' ? "\\\"" : std::string(1, c);
    }
    return quoted + '"';
}

std::string text_line(LogLevel level, std::string_view message, LogFields fields) {
    std::string label(name(level));
    label.resize(5, ' ');
    std::string line =
        human_time(system_clock().now()).substr(11, 8) + " " + label + " " + printable(message);
    std::string_view gap = "  ";
    for (const auto& [key, value] : fields) {
        line += std::string(gap) + std::string(key) + "=" + value_text(value);
        gap = " ";
    }
    return line;
}

std::string json_line(LogLevel level, std::string_view message, LogFields fields) {
    Json line = Json::object();
    line.set("time", format_time(system_clock().now()))
        .set("level", name(level))
        .set("message", message);
    for (const auto& [key, value] : fields) {
        line.set(std::string(key), value);
    }
    return line.dump();
}

// One write per line, so that lines of several processes do not mix. A failure has nowhere to be
// told.
void write_line(std::string line) {
    line += '\n';
    std::string_view left = line;
    while (!left.empty()) {
        const ssize_t n = ::write(STDERR_FILENO, left.data(), left.size());
        if (n < 0 && errno != EINTR) {
            return;
        }
        left.remove_prefix(n < 0 ? 0 : static_cast<std::size_t>(n));
    }
}

}  // namespace

void log(LogLevel level, std::string_view message, LogFields fields) {
    Settings& s = settings();
    const Lock lock(s.mutex);
    if (level < s.least) {
        return;
    }
    std::string line = s.format == LogFormat::Json ? json_line(level, message, fields)
                                                   : text_line(level, message, fields);
    if (s.sink) {
        s.sink(line);
    } else {
        write_line(std::move(line));
    }
}

void set_log(LogLevel least, LogFormat format) {
    Settings& s = settings();
    const Lock lock(s.mutex);
    s.least = least;
    s.format = format;
}

void set_log_sink(std::function<void(std::string_view line)> sink) {
    Settings& s = settings();
    const Lock lock(s.mutex);
    s.sink = std::move(sink);
}

}  // namespace lifeboat::base

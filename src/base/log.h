#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace lifeboat::base {

enum class LogLevel { Debug, Info, Warn, Error };

// One line per event on standard error: `12:00:01 warn  stream: reconnecting  system=prod
// attempt=3`, or JSON lines. Values must not be secrets: a Secret does not convert to a string by
// accident. Thread-safe.
using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;
void log(LogLevel level, std::string_view message, LogFields fields = {});

enum class LogFormat { Text, Json };
void set_log(LogLevel least, LogFormat format);
// Sends the finished lines elsewhere (tests, a progress bar that must clear itself first); nullptr
// restores standard error.
void set_log_sink(std::function<void(std::string_view line)> sink);

}  // namespace lifeboat::base

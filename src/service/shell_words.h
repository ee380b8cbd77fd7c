#pragma once

#include <string>

namespace lifeboat::service {

// `word` as a POSIX shell reads it back, whatever bytes it holds: for commands that are run.
std::string quote_for_shell(const std::string& word);
// The same, for commands that a person reads and types: plain where that is safe.
std::string shell_word(const std::string& word);

}  // namespace lifeboat::service

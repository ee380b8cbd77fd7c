#pragma once

#include <string>
#include <string_view>

#include "config/config.h"

namespace lifeboat::config {

// parse_config, with a look at this machine's time zones when there are `files`.
base::Result<Config> parse_config(std::string_view text, const std::string& file_name,
                                  base::Files* files);

}  // namespace lifeboat::config

#pragma once

#include <string_view>

#include "config/internal/yaml_tree.h"

namespace lifeboat::config {

// What keeps secrets out of the configuration file (P10). None of these ever puts a value into a
// message.

// Refuses a value that is not a reference under any key whose name says that it holds a secret,
// in the whole document.
void refuse_literal_secrets(const Node& root, Problems& problems);

// Refuses a private age key anywhere in the text, comments included.
void refuse_private_keys(std::string_view text, Problems& problems);

// A libpq connection string, `key=value` pairs or a URI: refuses a password in it, and reports
// one that libpq could not read.
void check_connection(const Node& scalar, Problems& problems);

// A repository's URL: a known form, without credentials.
void check_repository_url(const Node& scalar, Problems& problems);

}  // namespace lifeboat::config

#pragma once

#include <string>
#include <string_view>

#include "base/files.h"
#include "base/result.h"
#include "base/secret.h"

namespace lifeboat::config {

// Where a secret lies: `${env:NAME}` or `${file:PATH}`. The configuration holds this, never the
// secret itself (P10).
struct SecretRef {
    enum class Kind { Environment, File };
    Kind kind = Kind::Environment;
    std::string name;  // of the variable, or the path

    std::string text() const;  // "${env:PGPASSWORD}"
    bool operator==(const SecretRef&) const = default;
};

// InvalidInput for anything but the two forms; the text is not echoed, for it may be the secret.
base::Result<SecretRef> parse_secret_ref(std::string_view text);

// Reads the secret now, each time: a rotated password needs no restart. One newline at the end is
// not part of it. A file must be regular and readable by its owner alone, or by its group too if
// root owns it; else Refused with the command that mends it. NotFound for a missing file or
// variable, InvalidInput for an empty one. The value is in no message.
base::Result<base::Secret> resolve(const SecretRef& ref, base::Files& files);

}  // namespace lifeboat::config

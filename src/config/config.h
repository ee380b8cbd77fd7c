#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/files.h"
#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "config/secret_ref.h"
#include "policy/objectives.h"
#include "policy/zone.h"

namespace lifeboat::config {

// What lifeboat.yaml says, checked and with every default filled in. docs/configuration.md
// explains each key. Paths are absolute, or relative to the directory in which the process
// started, never to that of the file.

struct Site {
    std::string name;
    policy::ZoneName zone;  // of times that are written without one
    std::string state = "/var/lib/lifeboat";
    bool operator==(const Site&) const = default;
};

struct Repository {
    std::string name;
    std::string url;                   // "file:///var/backups/lifeboat"; never with credentials
    std::vector<std::string> signers;  // "ed25519:...": whose manifests to trust; empty: trust
                                       // those that the host's key makes
    bool operator==(const Repository&) const = default;
};

struct Keys {
    std::string host;                     // the host key's file
    std::optional<std::string> identity;  // the identity file, on hosts that restore
    bool operator==(const Keys&) const = default;
};

enum class Engine { Postgres };
enum class Acknowledge { Repository, Spool };

// Where the engine reads the data: asks the server, reads this directory, or copies over the wire.
struct DataDirectory {
    enum class Kind { Auto, At, None };
    Kind kind = Kind::Auto;
    std::string path;  // of At
    bool operator==(const DataDirectory&) const = default;
};

struct Backup {
    std::chrono::days retention{30};
    std::chrono::days rolling_full{28};
    int workers = 2;
    int compression = 2;   // zstd's level
    std::string schedule;  // empty: none
    bool operator==(const Backup&) const = default;
};

struct Stream {
    bool enabled = true;
    std::string slot;
    std::string spool;  // a directory of this system alone
    std::uint64_t spool_limit = 8 * base::kGiB;
    base::Duration interval = std::chrono::milliseconds(500);
    Acknowledge acknowledge = Acknowledge::Repository;
    std::chrono::days retention{7};
    bool operator==(const Stream&) const = default;
};

struct Restore {
    std::vector<std::string> validate;  // SQL
    std::string owner = "postgres";
    std::optional<std::string> bin_directory;  // nothing: found by version
    bool operator==(const Restore&) const = default;
};

struct System {
    std::string name;
    Engine engine = Engine::Postgres;
    std::string tier;        // empty: no objectives
    std::string connection;  // libpq's, without a password
    std::optional<SecretRef> password;
    DataDirectory data_directory;
    Backup backup;
    Stream stream;
    Restore restore;
    bool operator==(const System&) const = default;
};

// A section whose content another part of Lifeboat reads: contacts, alerts, ... Plain whole
// numbers, true, false and null keep their type; every other value is text.
struct OpaqueSection {
    std::string name;
    base::Json content;

    bool operator==(const OpaqueSection& other) const {
        return name == other.name && content.dump() == other.content.dump();
    }
};

struct Config {
    std::string file;  // where it was read; not part of its value
    Site site;
    std::vector<Repository> repositories;
    std::vector<std::string> recipients;
    Keys keys;
    std::vector<policy::Tier> tiers;
    std::vector<System> systems;
    std::vector<OpaqueSection> others;
    bool operator==(const Config& other) const;
};

inline constexpr int kConfigVersion = 1;
inline constexpr std::uint64_t kLargestConfig = 256 * base::kKiB;

// Reads the text of a configuration file; `file_name` names it in messages, and its directory is
// where relative paths start. All problems of the text are reported together, one a line, as
// "lifeboat.yaml:12:5: unknown key 'retension'": Refused when one of them is a literal secret or
// fewer than two recipients, else InvalidInput. A newer version of the format is Unsupported. No
// value that could be a secret is in a message. Pure; the text may be hostile.
base::Result<Config> parse_config(std::string_view text, const std::string& file_name);

// parse_config of a file, with what only this machine can know: that the time zone exists, and
// that not everybody may write the file (Refused). A relative path is made absolute.
base::Result<Config> load_config(base::Files& files, const std::string& path);

// The first of: `option` (the value of --config, empty when it was not given), $LIFEBOAT_CONFIG,
// ./lifeboat.yaml, /etc/lifeboat/lifeboat.yaml. One that was asked for by name and is not there
// is NotFound; no other is tried instead.
base::Result<std::string> find_config(base::Files& files, const std::string& option);

// A commented file that parse_config reads back to an equal Config, if `config` is valid and its
// paths are absolute: what is rendered is not checked here. Values that are the default are
// written as comments.
std::string render_config(const Config& config);

// The defaults that depend on a name: the host key below `state`; the slot and the spool of a
// system.
std::string default_host_key(const Site& site);
std::string default_slot(std::string_view system);
std::string default_spool(const Site& site, std::string_view system);

// InvalidInput when there is none, naming the nearest. Borrowed from `config`.
base::Result<const System*> find_system(const Config& config, std::string_view name);
base::Result<const Repository*> find_repository(const Config& config, std::string_view name);
// nullptr for a system without a tier.
const policy::Tier* tier_of(const Config& config, const System& system);

// [a-z0-9-]{1,40}, not starting with '-': the names of sites, repositories, tiers and systems.
bool is_name(std::string_view text);

}  // namespace lifeboat::config

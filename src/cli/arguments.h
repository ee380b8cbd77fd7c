#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace lifeboat::cli {

// What was typed, checked for form only. Plain structs: CLI11 stays in parse.cc.

struct Common {
    std::string config;
    bool json = false;
    bool quiet = false;
    bool yes = false;
};

struct InitArguments {
    bool quick = false;
    std::string repository;
    std::vector<std::string> recipients;
    std::string state;
    std::string keys_directory;
    std::string site;
    std::string system = "main";
    std::string connection;
    std::string data_directory = "auto";
};

struct BackupArguments {
    std::vector<std::string> systems;
    std::string repository;
    bool full = false;
};

struct StreamArguments {
    std::vector<std::string> systems;
    std::string repository;
    bool drain = false;
};

struct ListArguments {
    std::string system;
    std::string repository;
};

struct RestoreArguments {
    std::string system;
    std::string repository;
    std::string target;
    std::string backup;
    std::string at;
    std::string lsn;
    std::string name;
    std::optional<std::uint64_t> xid;
    std::optional<std::uint64_t> before_xid;
    bool immediate = false;
    std::optional<std::uint32_t> timeline;
    std::string identity;
    bool dry_run = false;
    bool delta = false;
    bool start = false;
    int port = 0;
    std::string owner;
    std::size_t workers = 4;
    std::vector<std::string> tablespaces;  // OLD=NEW
    std::vector<std::string> validate;
    bool check_pages = false;
    bool check_structure = false;
};

struct VerifyArguments {
    std::string system;
    std::string repository;
    std::string identity;
    bool data = false;
};

struct CheckArguments {
    std::string repository;
    std::string identity;
    bool objects = false;
    bool data = false;
};

struct StatusArguments {
    std::string repository;
};

struct DoctorArguments {
    std::vector<std::string> systems;
    std::string repository;
};

struct WalPushArguments {
    std::string system;
    std::string repository;
    std::string path;
};

struct WalFeedArguments {
    std::string system;
    std::string target;
    std::string repository;
    std::string identity;
};

using Verb = std::variant<InitArguments, BackupArguments, StreamArguments, ListArguments,
                          RestoreArguments, VerifyArguments, CheckArguments, StatusArguments,
                          DoctorArguments, WalPushArguments, WalFeedArguments>;

struct Arguments {
    Common common;
    std::string verb;  // as typed: "backup", "repo check"
    Verb what;
};

}  // namespace lifeboat::cli

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "postgres/backup_details.h"
#include "postgres/exclusions.h"

namespace lifeboat::postgres {

// What a data directory holds at one moment, judged by the rules of exclusions.h.

struct FoundFile {
    std::string path;  // relative to the data directory; tablespaces through their link
    std::string absolute;
    std::uint64_t size = 0;
    std::uint32_t mode = 0600;
    base::Timestamp modified;
    std::optional<RelationFile> relation;
};

struct FoundDirectory {
    std::string path;
    std::uint32_t mode = 0700;
};

struct DataDirectory {
    std::vector<FoundDirectory> directories;  // parents first
    std::vector<FoundFile> files;
    std::vector<TablespaceDetails> tablespaces;
    std::vector<std::string> notes;  // sentences: what was followed or left out, and why
    std::uint64_t bytes = 0;
};

// Lists the directory while a server is at work in it: what vanishes meanwhile is left out. Denied,
// with a hint, when it cannot be read.
Result<DataDirectory> scan_data_directory(base::Files& files, const std::string& directory,
                                          const DirectoryRules& rules);

}  // namespace lifeboat::postgres

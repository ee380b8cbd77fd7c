#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "engine/data_engine.h"
#include "repo/keyring.h"
#include "repo/manifest.h"
#include "repo/repository.h"

namespace lifeboat::restore {

using base::Result;

// Turns a backup into a directory tree. It knows files and pages, never a database.
//
// Promises (P5, P9): it refuses a target that is not empty, unless an interrupted run of the same
// plan left its marker there, or the caller consents to a delta; it writes the landing's `last`
// file after everything else is durable, so a half-restored tree never starts; it can be killed at
// any instant and run again, and trusts nothing that it finds without comparing fingerprints. Every
// file's CRC-32C is compared with the one taken at capture.

inline constexpr std::string_view kMarkerFile =
    "lifeboat.restore";  // in the target while a restore is not complete

enum class Existing { Refuse, Delta };

struct ApplyRequest {
    std::string target;  // absolute; created when absent
    engine::Landing landing;
    Existing existing = Existing::Refuse;
    std::size_t workers = 2;
    std::optional<std::uint32_t> uid;  // owner of everything written; nothing: us
    std::optional<std::uint32_t> gid;
};

struct ApplyProgress {
    std::atomic<std::uint64_t> bytes_expected = 0;
    std::atomic<std::uint64_t> bytes_done = 0;
    std::atomic<std::uint64_t> files_done = 0;
};

struct ApplyReport {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;          // of the restored tree
    std::uint64_t bytes_fetched = 0;  // read from frames
    std::uint64_t bytes_kept = 0;     // found right in the target (delta or resumed)
    std::uint64_t bytes_zero = 0;     // left as holes
    bool resumed = false;
};

// Checks the target without writing a byte: empty or absent, or resumable, or a delta; enough
// space; nothing else at work in it. Refused or NoSpace with what to do next.
Result<> check_target(base::Files& files, const ApplyRequest& request,
                      const repo::Manifest& manifest);

Result<ApplyReport> apply(repo::Repository& repository, repo::ReaderKeys& keys,
                          const repo::OpenedManifest& backup, const ApplyRequest& request,
                          ApplyProgress& progress, const engine::Context& context);

}  // namespace lifeboat::restore

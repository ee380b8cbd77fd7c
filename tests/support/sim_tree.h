#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "tests/support/sim_files.h"

// The tree behind SimFiles. Each node keeps what the kernel shows, what the disk holds, and the
// list of changes between the two. A sync plays the list onto the disk; a power cut plays all, none
// or some of it, and what the disk then holds becomes what the kernel shows. The list, and not the
// visible contents, is what a sync saves: so data that a failed sync dropped stays lost. No locks:
// SimFiles has one.

namespace lifeboat::test {

struct SimNode {
    using Ptr = std::shared_ptr<SimNode>;
    using Entries = std::map<std::string, Ptr, std::less<>>;

    // A write at `offset`, or a truncation to `offset`.
    struct Change {
        bool truncates = false;
        std::uint64_t offset = 0;
        base::Bytes bytes;
    };

    // The name now means `node`, or nothing. The halves of a rename share their `operation`.
    struct EntryChange {
        std::uint64_t operation = 0;
        std::string name;
        Ptr node;
    };

    base::FileStat attributes;
    std::string target;  // of a symlink

    base::Bytes contents;
    base::Bytes durable_contents;
    std::vector<Change> changes;

    Entries entries;
    Entries durable_entries;
    std::vector<EntryChange> entry_changes;

    bool is_directory() const { return attributes.kind == base::FileKind::Directory; }

    bool is_symlink() const { return attributes.kind == base::FileKind::Symlink; }

    void change(Change one);
    void change_entry(EntryChange one);
    void sync();
    void drop_changes();
};

// Visible: what the kernel shows. Any: also what only the disk, or a change that waits, still
// knows.
enum class Scope { Visible, Any };
// `top` and all nodes below it, each once.
std::vector<SimNode::Ptr> all_nodes(const SimNode::Ptr& top, Scope scope);

// Where a path leads: `directory` is null when it ends in '/' or '..', `node` is null when nothing
// has that name yet.
struct Place {
    SimNode::Ptr directory;
    std::string name;
    SimNode::Ptr node;
};
enum class Last { Follow, Keep };  // what becomes of a symlink at the path's end
base::Result<Place> locate(const SimNode::Ptr& root, std::string_view path, Last last);

// Makes every node what the disk holds after a power cut at operation `now`.
void lose_power(const SimNode::Ptr& root, CrashMode mode, std::uint64_t now);

base::Error sim_failure(std::string_view operation, std::string_view path, int number);

}  // namespace lifeboat::test

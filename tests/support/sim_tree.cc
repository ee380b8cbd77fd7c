#include "tests/support/sim_tree.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <set>
#include <utility>

namespace lifeboat::test {

using base::Bytes;
using base::BytesView;

namespace {

constexpr std::uint64_t kSector = 512;
constexpr int kMaxHops = 40;

void play(Bytes& contents, const SimNode::Change& change) {
    const std::uint64_t end = change.offset + change.bytes.size();
    if (change.truncates || contents.size() < end) {
        contents.resize(end);
    }
    std::copy(change.bytes.begin(), change.bytes.end(),
              contents.begin() + static_cast<std::ptrdiff_t>(change.offset));
}

void play(SimNode::Entries& entries, const SimNode::EntryChange& change) {
    if (change.node == nullptr) {
        entries.erase(change.name);
    } else {
        entries[change.name] = change.node;
    }
}

}  // namespace

void SimNode::change(Change one) {
    play(contents, one);
    changes.push_back(std::move(one));
}

void SimNode::change_entry(EntryChange one) {
    play(entries, one);
    entry_changes.push_back(std::move(one));
}

void SimNode::sync() {
    for (const Change& one : changes) {
        play(durable_contents, one);
    }
    for (const EntryChange& one : entry_changes) {
        play(durable_entries, one);
    }
    drop_changes();
}

void SimNode::drop_changes() {
    changes.clear();
    entry_changes.clear();
}

std::vector<SimNode::Ptr> all_nodes(const SimNode::Ptr& top, Scope scope) {
    std::vector<SimNode::Ptr> found = {top};
    std::set<const SimNode*> seen = {top.get()};
    const auto meet = [&](const SimNode::Ptr& node) {
        if (node != nullptr && seen.insert(node.get()).second) {
            found.push_back(node);
        }
    };
    for (std::size_t i = 0; i < found.size(); ++i) {
        const SimNode::Ptr node = found[i];
        for (const auto& [name, below] : node->entries) {
            meet(below);
        }
        if (scope == Scope::Visible) {
            continue;
        }
        for (const auto& [name, below] : node->durable_entries) {
            meet(below);
        }
        for (const SimNode::EntryChange& one : node->entry_changes) {
            meet(one.node);
        }
    }
    return found;
}

// ---- Paths
// --------------------------------------------------------------------------------------------------------

namespace {

// Walks a path part by part; a symlink's target takes the place of its name.
class Walk {
  public:
    Walk(const SimNode::Ptr& root, std::string_view path, Last last)
        : path_(path), last_(last), way_({root}) {
        put_in_front(path);
    }

    base::Result<Place> finish() {
        Place place = here();
        while (!parts_.empty()) {
            const std::string name = std::move(parts_.front());
            parts_.pop_front();
            if (!way_.back()->is_directory()) {
                return sim_failure("find", path_, ENOTDIR);
            }
            if (name == "..") {
                way_.resize(std::max<std::size_t>(1, way_.size() - 1));
                place = here();
                continue;
            }
            place = child(name);
            if (place.node == nullptr && parts_.empty()) {
                return place;
            }
            TRY(step(place));
        }
        return place;
    }

  private:
    Place here() const { return {nullptr, "", way_.back()}; }

    Place child(const std::string& name) const {
        const auto found = way_.back()->entries.find(name);
        return {way_.back(), name, found == way_.back()->entries.end() ? nullptr : found->second};
    }

    base::Result<> step(Place& place) {
        if (place.node == nullptr) {
            return sim_failure("find", path_, ENOENT);
        }
        if (!place.node->is_symlink() || (parts_.empty() && last_ == Last::Keep)) {
            way_.push_back(place.node);
            return {};
        }
        if (++hops_ > kMaxHops) {
            return sim_failure("find", path_, ELOOP);
        }
        put_in_front(place.node->target);
        if (place.node->target.starts_with('/')) {
            way_.resize(1);
        }
        place = here();
        return {};
    }

    void put_in_front(std::string_view path) {
        std::vector<std::string> found;
        while (!path.empty()) {
            const std::size_t end = std::min(path.find('/'), path.size());
            if (end > 0 && path.substr(0, end) != ".") {
                found.emplace_back(path.substr(0, end));
            }
            path.remove_prefix(std::min(end + 1, path.size()));
        }
        parts_.insert(parts_.begin(), found.begin(), found.end());
    }

    const std::string path_;
    const Last last_;
    std::vector<SimNode::Ptr> way_;
    std::deque<std::string> parts_;
    int hops_ = 0;
};

}  // namespace

base::Result<Place> locate(const SimNode::Ptr& root, std::string_view path, Last last) {
    if (path.empty()) {
        return sim_failure("find", path, ENOENT);
    }
    return Walk(root, path, last).finish();
}

// ---- Loss
// ---------------------------------------------------------------------------------------------------------

namespace {

// Decides which changes reach the disk.
class Loss {
  public:
    // `first` to `last` are the operations whose changes may still wait.
    Loss(CrashMode mode, std::uint64_t first, std::uint64_t last)
        : mode_(mode.unsynced), random_(base::seeded_random(mode.seed)) {
        // File systems with a journal keep a prefix of the changes to names; others keep any
        // subset. Both must be survivable.
        if (mode_ == CrashMode::Unsynced::RandomSubset && coin()) {
            prefix_ = first + random_->u64() % (last - first + 2);
        }
    }

    void strike(SimNode& node) {
        for (const SimNode::Change& one : node.changes) {
            keep_some(node.durable_contents, one);
        }
        for (const SimNode::EntryChange& one : node.entry_changes) {
            if (survives(one.operation)) {
                play(node.durable_entries, one);
            }
        }
        node.drop_changes();
        node.contents = node.durable_contents;
        node.entries = node.durable_entries;
    }

  private:
    bool coin() { return ((random_->u64() >> 40) & 1) != 0; }

    // Both halves of a rename meet the same fate.
    bool survives(std::uint64_t operation) {
        if (mode_ != CrashMode::Unsynced::RandomSubset) {
            return mode_ == CrashMode::Unsynced::Kept;
        }
        if (prefix_) {
            return operation < *prefix_;
        }
        const auto [fate, is_new] = fates_.try_emplace(operation, false);
        if (is_new) {
            fate->second = coin();
        }
        return fate->second;
    }

    void keep_some(Bytes& contents, const SimNode::Change& change) {
        const bool by_chance = mode_ == CrashMode::Unsynced::RandomSubset;
        if (mode_ == CrashMode::Unsynced::Kept || (by_chance && coin())) {
            play(contents, change);
        } else if (by_chance && !change.truncates && coin()) {
            tear(contents, change);
        }
    }

    void tear(Bytes& contents, const SimNode::Change& change) {
        for (std::uint64_t at = 0; at < change.bytes.size();) {
            const std::uint64_t left_in_sector = kSector - (change.offset + at) % kSector;
            const std::uint64_t n =
                std::min<std::uint64_t>(left_in_sector, change.bytes.size() - at);
            if (coin()) {
                const BytesView part = BytesView(change.bytes).subspan(at, n);
                play(contents, {false, change.offset + at, Bytes(part.begin(), part.end())});
            }
            at += n;
        }
    }

    const CrashMode::Unsynced mode_;
    const std::unique_ptr<base::Random> random_;
    std::optional<std::uint64_t> prefix_;
    std::map<std::uint64_t, bool> fates_;
};

}  // namespace

void lose_power(const SimNode::Ptr& root, CrashMode mode, std::uint64_t now) {
    // Held here, since each strike may drop the last entry that leads to another node.
    const std::vector<SimNode::Ptr> nodes = all_nodes(root, Scope::Any);
    std::uint64_t oldest = now;
    for (const SimNode::Ptr& node : nodes) {
        if (!node->entry_changes.empty()) {
            oldest = std::min(oldest, node->entry_changes.front().operation);
        }
    }
    Loss loss(mode, oldest, now);
    for (const SimNode::Ptr& node : nodes) {
        loss.strike(*node);
    }
}

base::Error sim_failure(std::string_view operation, std::string_view path, int number) {
    return base::os_failure(std::string(operation) + " '" + std::string(path) + "'", number);
}

}  // namespace lifeboat::test

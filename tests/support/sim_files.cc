#include "tests/support/sim_files.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tests/support/sim_tree.h"

namespace lifeboat::test {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::FileKind;
using base::FileStat;
using base::MutableBytes;
using base::OpenMode;
using base::Replace;
using base::Result;
using base::Timestamp;

namespace {

constexpr std::uint64_t kBoundless = 1ULL << 50;
constexpr std::uint64_t kLargestFile = base::kGiB;  // memory is the disk

Error power_cut() {
    return Error(Code::Cancelled, "power cut");
}

}  // namespace

class SimFiles::Handle final : public base::File {
  public:
    Handle(SimFiles& files, SimNode::Ptr node, std::string path, bool writable, std::uint64_t boot)
        : files_(files),
          node_(std::move(node)),
          path_(std::move(path)),
          writable_(writable),
          boot_(boot) {}

    Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) override {
        const base::Lock lock(files_.mutex_);
        TRY(enter("read", Effect::Reads));
        const Bytes& contents = node_->contents;
        if (offset >= contents.size()) {
            return std::size_t{0};
        }
        const std::size_t n = std::min<std::size_t>(out.size(), contents.size() - offset);
        std::copy_n(contents.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
        return n;
    }

    Result<> write_at(std::uint64_t offset, BytesView bytes) override {
        const base::Lock lock(files_.mutex_);
        TRY(enter("write", Effect::Changes));
        return files_.write(*node_, offset, bytes, path_);
    }

    Result<> truncate(std::uint64_t size) override {
        const base::Lock lock(files_.mutex_);
        TRY(enter("truncate", Effect::Changes));
        if (size > kLargestFile) {
            return sim_failure("truncate", path_, EFBIG);
        }
        node_->change({true, size, {}});
        node_->attributes.modified = files_.now();
        return {};
    }

    Result<std::uint64_t> size() override {
        const base::Lock lock(files_.mutex_);
        TRY(enter("size", Effect::Reads));
        return std::uint64_t{node_->contents.size()};
    }

    Result<> sync() override {
        const base::Lock lock(files_.mutex_);
        auto allowed = enter("sync", Effect::Changes);
        if (!allowed) {
            if (allowed.error().code() != Code::Cancelled) {
                node_->drop_changes();
            }
            return allowed;
        }
        node_->sync();
        return {};
    }

    Result<> close() override {
        const base::Lock lock(files_.mutex_);
        return enter("close", Effect::Reads);
    }

  private:
    Result<> enter(std::string_view operation, Effect effect) LB_REQUIRES(files_.mutex_) {
        if (boot_ != files_.boots_) {
            return power_cut();
        }
        if (effect == Effect::Changes && operation != "sync" && !writable_) {
            return sim_failure(operation, path_, EBADF);
        }
        return files_.enter(operation, path_, effect);
    }

    SimFiles& files_;
    const SimNode::Ptr node_;
    const std::string path_;
    const bool writable_;
    const std::uint64_t boot_;
};

SimFiles::SimFiles(base::Clock* clock) : clock_(clock) {
    const base::Lock lock(mutex_);
    root_ = new_node(FileKind::Directory, 0755);
}

SimFiles::~SimFiles() = default;

// ---- Power and faults
// ---------------------------------------------------------------------------------------------

std::uint64_t SimFiles::operations() const {
    const base::Lock lock(mutex_);
    return operations_;
}

void SimFiles::crash_after(std::uint64_t n) {
    const base::Lock lock(mutex_);
    dies_at_ = operations_ + n;
    cut_ = false;
}

bool SimFiles::power_was_cut() const {
    const base::Lock lock(mutex_);
    return cut_;
}

void SimFiles::power_cycle(CrashMode mode) {
    const base::Lock lock(mutex_);
    lose_power(root_, mode, operations_);
    dies_at_.reset();
    cut_ = false;
    trace_.clear();
    ++boots_;
}

std::vector<std::string> SimFiles::trace() const {
    const base::Lock lock(mutex_);
    return trace_;
}

void SimFiles::set_fault(Fault fault) {
    const base::Lock lock(mutex_);
    fault_ = std::move(fault);
}

void SimFiles::fail_next(Predicate matches, int number) {
    const base::Lock lock(mutex_);
    waiting_faults_.emplace_back(std::move(matches), number);
}

void SimFiles::set_capacity(std::optional<std::uint64_t> bytes) {
    const base::Lock lock(mutex_);
    capacity_ = bytes;
}

std::optional<int> SimFiles::fault_for(std::string_view operation, const std::string& path) {
    const auto due = std::find_if(waiting_faults_.begin(), waiting_faults_.end(),
                                  [&](const auto& one) { return one.first(operation, path); });
    if (due != waiting_faults_.end()) {
        const int number = due->second;
        waiting_faults_.erase(due);
        return number;
    }
    return fault_ ? fault_(operation, path) : std::nullopt;
}

Result<> SimFiles::enter(std::string_view operation, const std::string& path, Effect effect) {
    if (dies_at_ && operations_ >= *dies_at_) {
        cut_ = true;
        return power_cut();
    }
    if (const auto number = fault_for(operation, path)) {
        return sim_failure(operation, path, *number);
    }
    if (effect == Effect::Changes) {
        ++operations_;
        trace_.push_back(std::string(operation) + " " + path);
    }
    return {};
}

// ---- Names
// --------------------------------------------------------------------------------------------------------

Result<SimNode::Ptr> SimFiles::find(const std::string& path, Last last) {
    const Place place = TRY(locate(root_, path, last));
    if (place.node == nullptr) {
        return sim_failure("find", path, ENOENT);
    }
    return place.node;
}

Result<Place> SimFiles::vacant(const std::string& path) {
    Place place = TRY(locate(root_, path, Last::Keep));
    if (place.node != nullptr) {
        return sim_failure("create", path, EEXIST);
    }
    return place;
}

SimNode::Ptr SimFiles::new_node(FileKind kind, std::uint32_t permissions) {
    auto node = std::make_shared<SimNode>();
    node->attributes.kind = kind;
    node->attributes.mode = permissions;
    node->attributes.inode = ++last_inode_;
    node->attributes.device = 1;
    node->attributes.modified = now();
    return node;
}

void SimFiles::set_entry(SimNode& directory, const std::string& name, SimNode::Ptr node) {
    directory.change_entry({operations_, name, std::move(node)});
}

Timestamp SimFiles::now() {
    return clock_ != nullptr
               ? clock_->now()
               : base::from_unix_micros(static_cast<std::int64_t>(946'684'800 + operations_) *
                                        1'000'000);
}

// ---- base::Files
// --------------------------------------------------------------------------------------------------

Result<std::unique_ptr<base::File>> SimFiles::open(const std::string& path, OpenMode mode,
                                                   std::uint32_t permissions) {
    const base::Lock lock(mutex_);
    const bool creates = mode == OpenMode::CreateNew || mode == OpenMode::CreateOrTruncate;
    const bool follows = mode != OpenMode::CreateNew;
    TRY(enter(creates ? "create" : "open", path, creates ? Effect::Changes : Effect::Reads));
    Place place = TRY(locate(root_, path, follows ? Last::Follow : Last::Keep));
    if (place.node != nullptr && mode == OpenMode::CreateNew) {
        return sim_failure("create", path, EEXIST);
    }
    if (place.node == nullptr && !creates) {
        return sim_failure("open", path, ENOENT);
    }
    if (place.node == nullptr) {
        place.node = new_node(FileKind::Regular, permissions);
        set_entry(*place.directory, place.name, place.node);
    }
    if (place.node->attributes.kind != FileKind::Regular) {
        return sim_failure("open", path, EISDIR);
    }
    if (mode == OpenMode::CreateOrTruncate) {
        place.node->change({true, 0, {}});
    }
    std::unique_ptr<base::File> file =
        std::make_unique<Handle>(*this, place.node, path, mode != OpenMode::Read, boots_);
    return file;
}

Result<> SimFiles::write(SimNode& node, std::uint64_t offset, BytesView bytes,
                         const std::string& path) {
    if (offset > kLargestFile || bytes.size() > kLargestFile - offset) {
        return sim_failure("write", path, EFBIG);
    }
    std::uint64_t room = bytes.size();
    if (capacity_) {
        const std::uint64_t used = used_bytes();
        const std::uint64_t others = used - std::min<std::uint64_t>(used, node.contents.size());
        const std::uint64_t most = std::max<std::uint64_t>(
            *capacity_ - std::min(*capacity_, others), node.contents.size());
        room = std::min(room, most - std::min(most, offset));
    }
    const BytesView taken = bytes.first(room);
    if (!taken.empty()) {
        node.change({false, offset, Bytes(taken.begin(), taken.end())});
        node.attributes.modified = now();
    }
    if (room < bytes.size()) {
        return sim_failure("write", path, ENOSPC);
    }
    return {};
}

Result<FileStat> SimFiles::stat_entry(std::string_view operation, const std::string& path,
                                      Last last) {
    TRY(enter(operation, path, Effect::Reads));
    const SimNode::Ptr node = TRY(find(path, last));
    FileStat out = node->attributes;
    out.size =
        node->attributes.kind == FileKind::Symlink ? node->target.size() : node->contents.size();
    return out;
}

Result<FileStat> SimFiles::stat(const std::string& path) {
    const base::Lock lock(mutex_);
    return stat_entry("stat", path, Last::Follow);
}

Result<FileStat> SimFiles::lstat(const std::string& path) {
    const base::Lock lock(mutex_);
    return stat_entry("lstat", path, Last::Keep);
}

Result<std::vector<std::string>> SimFiles::list(const std::string& directory) {
    const base::Lock lock(mutex_);
    TRY(enter("list", directory, Effect::Reads));
    const SimNode::Ptr node = TRY(find(directory, Last::Follow));
    if (!node->is_directory()) {
        return sim_failure("list", directory, ENOTDIR);
    }
    std::vector<std::string> names;
    for (const auto& [name, below] : node->entries) {
        names.push_back(name);
    }
    return names;
}

Result<> SimFiles::create_directory(const std::string& path, std::uint32_t permissions) {
    const base::Lock lock(mutex_);
    TRY(enter("create_directory", path, Effect::Changes));
    const Place place = TRY(vacant(path));
    set_entry(*place.directory, place.name, new_node(FileKind::Directory, permissions));
    return {};
}

Result<> SimFiles::rename(const std::string& from, const std::string& to, Replace replace) {
    const base::Lock lock(mutex_);
    TRY(enter("rename", to, Effect::Changes));
    const Place source = TRY(locate(root_, from, Last::Keep));
    const Place target = TRY(locate(root_, to, Last::Keep));
    if (source.node == nullptr) {
        return sim_failure("rename", from, ENOENT);
    }
    if (target.node != nullptr && replace == Replace::No) {
        return sim_failure("rename", to, EEXIST);
    }
    if (source.directory == nullptr || target.directory == nullptr) {
        return sim_failure("rename", to, EBUSY);
    }
    if (source.node == target.node) {
        return {};
    }
    const std::vector<SimNode::Ptr> moving = all_nodes(source.node, Scope::Visible);
    if (std::find(moving.begin(), moving.end(), target.directory) != moving.end()) {
        return sim_failure("rename", to, EINVAL);
    }
    if (target.node != nullptr && target.node->is_directory() != source.node->is_directory()) {
        return sim_failure("rename", to, source.node->is_directory() ? ENOTDIR : EISDIR);
    }
    if (target.node != nullptr && !target.node->entries.empty()) {
        return sim_failure("rename", to, ENOTEMPTY);
    }
    set_entry(*source.directory, source.name, nullptr);
    set_entry(*target.directory, target.name, source.node);
    return {};
}

Result<> SimFiles::unlink(std::string_view operation, const std::string& path, FileKind kind) {
    TRY(enter(operation, path, Effect::Changes));
    const Place place = TRY(locate(root_, path, Last::Keep));
    if (place.node == nullptr) {
        return sim_failure(operation, path, ENOENT);
    }
    const bool wants_directory = kind == FileKind::Directory;
    if (place.node->is_directory() != wants_directory) {
        return sim_failure(operation, path, wants_directory ? ENOTDIR : EISDIR);
    }
    if (!place.node->entries.empty()) {
        return sim_failure(operation, path, ENOTEMPTY);
    }
    if (place.directory == nullptr) {
        return sim_failure(operation, path, EBUSY);
    }
    set_entry(*place.directory, place.name, nullptr);
    return {};
}

Result<> SimFiles::remove(const std::string& path) {
    const base::Lock lock(mutex_);
    return unlink("remove", path, FileKind::Regular);
}

Result<> SimFiles::remove_directory(const std::string& path) {
    const base::Lock lock(mutex_);
    return unlink("remove_directory", path, FileKind::Directory);
}

Result<> SimFiles::symlink(const std::string& target, const std::string& path) {
    const base::Lock lock(mutex_);
    TRY(enter("symlink", path, Effect::Changes));
    const Place place = TRY(vacant(path));
    const SimNode::Ptr node = new_node(FileKind::Symlink, 0777);
    node->target = target;
    set_entry(*place.directory, place.name, node);
    return {};
}

Result<std::string> SimFiles::read_link(const std::string& path) {
    const base::Lock lock(mutex_);
    TRY(enter("read_link", path, Effect::Reads));
    const SimNode::Ptr node = TRY(find(path, Last::Keep));
    if (node->attributes.kind != FileKind::Symlink) {
        return sim_failure("read_link", path, EINVAL);
    }
    return node->target;
}

Result<> SimFiles::set_mode(const std::string& path, std::uint32_t permissions) {
    const base::Lock lock(mutex_);
    TRY(enter("set_mode", path, Effect::Changes));
    const SimNode::Ptr node = TRY(find(path, Last::Follow));
    node->attributes.mode = permissions;
    return {};
}

Result<> SimFiles::set_owner(const std::string& path, std::uint32_t uid, std::uint32_t gid) {
    const base::Lock lock(mutex_);
    TRY(enter("set_owner", path, Effect::Changes));
    const SimNode::Ptr node = TRY(find(path, Last::Keep));
    node->attributes.uid = uid;
    node->attributes.gid = gid;
    return {};
}

Result<> SimFiles::set_modified(const std::string& path, Timestamp t) {
    const base::Lock lock(mutex_);
    TRY(enter("set_modified", path, Effect::Changes));
    const SimNode::Ptr node = TRY(find(path, Last::Keep));
    node->attributes.modified = t;
    return {};
}

Result<> SimFiles::sync_directory(const std::string& path) {
    const base::Lock lock(mutex_);
    auto allowed = enter("sync_directory", path, Effect::Changes);
    if (!allowed && allowed.error().code() == Code::Cancelled) {
        return allowed;
    }
    const SimNode::Ptr node = TRY(find(path, Last::Follow));
    if (!node->is_directory()) {
        return sim_failure("sync_directory", path, ENOTDIR);
    }
    if (allowed) {
        node->sync();
    } else {
        node->drop_changes();
    }
    return allowed;
}

Result<> SimFiles::sync_filesystem(const std::string& path) {
    const base::Lock lock(mutex_);
    auto allowed = enter("sync_filesystem", path, Effect::Changes);
    if (!allowed && allowed.error().code() == Code::Cancelled) {
        return allowed;
    }
    TRY(find(path, Last::Follow));
    for (const SimNode::Ptr& node : all_nodes(root_, Scope::Any)) {
        if (allowed) {
            node->sync();
        } else {
            node->drop_changes();
        }
    }
    return allowed;
}

std::uint64_t SimFiles::used_bytes() {
    std::uint64_t used = 0;
    for (const SimNode::Ptr& node : all_nodes(root_, Scope::Visible)) {
        used += node->contents.size();
    }
    return used;
}

Result<base::Space> SimFiles::space(const std::string& path) {
    const base::Lock lock(mutex_);
    TRY(enter("space", path, Effect::Reads));
    TRY(find(path, Last::Follow));
    const std::uint64_t used = used_bytes();
    const std::uint64_t total = capacity_.value_or(kBoundless);
    return base::Space{total - std::min(total, used), total};
}

}  // namespace lifeboat::test

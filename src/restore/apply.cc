#include "restore/apply.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/workers.h"
#include "repo/map_index.h"
#include "restore/file_lander.h"
#include "restore/leftovers.h"
#include "restore/target.h"

// Restoring a tree. Tested by apply_test.cc and tests/crash/restore_crash_test.cc.
//
//   survey -> marker -> (delta: remove `last`) -> directories, links -> files in parallel -> extra
//   files -> leftovers -> listing
//          -> ONE durability barrier -> `last` -> marker gone
//
// One thread reads the maps and cuts files into ranges; workers fetch, verify and write them.
// Memory is bounded by the queue, whatever the size. Everything up to the barrier may be lost in a
// power cut and done again; `last` (pg_control) exists only when all else is durable, and the
// marker goes after it.

namespace lifeboat::restore {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::join;
using repo::EntryKind;
using repo::FileMap;

namespace {

constexpr std::size_t kQueuedTasks = 8;
constexpr std::uint64_t kTaskBytes =
    4 * base::kMiB;  // small files travel together: they share frames

using Task = std::vector<Range>;

class Apply {
  public:
    Apply(repo::Repository& repository, repo::ReaderKeys& keys, const repo::OpenedManifest& backup,
          const ApplyRequest& request, ApplyProgress& progress, const engine::Context& context)
        : repository_(repository),
          backup_(backup),
          request_(request),
          progress_(progress),
          context_(context),
          files_(context.files),
          keys_(repo::RepositoryKeys::derive(backup.host_secret, repository.id())),
          source_(repository.store(), repository.id(), backup.manifest, keys),
          queue_(kQueuedTasks) {}

    Result<ApplyReport> run() {
        TRY(check_target(files_, request_, backup_.manifest));
        ground_ = TRY(survey(files_, request_, backup_.manifest));
        TRY(prepare());
        TRY(make_links());
        TRY(land_files());
        TRY(make_directories());
        TRY(write_extras());
        TRY(drop_leftovers());
        TRY(write_listing());
        TRY(make_durable());
        TRY(land_last());
        TRY(clear_marker(files_, request_.target));
        return report_;
    }

  private:
    Result<> prepare();
    Result<> make_links();
    Result<> make_link(const std::string& path, const std::string& to);
    Result<> land_files();
    void remember(const Error& error);
    Result<> produce(repo::MapIndex& index);
    Result<> take(repo::MapIndex& index, FileMap map);
    Result<> take_file(repo::MapIndex& index, FileMap map);
    Result<> look_at(repo::MapIndex& index, OutFile& out);
    Result<> push(Task task);
    Result<> work(ApplyReport& report);
    Result<> make_directories();
    Result<> make_directory(const std::string& relative, std::uint32_t mode);
    Result<> clear_way(const std::string& relative);
    Result<> write_extras();
    Result<> write_extra(const engine::ExtraFile& extra);
    Result<> drop_leftovers();
    Result<> write_listing();
    Result<> make_durable();
    Result<> land_last();
    Result<> own(const std::string& path);
    bool replaced(const std::string& path) const;

    repo::Repository& repository_;
    const repo::OpenedManifest& backup_;
    const ApplyRequest& request_;
    ApplyProgress& progress_;
    const engine::Context& context_;
    base::Files& files_;
    const repo::RepositoryKeys keys_;
    repo::PackSource source_;
    base::BoundedQueue<Task> queue_;
    Ground ground_ = Ground::Fresh;
    std::set<std::string> directories_;  // made or seen
    std::set<std::string> symlinks_;     // captured ones: nothing may be written through them
    std::map<std::string, std::uint32_t> modes_;  // of captured directories
    std::map<std::string, engine::LandedFile> landed_;
    std::set<std::string> kept_;  // every path of the finished tree
    std::optional<FileMap> last_;
    base::Mutex failure_mutex_;
    std::optional<Error> failure_
        LB_GUARDED_BY(failure_mutex_);  // the first: what stopped the others is not the news
    Task batch_;
    std::uint64_t batch_bytes_ = 0;
    ApplyReport report_;
};

std::string absolute(const std::string& target, const std::string& relative) {
    return join(target, relative);
}

Result<> Apply::prepare() {
    report_.resumed = ground_ == Ground::Resumable;
    TRY(base::create_directories(files_, request_.target).during("creating the target"));
    TRY(own(request_.target));
    TRY(set_marker(files_, request_.target, backup_.manifest));
    if (ground_ == Ground::Fresh || request_.landing.last.empty()) {
        return {};
    }
    // A tree that is being changed must not look startable, also after a crash (P5).
    const std::string last = absolute(request_.target, request_.landing.last);
    auto removed = files_.remove(last);
    if (!removed && removed.error().code() != Code::NotFound) {
        return std::move(removed).during("taking '" + request_.landing.last + "' away first");
    }
    return removed ? files_.sync_directory(base::parent_of(last)) : Result<>();
}

Result<> Apply::own(const std::string& path) {
    if (request_.uid && request_.gid) {
        return files_.set_owner(path, *request_.uid, *request_.gid);
    }
    return {};
}

Result<> Apply::make_directory(const std::string& relative, std::uint32_t mode) {
    if (relative == "." || relative.empty() || directories_.contains(relative)) {
        return {};
    }
    if (symlinks_.contains(relative)) {
        return Error(Code::Corrupt, "the backup has entries below its symbolic link '" + relative +
                                        "'");  // they would leave the target
    }
    TRY(make_directory(base::parent_of(relative), 0700));
    TRY(clear_way(relative));
    auto made = files_.create_directory(absolute(request_.target, relative), mode);
    if (!made && made.error().code() != Code::Conflict) {
        return std::move(made).during("creating the directory '" + relative + "'");
    }
    TRY(own(absolute(request_.target, relative)));
    directories_.insert(relative);
    kept_.insert(relative);
    return {};
}

// Where a directory belongs, an older tree may have a file, or a link to elsewhere (a pg_wal on
// another disk): through it, files would leave the sweep and the barrier.
Result<> Apply::clear_way(const std::string& relative) {
    if (ground_ == Ground::Fresh) {
        return {};
    }
    const std::string path = absolute(request_.target, relative);
    const auto stat = files_.lstat(path);
    if (!stat || stat->kind == base::FileKind::Directory) {
        return {};
    }
    return files_.remove(path).during("making way for the directory '" + relative + "'");
}

Result<> Apply::make_links() {
    for (const auto& [path, to, own_name] : request_.landing.links) {
        TRY(base::create_directories(files_, to).during("creating the tablespace directory"));
        TRY(own(to));
        TRY(make_directory(base::parent_of(path), 0700));
        TRY(make_link(path, to).during("linking '" + path + "'"));
        directories_.insert(path);
        kept_.insert(path);
    }
    return {};
}

// Durable before anything is landed behind it: the link is what tells the next run that the files
// there are ours.
Result<> Apply::make_link(const std::string& path, const std::string& to) {
    const std::string link = absolute(request_.target, path);
    const auto old = files_.read_link(link);
    if (old && *old == to) {
        return {};
    }
    const bool there = TRY(base::exists(files_, link));
    if (there) {
        TRY(files_.remove(link));
    }
    TRY(files_.symlink(to, link));
    TRY(own(link));
    return files_.sync_directory(base::parent_of(link));
}

Result<> Apply::land_files() {
    const auto index = TRY(repo::MapIndex::open(repository_.store(), repository_.id(), backup_));
    progress_.bytes_expected = backup_.manifest.counts.bytes;
    std::vector<ApplyReport> reports(request_.workers + 1);
    auto done = base::run_parallel(request_.workers + 1, [&](std::size_t worker) -> Result<> {
        auto result = worker == 0 ? produce(*index) : work(reports[worker]);
        if (!result) {
            remember(result.error());
        }
        if (!result || worker == 0) {
            queue_.close();  // a failure anywhere stops everyone
        }
        return result;
    });
    const base::Lock lock(failure_mutex_);
    if (failure_) {
        return failure_->clone();
    }
    TRY(std::move(done));
    for (const ApplyReport& part : reports) {
        report_.bytes_fetched += part.bytes_fetched;
        report_.bytes_kept += part.bytes_kept;
        report_.bytes_zero += part.bytes_zero;
    }
    return {};
}

void Apply::remember(const Error& error) {
    const base::Lock lock(failure_mutex_);
    if (!failure_) {
        failure_ = error.clone();
    }
}

Result<> Apply::produce(repo::MapIndex& index) {
    TRY(index.for_each([&](FileMap map) { return take(index, std::move(map)); }));
    return push(std::move(batch_));
}

bool Apply::replaced(const std::string& path) const {
    return std::any_of(
        request_.landing.extra.begin(), request_.landing.extra.end(),
        [&](const engine::ExtraFile& extra) { return extra.path == path && !extra.append; });
}

Result<> Apply::take(repo::MapIndex& index, FileMap map) {
    TRY(context_.stop.check());
    if (map.kind == EntryKind::Directory) {
        modes_[map.path] = map.mode;
        return make_directory(map.path, map.mode);
    }
    if (map.kind == EntryKind::Symlink) {
        if (!kept_.contains(map.path)) {  // not one of the landing's own links
            TRY(make_directory(base::parent_of(map.path), 0700));
            files_.remove(absolute(request_.target, map.path))
                .discard("absent in a fresh tree; symlink() reports what matters");
            TRY(files_.symlink(map.target, absolute(request_.target, map.path)));
            kept_.insert(map.path);
            symlinks_.insert(map.path);
        }
        return {};
    }
    if (map.path == request_.landing.last) {
        last_ = std::move(map);
        return make_directory(base::parent_of(last_->path), 0700);
    }
    return replaced(map.path) ? Result<>() : take_file(index, std::move(map));
}

Result<> Apply::take_file(repo::MapIndex& index, FileMap map) {
    auto out = std::make_shared<OutFile>();
    out->map = std::move(map);
    out->path = absolute(request_.target, out->map.path);
    TRY(make_directory(base::parent_of(out->map.path), 0700));
    TRY(look_at(index, *out).during("restoring '" + out->map.path + "'"));
    ++report_.files;
    report_.bytes += out->map.size;
    kept_.insert(out->map.path);
    landed_[out->map.path] = {out->map.path, out->map.size, out->map.modified, out->map.crc};
    for (Range& range : ranges_of(out)) {
        batch_bytes_ += range.length();
        batch_.push_back(std::move(range));
        if (batch_bytes_ >= kTaskBytes) {
            TRY(push(std::move(batch_)));
            batch_.clear();
            batch_bytes_ = 0;
        }
    }
    return {};
}

// What a delta or an interrupted run left in the file's place.
Result<> Apply::look_at(repo::MapIndex& index, OutFile& out) {
    if (ground_ == Ground::Fresh) {
        return {};
    }
    const auto stat = files_.lstat(out.path);
    if (stat && stat->kind == base::FileKind::Regular && stat->size > 0 && out.map.size > 0) {
        auto known = index.fingerprints(out.map.path);
        if (known && known->pages.size() == out.map.pages()) {
            out.existing_size = stat->size;
            out.prints = std::move(known->pages);
        } else if (!known && known.error().code() != Code::Corrupt &&
                   known.error().code() != Code::NotFound) {
            return std::move(known).error();
        }  // without fingerprints nothing tells what is right already: all of it is fetched
    } else if (stat && stat->kind != base::FileKind::Regular) {
        TRY(stat->kind == base::FileKind::Directory ? base::remove_tree(files_, out.path)
                                                    : files_.remove(out.path));
    }
    return {};
}

Result<> Apply::push(Task task) {
    if (!task.empty() && !queue_.push(std::move(task))) {
        return Error(Code::Cancelled, "another part of the restore failed");
    }
    return {};
}

Result<> Apply::work(ApplyReport& report) {
    RangeLander lander(files_, request_, source_, keys_.fingerprint, progress_);
    while (auto task = queue_.pop()) {
        for (const Range& range : *task) {
            TRY(context_.stop.check());
            TRY(lander.land(range, report));
        }
    }
    return {};
}

Result<> Apply::make_directories() {
    for (const std::string& path : request_.landing.directories) {
        TRY(make_directory(path, 0700));
    }
    for (const auto& [path, mode] : modes_) {
        TRY(files_.set_mode(absolute(request_.target, path), mode));
    }
    return {};
}

Result<> Apply::write_extras() {
    for (const engine::ExtraFile& extra : request_.landing.extra) {
        TRY(write_extra(extra).during("writing '" + extra.path + "'"));
    }
    return {};
}

Result<> Apply::write_extra(const engine::ExtraFile& extra) {
    const std::string path = absolute(request_.target, extra.path);
    TRY(make_directory(base::parent_of(extra.path), 0700));
    Bytes contents;
    if (extra.append && landed_.contains(extra.path)) {
        contents = TRY(base::read_file(files_, path));
    }
    contents.insert(contents.end(), extra.contents.begin(), extra.contents.end());
    auto file = TRY(files_.open(path, base::OpenMode::CreateOrTruncate, extra.mode));
    TRY(file->write_at(0, contents));
    TRY(file->close());
    TRY(files_.set_mode(path, extra.mode));
    TRY(own(path));
    kept_.insert(extra.path);
    landed_[extra.path] = {extra.path, contents.size(), context_.clock.now(),
                           base::crc32c(contents)};
    return {};
}

Result<> Apply::drop_leftovers() {
    if (ground_ == Ground::Fresh) {
        return {};
    }
    std::set<std::string> keep = kept_;
    keep.insert(std::string(kMarkerFile));
    return remove_leftovers(files_, request_.target, keep, request_.landing.links);
}

Result<> Apply::write_listing() {
    if (!request_.landing.listing) {
        return {};
    }
    std::vector<engine::LandedFile> all;
    for (const auto& [path, file] : landed_) {
        all.push_back(file);
    }
    if (last_) {
        all.push_back({last_->path, last_->size, last_->modified, last_->crc});
    }
    const engine::ExtraFile listing = TRY(request_.landing.listing(all));
    return write_extra(listing).during("writing '" + listing.path + "'");
}

// One barrier instead of an fsync for each of a million files.
Result<> Apply::make_durable() {
    TRY(context_.stop.check());
    TRY(files_.sync_filesystem(request_.target).during("making the restored files durable"));
    for (const auto& [path, to, own_name] : request_.landing.links) {
        TRY(files_.sync_filesystem(to).during("making the tablespace '" + to + "' durable"));
    }
    return {};
}

Result<> Apply::land_last() {
    if (!last_) {
        return {};
    }
    Bytes contents(last_->size);
    TRY(repo::PageReader(source_)
            .read(last_->runs, contents)
            .during("restoring '" + last_->path + "'"));
    if (base::crc32c(contents) != last_->crc) {
        return Error(Code::Corrupt, "'" + last_->path + "' differs from what was captured");
    }
    const std::string path = absolute(request_.target, last_->path);
    TRY(base::write_durably(files_, path, contents, base::Replace::Yes, last_->mode));
    ++report_.files;
    report_.bytes += last_->size;
    return own(path);
}

}  // namespace

Result<ApplyReport> apply(repo::Repository& repository, repo::ReaderKeys& keys,
                          const repo::OpenedManifest& backup, const ApplyRequest& request,
                          ApplyProgress& progress, const engine::Context& context) {
    return Apply(repository, keys, backup, request, progress, context)
        .run()
        .during("restoring backup '" + backup.manifest.backup + "' to '" + request.target + "'");
}

}  // namespace lifeboat::restore

#include <atomic>

#include "base/workers.h"
#include "postgres/backup_wal.h"
#include "postgres/base_backup_stream.h"
#include "postgres/internal/backup_source.h"
#include "postgres/pg_control.h"
#include "postgres/replication.h"
#include "postgres/slots.h"

// Reading a cluster through its server: one BASE_BACKUP stream, whose files this thread cuts into
// chunks while lanes fingerprint, compress and seal them. The server excludes what must be excluded
// and verifies page checksums; the WAL from start to stop comes over a second stream, which a
// temporary slot holds on the server meanwhile (hold_wal).

namespace lifeboat::postgres {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using repo::kChunkSize;

namespace {

constexpr auto kCheckpointLimit = std::chrono::hours(1);
constexpr auto kQuiet = std::chrono::minutes(5);
constexpr std::size_t kQueuedChunks = 8;

// A file whose chunks are on their way through the lanes.
struct Arriving {
    std::shared_ptr<repo::FileCapture> capture;  // shared: the receiving thread and the lanes
    std::uint64_t size = 0;
    std::atomic<std::uint64_t> chunks_left = 0;
};

struct Chunk {
    std::shared_ptr<Arriving> file;
    std::uint64_t offset = 0;
    Bytes bytes;
};

class WireReader {
  public:
    WireReader(BackupRun& run, BaseBackupFiles& files)
        : run_(run), files_(files), queue_(kQueuedChunks) {}

    Result<> read(std::size_t lanes) {
        return base::run_parallel(lanes + 1, [&](std::size_t worker) -> Result<> {
            auto done = worker == 0 ? receive() : work(worker - 1);
            if (!done || worker == 0) {
                queue_.close();
            }
            return done;
        });
    }

    Lsn stop() const { return stop_; }

    const std::vector<std::pair<repo::FileMap, Bytes>>& late() const { return late_; }

  private:
    Result<> receive();
    Result<> begin(const TarEntry& entry);
    Result<> data(BytesView bytes);
    Result<> cut();
    Result<> end_entry();
    Result<> work(std::size_t lane);
    bool kept_whole(const std::string& name) const;
    Result<> keep(const std::string& name);

    BackupRun& run_;
    BaseBackupFiles& files_;
    base::BoundedQueue<Chunk> queue_;
    std::optional<TarEntry> entry_;
    std::shared_ptr<Arriving> file_;
    std::uint64_t offset_ = 0;
    Bytes buffer_;
    std::vector<std::pair<repo::FileMap, Bytes>>
        late_;  // pg_control: captured after everything else
    Lsn stop_;
};

Result<> WireReader::receive() {
    while (true) {
        TRY(run_.context.stop.check());
        const BackupFileEvent event = TRY(files_.next(deadline_in(kQuiet)));
        if (const auto* entry = std::get_if<TarEntry>(&event)) {
            TRY(end_entry());
            TRY(begin(*entry).during("receiving '" + entry->name + "'"));
        } else if (const auto* bytes = std::get_if<FileData>(&event)) {
            TRY(data(bytes->bytes));
        } else if (const auto* ended = std::get_if<BaseBackupEnded>(&event)) {
            stop_ = ended->lsn;
            return end_entry();
        } else {
            return Error(Code::Unavailable,
                         "the server sent nothing of the base backup for five minutes");
        }
    }
}

// Small files that do not go into the tree as they come: the label and the map belong to the
// manifest, pg_control lands last.
bool WireReader::kept_whole(const std::string& name) const {
    return name == "backup_label" || name == "tablespace_map" || name == kControlFile;
}

Result<> WireReader::keep(const std::string& name) {
    if (name == kControlFile) {
        TRY(parse_control(buffer_));  // T2: torn ones are refused, and the backup with them
        repo::FileMap meta;
        meta.path = name;
        meta.mode = 0600;
        late_.emplace_back(std::move(meta), buffer_);
    } else {
        (name == "backup_label" ? run_.details.backup_label : run_.details.tablespace_map) =
            base::text(buffer_);
    }
    return {};
}

Result<> WireReader::begin(const TarEntry& entry) {
    entry_ = entry;
    buffer_.clear();
    offset_ = 0;
    repo::FileMap meta;
    meta.path = entry.name;
    meta.mode = entry.mode;
    meta.modified = entry.modified;
    if (entry.kind == TarKind::Symlink) {
        entry_.reset();
        return {};  // tablespace links: the landing makes them from the details
    }
    if (entry.kind == TarKind::Directory) {
        entry_.reset();
        meta.kind = repo::EntryKind::Directory;
        return entry.name == "." ? Result<>() : run_.capture.add_entry(std::move(meta));
    }
    if (kept_whole(entry.name)) {
        return {};
    }
    file_ = std::make_shared<Arriving>();
    file_->size = entry.size;
    file_->chunks_left = (entry.size + kChunkSize - 1) / kChunkSize;
    file_->capture = TRY(run_.capture.add(std::move(meta), entry.size));
    return entry.size == 0 ? run_.capture.finish_file(*file_->capture, 0) : Result<>();
}

Result<> WireReader::data(BytesView bytes) {
    while (!bytes.empty()) {
        const std::size_t count = std::min(bytes.size(), kChunkSize - buffer_.size());
        buffer_.insert(buffer_.end(), bytes.begin(),
                       bytes.begin() + static_cast<std::ptrdiff_t>(count));
        bytes = bytes.subspan(count);
        if (buffer_.size() == kChunkSize && file_ != nullptr) {
            TRY(cut());
        } else if (buffer_.size() == kChunkSize) {
            return Error(Code::Corrupt, "'" + entry_->name + "' is far too large");
        }
    }
    return {};
}

Result<> WireReader::cut() {
    const std::uint64_t count = buffer_.size();
    if (!queue_.push({file_, offset_, std::move(buffer_)})) {
        return Error(Code::Cancelled, "another part of the backup failed");
    }
    buffer_ = Bytes();
    buffer_.reserve(kChunkSize);
    offset_ += count;
    return {};
}

Result<> WireReader::end_entry() {
    if (!entry_) {
        return {};
    }
    if (file_ == nullptr) {
        TRY(keep(entry_->name).during("receiving '" + entry_->name + "'"));
    } else if (!buffer_.empty()) {
        TRY(cut());
    }
    entry_.reset();
    file_.reset();
    buffer_.clear();
    return {};
}

Result<> WireReader::work(std::size_t lane) {
    while (auto chunk = queue_.pop()) {
        TRY(run_.capture.pages(lane, *chunk->file->capture, chunk->offset, chunk->bytes));
        if (chunk->file->chunks_left.fetch_sub(1) == 1) {
            TRY(run_.capture.finish_file(*chunk->file->capture, chunk->file->size));
        }
    }
    return {};
}

ConnectOptions replication_options(const PostgresConfig& config) {
    return {config.connection, config.password, "lifeboat backup", SessionKind::PhysicalReplication,
            std::chrono::seconds(10)};
}

// Receives [start of the first segment, end of the last] and stores it as segment files.
Result<> copy_wal(BackupRun& run, Connection& session, const std::string& slot) {
    const SegmentSize size = run.facts.wal_segment;
    const std::uint64_t first = size.number_at(run.details.start);
    const std::uint64_t last = size.number_before(run.details.stop);
    auto started =
        ReplicationStream::start(session, {size.start_of(first), run.details.timeline, slot});
    if (!started) {
        return explain_ended_session(std::move(started).error());
    }
    auto stream = std::move(started).value();
    BackupWal wal(run.details);
    Bytes segment;
    for (std::uint64_t number = first; number <= last; ++number) {
        const Lsn end = size.start_of(number + 1);
        while (stream.position() < end &&
               stream.position() < std::max(run.details.stop, size.start_of(number))) {
            TRY(run.context.stop.check());
            const StreamEvent event = TRY(stream.next(deadline_in(kQuiet)));
            const auto* data = std::get_if<WalData>(&event);
            if (data != nullptr) {
                segment.insert(segment.end(), data->bytes.begin(), data->bytes.end());
            } else if (std::holds_alternative<StreamQuiet>(event) ||
                       std::holds_alternative<EndOfTimeline>(event)) {
                return Error(Code::Unavailable,
                             "the server did not send the WAL up to the end of the backup");
            }
        }
        Bytes whole(segment.begin(),
                    segment.begin() + static_cast<std::ptrdiff_t>(
                                          std::min<std::uint64_t>(segment.size(), size.bytes())));
        segment.erase(segment.begin(), segment.begin() + static_cast<std::ptrdiff_t>(whole.size()));
        whole.resize(size.bytes());
        TRY(wal.feed(size.start_of(number), whole));
        repo::FileMap meta;
        meta.path = base::join("pg_wal", segment_name(run.details.timeline, number, size));
        meta.mode = 0600;
        TRY(run.capture.add_small(0, std::move(meta), whole));
    }
    session.close();  // the rest of the stream is not ours
    return wal.finish();
}

}  // namespace

Result<> read_wire(BackupRun& run) {
    Connection wal = TRY(Connection::open(replication_options(run.config), run.context.stop));
    Connection session = TRY(Connection::open(replication_options(run.config), run.context.stop));
    BaseBackupOptions options;
    options.label = "lifeboat " + run.capture.backup_id();
    options.estimate_sizes = true;
    auto stream = TRY(BaseBackupStream::start(session, options, kCheckpointLimit));
    const std::string slot = TRY(hold_wal(wal, run.context.random));
    BaseBackupFiles files(std::move(stream));
    run.details.start = files.begun().lsn;
    run.details.timeline = files.begun().timeline;
    for (const BaseBackupTablespace& space : files.begun().tablespaces) {
        run.job.progress.bytes_expected += space.estimated_size.value_or(0);
        if (space.oid != 0) {
            run.details.tablespaces.push_back(
                {space.oid, space.location, !space.location.starts_with('/')});
        }
    }
    WireReader reader(run, files);
    TRY(reader.read(std::max<std::size_t>(1, run.job.policy.workers)));
    run.details.stop = reader.stop();
    for (const auto& [meta, contents] : reader.late()) {
        TRY(run.capture.add_small(0, meta, contents));
    }
    if (run.details.backup_label.empty() || reader.late().empty()) {
        return Error(Code::Corrupt, "the server's base backup lacks its label or its control file");
    }
    return copy_wal(run, wal, slot);
}

}  // namespace lifeboat::postgres

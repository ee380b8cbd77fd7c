#include "postgres/directory_copy.h"

#include <algorithm>
#include <atomic>

#include "base/mutex.h"
#include "base/workers.h"

namespace lifeboat::postgres {

using base::Bytes;
using base::BytesView;
using base::Code;
using repo::kChunkSize;

namespace {

constexpr std::uint64_t kChunksPerTask =
    16;  // 16 MiB of one file: long enough for sequential reads, short enough to share a segment
constexpr int kRereads = 10;
constexpr auto kRereadPause = std::chrono::milliseconds(2);

// One file while several workers copy parts of it.
struct Copying {
    const FoundFile* found = nullptr;
    base::Mutex mutex;
    std::shared_ptr<repo::FileCapture> capture
        LB_GUARDED_BY(mutex);  // shared: the workers that hold its chunks
    std::atomic<std::uint64_t> tasks_left = 0;
    std::atomic<std::uint64_t> size = 0;  // shrinks when a read comes back short
    std::atomic<bool> vanished = false;
};

struct Task {
    Copying* file = nullptr;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

void lower(std::atomic<std::uint64_t>& value, std::uint64_t to) {
    std::uint64_t now = value.load();
    while (to < now && !value.compare_exchange_weak(now, to)) {
    }
}

class Copier {
  public:
    Copier(base::Files& files, base::Clock& clock, const CopyRules& rules, repo::Capture& capture)
        : files_(files), clock_(clock), rules_(rules), capture_(capture) {}

    void plan(const std::vector<FoundFile>& found);
    Result<> work(std::size_t lane);

  private:
    Result<> copy(std::size_t lane, const Task& task, Bytes& buffer);
    Result<> copy_chunks(std::size_t lane, const Task& task, base::File& file, Bytes& buffer);
    Result<std::shared_ptr<repo::FileCapture>> opened(Copying& file);
    Result<> finish(Copying& file);
    Result<> verify(const FoundFile& found, base::File& file, std::uint64_t offset,
                    base::MutableBytes bytes);
    Result<> settle(const FoundFile& found, base::File& file, std::uint64_t offset,
                    std::uint32_t block, base::MutableBytes page);

    base::Files& files_;
    base::Clock& clock_;
    const CopyRules& rules_;
    repo::Capture& capture_;
    std::vector<std::unique_ptr<Copying>> copying_;
    std::vector<Task> tasks_;
    std::atomic<std::size_t> next_ = 0;
    std::atomic<bool> failed_ = false;
};

void Copier::plan(const std::vector<FoundFile>& found) {
    constexpr std::uint64_t kTaskSize = kChunksPerTask * kChunkSize;
    for (const FoundFile& file : found) {
        copying_.push_back(std::make_unique<Copying>());
        Copying& copying = *copying_.back();
        copying.found = &file;
        copying.size = file.size;
        std::uint64_t offset = 0;
        do {
            tasks_.push_back({&copying, offset, std::min(kTaskSize, file.size - offset)});
            ++copying.tasks_left;
            offset += kTaskSize;
        } while (offset < file.size);
    }
}

Result<> Copier::work(std::size_t lane) {
    Bytes buffer(kChunkSize);
    while (!failed_) {
        const std::size_t at = next_.fetch_add(1);
        if (at >= tasks_.size()) {
            return {};
        }
        auto done = copy(lane, tasks_[at], buffer);
        if (!done) {
            failed_ = true;
            return std::move(done).during("copying '" + tasks_[at].file->found->path + "'");
        }
    }
    return {};
}

Result<std::shared_ptr<repo::FileCapture>> Copier::opened(Copying& file) {
    const base::Lock lock(file.mutex);
    if (file.capture == nullptr) {
        repo::FileMap meta;
        meta.path = file.found->path;
        meta.mode = file.found->mode;
        meta.modified = file.found->modified;
        file.capture = TRY(capture_.add(std::move(meta), file.found->size));
    }
    return file.capture;
}

Result<> Copier::copy(std::size_t lane, const Task& task, Bytes& buffer) {
    auto file = files_.open(task.file->found->absolute, base::OpenMode::Read);
    if (!file && file.error().code() == Code::NotFound) {
        task.file->vanished = true;
    } else {
        const std::unique_ptr<base::File> open = TRY(std::move(file));
        TRY(copy_chunks(lane, task, *open, buffer));
    }
    return task.file->tasks_left.fetch_sub(1) == 1 ? finish(*task.file) : Result<>();
}

Result<> Copier::copy_chunks(std::size_t lane, const Task& task, base::File& file, Bytes& buffer) {
    const auto capture = TRY(opened(*task.file));
    for (std::uint64_t at = 0; at < task.length; at += kChunkSize) {
        const std::uint64_t offset = task.offset + at;
        const base::MutableBytes wanted =
            base::MutableBytes(buffer).first(std::min(kChunkSize, task.length - at));
        const std::size_t got = TRY(file.read_at(offset, wanted));
        if (got < wanted.size()) {
            lower(task.file->size, offset + got);
        }
        if (got == 0) {
            return {};
        }
        TRY(verify(*task.file->found, file, offset, wanted.first(got)));
        TRY(capture_.pages(lane, *capture, offset, wanted.first(got)));
    }
    return {};
}

Result<> Copier::finish(Copying& file) {
    const base::Lock lock(file.mutex);
    if (!file.vanished && file.capture != nullptr) {
        TRY(capture_.finish_file(*file.capture, file.size));
    }
    file.capture.reset();
    return {};
}

Result<> Copier::verify(const FoundFile& found, base::File& file, std::uint64_t offset,
                        base::MutableBytes bytes) {
    if (!found.relation) {
        return {};
    }
    for (std::size_t at = 0; at + rules_.block_size <= bytes.size(); at += rules_.block_size) {
        const base::MutableBytes page = bytes.subspan(at, rules_.block_size);
        const auto in_segment = static_cast<std::uint32_t>((offset + at) / rules_.block_size);
        const std::uint32_t block =
            absolute_block(found.relation->segment, in_segment, rules_.blocks_per_segment);
        const PageVerdict verdict = check_page(page, block, rules_.start, rules_.checksums);
        if (verdict == PageVerdict::BadChecksum || verdict == PageVerdict::BadHeader) {
            TRY(settle(found, file, offset + at, block, page));
        }
    }
    return {};
}

// A page that fails may be half written at this instant. Believe it only when it stands still (T3).
Result<> Copier::settle(const FoundFile& found, base::File& file, std::uint64_t offset,
                        std::uint32_t block, base::MutableBytes page) {
    Bytes again(page.size());
    int same = 0;
    for (int i = 0; i < kRereads && same < 2; ++i) {
        clock_.sleep_for(kRereadPause);
        const std::size_t got = TRY(file.read_at(offset, again));
        if (got < again.size()) {
            return {};  // truncated meanwhile: WAL knows
        }
        same = std::equal(again.begin(), again.end(), page.begin()) ? same + 1 : 0;
        std::copy(again.begin(), again.end(), page.begin());
        const PageVerdict verdict = check_page(page, block, rules_.start, rules_.checksums);
        if (verdict != PageVerdict::BadChecksum && verdict != PageVerdict::BadHeader) {
            return {};
        }
    }
    capture_.report_damage(
        {found.path, offset / rules_.block_size,
         std::string(name(check_page(page, block, rules_.start, rules_.checksums)))});
    return {};
}

}  // namespace

Result<> copy_files(base::Files& files, base::Clock& clock, const std::vector<FoundFile>& found,
                    const CopyRules& rules, std::size_t workers, repo::Capture& capture) {
    Copier copier(files, clock, rules, capture);
    copier.plan(found);
    return base::run_parallel(workers, [&copier](std::size_t lane) { return copier.work(lane); });
}

}  // namespace lifeboat::postgres

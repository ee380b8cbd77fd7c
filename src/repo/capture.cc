#include "repo/capture.h"

#include <algorithm>

#include "base/check.h"
#include "repo/internal/file_capture.h"
#include "repo/internal/map_writer.h"

// Capture. Tested by capture_test.cc and tests/crash/capture_crash_test.cc.
//
// A lane belongs to one thread: it fingerprints the pages of a chunk, compares them with the
// previous backup, and gathers what changed. A frame of changed pages in a row is sealed straight
// from the caller's buffer; fewer wait in the lane's pending frame, together with pages of
// other chunks and files. A pending frame's place (pack, number) is promised to its pages at once,
// so nothing has to be patched later; hence a direct frame first flushes the pending one, and a
// pack is only changed between frames.

namespace lifeboat::repo {

using base::Code;
using base::Error;

struct Capture::Lane {
    explicit Lane(const Key256& fingerprint_key)
        : fingerprinter(fingerprint_key), zero_page(fingerprinter.of(Bytes(kPageSize))) {}

    crypto::Fingerprinter fingerprinter;
    crypto::Fingerprint zero_page;
    std::unique_ptr<PackBuilder> pack;
    std::uint32_t pack_index = 0;
    Bytes pending;
    std::vector<bool> changed;
};

namespace {

std::vector<std::string> texts_of(std::span<const crypto::Recipient> recipients) {
    std::vector<std::string> texts;
    for (const crypto::Recipient& recipient : recipients) {
        texts.push_back(recipient.text());
    }
    std::sort(texts.begin(), texts.end());
    return texts;
}

bool is_damage(Code code) {
    return code == Code::Corrupt || code == Code::NotFound;
}

}  // namespace

Result<std::unique_ptr<Capture>> Capture::begin(Repository& repository, const HostKeys& host,
                                                CaptureRequest request, base::Random& random,
                                                const base::StopToken& stop,
                                                CaptureProgress& progress) {
    if (!policy::may_reference(request.pack_expires, request.manifest_expires)) {
        return Error(Code::Bug, "packs would expire on " + request.pack_expires.text() +
                                    ", before their backup does");
    }
    if ((request.previous == nullptr) != (request.previous_manifest == nullptr)) {
        return Error(Code::Bug,
                     "the previous backup needs both its maps and its manifest: pack indexes mean "
                     "nothing without it");
    }
    const auto recipients = TRY(repository.recipients());
    std::unique_ptr<Capture> capture(
        new Capture(repository, host, std::move(request), recipients, random, stop, progress));
    TRY(capture->exclude_packs());
    return capture;
}

Capture::Capture(Repository& repository, const HostKeys& host, CaptureRequest request,
                 std::span<const crypto::Recipient> recipients, base::Random& random,
                 const base::StopToken& stop, CaptureProgress& progress)
    : repository_(repository),
      host_(host),
      request_(std::move(request)),
      random_(random),
      stop_(stop),
      progress_(progress),
      backup_(make_backup_id(request_.start, random)),
      keys_(RepositoryKeys::derive(host.secret, repository.id())),
      session_(Session::begin(recipients, random)),
      recipients_(texts_of(recipients)),
      next_pack_(0),
      uploader_(std::make_unique<Uploader>(repository.store(), 1, 1)) {
    if (request_.previous_manifest != nullptr && !request_.previous_manifest->packs.empty()) {
        next_pack_ = request_.previous_manifest->packs.rbegin()->first + 1;
    }
    for (std::size_t i = 0; i < request_.lanes; ++i) {
        lanes_.push_back(std::make_unique<Lane>(keys_.fingerprint));
        lanes_.back()->pending.reserve(kFrameSize);
    }
    MapWriter::Place place{repository_.id(),      keys_.map,
                           request_.system,       request_.manifest_expires,
                           request_.pack_expires, 0};
    if (request_.previous_manifest != nullptr && !request_.previous_manifest->prints.empty()) {
        place.first_print_pack = request_.previous_manifest->prints.rbegin()->first + 1;
    }
    maps_ = std::make_unique<MapWriter>(std::move(place), random_, *uploader_);
}

Capture::~Capture() = default;

// What lies in such a pack is written again, from the live plaintext: it expires before the new
// backup does (W1), it was sealed for others than can open the new one, or it is not there any more
// as it was.
Result<> Capture::exclude_packs() {
    if (request_.previous_manifest == nullptr) {
        return {};
    }
    const auto there = TRY(packs_there().during("looking which packs are there"));
    for (const auto& [index, pack] : request_.previous_manifest->packs) {
        if (!usable(pack, there)) {
            unusable_.insert(index);
        }
    }
    for (const auto& [index, pack] : request_.previous_manifest->prints) {
        if (!usable(pack, there)) {
            unusable_prints_.insert(index);
        }
    }
    if (request_.previous_manifest->recipients != recipients_) {
        exclude_all_packs();
    }
    return {};
}

bool Capture::usable(const PackRef& pack, const std::map<std::string, std::uint64_t>& there) const {
    const auto expires = expiry_of(pack.object.name);
    const auto found = there.find(pack.object.name);
    return found != there.end() && found->second == pack.object.size && expires &&
           policy::may_reference(*expires, request_.manifest_expires);
}

void Capture::exclude_all_packs() {
    for (const auto& [index, pack] : request_.previous_manifest->packs) {
        unusable_.insert(index);
    }
}

Result<std::map<std::string, std::uint64_t>> Capture::packs_there() const {
    std::map<std::string, std::uint64_t> there;
    const auto note = [&there](const store::ObjectInfo& object) -> Result<> {
        there.emplace(object.name, object.size);
        return {};
    };
    TRY(repository_.store().list(data_packs_prefix(request_.system), note));
    TRY(repository_.store().list(map_packs_prefix(request_.system), note));
    return there;
}

Result<> Capture::add_entry(FileMap entry) {
    LB_CHECK(entry.kind != EntryKind::File && entry.runs.empty());
    return maps_->add(entry);
}

Result<std::shared_ptr<FileCapture>> Capture::add(FileMap meta, std::uint64_t size) {
    TRY(check_relative_path(meta.path));
    auto file = std::make_shared<FileCapture>(std::move(meta), size);
    const bool compare = request_.previous != nullptr &&
                         !request_.rewrite.contains(file->meta.path) &&
                         request_.previous->has(file->meta.path);
    if (compare) {
        auto recalled = recall(*file);
        if (!recalled && !is_damage(recalled.error().code())) {
            return std::move(recalled).error();
        }
        if (!recalled) {  // comparing only saves work: without it, all of the file is stored
            file->before_pages.clear();
            file->before = {};
            file->before_size = 0;
            const base::Lock lock(mutex_);
            previous_damage_ = previous_damage_ ? std::move(previous_damage_)
                                                : std::optional(recalled.error().clone());
        }
    }
    return file;
}

// What the previous backup knows of the file's pages.
Result<> Capture::recall(FileCapture& file) {
    const FileMap before = TRY(request_.previous->map(file.meta.path));
    if (before.kind != EntryKind::File || before.size == 0) {
        return {};
    }
    file.before_pages = locations_of(before);
    file.before_size = before.size;
    file.before = TRY(request_.previous->fingerprints(file.meta.path));
    if (file.before.pages.size() != file.before_pages.size()) {
        return Error(Code::Corrupt, "the previous backup's fingerprints of '" + file.meta.path +
                                        "' do not fit its map");
    }
    if (std::any_of(file.before.slices.begin(), file.before.slices.end(),
                    [this](const FingerprintPatch& slice) {
                        return unusable_prints_.contains(slice.base.pack);
                    })) {
        file.before.slices.clear();
    }
    return {};
}

std::optional<Error> Capture::previous_damage() {
    const base::Lock lock(mutex_);
    return previous_damage_ ? std::optional(previous_damage_->clone()) : std::nullopt;
}

Result<> Capture::pages(std::size_t lane_number, FileCapture& file, std::uint64_t offset,
                        BytesView bytes) {
    TRY(stop_.check());
    LB_CHECK(offset % kChunkSize == 0 && !bytes.empty() && bytes.size() <= kChunkSize &&
             offset + bytes.size() <= file.capacity);
    Lane& lane = *lanes_[lane_number];
    const std::uint64_t first_page = offset / kPageSize;
    file.chunk_crcs[offset / kChunkSize] = base::crc32c(bytes);
    file.chunk_sizes[offset / kChunkSize] = static_cast<std::uint32_t>(bytes.size());
    compare(lane, file, first_page, bytes, lane.changed);
    TRY(store_changed(lane, file, first_page, bytes, lane.changed));
    progress_.bytes_read.fetch_add(bytes.size(), std::memory_order_relaxed);
    progress_.bytes_stored.store(uploader_->stored_bytes(), std::memory_order_relaxed);
    return {};
}

// Fingerprints each page; settles those that are zero or unchanged and marks the others.
void Capture::compare(Lane& lane, FileCapture& file, std::uint64_t first_page, BytesView bytes,
                      std::vector<bool>& changed) {
    const std::size_t count = (bytes.size() + kPageSize - 1) / kPageSize;
    changed.assign(count, false);
    for (std::size_t i = 0; i < count; ++i) {
        const BytesView page =
            bytes.subspan(i * kPageSize, std::min(kPageSize, bytes.size() - i * kPageSize));
        const std::uint64_t number = first_page + i;
        const bool zero = base::is_zero(page);
        const bool whole = page.size() == kPageSize;
        const crypto::Fingerprint print =
            zero && whole ? lane.zero_page : lane.fingerprinter.of(page);
        file.fingerprints[number] = print;
        if (zero) {
            file.pages[number] = Location{};
            continue;
        }
        const bool known =
            number < file.before_pages.size() && file.before_length_of(number) == page.size() &&
            file.before.pages[number] == print && !file.before_pages[number].is_zero() &&
            !unusable_.contains(file.before_pages[number].pack);
        if (known) {
            file.pages[number] = file.before_pages[number];
        } else {
            changed[i] = true;
        }
    }
}

Result<> Capture::store_changed(Lane& lane, FileCapture& file, std::uint64_t first_page,
                                BytesView bytes, const std::vector<bool>& changed) {
    for (std::size_t i = 0; i < changed.size();) {
        if (!changed[i]) {
            ++i;
            continue;
        }
        std::size_t end = i;
        while (end < changed.size() && changed[end]) {
            ++end;
        }
        const std::size_t from = i * kPageSize;
        const std::size_t to = std::min(end * kPageSize, bytes.size());
        TRY(store_run(lane, file, first_page + i, bytes.subspan(from, to - from)));
        i = end;
    }
    return {};
}

Result<> Capture::store_run(Lane& lane, FileCapture& file, std::uint64_t page, BytesView run) {
    progress_.bytes_changed.fetch_add(run.size(), std::memory_order_relaxed);
    while (run.size() >= kFrameSize) {
        TRY(flush_pending(lane));
        TRY(ensure_pack(lane));
        const std::uint32_t frame = lane.pack->add(FrameKind::Pages, run.first(kFrameSize));
        for (std::uint32_t i = 0; i < kPagesPerFrame; ++i) {
            file.pages[page + i] = {lane.pack_index, frame,
                                    static_cast<std::uint32_t>(i * kPageSize)};
        }
        TRY(roll_pack(lane));
        page += kPagesPerFrame;
        run = run.subspan(kFrameSize);
    }
    while (!run.empty()) {
        const std::size_t count = std::min(kPageSize, run.size());
        TRY(add_pending(lane, file, page, run.first(count)));
        run = run.subspan(count);
        ++page;
    }
    return {};
}

Result<> Capture::add_pending(Lane& lane, FileCapture& file, std::uint64_t page, BytesView bytes) {
    TRY(ensure_pack(lane));
    file.pages[page] = {lane.pack_index, lane.pack->next_frame(),
                        static_cast<std::uint32_t>(lane.pending.size())};
    lane.pending.insert(lane.pending.end(), bytes.begin(), bytes.end());
    if (lane.pending.size() + kPageSize > kFrameSize) {
        return flush_pending(lane);
    }
    return {};
}

Result<> Capture::flush_pending(Lane& lane) {
    if (lane.pending.empty()) {
        return {};
    }
    lane.pack->add(FrameKind::Pages, lane.pending);
    lane.pending.clear();
    return roll_pack(lane);
}

Result<> Capture::ensure_pack(Lane& lane) {
    if (lane.pack == nullptr) {
        lane.pack = std::make_unique<PackBuilder>(repository_.id(), random_id(random_), session_,
                                                  PackKind::Data, request_.compression);
        lane.pack->adopt(uploader_->spare_buffer(), request_.pack_target + 2 * kFrameSize);
        lane.pack_index = next_pack_.fetch_add(1);
    }
    return {};
}

// Hands a pack over once it is long enough. Only between frames, with nothing pending.
Result<> Capture::roll_pack(Lane& lane) {
    return lane.pack->size() < request_.pack_target ? Result<>() : submit_pack(lane);
}

Result<> Capture::submit_pack(Lane& lane) {
    PackRef ref;
    ref.pack = lane.pack->id();
    ref.session = session_.id;
    const std::uint32_t index = lane.pack_index;
    std::string name = data_pack_name(request_.system, request_.pack_expires, ref.pack);
    Bytes bytes = std::move(*lane.pack).finish();
    lane.pack.reset();
    return uploader_->submit(std::move(name), std::move(bytes),
                             [this, index, ref](NeededObject object) mutable {
                                 ref.object = std::move(object);
                                 const base::Lock lock(mutex_);
                                 written_.emplace(index, std::move(ref));
                             });
}

Result<> Capture::finish_file(FileCapture& file, std::uint64_t size) {
    LB_CHECK(size <= file.capacity);
    if (!file.was_given(size)) {  // what was never given would be restored as zeros
        return Error(Code::Bug, "not all of the " + std::to_string(size) + " bytes of '" +
                                    file.meta.path + "' were captured");
    }
    file.meta.size = size;
    file.pages.resize(file.meta.pages());
    file.fingerprints.resize(file.meta.pages());
    file.meta.crc = file.crc_of_first(size);
    file.meta.runs = runs_of(file.pages);
    mark_used(file.meta.runs);
    TRY(maps_->add(file.meta, file.fingerprints, file.before));
    progress_.files_done.fetch_add(1, std::memory_order_relaxed);
    const base::Lock lock(mutex_);
    ++counts_.files;
    counts_.bytes += size;
    std::uint64_t at = 0;
    for (const PageRun& run : file.meta.runs) {
        const std::uint64_t end = std::min(size, at + run.pages * kPageSize);
        counts_.zero_bytes += run.at.is_zero() ? end - at : 0;
        at = end;
    }
    return {};
}

Result<> Capture::add_small(std::size_t lane, FileMap meta, BytesView contents) {
    const auto file = TRY(add(std::move(meta), contents.size()));
    for (std::size_t at = 0; at < contents.size(); at += kChunkSize) {
        TRY(pages(lane, *file, at,
                  contents.subspan(at, std::min(kChunkSize, contents.size() - at))));
    }
    return finish_file(*file, contents.size());
}

void Capture::report_damage(DamagedPage page) {
    const base::Lock lock(mutex_);
    ++counts_.damaged_pages;
    damage_.push_back(std::move(page));
}

void Capture::mark_used(const std::vector<PageRun>& runs) {
    const base::Lock lock(mutex_);
    for (const PageRun& run : runs) {
        if (!run.at.is_zero()) {
            used_.insert(run.at.pack);
        }
    }
}

Result<Manifest> Capture::commit(base::Timestamp stopped, base::Json details) && {
    for (const auto& lane : lanes_) {
        TRY(flush_pending(*lane));
        if (lane->pack != nullptr) {
            TRY(submit_pack(*lane));
        }
    }
    TRY(maps_->finish());
    TRY(uploader_->finish());
    TRY(stop_.check());
    Manifest m = TRY(manifest(stopped, std::move(details)));
    const auto recipients = TRY(repository_.recipients());
    const Bytes envelope = crypto::seal_envelope(host_.secret.reveal(), recipients, random_);
    const Bytes bytes = TRY(encode_manifest(m, repository_.id(), host_, envelope));
    const ManifestName name{m.system, m.stop, m.expires, m.backup};
    TRY(repository_.store()
            .put(name.text(), bytes)
            .during("committing backup '" + m.backup + "'"));  // P2: last, and only now it exists
    return m;
}

Result<Manifest> Capture::manifest(base::Timestamp stopped, base::Json details) {
    const base::Lock lock(mutex_);
    Manifest m;
    m.system = request_.system;
    m.backup = backup_;
    m.engine = request_.engine;
    m.kind = request_.previous == nullptr ? BackupKind::Full : BackupKind::Incremental;
    m.start = request_.start;
    m.stop =
        request_.newest ? std::max(stopped, *request_.newest + std::chrono::seconds(1)) : stopped;
    m.expires = request_.manifest_expires;
    m.counts = counts_;
    m.counts.changed_bytes = progress_.bytes_changed.load();
    m.counts.stored_bytes = uploader_->stored_bytes();
    m.damage = damage_;
    m.details = std::move(details);
    m.maps = maps_->maps();
    m.signer = host_.signing_key().verify_key();
    std::map<std::uint32_t, PackRef> inherited;
    if (request_.previous_manifest != nullptr) {
        inherited = request_.previous_manifest->prints;
        m.parent = request_.previous_manifest->backup;
        m.packs = request_.previous_manifest->packs;
        m.sessions = request_.previous_manifest->sessions;
    }
    m.prints = TRY(maps_->prints(inherited));
    m.packs.insert(written_.begin(), written_.end());
    m.sessions.emplace(session_.id, session_.commitment);
    m.recipients = recipients_;
    std::erase_if(m.packs, [this](const auto& pack)
                               LB_REQUIRES(mutex_) { return !used_.contains(pack.first); });
    for (const std::uint32_t index : used_) {
        if (!m.packs.contains(index) || unusable_.contains(index)) {
            return Error(Code::Bug, "a page lies in pack " + std::to_string(index) +
                                        ", which the backup may not reference");  // P2, W1
        }
    }
    std::erase_if(m.sessions, [&m](const auto& session) {
        return std::none_of(m.packs.begin(), m.packs.end(),
                            [&](const auto& pack) { return pack.second.session == session.first; });
    });
    return m;
}

}  // namespace lifeboat::repo

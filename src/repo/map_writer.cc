#include "repo/internal/map_writer.h"

namespace lifeboat::repo {

namespace {

constexpr std::size_t kFrameTarget = 256 * base::kKiB;
constexpr std::size_t kPackTarget = 16 * base::kMiB;
constexpr int kLevel = 3;

// A session whose key is the map key: map packs carry no envelope, manifests do
// (docs/format/pack.md).
Session map_session(const Key256& map_key) {
    return {Id128{}, map_key, {}, {}};
}

}  // namespace

Capture::MapWriter::MapWriter(const Id128& repository, const Key256& map_key, std::string system,
                              policy::ExpiryDay expires, base::Random& random, Uploader& uploader)
    : repository_(repository),
      session_(map_session(map_key)),
      system_(std::move(system)),
      expires_(expires),
      random_(random),
      uploader_(uploader) {}

Result<> Capture::MapWriter::add(const FileMap& map, const FingerprintList* list) {
    const base::Lock lock(mutex_);
    for (const FileMap& slice : slices_of(map)) {
        base::ByteWriter encoded;
        slice.encode(encoded);
        TRY(append(FrameKind::FileMaps, maps_, encoded.bytes()));
    }
    for (std::size_t first = 0; list != nullptr && first < list->pages.size();
         first += kPagesPerSlice) {
        const std::size_t count = std::min<std::size_t>(kPagesPerSlice, list->pages.size() - first);
        base::ByteWriter encoded;
        encode_fingerprints(map.path, first, std::span(list->pages).subspan(first, count), encoded);
        TRY(append(FrameKind::Fingerprints, lists_, encoded.bytes()));
    }
    return {};
}

Result<> Capture::MapWriter::append(FrameKind kind, base::ByteWriter& buffer, BytesView entry) {
    if (buffer.size() + entry.size() > kMaxFramePlain) {
        TRY(flush(kind, buffer));
    }
    buffer.raw(entry);
    return buffer.size() >= kFrameTarget ? flush(kind, buffer) : Result<>();
}

Result<> Capture::MapWriter::flush(FrameKind kind, base::ByteWriter& buffer) {
    if (buffer.size() == 0) {
        return {};
    }
    if (pack_ == nullptr) {
        pack_ = std::make_unique<PackBuilder>(repository_, random_id(random_), session_,
                                              PackKind::Map, kLevel);
    }
    const Bytes plain = buffer.take();
    buffer = base::ByteWriter();
    pack_->add(kind, plain);
    return pack_->size() >= kPackTarget ? submit() : Result<>();
}

Result<> Capture::MapWriter::submit() {
    PackRef ref;
    ref.pack = pack_->id();
    Bytes bytes = std::move(*pack_).finish();
    pack_.reset();
    const std::size_t place = submitted_++;
    {
        const base::Lock lock(written_mutex_);
        written_.resize(submitted_);
    }
    return uploader_.submit(map_pack_name(system_, expires_, ref.pack), std::move(bytes),
                            [this, ref, place](NeededObject object) mutable {
                                ref.object = std::move(object);
                                const base::Lock lock(written_mutex_);
                                written_[place] = std::move(ref);
                            });
}

Result<> Capture::MapWriter::finish() {
    const base::Lock lock(mutex_);
    TRY(flush(FrameKind::FileMaps, maps_));
    TRY(flush(FrameKind::Fingerprints, lists_));
    return pack_ != nullptr ? submit() : Result<>();
}

std::vector<PackRef> Capture::MapWriter::written() {
    const base::Lock lock(written_mutex_);
    return written_;
}

}  // namespace lifeboat::repo

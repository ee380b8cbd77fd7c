#include "repo/internal/map_writer.h"

namespace lifeboat::repo {

using base::Code;
using base::Error;

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

Capture::MapWriter::MapWriter(Place place, base::Random& random, Uploader& uploader)
    : place_(std::move(place)),
      session_(map_session(place_.map_key)),
      random_(random),
      uploader_(uploader),
      print_index_(place_.first_print_pack) {}

Result<> Capture::MapWriter::add(const FileMap& map) {
    const base::Lock lock(mutex_);
    return add_map(map);
}

Result<> Capture::MapWriter::add_map(const FileMap& map) {
    for (const FileMap& slice : slices_of(map)) {
        base::ByteWriter encoded;
        slice.encode(encoded);
        TRY(append(FrameKind::FileMaps, maps_, encoded.bytes()));
    }
    return {};
}

Result<> Capture::MapWriter::add(const FileMap& map, std::span<const crypto::Fingerprint> prints,
                                 const KnownPrints& before) {
    const base::Lock lock(mutex_);
    TRY(add_map(map));
    const std::span<const crypto::Fingerprint> known(before.pages);
    for (std::size_t first = 0, number = 0; first < prints.size();
         first += kPagesPerSlice, ++number) {
        const auto slice =
            prints.subspan(first, std::min<std::size_t>(kPagesPerSlice, prints.size() - first));
        std::optional<FingerprintPatch> patch;
        if (number < before.slices.size()) {
            const FingerprintPatch& last = before.slices[number];
            patch = last.advanced(known.subspan(first, last.count), slice);
        }
        if (!patch) {
            patch = TRY(write_list(map.path, first, slice));
        }
        used_prints_.insert(patch->base.pack);
        base::ByteWriter encoded;
        patch->encode(encoded);
        TRY(append(FrameKind::FingerprintPatches, patches_, encoded.bytes()));
    }
    return {};
}

// A list in a frame whose place (pack, number) is promised before it is full.
Result<FingerprintPatch> Capture::MapWriter::write_list(
    const std::string& path, std::uint64_t first, std::span<const crypto::Fingerprint> prints) {
    base::ByteWriter encoded;
    encode_fingerprints(path, first, prints, encoded);
    if (lists_.size() + encoded.size() > kMaxFramePlain) {
        TRY(flush_lists());
    }
    if (print_pack_ == nullptr) {
        print_pack_ = std::make_unique<PackBuilder>(place_.repository, random_id(random_), session_,
                                                    PackKind::Map, kLevel);
    }
    const PrintPlace base{print_index_, print_pack_->next_frame()};
    lists_.raw(encoded.bytes());
    if (lists_.size() >= kFrameTarget) {
        TRY(flush_lists());
    }
    return FingerprintPatch{path, first, prints.size(), base, {}};
}

Result<> Capture::MapWriter::flush_lists() {
    if (lists_.size() == 0) {
        return {};
    }
    const Bytes plain = lists_.take();
    lists_ = base::ByteWriter();
    print_pack_->add(FrameKind::Fingerprints, plain);
    return print_pack_->size() >= kPackTarget ? submit_prints() : Result<>();
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
    if (map_pack_ == nullptr) {
        map_pack_ = std::make_unique<PackBuilder>(place_.repository, random_id(random_), session_,
                                                  PackKind::Map, kLevel);
    }
    const Bytes plain = buffer.take();
    buffer = base::ByteWriter();
    map_pack_->add(kind, plain);
    return map_pack_->size() >= kPackTarget ? submit_map() : Result<>();
}

Result<> Capture::MapWriter::submit_map() {
    PackRef ref;
    ref.pack = map_pack_->id();
    Bytes bytes = std::move(*map_pack_).finish();
    map_pack_.reset();
    const std::size_t place = submitted_++;
    {
        const base::Lock lock(written_mutex_);
        written_maps_.resize(submitted_);
    }
    return uploader_.submit(map_pack_name(place_.system, place_.maps_expire, ref.pack),
                            std::move(bytes), [this, ref, place](NeededObject object) mutable {
                                ref.object = std::move(object);
                                const base::Lock lock(written_mutex_);
                                written_maps_[place] = std::move(ref);
                            });
}

Result<> Capture::MapWriter::submit_prints() {
    PackRef ref;
    ref.pack = print_pack_->id();
    Bytes bytes = std::move(*print_pack_).finish();
    print_pack_.reset();
    const std::uint32_t index = print_index_++;
    return uploader_.submit(map_pack_name(place_.system, place_.prints_expire, ref.pack),
                            std::move(bytes), [this, ref, index](NeededObject object) mutable {
                                ref.object = std::move(object);
                                const base::Lock lock(written_mutex_);
                                written_prints_.emplace(index, std::move(ref));
                            });
}

Result<> Capture::MapWriter::finish() {
    const base::Lock lock(mutex_);
    TRY(flush(FrameKind::FileMaps, maps_));
    TRY(flush(FrameKind::FingerprintPatches, patches_));
    TRY(flush_lists());
    if (map_pack_ != nullptr) {
        TRY(submit_map());
    }
    return print_pack_ != nullptr ? submit_prints() : Result<>();
}

std::vector<PackRef> Capture::MapWriter::maps() {
    const base::Lock lock(written_mutex_);
    return written_maps_;
}

Result<std::map<std::uint32_t, PackRef>> Capture::MapWriter::prints(
    const std::map<std::uint32_t, PackRef>& inherited) {
    const base::Lock lock(mutex_);
    const base::Lock written_lock(written_mutex_);
    std::map<std::uint32_t, PackRef> prints;
    for (const std::uint32_t index : used_prints_) {
        const auto own = written_prints_.find(index);
        const auto old = inherited.find(index);
        if (own == written_prints_.end() && old == inherited.end()) {
            return Error(Code::Bug, "fingerprints lie in pack " + std::to_string(index) +
                                        ", which the backup does not name");
        }
        prints.emplace(index, own != written_prints_.end() ? own->second : old->second);
    }
    return prints;
}

}  // namespace lifeboat::repo

#include "repo/pack.h"

#include <zstd.h>

#include <algorithm>

#include "base/check.h"

// Packs. Tested by pack_test.cc, the golden files under tests/golden, and tests/fuzz/fuzz_pack.cc.
// docs/format/pack.md is the format.
//
// The nonce of a frame is its number under a key that belongs to this pack alone, so it cannot
// repeat while a pack has fewer than 2^32 - 1 frames; the table takes the last number. Everything
// that tells frames apart (header, pack, repository) is associated data: a frame moved to another
// place, pack or repository does not open.

namespace lifeboat::repo {

using base::ByteReader;
using base::ByteWriter;
using base::Code;
using base::Error;

namespace {

constexpr std::string_view kMagic("LBPACK\0\1", 8);
constexpr std::string_view kFrameMagic("LBF1", 4);
constexpr std::string_view kEndMagic("LBPEND\0\1", 8);
constexpr std::uint8_t kSuite = 1;
constexpr std::uint64_t kTableNumber = 0xffffffff;
constexpr std::size_t kMaxEnvelope = 16 * base::kKiB;
constexpr std::size_t kMaxLabel = 64 * base::kKiB;
constexpr std::uint8_t kStored = 0;
constexpr std::uint8_t kZstd = 1;

Key256 pack_key(const Key256& session_key, const Id128& pack) {
    return crypto::derive_key(session_key, pack, "lifeboat v1 pack");
}

void put_u32(base::Byte* at, std::uint64_t v) {
    for (int i = 0; i < 4; ++i) {
        at[i] = static_cast<base::Byte>(v >> (8 * i));
    }
}

std::uint32_t get_u32(const base::Byte* at) {
    return static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8 |
           static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24;
}

// A frame's own 20 bytes and the pack's first 64.
using Associated = std::array<base::Byte, kFrameHeaderSize + kPackFixedSize>;

Associated associated(BytesView frame_header, BytesView pack_fixed) {
    Associated out{};
    std::copy(frame_header.begin(), frame_header.begin() + kFrameHeaderSize, out.begin());
    std::copy(pack_fixed.begin(), pack_fixed.begin() + kPackFixedSize,
              out.begin() + kFrameHeaderSize);
    return out;
}

}  // namespace

struct PackBuilder::Codec {
    explicit Codec(const Key256& key) : sealer(key), zstd(ZSTD_createCCtx()) {}

    ~Codec() { ZSTD_freeCCtx(zstd); }

    Codec(const Codec&) = delete;
    Codec& operator=(const Codec&) = delete;
    crypto::Sealer sealer;
    ZSTD_CCtx* zstd;
    Bytes compressed;
};

std::array<base::Byte, kPackFixedSize> pack_fixed_part(const Id128& repository, const Id128& pack,
                                                       const Session& session, PackKind kind) {
    ByteWriter header;
    header.raw(kMagic);
    header.raw(repository);
    header.raw(pack);
    header.raw(session.id);
    header.u8(static_cast<std::uint8_t>(kind));
    header.u8(kSuite);
    header.u16(0);
    header.u32(static_cast<std::uint32_t>(session.envelope.size()));
    std::array<base::Byte, kPackFixedSize> out{};
    std::copy(header.bytes().begin(), header.bytes().end(), out.begin());
    return out;
}

PackBuilder::PackBuilder(const Id128& repository, const Id128& pack, const Session& session,
                         PackKind kind, int level, BytesView label)
    : id_(pack), codec_(std::make_unique<Codec>(pack_key(session.key, pack))) {
    ZSTD_CCtx_setParameter(codec_->zstd, ZSTD_c_compressionLevel, level);
    codec_->compressed.resize(ZSTD_compressBound(kFrameSize));
    ByteWriter header;
    header.raw(pack_fixed_part(repository, pack, session, kind));
    header.u32(static_cast<std::uint32_t>(label.size()));
    header.raw(session.envelope);
    header.raw(label);
    out_ = header.take();
}

PackBuilder::~PackBuilder() = default;
PackBuilder::PackBuilder(PackBuilder&&) noexcept = default;
PackBuilder& PackBuilder::operator=(PackBuilder&&) noexcept = default;

void PackBuilder::adopt(Bytes buffer, std::size_t expected) {
    LB_CHECK(frames_.empty());
    buffer.reserve(expected);
    buffer.assign(out_.begin(), out_.end());
    out_.swap(buffer);
}

std::uint32_t PackBuilder::add(FrameKind kind, BytesView plain) {
    LB_CHECK(!plain.empty() && plain.size() <= kMaxFramePlain);
    Bytes& z = codec_->compressed;
    if (z.size() < ZSTD_compressBound(plain.size())) {
        z.resize(ZSTD_compressBound(plain.size()));
    }
    const std::size_t packed =
        ZSTD_compress2(codec_->zstd, z.data(), z.size(), plain.data(), plain.size());
    const bool shrunk = ZSTD_isError(packed) == 0 && packed < plain.size();
    const BytesView body = shrunk ? BytesView(z).first(packed) : plain;

    const std::uint32_t number = next_frame();
    const FrameEntry entry{kind, out_.size(), static_cast<std::uint32_t>(plain.size()),
                           static_cast<std::uint32_t>(body.size() + crypto::kTagSize)};
    std::array<base::Byte, kFrameHeaderSize> header{};
    std::copy(kFrameMagic.begin(), kFrameMagic.end(), header.begin());
    put_u32(&header[4], number);
    header[8] = static_cast<base::Byte>(kind);
    header[9] = shrunk ? kZstd : kStored;
    put_u32(&header[12], entry.plain);
    put_u32(&header[16], entry.sealed);
    const Associated bound = associated(header, out_);
    out_.insert(out_.end(), header.begin(), header.end());
    codec_->sealer.seal(number, bound, body, out_);
    frames_.push_back(entry);
    return number;
}

Bytes PackBuilder::finish() && {
    ByteWriter table;
    for (const FrameEntry& frame : frames_) {
        table.varint(static_cast<std::uint64_t>(frame.kind));
        table.varint(frame.plain);
        table.varint(frame.sealed);
    }
    const std::size_t at = out_.size();
    const Bytes fixed(out_.begin(), out_.begin() + kPackFixedSize);
    codec_->sealer.seal(kTableNumber, fixed, table.bytes(), out_);
    ByteWriter trailer;
    trailer.u32(static_cast<std::uint32_t>(out_.size() - at));
    trailer.u32(next_frame());
    out_.insert(out_.end(), trailer.bytes().begin(), trailer.bytes().end());
    ByteWriter end;
    end.u32(base::crc32c(out_));
    end.raw(kEndMagic);
    out_.insert(out_.end(), end.bytes().begin(), end.bytes().end());
    return std::move(out_);
}

Result<std::uint64_t> PackHeader::size_from(BytesView first) {
    if (first.size() < kPackHeaderSize) {
        return Error(Code::Corrupt,
                     "the pack is cut short: " + std::to_string(first.size()) + " bytes");
    }
    if (base::text(first.first(7)) != kMagic.substr(0, 7)) {
        return Error(Code::Corrupt, "not a pack: the magic is wrong");
    }
    if (first[7] != 1 || first[57] != kSuite) {
        return Error(Code::Unsupported, "the pack is of format " + std::to_string(first[7]) +
                                            ", suite " + std::to_string(first[57]) +
                                            "; this lifeboat reads format 1, suite 1")
            .hint("Use a newer lifeboat.");
    }
    const std::uint64_t envelope = get_u32(&first[60]);
    const std::uint64_t label = get_u32(&first[64]);
    if (envelope > kMaxEnvelope || label > kMaxLabel) {
        return Error(Code::Corrupt, "the pack's header claims lengths beyond the limits");
    }
    return kPackHeaderSize + envelope + label;
}

Result<PackHeader> PackHeader::parse(BytesView bytes) {
    const std::uint64_t size = TRY(size_from(bytes));
    if (bytes.size() < size) {
        return Error(Code::Corrupt, "the pack is cut short inside its header");
    }
    PackHeader h;
    std::copy_n(bytes.begin(), kPackFixedSize, h.fixed.begin());
    std::copy_n(bytes.begin() + 8, 16, h.repository.begin());
    std::copy_n(bytes.begin() + 24, 16, h.pack.begin());
    std::copy_n(bytes.begin() + 40, 16, h.session.begin());
    if (bytes[56] < 1 || bytes[56] > 3) {
        return Error(Code::Corrupt, "the pack is of unknown kind " + std::to_string(bytes[56]));
    }
    h.kind = static_cast<PackKind>(bytes[56]);
    const std::size_t envelope = get_u32(&bytes[60]);
    h.envelope.assign(bytes.begin() + kPackHeaderSize,
                      bytes.begin() + static_cast<std::ptrdiff_t>(kPackHeaderSize + envelope));
    h.label.assign(bytes.begin() + static_cast<std::ptrdiff_t>(kPackHeaderSize + envelope),
                   bytes.begin() + static_cast<std::ptrdiff_t>(size));
    h.frames_at = size;
    return h;
}

struct FrameOpener::State {
    State(const PackHeader& header, const Key256& key)
        : opener(pack_key(key, header.pack)), zstd(ZSTD_createDCtx()), fixed(header.fixed) {}

    ~State() { ZSTD_freeDCtx(zstd); }

    State(const State&) = delete;
    State& operator=(const State&) = delete;
    crypto::Opener opener;
    ZSTD_DCtx* zstd;
    std::array<base::Byte, kPackFixedSize> fixed;
    Bytes scratch;
};

FrameOpener::FrameOpener(const PackHeader& header, const Key256& session_key)
    : state_(std::make_unique<State>(header, session_key)) {}

FrameOpener::~FrameOpener() = default;
FrameOpener::FrameOpener(FrameOpener&&) noexcept = default;
FrameOpener& FrameOpener::operator=(FrameOpener&&) noexcept = default;

namespace {

Result<> check_frame_header(std::uint32_t number, const FrameEntry& entry, BytesView bytes) {
    const bool sound = bytes.size() >= kFrameHeaderSize + entry.sealed &&
                       entry.sealed >= crypto::kTagSize &&
                       base::text(bytes.first(4)) == kFrameMagic && get_u32(&bytes[4]) == number &&
                       bytes[8] == static_cast<base::Byte>(entry.kind) && bytes[9] <= kZstd &&
                       get_u32(&bytes[12]) == entry.plain && get_u32(&bytes[16]) == entry.sealed &&
                       entry.plain <= kMaxFramePlain;
    if (!sound) {
        return Error(Code::Corrupt, "frame " + std::to_string(number) + " at offset " +
                                        std::to_string(entry.offset) + " has a damaged header");
    }
    return {};
}

}  // namespace

Result<> FrameOpener::open(std::uint32_t number, const FrameEntry& entry, BytesView bytes,
                           base::MutableBytes plain) {
    TRY(check_frame_header(number, entry, bytes));
    LB_CHECK(plain.size() == entry.plain);
    const Associated bound = associated(bytes, state_->fixed);
    const BytesView sealed = bytes.subspan(kFrameHeaderSize, entry.sealed);
    const std::size_t body = entry.sealed - crypto::kTagSize;
    if (bytes[9] == kStored) {
        if (body != plain.size()) {
            return Error(Code::Corrupt,
                         "frame " + std::to_string(number) + " has the wrong length");
        }
        return state_->opener.open(number, bound, sealed, plain)
            .during("frame " + std::to_string(number));
    }
    if (state_->scratch.size() < body) {
        state_->scratch.resize(body);
    }
    TRY(state_->opener.open(number, bound, sealed, base::MutableBytes(state_->scratch).first(body))
            .during("frame " + std::to_string(number)));
    const std::size_t got =
        ZSTD_decompressDCtx(state_->zstd, plain.data(), plain.size(), state_->scratch.data(), body);
    if (ZSTD_isError(got) != 0 || got != plain.size()) {
        return Error(Code::Corrupt,
                     "frame " + std::to_string(number) + " does not decompress to its length");
    }
    return {};
}

Result<Bytes> FrameOpener::open(std::uint32_t number, const FrameEntry& entry, BytesView bytes) {
    if (entry.plain > kMaxFramePlain) {
        return Error(Code::Corrupt, "frame " + std::to_string(number) + " claims " +
                                        std::to_string(entry.plain) + " bytes");
    }
    Bytes plain(entry.plain);
    TRY(open(number, entry, bytes, plain));
    return plain;
}

Result<std::uint64_t> footer_size(BytesView last) {
    if (last.size() < kPackTrailerSize) {
        return Error(Code::Corrupt, "the pack is cut short: no footer");
    }
    const BytesView trailer = last.last(kPackTrailerSize);
    if (base::text(trailer.last(8)) != kEndMagic) {
        return Error(Code::Corrupt, "the pack's footer is damaged or cut off");
    }
    const std::uint64_t table = get_u32(trailer.data());
    if (table < crypto::kTagSize || table > kMaxPackSize) {
        return Error(Code::Corrupt, "the pack's footer claims an impossible length");
    }
    return table + kPackTrailerSize;
}

Result<std::vector<FrameEntry>> FrameOpener::table(BytesView tail, std::uint64_t size,
                                                   std::uint64_t frames_at) {
    const std::uint64_t footer = TRY(footer_size(tail));
    if (size > kMaxPackSize) {
        return Error(Code::Corrupt, "the pack is " + base::human_size(size) +
                                        " long, more than any that lifeboat writes");
    }
    if (tail.size() < footer || size < footer + frames_at) {
        return Error(Code::Corrupt, "the pack is shorter than its footer says");
    }
    const BytesView sealed = tail.last(footer).first(footer - kPackTrailerSize);
    const std::uint32_t count = get_u32(tail.last(kPackTrailerSize).data() + 4);
    Bytes plain(sealed.size() - crypto::kTagSize);
    TRY(state_->opener.open(kTableNumber, state_->fixed, sealed, plain)
            .during("the pack's frame table"));
    ByteReader in(plain);
    std::vector<FrameEntry> frames;
    std::uint64_t at = frames_at;
    while (!in.at_end()) {
        const std::uint64_t kind = TRY(in.varint());
        const std::uint64_t length = TRY(in.varint());
        const std::uint64_t sealed_length = TRY(in.varint());
        if (kind > 255 || length > kMaxFramePlain || sealed_length > kMaxPackSize) {
            return Error(Code::Corrupt, "the pack's frame table has an impossible entry");
        }
        frames.push_back({static_cast<FrameKind>(kind), at, static_cast<std::uint32_t>(length),
                          static_cast<std::uint32_t>(sealed_length)});
        at = frames.back().end();
    }
    if (frames.size() != count || at + footer != size) {
        return Error(Code::Corrupt, "the pack's frame table does not add up to its size");
    }
    return frames;
}

Result<> check_pack_bytes(BytesView pack) {
    const PackHeader header = TRY(PackHeader::parse(pack));
    const std::uint64_t footer = TRY(footer_size(pack));
    if (pack.size() < header.frames_at + footer) {
        return Error(Code::Corrupt, "the pack is shorter than its footer says");
    }
    const std::size_t covered = pack.size() - 12;
    if (base::crc32c(pack.first(covered)) != get_u32(&pack[covered])) {
        return Error(Code::Corrupt, "the pack's checksum is wrong: " + std::to_string(pack.size()) +
                                        " bytes hold rot or tampering");
    }
    return {};
}

std::vector<FoundFrame> scan_frames(BytesView pack) {
    std::vector<FoundFrame> found;
    std::size_t at = 0;
    while (at + kFrameHeaderSize <= pack.size()) {
        const auto next = std::search(pack.begin() + static_cast<std::ptrdiff_t>(at), pack.end(),
                                      kFrameMagic.begin(), kFrameMagic.end());
        at = static_cast<std::size_t>(next - pack.begin());
        if (at + kFrameHeaderSize > pack.size()) {
            break;
        }
        const base::Byte* h = &pack[at];
        const FrameEntry entry{static_cast<FrameKind>(h[8]), at, get_u32(h + 12), get_u32(h + 16)};
        if (entry.plain <= kMaxFramePlain && entry.sealed >= crypto::kTagSize &&
            entry.end() <= pack.size()) {
            found.push_back({get_u32(h + 4), entry});
        }
        ++at;  // not to its end: a damaged length must not hide the frames that follow
    }
    return found;
}

std::vector<FrameEntry> frames_by_scan(BytesView pack, std::uint64_t frames_at) {
    constexpr std::uint64_t kLeastFrame = kFrameHeaderSize + crypto::kTagSize;
    std::vector<FrameEntry> frames;
    std::uint64_t at = frames_at;  // end of the last frame that was taken
    for (const FoundFrame& found : scan_frames(pack)) {
        // The next number is believed anywhere, so that a damaged length hides one frame only; a
        // later number must leave room for those before it.
        const bool next = found.number == frames.size() && found.entry.offset >= frames_at;
        const bool later = found.number > frames.size() && found.entry.offset >= at &&
                           found.number - frames.size() <= (found.entry.offset - at) / kLeastFrame;
        if (next || later) {
            frames.resize(found.number);
            frames.push_back(found.entry);
            at = found.entry.end();
        }
    }
    return frames;
}

}  // namespace lifeboat::repo

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "crypto/seal.h"
#include "repo/keyring.h"

namespace lifeboat::repo {

// The container of docs/format/pack.md. Building is in memory: a pack is one put. Reading is by
// ranges.

inline constexpr std::size_t kPageSize = 8192;
inline constexpr std::size_t kPagesPerFrame = 64;
inline constexpr std::size_t kFrameSize = kPageSize * kPagesPerFrame;
inline constexpr std::size_t kMaxFramePlain = 4 * base::kMiB;
inline constexpr std::size_t kMaxPackSize = 256 * base::kMiB;
inline constexpr std::size_t kFrameHeaderSize = 20;
inline constexpr std::size_t kPackHeaderSize = 68;
inline constexpr std::size_t kPackFixedSize = 64;  // the part that is associated data of each frame
inline constexpr std::size_t kPackTrailerSize = 20;

enum class PackKind : std::uint8_t { Data = 1, Map = 2, Wal = 3 };
enum class FrameKind : std::uint8_t {
    Pages = 1,
    Wal = 2,
    FileMaps = 3,
    Fingerprints = 4,
    History = 5,
    FingerprintPatches = 6
};

// Where a frame lies in its pack.
struct FrameEntry {
    FrameKind kind = FrameKind::Pages;
    std::uint64_t offset = 0;  // of its header
    std::uint32_t plain = 0;
    std::uint32_t sealed = 0;  // without the header

    std::uint64_t end() const { return offset + kFrameHeaderSize + sealed; }
};

// The first bytes of a pack, decoded. Views into nothing: it owns what it holds.
struct PackHeader {
    std::array<base::Byte, kPackFixedSize> fixed{};
    Id128 repository{};
    Id128 pack{};
    Id128 session{};
    PackKind kind = PackKind::Data;
    Bytes envelope;
    Bytes label;
    std::uint64_t frames_at = 0;

    // Corrupt, or Unsupported for a newer format. `bytes` must hold at least the whole header.
    static Result<PackHeader> parse(BytesView bytes);
    static Result<std::uint64_t> size_from(BytesView first_68_bytes);
};

// The first kPackFixedSize bytes of a pack: what its frames and its label's signature are bound to.
std::array<base::Byte, kPackFixedSize> pack_fixed_part(const Id128& repository, const Id128& pack,
                                                       const Session& session, PackKind kind);

// Compresses and seals frames into one growing pack. One thread at a time. Nothing leaves memory:
// finish() hands the bytes over.
class PackBuilder {
  public:
    // `level` is zstd's. The session key is `session.key`; map packs pass a session made of the map
    // key and no envelope. `pack` is a fresh random id: the key of its frames hangs on it.
    PackBuilder(const Id128& repository, const Id128& pack, const Session& session, PackKind kind,
                int level, BytesView label = {});
    ~PackBuilder();
    PackBuilder(PackBuilder&&) noexcept;
    PackBuilder& operator=(PackBuilder&&) noexcept;

    // Returns the new frame's number. `plain` is 1 to kMaxFramePlain bytes.
    std::uint32_t add(FrameKind kind, BytesView plain);

    // The number that the next add() returns: a caller may promise it before the frame is full.
    std::uint32_t next_frame() const { return static_cast<std::uint32_t>(frames_.size()); }

    std::size_t size() const { return out_.size(); }

    const Id128& id() const { return id_; }

    Bytes finish() &&;

    // Builds in a used buffer's memory, to spare page faults over a whole pack; `expected` bytes
    // are reserved. Before the first add().
    void adopt(Bytes buffer, std::size_t expected);

  private:
    struct Codec;
    Id128 id_;
    Bytes out_;
    std::vector<FrameEntry> frames_;
    std::unique_ptr<Codec> codec_;
};

// Opens frames of one pack whose header and key are known. One thread at a time; cheap once made.
class FrameOpener {
  public:
    FrameOpener(const PackHeader& header, const Key256& session_key);
    ~FrameOpener();
    FrameOpener(FrameOpener&&) noexcept;
    FrameOpener& operator=(FrameOpener&&) noexcept;

    // `bytes` starts at the frame's header and holds all of it; `plain` must be as long as the
    // entry says. Corrupt when anything differs from what was sealed.
    Result<> open(std::uint32_t number, const FrameEntry& entry, BytesView bytes,
                  base::MutableBytes plain);
    Result<Bytes> open(std::uint32_t number, const FrameEntry& entry, BytesView bytes);
    // Decodes the footer's table; `tail` is the end of the pack, at least as long as the footer,
    // `size` the pack's whole size.
    Result<std::vector<FrameEntry>> table(BytesView tail, std::uint64_t size,
                                          std::uint64_t frames_at);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Length of the footer (table and trailer) from the last kPackTrailerSize bytes, and the checks
// that need no key.
Result<std::uint64_t> footer_size(BytesView last_bytes);

// Verifies magic, trailer and CRC of a whole pack in memory, without keys. Corrupt says what is
// wrong and where.
Result<> check_pack_bytes(BytesView pack);

// Frames found by their magics in a pack whose footer is damaged: offset and number of each
// plausible header, in order. Sealed bytes may look like a header by chance or malice: a frame is
// one only if it opens.
struct FoundFrame {
    std::uint32_t number = 0;
    FrameEntry entry;
};

std::vector<FoundFrame> scan_frames(BytesView pack);

// A frame table made from what scan_frames finds, for a pack without a footer. A frame that was not
// found has length 0 and opens nothing.
std::vector<FrameEntry> frames_by_scan(BytesView pack, std::uint64_t frames_at);

}  // namespace lifeboat::repo

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "repo/names.h"
#include "repo/pack_source.h"
#include "repo/repository.h"

namespace lifeboat::repo {

// Pieces and gathered packs of a continuous capture: docs/format/stream.md. What the bytes mean is
// the engine's business.

// Of one object. Sealed it stays below kMaxPackSize, however badly it compresses. A name that says
// more names nothing.
inline constexpr std::uint64_t kMaxStreamBytes = 192 * base::kMiB;

// The clear part of a stream object, signed by its writer.
struct StreamLabel {
    std::uint64_t source = 0;  // who produced the bytes: PostgreSQL's system identifier
    StreamRange range;
    std::uint32_t segment_size = 0;
    std::uint32_t major = 0;   // server's major version
    base::Timestamp captured;  // all that was durable at the source then, by its clock, lies before
                               // the range's end; no time ({}): nobody can tell
    std::array<base::Byte, 16> content{};  // keyed digest of the bytes: equal iff the bytes are
    Bytes summary;  // the engine's index of the bytes, sealed under the map key
    crypto::VerifyKey signer;
    std::array<base::Byte, 32> commitment{};
};

// What a writer says about bytes that it stores.
struct StreamPut {
    StreamObject kind = StreamObject::Piece;
    StreamRange range;
    policy::ExpiryDay expires;
    std::uint64_t source = 0;
    std::uint32_t segment_size = 0;
    std::uint32_t major = 0;
    base::Timestamp captured;
    Bytes summary;  // plain; at most 32 KiB
};

// Writes stream objects of one system. One thread at a time. A session key serves for an hour at
// most, then a new one takes over.
class StreamWriter {
  public:
    StreamWriter(Repository& repository, const HostKeys& host, std::string system,
                 base::Clock& clock, base::Random& random);

    // `read` yields the range's bytes from `offset` (relative to range.from), `count` at a time,
    // and is called twice over the range, which holds 1 byte to 192 MiB. Done once the object is
    // durable. An object of the same range is fine when it is whole and holds the same bytes;
    // Conflict, loudly, when it holds others; Corrupt when it is damaged, or not this host's: then
    // the bytes are not safe, and need another range.
    using Read = std::function<Result<BytesView>(std::uint64_t offset, std::uint64_t count)>;
    Result<> put(const StreamPut& put, const Read& read);
    Result<> put(const StreamPut& put, BytesView bytes);

    // Records that [from, to) of a timeline is lost, and why. Safe to repeat.
    Result<> record_gap(const StreamRange& range, std::string_view reason);
    // Stores a timeline's history file; done once an object opens and holds it. Safe to repeat.
    Result<> put_history(std::uint32_t timeline, BytesView contents);

  private:
    Result<Session*> session();
    Result<std::array<base::Byte, 16>> digest(const StreamPut& put, const Read& read) const;
    Result<bool> holds_history(const std::string& name, std::uint32_t timeline,
                               BytesView contents) const;
    Result<> settle_conflict(const StreamName& name, const std::array<base::Byte, 16>& content,
                             base::Error error) const;

    Repository& repository_;
    const HostKeys& host_;
    const std::string system_;
    base::Clock& clock_;
    base::Random& random_;
    const RepositoryKeys keys_;
    std::optional<Session> session_;
    std::chrono::steady_clock::time_point session_start_{};
};

// What is there of one system's stream, from names alone; pure once loaded.
struct StreamGap {
    StreamRange range;
};

class StreamCatalog {
  public:
    struct Entry {
        StreamName name;
        std::uint64_t size = 0;
    };

    static Result<StreamCatalog> load(Repository& repository, std::string_view system);
    static StreamCatalog of(std::vector<Entry> entries, std::vector<StreamRange> gaps,
                            std::vector<std::string> histories = {});

    // End of the contiguous bytes of `timeline` that start at or before `from`; equals `from` when
    // byte `from` is missing.
    std::uint64_t covered_to(std::uint32_t timeline, std::uint64_t from) const;
    // The maximal contiguous ranges of a timeline, ascending.
    std::vector<StreamRange> ranges(std::uint32_t timeline) const;
    std::vector<std::uint32_t> timelines() const;

    const std::vector<StreamRange>& gaps() const { return gaps_; }

    const std::vector<std::string>& histories() const { return histories_; }  // object names

    const std::vector<Entry>& entries() const {
        return entries_;
    }  // by timeline, first byte; gathered before pieces

    // Entries of a timeline that hold a byte of [from, to), cheapest cover first come first.
    std::vector<const Entry*> holding(const StreamRange& range) const;

  private:
    std::vector<Entry> entries_;
    std::vector<StreamRange> gaps_;
    std::vector<std::string> histories_;
};

// A label whose signature was checked against a pinned signer, with the pack header it came in.
struct VerifiedLabel {
    StreamLabel label;
    PackHeader header;
};

// What anyone can check of a stream pack without keys: Corrupt unless the label is signed by the
// signer that it names itself.
Result<StreamLabel> label_of(const PackHeader& header);
Result<VerifiedLabel> read_label(Repository& repository, const StreamCatalog::Entry& entry,
                                 const ReaderKeys& keys);
// The engine's summary behind a label; needs the map key of the host that wrote it.
Result<Bytes> open_summary(const VerifiedLabel& label, const Key256& map_key);

// Reads bytes of one system's stream. One thread at a time. Keeps the last few opened objects.
class StreamReader {
  public:
    // All references must outlive the reader. `source` must match every object's label (T18).
    StreamReader(Repository& repository, const StreamCatalog& catalog, ReaderKeys& keys,
                 std::uint64_t source)
        : repository_(repository), catalog_(catalog), keys_(keys), source_(source) {}

    // Fills `out` with the bytes from `from` on. NotFound when one of them is not in the catalog;
    // any other failure means that it is there and could not be read, which is never the same thing
    // (T13). Unavailable: an object of the catalog is gone. One damaged object is no failure while
    // another holds its bytes.
    Result<> read(std::uint32_t timeline, std::uint64_t from, base::MutableBytes out);

  private:
    struct Open {
        StreamRange range;
        OpenPack pack;
        std::unique_ptr<FrameOpener> opener;

        struct Start {
            std::uint64_t byte = 0;   // first one of the frame
            std::uint32_t frame = 0;  // its number in the pack
        };

        std::vector<Start> starts;         // of the wal frames; other kinds are not ours to know
        std::uint32_t frame = 0xffffffff;  // the one in `plain`
        Bytes plain;
    };

    Result<Open*> open(const StreamCatalog::Entry& entry);
    Result<std::unique_ptr<Open>> load(const StreamCatalog::Entry& entry);
    Result<std::size_t> read_some(std::uint32_t timeline, std::uint64_t from,
                                  base::MutableBytes out);
    Result<std::size_t> read_from(const StreamCatalog::Entry& entry, std::uint64_t from,
                                  base::MutableBytes out);
    Result<std::size_t> copy(Open& object, std::uint64_t from, base::MutableBytes out);

    Repository& repository_;
    const StreamCatalog& catalog_;
    ReaderKeys& keys_;
    const std::uint64_t source_;
    std::vector<std::unique_ptr<Open>> open_;
};

// Opens a history object. `map_key` is that of the host that wrote it.
struct StoredHistory {
    std::uint32_t timeline = 0;
    Bytes contents;
};

Result<StoredHistory> read_history(Repository& repository, const std::string& object_name,
                                   const Key256& map_key);

}  // namespace lifeboat::repo

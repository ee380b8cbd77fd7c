#include "repo/stream.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"

// Streams. Tested by stream_test.cc and tests/crash/stream_crash_test.cc; docs/format/stream.md is
// the format. Timeline histories: stream_history.cc.
//
// No manifest names these objects, so each proves itself: the label is signed together with the
// pack's fixed part, and commits to the session key that opens the frames. The label stands before
// the frames, so the bytes are read twice: once for the digest, once to seal them.

namespace lifeboat::repo {

using base::ByteReader;
using base::ByteWriter;
using base::Code;
using base::Error;

namespace {

constexpr std::size_t kWalFrame = 256 * base::kKiB;
constexpr std::size_t kMaxSummary = 32 * base::kKiB;  // plain
constexpr auto kSessionLife = std::chrono::hours(1);
constexpr int kGatheredLevel = 3;
constexpr int kPieceLevel = 1;
constexpr std::size_t kOpenObjects = 4;

void encode_label(const StreamLabel& label, ByteWriter& out) {
    out.u64(label.source);
    out.u32(label.range.timeline);
    out.u64(label.range.from);
    out.u64(label.range.to);
    out.u32(label.segment_size);
    out.u32(label.major);
    out.u64(static_cast<std::uint64_t>(base::to_unix_micros(label.captured)));
    out.raw(label.content);
    out.sized(label.summary);
    out.raw(label.signer.bytes());
    out.raw(label.commitment);
}

Bytes signed_text(BytesView pack_fixed, BytesView label) {
    ByteWriter out;
    out.raw(std::string_view("lifeboat v1 stream"));
    out.raw(pack_fixed);
    out.raw(label);
    return out.take();
}

template <std::size_t N>
Result<> fill(ByteReader& in, std::array<base::Byte, N>& out) {
    const BytesView bytes = TRY(in.raw(N));
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return {};
}

Result<StreamLabel> decode_label(ByteReader& in) {
    StreamLabel label;
    label.source = TRY(in.u64());
    label.range.timeline = TRY(in.u32());
    label.range.from = TRY(in.u64());
    label.range.to = TRY(in.u64());
    label.segment_size = TRY(in.u32());
    label.major = TRY(in.u32());
    const std::uint64_t captured = TRY(in.u64());
    label.captured = base::from_unix_micros(static_cast<std::int64_t>(captured));
    TRY(fill(in, label.content));
    const BytesView summary = TRY(in.sized(kMaxSummary + crypto::kTagSize));
    label.summary.assign(summary.begin(), summary.end());
    std::array<base::Byte, 32> signer{};
    TRY(fill(in, signer));
    label.signer = crypto::VerifyKey::from_bytes(signer);
    TRY(fill(in, label.commitment));
    return label;
}

Key256 summary_key(const Key256& map_key, const Id128& pack) {
    return crypto::derive_key(map_key, pack, "lifeboat v1 summary");
}

Bytes seal_summary(BytesView plain, const Key256& map_key, const Id128& pack) {
    Bytes sealed;
    if (!plain.empty()) {
        crypto::Sealer(summary_key(map_key, pack)).seal(0, pack, plain, sealed);
    }
    return sealed;
}

Result<VerifiedLabel> verify_label(const PackHeader& header, const ReaderKeys& keys) {
    VerifiedLabel out;
    out.label = TRY(label_of(header));
    TRY(keys.check_signer(out.label.signer));
    out.header = header;
    return out;
}

Result<> check_place(const VerifiedLabel& label, const Repository& repository,
                     const StreamName& name) {
    if (label.header.repository != repository.id() || label.label.range != name.range) {
        return Error(Code::Corrupt,
                     "the object was written for another place than '" + name.text() + "'")
            .hint("Somebody moved objects of this repository: run 'lifeboat repo check'.");
    }
    return {};
}

Result<BytesView> read_part(const StreamWriter::Read& read, std::uint64_t at, std::uint64_t size) {
    const std::uint64_t count = std::min<std::uint64_t>(kWalFrame, size - at);
    const BytesView part = TRY(read(at, count));
    if (part.size() != count) {
        return Error(Code::Bug, "asked for " + std::to_string(count) +
                                    " bytes of the stream, given " + std::to_string(part.size()));
    }
    return part;
}

Result<> check_put(const StreamPut& put) {
    if (put.kind == StreamObject::Gap || put.range.from >= put.range.to ||
        put.range.to - put.range.from > kMaxStreamBytes) {
        return Error(Code::Bug,
                     "a stream object holds 1 byte to " + base::human_size(kMaxStreamBytes));
    }
    if (put.summary.size() > kMaxSummary) {
        return Error(Code::Bug, "the summary is " + base::human_size(put.summary.size()) +
                                    ", more than a reader accepts");
    }
    return {};
}

}  // namespace

Result<StreamLabel> label_of(const PackHeader& header) {
    ByteReader in(header.label);
    StreamLabel label = TRY(decode_label(in));
    const BytesView text = BytesView(header.label).first(in.position());
    const BytesView signature = TRY(in.raw(crypto::kSignatureSize));
    if (!in.at_end() || header.kind != PackKind::Wal ||
        !label.signer.verifies(signed_text(header.fixed, text), signature)) {
        return Error(Code::Corrupt, "the label's signature does not fit its contents");
    }
    return label;
}

StreamWriter::StreamWriter(Repository& repository, const HostKeys& host, std::string system,
                           base::Clock& clock, base::Random& random)
    : repository_(repository),
      host_(host),
      system_(std::move(system)),
      clock_(clock),
      random_(random),
      keys_(RepositoryKeys::derive(host.secret, repository.id())) {}

Result<Session*> StreamWriter::session() {
    if (!session_ || clock_.steady() - session_start_ > kSessionLife) {
        const auto recipients = TRY(repository_.recipients());
        session_ = Session::begin(recipients, random_);
        session_start_ = clock_.steady();
    }
    return &*session_;
}

Result<> StreamWriter::put(const StreamPut& put, BytesView bytes) {
    LB_CHECK(bytes.size() == put.range.to - put.range.from);
    return this->put(put, [bytes](std::uint64_t offset, std::uint64_t count) -> Result<BytesView> {
        return bytes.subspan(offset, count);
    });
}

Result<std::array<base::Byte, 16>> StreamWriter::digest(const StreamPut& put,
                                                        const Read& read) const {
    crypto::Sha256 hash;
    const std::uint64_t size = put.range.to - put.range.from;
    for (std::uint64_t at = 0; at < size; at += kWalFrame) {
        const BytesView part = TRY(read_part(read, at, size));
        hash.update(part);
    }
    const auto keyed = crypto::hmac_sha256(keys_.fingerprint, hash.finish());
    std::array<base::Byte, 16> out{};
    std::copy_n(keyed.begin(), out.size(), out.begin());
    return out;
}

Result<> StreamWriter::put(const StreamPut& put, const Read& read) {
    const StreamName name{put.kind, system_, put.expires, put.range};
    const auto writing = "writing '" + name.text() + "'";
    TRY(check_put(put).during(writing));
    const Session* const open = TRY(session().during(writing));
    const Session& session = *open;
    const Id128 pack = random_id(random_);
    StreamLabel label;
    label.source = put.source;
    label.range = put.range;
    label.segment_size = put.segment_size;
    label.major = put.major;
    label.captured = put.captured;
    label.content = TRY(digest(put, read).during(writing));
    label.summary = seal_summary(put.summary, keys_.map, pack);
    label.signer = host_.signing_key().verify_key();
    label.commitment = session.commitment;

    ByteWriter encoded;
    encode_label(label, encoded);
    const auto fixed = pack_fixed_part(repository_.id(), pack, session, PackKind::Wal);
    encoded.raw(host_.signing_key().sign(signed_text(fixed, encoded.bytes())));
    const int level = put.kind == StreamObject::Gathered ? kGatheredLevel : kPieceLevel;
    PackBuilder builder(repository_.id(), pack, session, PackKind::Wal, level, encoded.bytes());
    const std::uint64_t size = put.range.to - put.range.from;
    for (std::uint64_t at = 0; at < size; at += kWalFrame) {
        const BytesView part = TRY(read_part(read, at, size).during(writing));
        builder.add(FrameKind::Wal, part);
    }
    const Bytes bytes = std::move(builder).finish();
    auto done = repository_.store().put(name.text(), bytes);
    if (!done && done.error().code() == Code::Conflict) {
        return settle_conflict(name, label.content, std::move(done).error());
    }
    return std::move(done).during(writing);
}

// Somebody else, or an earlier life of ours, stored this range. Sealed bytes always differ; the
// keyed digest tells (T11). What is there stands for our bytes only if it is whole and ours: a
// rotten object must not be acknowledged (P1), and one that somebody else signed says nothing, or
// whoever can write to the store could stop us by guessing a name.
Result<> StreamWriter::settle_conflict(const StreamName& name,
                                       const std::array<base::Byte, 16>& content,
                                       Error error) const {
    const auto comparing = "comparing with what '" + name.text() + "' holds";
    const Bytes bytes = TRY(repository_.store().get(name.text()).during(comparing));
    TRY(check_pack_bytes(bytes).during(comparing));
    VerifiedLabel there;
    there.header = TRY(PackHeader::parse(bytes).during(comparing));
    there.label = TRY(label_of(there.header).during(comparing));
    TRY(check_place(there, repository_, name).during(comparing));
    if (there.label.signer != host_.signing_key().verify_key()) {
        return Error(Code::Corrupt,
                     "it is not of this host, but signed by '" + there.label.signer.text() + "'")
            .during(comparing);
    }
    if (there.label.content == content) {
        return {};
    }
    return std::move(error)
        .during("the repository holds other bytes for this range of the stream")
        .hint(
            "Two servers write WAL under one system name: give each its own system in "
            "lifeboat.yaml.");
}

Result<> StreamWriter::record_gap(const StreamRange& range, std::string_view reason) {
    if (range.from >= range.to) {
        return Error(Code::Bug, "a gap in the stream holds at least one byte");
    }
    base::Json json = base::Json::object();
    json.set("format", 1)
        .set("system", system_)
        .set("timeline", range.timeline)
        .set("from", range.from)
        .set("to", range.to);
    json.set("reason", reason).set("recorded", base::format_time(clock_.now()));
    const StreamName name{StreamObject::Gap, system_, {}, range};
    auto put = repository_.store().put(name.text(), base::view(json.dump(2) + "\n"));
    if (!put && put.error().code() != Code::Conflict) {
        return std::move(put).during("recording a gap in the stream");
    }
    return {};
}

Result<VerifiedLabel> read_label(Repository& repository, const StreamCatalog::Entry& entry,
                                 const ReaderKeys& keys) {
    const auto reading = "reading '" + entry.name.text() + "'";
    const PackHeader header =
        TRY(read_pack_header(repository.store(), entry.name.text(), entry.size).during(reading));
    VerifiedLabel label = TRY(verify_label(header, keys).during(reading));
    TRY(check_place(label, repository, entry.name).during(reading));
    return label;
}

Result<Bytes> open_summary(const VerifiedLabel& label, const Key256& map_key) {
    const Bytes& sealed = label.label.summary;
    if (sealed.empty()) {
        return Bytes{};
    }
    if (sealed.size() < crypto::kTagSize) {
        return Error(Code::Corrupt, "the label's summary is cut short");
    }
    Bytes plain(sealed.size() - crypto::kTagSize);
    TRY(crypto::Opener(summary_key(map_key, label.header.pack))
            .open(0, label.header.pack, sealed, plain)
            .during("the label's summary"));
    return plain;
}

Result<std::unique_ptr<StreamReader::Open>> StreamReader::load(const StreamCatalog::Entry& entry) {
    const std::string name = entry.name.text();
    const auto key_of = [&](const PackHeader& header) -> Result<Key256> {
        VerifiedLabel verified = TRY(verify_label(header, keys_));
        TRY(check_place(verified, repository_, entry.name));
        if (verified.label.source != source_) {
            return Error(Code::Conflict, "it comes from another cluster: system identifier " +
                                             std::to_string(verified.label.source) + ", not " +
                                             std::to_string(source_));  // T18
        }
        return keys_.session_key(header.session, header.envelope, verified.label.commitment);
    };
    auto object = std::make_unique<Open>();
    object->range = entry.name.range;
    object->pack = TRY(open_pack(repository_.store(), name, entry.size, key_of));
    object->opener = std::make_unique<FrameOpener>(object->pack.header, object->pack.session_key);
    std::uint64_t at = object->range.from;
    for (std::uint32_t number = 0; number < object->pack.frames.size(); ++number) {
        if (object->pack.frames[number].kind == FrameKind::Wal) {
            object->starts.push_back({at, number});
            at += object->pack.frames[number].plain;
        }
    }
    if (at != object->range.to) {
        return Error(Code::Corrupt, "its frames do not hold the range that it names")
            .during("pack '" + name + "'");
    }
    return object;
}

Result<StreamReader::Open*> StreamReader::open(const StreamCatalog::Entry& entry) {
    for (auto it = open_.begin(); it != open_.end(); ++it) {
        if ((*it)->pack.object == entry.name.text()) {
            std::rotate(open_.begin(), it, it + 1);
            return open_.front().get();
        }
    }
    auto loaded = TRY(load(entry));
    open_.insert(open_.begin(), std::move(loaded));
    if (open_.size() > kOpenObjects) {
        open_.pop_back();
    }
    return open_.front().get();
}

// Copies from the frame that holds `from`; returns how many bytes of `out` that filled.
Result<std::size_t> StreamReader::copy(Open& object, std::uint64_t from, base::MutableBytes out) {
    const auto after = std::upper_bound(
        object.starts.begin(), object.starts.end(), from,
        [](std::uint64_t byte, const Open::Start& start) { return byte < start.byte; });
    const auto [first, frame] = *std::prev(after);
    if (object.frame != frame) {
        const FrameEntry& entry = object.pack.frames[frame];
        Bytes sealed(entry.end() - entry.offset);
        TRY(repository_.store().get_range(object.pack.object, entry.offset, sealed));
        object.frame = 0xffffffff;
        object.plain = TRY(
            object.opener->open(frame, entry, sealed).during("pack '" + object.pack.object + "'"));
        object.frame = frame;
    }
    const std::size_t skip = from - first;
    const std::size_t count = std::min(out.size(), object.plain.size() - skip);
    std::copy_n(object.plain.begin() + static_cast<std::ptrdiff_t>(skip), count, out.begin());
    return count;
}

// Any object that has the bytes will do: when one is damaged or gone, another may be whole.
Result<std::size_t> StreamReader::read_some(std::uint32_t timeline, std::uint64_t from,
                                            base::MutableBytes out) {
    if (!open_.empty() && open_.front()->range.timeline == timeline &&
        open_.front()->range.from <= from && from < open_.front()->range.to) {
        auto got = copy(*open_.front(), from, out);
        if (got) {
            return got;  // the common case: no search
        }
    }
    const auto holders = catalog_.holding({timeline, from, from + 1});
    if (holders.empty()) {
        return Error(Code::NotFound, "byte " + std::to_string(from) + " of timeline " +
                                         std::to_string(timeline) + " is not in the repository");
    }
    std::optional<Error> first;
    for (const StreamCatalog::Entry* holder : holders) {
        auto got = read_from(*holder, from, out);
        if (got || got.error().code() == Code::Unavailable ||
            got.error().code() == Code::Cancelled) {
            return got;
        }
        if (!first) {
            first = std::move(got).error();
        }
    }
    if (first->code() == Code::NotFound) {  // listed, so never "not in the repository": recovery
                                            // must not end here (T13, P5)
        return (*std::move(first))
            .recode(Code::Unavailable)
            .hint(
                "Objects vanished since they were listed: list again, then run 'lifeboat repo "
                "check'.");
    }
    return *std::move(first);
}

Result<std::size_t> StreamReader::read_from(const StreamCatalog::Entry& entry, std::uint64_t from,
                                            base::MutableBytes out) {
    Open* object = TRY(open(entry));
    return copy(*object, from, out);
}

Result<> StreamReader::read(std::uint32_t timeline, std::uint64_t from, base::MutableBytes out) {
    while (!out.empty()) {
        const std::size_t got = TRY(read_some(timeline, from, out));
        from += got;
        out = out.subspan(got);
    }
    return {};
}

}  // namespace lifeboat::repo

#include "repo/stream.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"

// Streams. Tested by stream_test.cc and tests/crash/stream_crash_test.cc; docs/format/stream.md is the format.
//
// No manifest names these objects, so each proves itself: the label is signed together with the pack's fixed part, and commits to the session
// key that opens the frames. The label stands before the frames, so the bytes are read twice: once for the digest, once to seal them.

namespace lifeboat::repo {

using base::ByteReader;
using base::ByteWriter;
using base::Code;
using base::Error;

namespace {

constexpr std::size_t kWalFrame = 256 * base::kKiB;
constexpr std::size_t kMaxSummary = 48 * base::kKiB;
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
    const BytesView summary = TRY(in.sized(kMaxSummary));
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

Result<VerifiedLabel> verify_label(PackHeader header, const ReaderKeys& keys) {
    ByteReader in(header.label);
    VerifiedLabel out;
    out.label = TRY(decode_label(in));
    const BytesView text = BytesView(header.label).first(in.position());
    const BytesView signature = TRY(in.raw(crypto::kSignatureSize));
    if (!in.at_end() || header.kind != PackKind::Wal || !out.label.signer.verifies(signed_text(header.fixed, text), signature)) {
        return Error(Code::Corrupt, "the label's signature does not fit its contents");
    }
    TRY(keys.check_signer(out.label.signer));
    out.header = std::move(header);
    return out;
}

Result<> check_place(const VerifiedLabel& label, const Repository& repository, const StreamName& name) {
    if (label.header.repository != repository.id() || label.label.range != name.range) {
        return Error(Code::Corrupt, "the object was written for another place than '" + name.text() + "'")
            .hint("Somebody moved objects of this repository: run 'lifeboat repo check'.");
    }
    return {};
}

}  // namespace

StreamWriter::StreamWriter(Repository& repository, const HostKeys& host, std::string system, base::Clock& clock, base::Random& random)
    : repository_(repository),
      host_(host),
      system_(std::move(system)),
      clock_(clock),
      random_(random),
      keys_(RepositoryKeys::derive(host.secret, repository.id())) {}

Session& StreamWriter::session() {
    if (!session_ || clock_.steady() - session_start_ > kSessionLife) {
        session_ = Session::begin(repository_.recipients(), random_);
        session_start_ = clock_.steady();
    }
    return *session_;
}

Result<> StreamWriter::put(const StreamPut& put, BytesView bytes) {
    LB_CHECK(bytes.size() == put.range.to - put.range.from);
    return this->put(put, [bytes](std::uint64_t offset, std::uint64_t count) -> Result<BytesView> { return bytes.subspan(offset, count); });
}

Result<std::array<base::Byte, 16>> StreamWriter::digest(const StreamPut& put, const Read& read) const {
    crypto::Sha256 hash;
    const std::uint64_t size = put.range.to - put.range.from;
    for (std::uint64_t at = 0; at < size; at += kWalFrame) {
        const BytesView part = TRY(read(at, std::min<std::uint64_t>(kWalFrame, size - at)));
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
    Session& session = this->session();
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
        const BytesView part = TRY(read(at, std::min<std::uint64_t>(kWalFrame, size - at)).during(writing));
        builder.add(FrameKind::Wal, part);
    }
    const Bytes bytes = std::move(builder).finish();
    auto done = repository_.store().put(name.text(), bytes);
    if (!done && done.error().code() == Code::Conflict) {
        return settle_conflict(name.text(), label.content, std::move(done).error());
    }
    return std::move(done).during(writing);
}

// Somebody else, or an earlier life of ours, stored this range. Sealed bytes always differ; the keyed digest tells (T11).
Result<> StreamWriter::settle_conflict(const std::string& name, const std::array<base::Byte, 16>& content, Error error) const {
    const auto comparing = "comparing with what '" + name + "' holds";
    Bytes head(kPackHeaderSize);
    TRY(repository_.store().get_range(name, 0, head).during(comparing));
    const std::uint64_t size = TRY(PackHeader::size_from(head).during(comparing));
    head.resize(size);
    TRY(repository_.store().get_range(name, 0, head).during(comparing));
    const PackHeader header = TRY(PackHeader::parse(head).during(comparing));
    ByteReader in(header.label);
    const StreamLabel there = TRY(decode_label(in).during(comparing));
    if (there.content == content) {
        return {};
    }
    return std::move(error)
        .during("the repository holds other bytes for this range of the stream")
        .hint("Two servers write WAL under one system name: give each its own system in lifeboat.yaml.");
}

Result<> StreamWriter::record_gap(const StreamRange& range, std::string_view reason) {
    base::Json json = base::Json::object();
    json.set("format", 1).set("system", system_).set("timeline", range.timeline).set("from", range.from).set("to", range.to);
    json.set("reason", reason).set("recorded", base::format_time(clock_.now()));
    const StreamName name{StreamObject::Gap, system_, {}, range};
    auto put = repository_.store().put(name.text(), base::view(json.dump(2) + "\n"));
    if (!put && put.error().code() != Code::Conflict) {
        return std::move(put).during("recording a gap in the stream");
    }
    return {};
}

Result<> StreamWriter::put_history(std::uint32_t timeline, BytesView contents) {
    const auto digest = crypto::hmac_sha256(keys_.fingerprint, contents);
    const std::string name = history_name(system_, timeline, digest);
    if (repository_.store().stat(name)) {
        return {};
    }
    const Session map_session{Id128{}, keys_.map, {}, {}};
    PackBuilder builder(repository_.id(), random_id(random_), map_session, PackKind::Map, kPieceLevel);
    builder.add(FrameKind::History, contents);
    auto put = repository_.store().put(name, std::move(builder).finish());
    if (!put && put.error().code() != Code::Conflict) {
        return std::move(put).during("storing the history of timeline " + std::to_string(timeline));
    }
    return {};
}

Result<StoredHistory> read_history(Repository& repository, const std::string& object_name, const Key256& map_key) {
    const auto reading = "reading '" + object_name + "'";
    const Bytes bytes = TRY(repository.store().get(object_name).during(reading));
    const PackHeader header = TRY(PackHeader::parse(bytes).during(reading));
    FrameOpener opener(header, map_key);
    const auto frames = TRY(opener.table(bytes, bytes.size(), header.frames_at).during(reading));
    if (frames.size() != 1 || frames[0].kind != FrameKind::History || header.repository != repository.id()) {
        return Error(Code::Corrupt, "not a timeline history of this repository").during(reading);
    }
    StoredHistory history;
    history.contents = TRY(opener.open(0, frames[0], BytesView(bytes).subspan(frames[0].offset)).during(reading));
    const std::string file(object_name.substr(object_name.rfind('/') + 1));
    history.timeline = static_cast<std::uint32_t>(std::strtoul(file.substr(0, 8).c_str(), nullptr, 16));
    return history;
}

Result<VerifiedLabel> read_label(Repository& repository, const StreamCatalog::Entry& entry, const ReaderKeys& keys) {
    const auto reading = "reading '" + entry.name.text() + "'";
    Bytes head(std::min<std::uint64_t>(entry.size, 4 * base::kKiB));
    TRY(repository.store().get_range(entry.name.text(), 0, head).during(reading));
    const std::uint64_t size = TRY(PackHeader::size_from(head).during(reading));
    if (size > entry.size) {
        return Error(Code::Corrupt, "the pack is cut short inside its header").during(reading);
    }
    if (size > head.size()) {
        head.resize(size);
        TRY(repository.store().get_range(entry.name.text(), 0, head).during(reading));
    }
    PackHeader header = TRY(PackHeader::parse(head).during(reading));
    VerifiedLabel label = TRY(verify_label(std::move(header), keys).during(reading));
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
    TRY(crypto::Opener(summary_key(map_key, label.header.pack)).open(0, label.header.pack, sealed, plain).during("the label's summary"));
    return plain;
}

Result<std::unique_ptr<StreamReader::Open>> StreamReader::load(const StreamCatalog::Entry& entry) {
    const std::string name = entry.name.text();
    std::optional<StreamLabel> label;
    const auto key_of = [&](const PackHeader& header) -> Result<Key256> {
        VerifiedLabel verified = TRY(verify_label(header, keys_));
        TRY(check_place(verified, repository_, entry.name));
        if (verified.label.source != source_) {
            return Error(Code::Conflict, "it comes from another cluster: system identifier " + std::to_string(verified.label.source) +
                                             ", not " + std::to_string(source_));  // T18
        }
        label = std::move(verified.label);
        return keys_.session_key(header.session, header.envelope, label->commitment);
    };
    auto object = std::make_unique<Open>();
    object->range = entry.name.range;
    object->pack = TRY(open_pack(repository_.store(), name, entry.size, key_of));
    object->opener = std::make_unique<FrameOpener>(object->pack.header, object->pack.session_key);
    std::uint64_t at = object->range.from;
    for (const FrameEntry& frame : object->pack.frames) {
        object->starts.push_back(at);
        at += frame.plain;
    }
    if (at != object->range.to) {
        return Error(Code::Corrupt, "its frames do not hold the range that it names").during("pack '" + name + "'");
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
    const auto after = std::upper_bound(object.starts.begin(), object.starts.end(), from);
    const auto frame = static_cast<std::uint32_t>(after - object.starts.begin() - 1);
    if (object.frame != frame) {
        const FrameEntry& entry = object.pack.frames[frame];
        Bytes sealed(entry.end() - entry.offset);
        TRY(repository_.store().get_range(object.pack.object, entry.offset, sealed));
        object.frame = 0xffffffff;
        object.plain = TRY(object.opener->open(frame, entry, sealed).during("pack '" + object.pack.object + "'"));
        object.frame = frame;
    }
    const std::size_t skip = from - object.starts[frame];
    const std::size_t count = std::min(out.size(), object.plain.size() - skip);
    std::copy_n(object.plain.begin() + static_cast<std::ptrdiff_t>(skip), count, out.begin());
    return count;
}

Result<> StreamReader::read(std::uint32_t timeline, std::uint64_t from, base::MutableBytes out) {
    while (!out.empty()) {
        const auto holders = catalog_.holding({timeline, from, from + 1});
        if (holders.empty()) {
            return Error(Code::NotFound, "byte " + std::to_string(from) + " of timeline " + std::to_string(timeline) + " is not in the repository");
        }
        Open* object = TRY(open(*holders.front()));
        const std::size_t got = TRY(copy(*object, from, out));
        from += got;
        out = out.subspan(got);
    }
    return {};
}

}  // namespace lifeboat::repo

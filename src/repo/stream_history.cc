// Timeline histories. Tested by stream_history_test.cc; docs/format/stream.md is the format.

#include <algorithm>
#include <array>

#include "repo/stream.h"

namespace lifeboat::repo {

using base::ByteReader;
using base::ByteWriter;
using base::Code;
using base::Error;

namespace {

constexpr std::uint8_t kHistoryCopies = 8;
constexpr int kLevel = 1;

// What is there is not what its name says.
bool is_verdict(Code code) {
    return code == Code::Corrupt || code == Code::Unsupported;
}

// `copy` is 0 unless the objects before it are not what they should be.
std::array<base::Byte, 32> history_digest(const Key256& key, BytesView contents,
                                          std::uint8_t copy) {
    ByteWriter text;
    text.raw(contents);
    if (copy > 0) {
        text.u8(copy);
    }
    return crypto::hmac_sha256(key, text.bytes());
}

}  // namespace

// False when there is no such object. Corrupt when it is not what it should be.
Result<bool> StreamWriter::holds_history(const std::string& name, std::uint32_t timeline,
                                         BytesView contents) const {
    auto there = read_history(repository_, name, keys_.map);
    if (!there && there.error().code() == Code::NotFound) {
        return false;
    }
    const StoredHistory stored = TRY(std::move(there));
    if (stored.timeline != timeline || !std::equal(stored.contents.begin(), stored.contents.end(),
                                                   contents.begin(), contents.end())) {
        return Error(Code::Corrupt, "'" + name + "' holds another history");
    }
    return true;
}

// A name says what the object should hold: a claim. What is there and is not that stays as it is,
// and the file goes under another name of the same timeline.
Result<> StreamWriter::put_history(std::uint32_t timeline, BytesView contents) {
    const auto storing = "storing the history of timeline " + std::to_string(timeline);
    const Session map_session{Id128{}, keys_.map, {}, {}};
    PackBuilder builder(repository_.id(), random_id(random_), map_session, PackKind::Map, kLevel);
    ByteWriter plain;
    plain.u32(timeline);  // sealed: a history moved to the name of another timeline is refused
    plain.raw(contents);
    builder.add(FrameKind::History, plain.bytes());
    const Bytes sealed = std::move(builder).finish();
    for (std::uint8_t copy = 0; copy < kHistoryCopies; ++copy) {
        const std::string name =
            history_name(system_, timeline, history_digest(keys_.fingerprint, contents, copy));
        auto put = repository_.store().put(name, sealed);
        if (put) {
            return {};
        }
        if (put.error().code() != Code::Conflict) {
            return std::move(put).during(storing);
        }
        auto held = holds_history(name, timeline, contents);
        if (!held && is_verdict(held.error().code())) {
            held = holds_history(name, timeline, contents);  // it may have been damaged on its way
        }
        const bool unseen = !held && held.error().code() == Code::Denied;
        if (unseen || (held && *held)) {
            return {};  // a host that may not read has the name alone to go by
        }
        if (!held && !is_verdict(held.error().code())) {
            return std::move(held).during(storing).error();
        }
    }
    return Error(Code::Corrupt, "none of the " + std::to_string(kHistoryCopies) +
                                    " objects that should hold it opens, nor can be replaced")
        .during(storing);
}

Result<StoredHistory> read_history(Repository& repository, const std::string& object_name,
                                   const Key256& map_key) {
    const auto reading = "reading '" + object_name + "'";
    const Bytes bytes = TRY(repository.store().get(object_name).during(reading));
    const PackHeader header = TRY(PackHeader::parse(bytes).during(reading));
    FrameOpener opener(header, map_key);
    const auto frames = TRY(opener.table(bytes, bytes.size(), header.frames_at).during(reading));
    if (frames.size() != 1 || frames[0].kind != FrameKind::History ||
        header.repository != repository.id()) {
        return Error(Code::Corrupt, "not a timeline history of this repository").during(reading);
    }
    const Bytes plain =
        TRY(opener.open(0, frames[0], BytesView(bytes).subspan(frames[0].offset)).during(reading));
    ByteReader in(plain);
    StoredHistory history;
    history.timeline = TRY(in.u32().during(reading));
    const BytesView contents = TRY(in.raw(in.remaining()));
    history.contents.assign(contents.begin(), contents.end());
    const std::uint32_t named = TRY(history_timeline(object_name));
    if (named != history.timeline) {
        return Error(Code::Corrupt, "it is the history of timeline " +
                                        std::to_string(history.timeline) + " under another name")
            .during(reading);
    }
    return history;
}

}  // namespace lifeboat::repo

#include "repo/pack_source.h"

#include <algorithm>

namespace lifeboat::repo {

using base::Code;
using base::Error;

namespace {

constexpr std::uint64_t kTailGuess = 32 * base::kKiB;  // holds the table of a full pack
constexpr std::uint64_t kHeadGuess =
    2 * base::kKiB;  // holds the envelope for a handful of recipients
constexpr std::uint64_t kMaxGap = 256 * base::kKiB;  // cheaper to read and drop than to ask twice
constexpr std::uint64_t kMaxGroup = 4 * base::kMiB;
constexpr std::size_t kMaxOpeners = 8;
constexpr std::size_t kMaxRecent = 16;

Result<Bytes> read_range(store::ObjectStore& store, const std::string& name, std::uint64_t offset,
                         std::uint64_t count) {
    Bytes bytes(count);
    TRY(store.get_range(name, offset, bytes));
    return bytes;
}

Result<std::vector<FrameEntry>> read_table(store::ObjectStore& store, const std::string& name,
                                           std::uint64_t size, const OpenPack& pack) {
    Bytes tail =
        TRY(read_range(store, name, size - std::min(size, kTailGuess), std::min(size, kTailGuess)));
    const std::uint64_t footer = TRY(footer_size(tail));
    if (footer > size) {
        return Error(Code::Corrupt, "the footer is longer than the pack");
    }
    if (footer > tail.size()) {
        tail = TRY(read_range(store, name, size - footer, footer));
    }
    return FrameOpener(pack.header, pack.session_key).table(tail, size, pack.header.frames_at);
}

// A pack that lost its footer still has its frames.
Result<std::vector<FrameEntry>> find_frames(store::ObjectStore& store, const std::string& name,
                                            const OpenPack& pack, Error error) {
    const Bytes bytes = TRY(store.get(name));
    std::vector<FrameEntry> frames = frames_by_scan(bytes, pack.header.frames_at);
    if (frames.empty()) {
        return error;
    }
    return frames;
}

}  // namespace

Result<PackHeader> read_pack_header(store::ObjectStore& store, const std::string& name,
                                    std::uint64_t size) {
    Bytes head = TRY(read_range(store, name, 0, std::min(size, kHeadGuess)));
    const std::uint64_t whole = TRY(PackHeader::size_from(head));
    if (whole > size) {
        return Error(Code::Corrupt, "the pack is cut short inside its header");
    }
    if (whole > head.size()) {
        head = TRY(read_range(store, name, 0, whole));
    }
    return PackHeader::parse(head);
}

Result<OpenPack> open_pack(store::ObjectStore& store, const std::string& name, std::uint64_t size,
                           const std::function<Result<Key256>(const PackHeader&)>& key_of) {
    const auto opening = "pack '" + name + "'";
    OpenPack pack;
    pack.object = name;
    pack.header = TRY(read_pack_header(store, name, size).during(opening));
    pack.session_key = TRY(key_of(pack.header).during(opening));
    auto frames = read_table(store, name, size, pack);
    if (!frames && frames.error().code() == Code::Corrupt) {
        frames = find_frames(store, name, pack, std::move(frames).error());
    }
    pack.frames = TRY(std::move(frames).during(opening));
    return pack;
}

Result<std::shared_ptr<const OpenPack>> PackSource::pack(std::uint32_t index) {
    {
        const base::Lock lock(mutex_);
        const auto known = open_.find(index);
        if (known != open_.end()) {
            return known->second;
        }
    }
    auto loaded = TRY(load(index));
    const base::Lock lock(mutex_);
    open_[index] = loaded;
    return loaded;
}

Result<std::shared_ptr<const OpenPack>> PackSource::load(std::uint32_t index) {
    const auto ref = manifest_.packs.find(index);
    if (ref == manifest_.packs.end()) {
        return Error(Code::Corrupt, "a page lies in pack " + std::to_string(index) +
                                        ", which the manifest does not list");
    }
    const PackRef& wanted = ref->second;
    const auto key_of = [&](const PackHeader& header) -> Result<Key256> {
        const auto session = manifest_.sessions.find(wanted.session);
        if (header.repository != repository_ || header.pack != wanted.pack ||
            header.session != wanted.session || session == manifest_.sessions.end()) {
            return Error(Code::Corrupt, "the object is another pack than the manifest names");
        }
        auto key = keys_.session_key(header.session, header.envelope, session->second);
        return key ? std::move(key) : key_from_sibling(index, std::move(key).error());
    };
    OpenPack pack = TRY(open_pack(store_, wanted.object.name, wanted.object.size, key_of));
    return std::make_shared<const OpenPack>(std::move(pack));
}

// Every pack of a session carries the same envelope: rot in one of them costs nothing while another
// can be read.
Result<Key256> PackSource::key_from_sibling(std::uint32_t index, Error error) {
    const PackRef& damaged = manifest_.packs.at(index);
    for (const auto& [other, ref] : manifest_.packs) {
        if (other == index || ref.session != damaged.session || !keys_.has_identity()) {
            continue;
        }
        const auto header = read_pack_header(store_, ref.object.name, ref.object.size);
        auto key = header ? keys_.session_key(ref.session, header->envelope,
                                              manifest_.sessions.at(ref.session))
                          : error.clone();
        return key ? std::move(key)
                   : std::move(error);  // one try: with the wrong identity none would help
    }
    return error;
}

struct PageReader::Piece {
    std::uint32_t pack;
    std::uint32_t frame;
    std::uint32_t offset;  // in the frame's plain bytes
    base::MutableBytes out;
};

Result<> PageReader::read(std::span<const PageRun> runs, base::MutableBytes out) {
    std::vector<Piece> pieces;
    std::size_t at = 0;
    for (const PageRun& run : runs) {
        const std::size_t count = std::min<std::size_t>(run.pages * kPageSize, out.size() - at);
        const base::MutableBytes part = out.subspan(at, count);
        at += count;
        if (run.at.is_zero()) {
            std::fill(part.begin(), part.end(), base::Byte{0});
        } else {
            pieces.push_back({run.at.pack, run.at.frame, run.at.offset, part});
        }
    }
    if (at != out.size()) {
        return Error(Code::Corrupt, "the page runs are shorter than their file");
    }
    std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
        return std::tie(a.pack, a.frame, a.offset) < std::tie(b.pack, b.frame, b.offset);
    });
    for (std::size_t i = 0; i < pieces.size();) {
        std::size_t end = i;
        while (end < pieces.size() && pieces[end].pack == pieces[i].pack) {
            ++end;
        }
        TRY(read_pack(pieces[i].pack, std::span(pieces).subspan(i, end - i)));
        i = end;
    }
    return {};
}

Result<PageReader::Cached*> PageReader::opener(std::uint32_t pack) {
    const auto known = openers_.find(pack);
    if (known != openers_.end()) {
        known->second.last_use = ++uses_;
        return &known->second;
    }
    if (openers_.size() >= kMaxOpeners) {
        openers_.erase(std::min_element(
            openers_.begin(), openers_.end(),
            [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; }));
    }
    Cached cached;
    cached.pack = TRY(source_.pack(pack));
    cached.opener = std::make_unique<FrameOpener>(cached.pack->header, cached.pack->session_key);
    cached.last_use = ++uses_;
    return &openers_.emplace(pack, std::move(cached)).first->second;
}

// Cuts the pieces of one pack, sorted by frame, into groups that one ranged read serves.
Result<> PageReader::read_pack(std::uint32_t pack, std::span<Piece> pieces) {
    Cached* cached = TRY(opener(pack));
    const std::vector<FrameEntry>& frames = cached->pack->frames;
    for (const Piece& piece : pieces) {
        if (piece.frame >= frames.size() ||
            piece.offset + piece.out.size() > frames[piece.frame].plain) {
            return Error(Code::Corrupt, "a page lies outside frame " + std::to_string(piece.frame))
                .during("pack '" + cached->pack->object + "'");
        }
    }
    for (std::size_t i = 0; i < pieces.size();) {
        std::size_t end = i + 1;
        while (end < pieces.size() &&
               frames[pieces[end].frame].offset <= frames[pieces[end - 1].frame].end() + kMaxGap &&
               frames[pieces[end].frame].end() - frames[pieces[i].frame].offset <= kMaxGroup) {
            ++end;
        }
        TRY(fetch_group(*cached, pack, pieces.subspan(i, end - i))
                .during("pack '" + cached->pack->object + "'"));
        i = end;
    }
    return {};
}

Result<> PageReader::fetch_group(Cached& cached, std::uint32_t index, std::span<Piece> pieces) {
    const std::vector<FrameEntry>& frames = cached.pack->frames;
    if (pieces.front().frame == pieces.back().frame) {
        if (const Bytes* plain = remembered({index, pieces.front().frame})) {
            for (const Piece& piece : pieces) {
                std::copy_n(plain->begin() + piece.offset, piece.out.size(), piece.out.begin());
            }
            return {};
        }
    }
    const std::uint64_t start = frames[pieces.front().frame].offset;
    fetched_.resize(frames[pieces.back().frame].end() - start);
    TRY(source_.store().get_range(cached.pack->object, start, fetched_));
    for (std::size_t i = 0; i < pieces.size();) {
        std::size_t end = i;
        while (end < pieces.size() && pieces[end].frame == pieces[i].frame) {
            ++end;
        }
        TRY(open_frame(cached, index, pieces.subspan(i, end - i), fetched_, start));
        i = end;
    }
    return {};
}

Result<> PageReader::open_frame(Cached& cached, std::uint32_t index, std::span<Piece> pieces,
                                BytesView group, std::uint64_t group_start) {
    const std::uint32_t number = pieces.front().frame;
    const FrameEntry& entry = cached.pack->frames[number];
    const BytesView bytes = group.subspan(entry.offset - group_start);
    if (pieces.size() == 1 && pieces.front().offset == 0 &&
        pieces.front().out.size() == entry.plain) {
        return cached.opener->open(number, entry, bytes,
                                   pieces.front().out);  // a whole frame: straight to its place
    }
    Bytes plain = TRY(cached.opener->open(number, entry, bytes));
    for (const Piece& piece : pieces) {
        std::copy_n(plain.begin() + piece.offset, piece.out.size(), piece.out.begin());
    }
    remember({index, number}, std::move(plain));
    return {};
}

const Bytes* PageReader::remembered(const FrameKey& key) {
    for (auto it = recent_.begin(); it != recent_.end(); ++it) {
        if (it->first == key) {
            recent_.splice(recent_.begin(), recent_, it);
            return &recent_.front().second;
        }
    }
    return nullptr;
}

void PageReader::remember(const FrameKey& key, Bytes plain) {
    recent_.emplace_front(key, std::move(plain));
    if (recent_.size() > kMaxRecent) {
        recent_.pop_back();
    }
}

}  // namespace lifeboat::repo

// Packs from hostile bytes. The first byte chooses: the bytes as they are, or a good pack that they
// change here and there, with its checksum put right. Nothing may crash, and whatever opens is what
// was sealed.
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "repo/pack.h"

namespace {

using namespace lifeboat;  // NOLINT(google-build-using-namespace): a program of one file
using base::Bytes;
using base::BytesView;

struct Good {
    Good() {
        const auto random = base::seeded_random(1);
        session = {repo::random_id(*random), crypto::random_key(*random), Bytes(200, 'e'), {}};
        frames = {Bytes(3000, 'a'), Bytes(64), Bytes(1, 'x')};
        random->fill(frames[1]);
        repo::PackBuilder builder(repo::Id128{}, repo::random_id(*random), session,
                                  repo::PackKind::Data, 1, Bytes(20, 'l'));
        for (const Bytes& frame : frames) {
            builder.add(repo::FrameKind::Pages, frame);
        }
        pack = std::move(builder).finish();
    }

    repo::Session session;
    std::vector<Bytes> frames;
    Bytes pack;
};

const Good& good() {
    static const Good instance;
    return instance;
}

void open_frames(const std::vector<repo::FrameEntry>& frames, repo::FrameOpener& opener,
                 BytesView pack) {
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
        if (frames[i].offset > pack.size()) {
            continue;
        }
        const auto plain = opener.open(i, frames[i], pack.subspan(frames[i].offset));
        LB_CHECK(!plain || (i < good().frames.size() && *plain == good().frames[i]));
    }
}

void read(BytesView pack) {
    repo::check_pack_bytes(pack).discard("either answer is right");
    repo::scan_frames(pack);
    const auto header = repo::PackHeader::parse(pack);
    if (!header) {
        return;
    }
    repo::FrameOpener opener(*header, good().session.key);
    const auto table = opener.table(pack, pack.size(), header->frames_at);
    if (table) {
        LB_CHECK(table->size() == good().frames.size());  // it is sealed: there is one table only
        open_frames(*table, opener, pack);
    }
    open_frames(repo::frames_by_scan(pack, header->frames_at), opener, pack);
}

// Each four bytes: where (two), what, and whether to cut there.
Bytes changed(BytesView recipe) {
    Bytes pack = good().pack;
    for (std::size_t i = 0; i + 4 <= recipe.size() && !pack.empty(); i += 4) {
        const std::size_t at =
            (recipe[i] | static_cast<std::size_t>(recipe[i + 1]) << 8U) % pack.size();
        pack[at] ^= recipe[i + 2];
        if (recipe[i + 3] == 0xff) {
            pack.resize(at);
        }
    }
    if (pack.size() >= repo::kPackTrailerSize) {
        const std::uint32_t crc = base::crc32c(BytesView(pack).first(pack.size() - 12));
        for (std::size_t i = 0; i < 4; ++i) {
            pack[pack.size() - 12 + i] = static_cast<base::Byte>(crc >> (8 * i));
        }
    }
    return pack;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const BytesView rest = BytesView(data, size).subspan(1);
    read(data[0] % 2 == 0 ? Bytes(rest.begin(), rest.end()) : changed(rest));
    return 0;
}

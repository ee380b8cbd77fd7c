// Feeds hostile bytes to every parser of keys and envelopes. The first byte chooses which.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"
#include "crypto/envelope.h"
#include "crypto/keys.h"

namespace {

using lifeboat::base::Bytes;
using lifeboat::base::BytesView;
using lifeboat::crypto::Identity;
using lifeboat::crypto::Recipient;

// An identity, and an envelope that it opens.
struct World {
    World() {
        identities.push_back(Identity::generate(*random));
        const Recipient recipients[] = {Identity::generate(*random).recipient(),
                                        identities[0].recipient()};
        envelope =
            lifeboat::crypto::seal_envelope(lifeboat::base::view("a secret"), recipients, *random);
    }

    std::unique_ptr<lifeboat::base::Random> random = lifeboat::base::seeded_random(1);
    std::vector<Identity> identities;
    Bytes envelope;
};

const World& world() {
    static const World instance;
    return instance;
}

void open_raw(BytesView bytes) {
    const auto secret = lifeboat::crypto::open_envelope(bytes, world().identities);
    LB_CHECK(!secret || secret->size() < bytes.size());
}

// Applies (two-byte place, byte) edits to the good envelope, which then opens iff they changed
// nothing.
void open_edited(BytesView edits) {
    Bytes bytes = world().envelope;
    for (; edits.size() >= 3; edits = edits.subspan(3)) {
        const std::size_t place = static_cast<std::size_t>(edits[0] << 8 | edits[1]);
        bytes[place % bytes.size()] = edits[2];
    }
    bytes.insert(bytes.end(), edits.begin(), edits.end());
    const auto secret = lifeboat::crypto::open_envelope(bytes, world().identities);
    LB_CHECK(secret.has_value() == (bytes == world().envelope));
}

// What reads must read back from its own text.
void parse_texts(BytesView bytes) {
    const std::string_view text = lifeboat::base::text(bytes);
    const auto recipient = Recipient::parse(text);
    LB_CHECK(!recipient || recipient->text() == text);
    const auto identity = Identity::parse(text);
    LB_CHECK(!identity || identity->text().reveal() == text);
    const auto signer = lifeboat::crypto::VerifyKey::parse(text);
    LB_CHECK(!signer || signer->text() == text);
    const auto file = lifeboat::crypto::parse_identity_file(text);
    LB_CHECK(!file || !file->identities.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const BytesView rest(bytes + 1, size - 1);
    switch (bytes[0] % 3) {
        case 0:
            open_raw(rest);
            break;
        case 1:
            open_edited(rest);
            break;
        default:
            parse_texts(rest);
    }
    return 0;
}

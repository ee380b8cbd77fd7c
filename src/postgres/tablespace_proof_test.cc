#include "postgres/tablespace_proof.h"

#include <gtest/gtest.h>

namespace lifeboat::postgres {
namespace {

const base::Timestamp kThen = base::from_unix_micros(1'769'176'800'000'000);
const base::Timestamp kLater = kThen + std::chrono::seconds(1);

TablespaceSights one(std::set<std::uint32_t> databases,
                     std::optional<base::Timestamp> modified = {}) {
    return {{16400, {std::move(databases), modified}}};
}

TEST(TablespaceProof, T9_NeedsWhatTheServerSees) {
    const struct {
        const char* what;
        TablespaceSights before, found, after;
        bool proven;
    } cases[] = {
        {"none", {}, {}, {}, true},
        {"the same", one({5, 7}), one({5, 7}), one({5, 7}), true},
        {"no files yet", one({}), one({}), one({}), true},
        {"not mounted", one({5}), {}, one({5}), false},
        {"not mounted, and no files yet", one({}), {}, one({}), false},
        {"empty here", one({5}), one({}), one({5}), false},
        {"another cluster's", one({5}), one({5, 8}), one({5}), false},
        {"a database came", one({5}), one({5}), one({5, 7}), true},
        {"a database came, and is seen", one({5}), one({5, 7}), one({5, 7}), true},
        {"a database went", one({5, 7}), one({5}), one({5}), true},
        {"the tablespace came", {}, one({5}), one({5}), true},
        {"the tablespace went", one({5}), {}, {}, true},
        {"a link that the server has forgotten", {}, one({5}), {}, true},
        {"of the same age", one({5}, kThen), one({5}, kThen), one({5}, kThen), true},
        {"a clone", one({5}, kThen), one({5}, kLater), one({5}, kThen), false},
        {"changed meanwhile", one({5}, kThen), one({5}, kThen), one({5}, kLater), true},
        {"of unknown age", one({5}), one({5}, kLater), one({5}), true},
    };

    for (const auto& c : cases) {
        EXPECT_EQ(compare_tablespaces(c.before, c.found, c.after).empty(), c.proven) << c.what;
    }
}

}  // namespace
}  // namespace lifeboat::postgres

// lifeboat.yaml from hostile text: never crashes, never grows beyond its input, and whatever is
// accepted is rendered to a file that is accepted again and means the same.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lifeboat;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto config = config::parse_config(text, "/etc/lifeboat/lifeboat.yaml");
    if (!config.has_value()) {
        // P10: whatever is wrong with the text, a private key in it is not repeated.
        LB_CHECK(config.error().message().find("AGE-SECRET-KEY-1") == std::string::npos);
        return 0;
    }
    const auto again =
        config::parse_config(config::render_config(*config), "/etc/lifeboat/lifeboat.yaml");
    LB_CHECK(again.has_value());
    LB_CHECK(*again == *config);
    return 0;
}

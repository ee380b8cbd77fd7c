#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace lifeboat::config {

// The one of `known` that was probably meant by `written`: at most a third of its letters differ
// (a swap of two neighbours counts as one). Nothing when none is that close. Borrows from
// `known`.
std::optional<std::string_view> nearest(std::string_view written,
                                        std::span<const std::string_view> known);

}  // namespace lifeboat::config

#pragma once

#include <string_view>
#include <vector>

#include "engine/data_engine.h"
#include "repo/repository.h"

namespace lifeboat::postgres {

// The moments that can be recovered, oldest first: each from the end of a backup as far as WAL
// follows without a hole, along the newest timeline that goes on from it; then what lies on
// timelines that were left. From manifests, names and one label each: a host secret is enough, no
// identity is needed. Empty when there is no backup.
base::Result<std::vector<engine::Window>> recovery_windows(std::string_view system,
                                                           repo::Repository& repository,
                                                           repo::ReaderKeys& keys);

// True when the window holds the position, "0/3000028 on timeline 2". Pure.
bool window_reaches(const engine::Window& window, const std::string& position);

}  // namespace lifeboat::postgres

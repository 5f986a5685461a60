// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace berth::servers {

/// Kills the process with SIGKILL if BERTH_FAILPOINT names this step (design section 8), the N-th
/// time with "name:N". Compiled in by the preset `dev` only; elsewhere it does nothing.
void failpoint(std::string_view step);

}  // namespace berth::servers

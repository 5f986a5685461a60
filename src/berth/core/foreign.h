// SPDX-License-Identifier: Apache-2.0
// Memory that others than Berth's servers hold.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "berth/core/state.h"

namespace berth::core {

/// Returns the pool whose foreign use, if it were not there, would leave a plan for a waiting job
/// of `newcomer`; nothing: it is not that.
std::optional<PoolSample> foreign_in_the_way(const State& state, ServerId newcomer, Instant now);

/// Returns who else holds memory of the pool in the newest sample, the largest first, at most
/// `count_max`.
std::vector<Holder> others_in(const State& state, PoolId pool, std::size_t count_max = 3);

/// Returns who uses how much for a person: "3.1 GiB of pool \"ram\" are used by others (python3,
/// pid 4711, 2.9 GiB)".
std::string foreign_text(const State& state, PoolId pool);

}  // namespace berth::core

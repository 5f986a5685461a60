// SPDX-License-Identifier: Apache-2.0
// The pools by which a second rule is planned (ADR 0009).
#pragma once

#include <optional>

#include "berth/core/events.h"
#include "berth/core/types.h"

namespace berth::host {

/// Adds each pool a second time, all of which may be used, with the same bytes in it.
void append_second_pools(core::Config& config);

/// Returns the second one of a pool; nothing: it has none.
std::optional<PoolId> second_of(PoolId pool, const core::Config& config);

/// Returns the footprint with the same bytes in the second pools.
core::Footprint in_second_pools(core::Footprint bytes, const core::Config& config);

/// Adds what the second pools hold to a sample of the first ones.
void add_second_pools(core::Measured& sample, const core::Config& config);

}  // namespace berth::host

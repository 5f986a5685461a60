// SPDX-License-Identifier: Apache-2.0
// What several checks ask of a state. Private.
#pragma once

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include "berth/core/state.h"

namespace berth::sim {

/// wanted on first; then LLM, image, video, the rest; then the order of the configuration.
inline auto home(const core::State& state, ServerId id) {
  constexpr std::array<int, 4> kGroup = {2, 1, 0, 3};  // video, image, chat, batch
  const core::Server& server = state.server(id);
  return std::tuple(server.wanted != core::Wanted::on,
                    kGroup[static_cast<std::size_t>(server.config.job_class)], id);
}

inline bool has(const std::vector<ServerId>& list, ServerId id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

inline bool over_limit(const core::State& state, PoolId pool, Bytes sum) {
  const core::PoolConfig& config = state.config.pools[pool.value];
  const core::Policy& policy = state.config.policy;
  __extension__ using Wide = __int128;
  return (Wide{sum.count} + config.reserve.count) * policy.limit_denominator >
         Wide{config.capacity.count} * policy.limit_numerator;
}

}  // namespace berth::sim

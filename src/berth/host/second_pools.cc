// SPDX-License-Identifier: Apache-2.0
#include "berth/host/second_pools.h"

#include <utility>
#include <vector>

namespace berth::host {

void append_second_pools(core::Config& config) {
  const std::size_t first = config.pools.size();
  for (std::uint32_t i = 0; i < first; ++i) {
    core::PoolConfig second = config.pools[i];
    second.name += " (measured)";
    second.again = PoolId{i};
    second.limit = core::Limit{1, 1};
    config.pools.push_back(std::move(second));
  }
  for (core::ServerConfig& server : config.servers)
    server.footprint = in_second_pools(std::move(server.footprint), config);
}

std::optional<PoolId> second_of(PoolId pool, const core::Config& config) {
  for (std::uint32_t i = pool.value; i < config.pools.size(); ++i) {
    if (config.pools[i].again == pool) return PoolId{i};
  }
  return std::nullopt;
}

core::Footprint in_second_pools(core::Footprint bytes, const core::Config& config) {
  const std::vector<core::PoolShare> first = bytes.shares;
  for (const core::PoolShare& share : first) {
    const auto second = second_of(share.pool, config);
    if (second) bytes.shares.push_back({*second, share.bytes});
  }
  return bytes;
}

void add_second_pools(core::Measured& sample, const core::Config& config) {
  for (std::uint32_t i = 0; i < config.pools.size(); ++i) {
    if (!config.pools[i].again) continue;
    core::PoolSample second = sample.pools.at(config.pools[i].again->value);
    second.pool = PoolId{i};
    sample.pools.push_back(second);
  }
  for (core::Holder& holder : sample.holders)
    holder.bytes = in_second_pools(std::move(holder.bytes), config);
}

}  // namespace berth::host

// SPDX-License-Identifier: Apache-2.0
#include "berth/host/freed_footprints.h"

#include <algorithm>
#include <string>
#include <variant>

#include "berth/host/known_footprints.h"

namespace berth::host {
namespace {

/// An sd-server between pictures without weights takes 54 MiB (97d2990 on Debian 12, SD 1.5 shape,
/// CPU, as servers/sd_server.cc runs it); the rest is for what larger pictures leave.
constexpr Bytes kSdWithoutWeights = 96_MiB;

bool gives_weights_back(const config::ServerOptions& server) {
  const auto* sd = std::get_if<config::SdOptions>(&server.kind);
  return sd != nullptr && sd->weights_on_demand;
}

/// A GPU's context stays with the process: it is there before the first weights are.
Bytes kept_in(const std::string& pool, const std::string& key,
              const std::vector<store::FootprintRow>& rows) {
  Bytes most = kSdWithoutWeights;
  for (const store::FootprintRow& row : rows) {
    const bool its = row.key == key && row.pool == pool && row.stage == store::Stage::load;
    if (its) most = std::max(most, Bytes{row.bytes});
  }
  return most;
}

}  // namespace

void plan_freed(core::Config& complete, const config::Config& config,
                const std::vector<store::FootprintRow>& rows) {
  for (std::size_t i = 0; i < config.servers.size(); ++i) {
    if (!gives_weights_back(config.servers[i])) continue;
    const std::string key = footprint_key(config.servers[i]);
    core::ServerConfig& server = complete.servers[i];
    server.freed = server.footprint;
    for (core::PoolShare& share : server.freed->shares) {
      const core::PoolConfig& pool = complete.pools[share.pool.value];
      const std::string& name = pool.again ? complete.pools[pool.again->value].name : pool.name;
      share.bytes = std::min(share.bytes, kept_in(name, key, rows));
    }
  }
}

}  // namespace berth::host

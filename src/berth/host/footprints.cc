// SPDX-License-Identifier: Apache-2.0
#include "berth/host/footprints.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <variant>

#include <fmt/format.h>

#include "berth/host/header_footprint.h"
#include "berth/servers/saved_slots.h"

namespace berth::host {
namespace {

/// A file that is not there, or a program that PATH finds, stands by its name.
std::string identity_of(const std::string& path) {
  return servers::file_identity(path).value_or(path);
}

template <class Value>
std::string text(const std::optional<Value>& value) {
  return value ? fmt::format("{}", *value) : "-";
}

std::string arguments_of(const config::LlamaOptions& o) {
  return fmt::format("llama-server {} {} c={} np={} ngl={} b={} fa={} k={} v={} cram={} {}",
                     identity_of(o.binary.value_or("llama-server")), identity_of(o.model),
                     o.context, o.parallel, text(o.gpu_layers), text(o.batch_size),
                     text(o.flash_attention), text(o.cache_type_k), text(o.cache_type_v),
                     o.cache_ram.count, fmt::join(o.extra_args, " "));
}

std::string arguments_of(const config::SdOptions& o) {
  return fmt::format("sd-server {} {} {}", identity_of(o.binary.value_or("sd-server")),
                     identity_of(o.model), fmt::join(o.extra_args, " "));
}

std::optional<PoolId> second_of(PoolId pool, const core::Config& config) {
  for (std::uint32_t i = pool.value; i < config.pools.size(); ++i) {
    if (config.pools[i].again == pool) return PoolId{i};
  }
  return std::nullopt;
}

}  // namespace

std::string footprint_key(const config::ServerOptions& server) {
  return std::visit([](const auto& options) { return arguments_of(options); }, server.kind);
}

void add_second_pools(core::Config& complete, const std::vector<config::ServerOptions>& servers,
                      const std::vector<store::FootprintRow>& measured) {
  const std::size_t first = complete.pools.size();
  const bool has_device =
      std::any_of(complete.pools.begin(), complete.pools.end(),
                  [](const core::PoolConfig& pool) { return pool.kind == core::PoolKind::device; });
  for (std::uint32_t i = 0; i < first; ++i) {
    core::PoolConfig second = complete.pools[i];
    second.name += " (measured)";
    second.again = PoolId{i};
    second.limit = core::Limit{1, 1};
    complete.pools.push_back(std::move(second));
  }
  for (std::size_t i = 0; i < complete.servers.size(); ++i) {
    core::ServerConfig& server = complete.servers[i];
    server.footprint = in_second_pools(server.footprint, complete);
    const std::string key = footprint_key(servers[i]);
    const auto header = header_estimate(servers[i], has_device);
    for (core::PoolShare& share : server.footprint.shares) {
      const std::optional<PoolId> again = complete.pools[share.pool.value].again;
      if (!again) continue;
      const auto known = std::find_if(measured.begin(), measured.end(), [&](const auto& row) {
        return row.key == key && row.pool == complete.pools[again->value].name;
      });
      if (known != measured.end()) {
        share.bytes = Bytes{known->bytes};
      } else if (header) {
        share.bytes = share_of(*header, complete.pools[share.pool.value].kind);
      }
    }
  }
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

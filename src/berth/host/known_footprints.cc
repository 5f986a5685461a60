// SPDX-License-Identifier: Apache-2.0
#include "berth/host/known_footprints.h"

#include <sys/stat.h>

#include <algorithm>
#include <variant>

#include <fmt/format.h>

#include "berth/host/header_footprint.h"
#include "berth/host/second_pools.h"
#include "berth/servers/saved_slots.h"

namespace berth::host {
namespace {

using Rows = std::vector<store::FootprintRow>;

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
  return fmt::format("sd-server {} {} {}{}", identity_of(o.binary.value_or("sd-server")),
                     identity_of(o.model), o.weights_on_demand ? "weights=on_demand " : "",
                     fmt::join(o.extra_args, " "));
}

bool is_device(const core::PoolConfig& pool) {
  return pool.kind == core::PoolKind::device;
}

void set_share(core::Footprint& footprint, PoolId pool, Bytes bytes) {
  auto at = std::find_if(footprint.shares.begin(), footprint.shares.end(),
                         [&](const core::PoolShare& share) { return share.pool >= pool; });
  if (at == footprint.shares.end() || at->pool != pool)
    at = footprint.shares.insert(at, {pool, {}});
  at->bytes = bytes;
}

std::optional<PoolId> memory_of(const core::Config& config) {
  for (std::uint32_t i = 0; i < config.pools.size(); ++i) {
    if (!is_device(config.pools[i])) return PoolId{i};
  }
  return std::nullopt;
}

/// By the header a server takes memory of its GPU and of the machine.
void plan_by_header(core::Config& complete, core::ServerConfig& server,
                    const core::HeaderEstimate& header) {
  const bool on_device = std::any_of(
      server.footprint.shares.begin(), server.footprint.shares.end(),
      [&](const core::PoolShare& share) { return is_device(complete.pools[share.pool.value]); });
  for (core::PoolShare& share : server.footprint.shares)
    share.bytes = share_of(header, complete.pools[share.pool.value].kind);
  const std::optional<PoolId> memory = memory_of(complete);
  if (on_device && memory) set_share(server.footprint, *memory, header.host.total());
  server.source = core::FootprintSource::header;
}

/// The header of a server, if it is to be believed.
std::optional<core::HeaderEstimate> header_of(const core::Config& complete,
                                              const config::ServerOptions& options,
                                              const DryRuns& dry_runs) {
  const bool has_device = std::any_of(complete.pools.begin(), complete.pools.end(), is_device);
  const auto told = header_estimate(options, has_device);
  const auto dry_run = dry_runs.find(footprint_key(options));
  if (dry_run == dry_runs.end() || options.memory_declared) return told;
  if (told) return core::with_dry_run(*told, dry_run->second);
  core::HeaderEstimate all = core::with_dry_run(core::Unknowable::shape, dry_run->second);
  all.host.process += std::get<config::LlamaOptions>(options.kind).cache_ram;
  return all;
}

void plan_by_best(core::Config& complete, const config::Config& config, const Rows& rows,
                  const DryRuns& dry_runs) {
  for (std::size_t i = 0; i < complete.servers.size(); ++i) {
    core::ServerConfig& server = complete.servers[i];
    if (const auto header = header_of(complete, config.servers[i], dry_runs)) {
      plan_by_header(complete, server, *header);
    }
    const std::string key = footprint_key(config.servers[i]);
    for (std::uint32_t pool = 0; pool < complete.pools.size(); ++pool) {
      const auto measured = most_measured(rows, key, complete.pools[pool].name);
      if (!measured) continue;
      set_share(server.footprint, PoolId{pool}, *measured);
      server.source = core::FootprintSource::learned;
    }
  }
}

void plan_by_seed(core::Config& complete, const config::Config& config, const Rows& rows,
                  const DryRuns& dry_runs) {
  const std::size_t first = complete.pools.size();
  append_second_pools(complete);
  for (std::size_t i = 0; i < complete.servers.size(); ++i) {
    core::Footprint& footprint = complete.servers[i].footprint;
    const auto header = header_of(complete, config.servers[i], dry_runs);
    const std::string key = footprint_key(config.servers[i]);
    for (core::PoolShare& share : footprint.shares) {
      if (share.pool.value < first) continue;
      const core::PoolConfig& pool = complete.pools[share.pool.value];
      const std::string& name = complete.pools[pool.again->value].name;
      if (const auto measured = most_measured(rows, key, name)) {
        share.bytes = *measured;
      } else if (header) {
        share.bytes = share_of(*header, pool.kind);
      }
    }
  }
}

}  // namespace

std::string footprint_key(const config::ServerOptions& server) {
  return std::visit([](const auto& options) { return arguments_of(options); }, server.kind);
}

std::string model_file(const config::ServerOptions& server) {
  const std::string path =
      std::visit([](const auto& options) { return options.model; }, server.kind);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "";
  return fmt::format("{} {} {} {}.{:09}", info.st_dev, info.st_ino, info.st_size,
                     info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

std::optional<Bytes> most_measured(const Rows& rows, const std::string& key,
                                   const std::string& pool) {
  std::optional<Bytes> most;
  for (const store::FootprintRow& row : rows) {
    const bool measured = row.stage != store::Stage::raised;
    if (row.key != key || row.pool != pool || !measured) continue;
    most = std::max(most.value_or(Bytes{}), Bytes{row.bytes});
  }
  return most;
}

void plan_by_preset(core::Config& complete, const config::Config& config, const Rows& rows,
                    const DryRuns& dry_runs) {
  if (config.preset == config::Preset::measured) {
    plan_by_best(complete, config, rows, dry_runs);
  } else {
    plan_by_seed(complete, config, rows, dry_runs);
  }
  for (std::size_t i = 0; i < complete.servers.size(); ++i) {
    core::ServerConfig& server = complete.servers[i];
    const std::string key = footprint_key(config.servers[i]);
    for (core::PoolShare& share : server.footprint.shares) {
      for (const store::FootprintRow& row : rows) {
        const bool raised = row.stage == store::Stage::raised && row.key == key &&
                            row.pool == complete.pools[share.pool.value].name;
        if (!raised || row.bytes <= share.bytes.count) continue;
        share.bytes = Bytes{row.bytes};
        server.source = core::FootprintSource::learned;
      }
    }
  }
}

std::optional<PoolId> learning_pool(const core::Config& config, PoolId pool) {
  const bool has_second =
      std::any_of(config.pools.begin(), config.pools.end(),
                  [](const core::PoolConfig& each) { return each.again.has_value(); });
  if (!has_second) return pool;
  return second_of(pool, config);
}

}  // namespace berth::host

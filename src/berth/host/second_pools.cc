// SPDX-License-Identifier: Apache-2.0
#include "berth/host/second_pools.h"

#include <algorithm>
#include <optional>
#include <variant>

#include <fmt/format.h>

#include "berth/host/header_footprint.h"
#include "berth/host/host_impl.h"
#include "berth/probe/memory.h"
#include "berth/servers/saved_slots.h"

namespace berth::host {
namespace {

/// Runs of one server differ by so much; less is no news.
constexpr Bytes kSmall = 1_MiB;

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

// ---- What is learned ----------------------------------------------------------------------------

void HostImpl::note_peaks(const core::Measured& sample) {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    core::Footprint held;
    for (std::uint32_t pool = 0; pool < sample.pools.size(); ++pool) {
      Bytes sum = {};
      for (const core::Holder& holder : sample.holders) {
        const bool its = holder.server == ServerId{i} &&
                         holder.generation == state().server(ServerId{i}).generation;
        if (its) sum += holder.bytes.in(PoolId{pool});
      }
      held.shares.push_back({PoolId{pool}, std::max(sum, slots_[i]->peak.in(PoolId{pool}))});
    }
    slots_[i]->peak = std::move(held);
  }
}

/// What it held at most, before it is stopped: of a process the kernel knows it exactly, of a GPU
/// samples must do. Nothing: it has served nobody, or nothing new was learned.
std::optional<core::Footprint> HostImpl::learned(ServerId id) {
  Slot& slot = *slots_[id.value];
  if (!slot.has_served) return std::nullopt;
  const process::Process* process = slot.adapter->process();
  const auto peak = process != nullptr && process->running()
                        ? probe::read_peak(process->identity().pid)
                        : Result<Bytes>(Bytes{});
  const std::string key = footprint_key(config_.servers[id.value]);
  core::Footprint news;
  for (const core::PoolShare& share : core_config_.servers[id.value].footprint.shares) {
    const core::PoolConfig& pool = core_config_.pools[share.pool.value];
    if (!pool.again) continue;
    Bytes held = slot.peak.in(*pool.again);
    if (pool.kind != core::PoolKind::device) held = std::max(held, peak.value_or(Bytes{}));
    const std::string& name = core_config_.pools[pool.again->value].name;
    const auto row = std::find_if(footprints_.begin(), footprints_.end(), [&](const auto& each) {
      return each.key == key && each.pool == name;
    });
    const bool known = row != footprints_.end();
    if (held.count == 0 || (known && held.count <= row->bytes + kSmall.count)) continue;
    store::FootprintRow fresh{key, name, held.count, core_config_.servers[id.value].name};
    known ? * row = fresh : footprints_.emplace_back(fresh);
    store_->put(std::move(fresh), [](const Status&) {});
    news.shares.push_back({share.pool, held});
  }
  if (news.shares.empty()) return std::nullopt;
  return news;
}

}  // namespace berth::host

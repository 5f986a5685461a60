// SPDX-License-Identifier: Apache-2.0
#include "berth/plan/sources.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <variant>

#include <fmt/format.h>

#include "berth/host/known_footprints.h"
#include "berth/host/text.h"
#include "berth/host/world.h"
#include "berth/plan/amounts.h"
#include "berth/probe/gpu.h"
#include "berth/probe/machine.h"

namespace berth::plan {
namespace {

using core::PlanComponent;
using core::PlanPool;

bool is_gpu(std::string_view kind, std::string_view name) {
  return kind == "device" || name.find("vram") != std::string_view::npos;
}

/// A capacity that the file does not have is the machine's to know.
std::optional<Bytes> known(Bytes capacity) {
  return capacity.count > 0 ? std::optional(capacity) : std::nullopt;
}

std::optional<Bytes> size_of(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return std::nullopt;
  return Bytes{static_cast<std::int64_t>(size)};
}

/// What the formula of a server's footprint was made of.
struct Formula {
  std::string model;
  std::optional<core::LayerSplit> layers;
  Bytes cache_ram;

  explicit Formula(const config::LlamaOptions& llama)
      : model(llama.model),
        layers(core::LayerSplit{.on_gpu = llama.gpu_layers.value_or(0), .total = llama.layers}),
        cache_ram(llama.cache_ram) {}
  explicit Formula(const config::SdOptions& sd) : model(sd.model) {}
};

Formula formula_of(const config::ServerOptions& options) {
  return std::visit([](const auto& kind) { return Formula(kind); }, options.kind);
}

/// Says how the formula came to its number, or that it could not.
void explain_formula(const Formula& formula, PlanComponent& out) {
  const std::optional<Bytes> size = size_of(formula.model);
  if (!size) {
    out.notes.push_back(fmt::format("its model cannot be read: {}", formula.model));
    for (core::PlanShare& share : out.shares)
      share.bytes.reset();
    return;
  }
  const auto& layers = formula.layers;
  if (layers && layers->on_gpu > 0 && !layers->total) {
    out.notes.emplace_back("how many layers it has is not known: all are taken to be on the GPU");
  }
  if (formula.cache_ram.count > 0) {
    out.notes.push_back(
        fmt::format("its cache_ram of {} is counted, too", gigabytes(formula.cache_ram)));
    return;  // its numbers are no longer those of the formula alone
  }
  out.model_size = size;
  out.layers = layers;
}

PlanComponent component_of(const core::ServerConfig& server) {
  PlanComponent component{
      .name = server.name, .job_class = server.job_class, .wanted = server.wanted};
  for (const core::PoolShare& share : server.footprint.shares) {
    component.shares.push_back({share.pool, share.bytes, std::string(host::name(server.source))});
  }
  return component;
}

PlanPool pool_of(const client::PoolInfo& info, core::Policy policy) {
  PlanPool pool{.name = info.name,
                .is_gpu = is_gpu(info.kind, info.name),
                .capacity = known(info.capacity),
                .foreign = info.foreign.value_or(Bytes{}),
                .policy = policy};
  // What others take of it was not seen yet: then nobody knows what is left.
  if (!info.foreign && info.kind != "capped") pool.capacity.reset();
  if (info.limit.count <= 0 || info.capacity.count <= 0) return pool;
  // The limit as Berth tells it, exactly: limit / available x available.
  const Bytes available = info.capacity - pool.foreign;
  if (available.count <= 0) return pool;
  const std::int64_t divisor = std::gcd(info.limit.count, available.count);
  pool.policy.limit_numerator = info.limit.count / divisor;
  pool.policy.limit_denominator = available.count / divisor;
  return pool;
}

std::optional<core::ServerClass> class_of(const core::Config& config, const std::string& name) {
  for (const core::ServerConfig& server : config.servers)
    if (server.name == name) return server.job_class;
  return std::nullopt;
}

/// What the machine has of a pool, and what others take of it.
struct Memory {
  Bytes capacity;
  Bytes foreign;
};

std::optional<Memory> read_memory(const core::PoolConfig& pool, const std::string& device) {
  if (pool.kind == core::PoolKind::capped) return Memory{pool.capacity, Bytes{}};
  if (pool.kind == core::PoolKind::host) {
    const auto memory = probe::read_host_memory();
    if (!memory) return std::nullopt;
    return Memory{memory->total, memory->total - memory->available};
  }
  const auto driver = probe::Nvml::load(probe::Nvml::default_path());
  const auto gpus = driver ? driver->read() : fail(driver.error());
  for (std::size_t i = 0; gpus && i < gpus->size(); ++i) {
    const probe::Gpu& gpu = (*gpus)[i];
    if (gpu.uuid == device || std::to_string(i) == device) return Memory{gpu.total, gpu.used};
  }
  return std::nullopt;
}

std::vector<core::PlanShare> shares_of(const std::vector<std::pair<std::string, Bytes>>& bytes,
                                       const std::vector<PlanPool>& pools,
                                       const std::string& source) {
  std::vector<core::PlanShare> shares;
  for (const auto& [name, share] : bytes) {
    for (std::uint32_t i = 0; i < pools.size(); ++i)
      if (pools[i].name == name) shares.push_back({PoolId{i}, share, source});
  }
  return shares;
}

PlanComponent component_of(const client::ServerInfo& server, const std::vector<PlanPool>& pools) {
  PlanComponent component{.name = server.name};
  component.job_class =
      server.kind == "llama-server" ? core::ServerClass::chat : core::ServerClass::image;
  component.wanted = host::from_name<core::Wanted>(server.wanted).value_or(core::Wanted::on_demand);
  if (component.wanted == core::Wanted::off) component.presence = core::Presence::not_running;
  component.shares = shares_of(server.footprint_shares, pools, server.footprint_source);
  return component;
}

PlanComponent component_of(const client::LeaseInfo& lease, const std::vector<PlanPool>& pools) {
  PlanComponent component{.name = "lease of " + lease.holder,
                          .job_class = core::ServerClass::batch};
  component.shares = shares_of(lease.bytes, pools, "lease");
  return component;
}

}  // namespace

PlanSource plan_of_config(const config::Config& config) {
  PlanSource source{.name = "the servers of " + config.file, .question = {}};
  config::Config here = config;
  for (std::size_t i = 0; i < here.core.pools.size(); ++i) {
    core::PoolConfig& pool = here.core.pools[i];
    const std::optional<Memory> memory = read_memory(pool, config.pools[i].device);
    if (memory) pool.capacity = memory->capacity;
    source.question.pools.push_back({.name = pool.name,
                                     .is_gpu = is_gpu(host::name(pool.kind), pool.name),
                                     .capacity = known(pool.capacity),
                                     .reserve = pool.reserve,
                                     .foreign = memory ? memory->foreign : Bytes{},
                                     .policy = here.core.policy});
  }
  core::Config complete = host::complete_config(here);
  if (config.preset == config::Preset::measured) host::plan_by_preset(complete, here, {});
  for (std::size_t i = 0; i < complete.servers.size(); ++i) {
    PlanComponent component = component_of(complete.servers[i]);
    if (complete.servers[i].source == core::FootprintSource::formula) {
      explain_formula(formula_of(config.servers[i]), component);
    }
    source.question.components.push_back(std::move(component));
  }
  return source;
}

PlanSource plan_of_daemon(const client::DaemonStatus& status,
                          const std::optional<config::Config>& config) {
  PlanSource source{.name = "the servers of the Berth that runs at " + status.address,
                    .question = {}};
  const core::Policy policy = config ? config->core.policy : core::Policy{};
  std::vector<PlanPool>& pools = source.question.pools;
  for (const client::PoolInfo& pool : status.pools)
    pools.push_back(pool_of(pool, policy));
  for (const client::ServerInfo& server : status.servers) {
    PlanComponent component = component_of(server, pools);
    if (const auto known_class = config ? class_of(config->core, server.name) : std::nullopt) {
      component.job_class = *known_class;
    }
    source.question.components.push_back(std::move(component));
  }
  for (const client::LeaseInfo& lease : status.leases) {
    if (lease.kind == "lease" && lease.state != "waiting") {
      source.question.components.push_back(component_of(lease, pools));
    }
  }
  return source;
}

}  // namespace berth::plan

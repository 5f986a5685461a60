// SPDX-License-Identifier: Apache-2.0
#include "plan_sources.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <variant>

#include <fmt/format.h>

#include "berth/host/text.h"
#include "berth/host/world.h"
#include "plan_amounts.h"

namespace berth::cli {
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
                .policy = policy};
  if (info.limit.count <= 0 || info.capacity.count <= 0) return pool;
  // The limit as Berth tells it, exactly: limit / available x available.
  const std::int64_t divisor = std::gcd(info.limit.count, info.capacity.count);
  pool.policy.limit_numerator = info.limit.count / divisor;
  pool.policy.limit_denominator = info.capacity.count / divisor;
  return pool;
}

const core::ServerConfig* find_server(const std::optional<core::Config>& config,
                                      const std::string& name) {
  if (!config) return nullptr;
  const auto found =
      std::find_if(config->servers.begin(), config->servers.end(),
                   [&](const core::ServerConfig& server) { return server.name == name; });
  return found == config->servers.end() ? nullptr : &*found;
}

/// The split over the pools that the configuration gives, if its sum is what Berth tells and its
/// pools are Berth's.
std::vector<core::PlanShare> split_by_config(const client::ServerInfo& server,
                                             const core::ServerConfig* known_as,
                                             const std::vector<PlanPool>& pools) {
  std::vector<core::PlanShare> shares;
  Bytes sum;
  if (known_as == nullptr) return shares;
  for (const core::PoolShare& share : known_as->footprint.shares) {
    if (share.pool.value >= pools.size()) return {};
    shares.push_back({share.pool, share.bytes, server.footprint_source});
    sum += share.bytes;
  }
  if (sum != server.footprint) shares.clear();
  return shares;
}

PlanComponent component_of(const client::ServerInfo& server, const core::ServerConfig* known_as,
                           const std::vector<PlanPool>& pools) {
  PlanComponent component{.name = server.name};
  component.job_class =
      server.kind == "llama-server" ? core::ServerClass::chat : core::ServerClass::image;
  if (known_as != nullptr) component.job_class = known_as->job_class;
  component.wanted = host::from_name<core::Wanted>(server.wanted).value_or(core::Wanted::on_demand);
  if (component.wanted == core::Wanted::off) component.presence = core::Presence::not_running;
  if (pools.size() == 1) {
    component.shares = {{PoolId{0}, server.footprint, server.footprint_source}};
    return component;
  }
  component.shares = split_by_config(server, known_as, pools);
  if (!component.shares.empty()) return component;
  component.notes.push_back(
      fmt::format("in which pools its {} lie is not known", gigabytes(server.footprint)));
  for (std::uint32_t i = 0; i < pools.size(); ++i)
    component.shares.push_back({PoolId{i}, std::nullopt, server.footprint_source});
  return component;
}

PlanComponent component_of(const client::LeaseInfo& lease, const std::vector<PlanPool>& pools) {
  PlanComponent component{.name = "lease of " + lease.holder,
                          .job_class = core::ServerClass::batch};
  for (const auto& [name, bytes] : lease.bytes) {
    for (std::uint32_t i = 0; i < pools.size(); ++i)
      if (pools[i].name == name) component.shares.push_back({PoolId{i}, bytes, "lease"});
  }
  return component;
}

}  // namespace

PlanSource plan_of_config(const config::Config& config) {
  PlanSource source{.name = "the servers of " + config.file, .question = {}};
  const core::Config complete = host::complete_config(config);
  for (const core::PoolConfig& pool : complete.pools) {
    source.question.pools.push_back({.name = pool.name,
                                     .is_gpu = is_gpu(host::name(pool.kind), pool.name),
                                     .capacity = known(pool.capacity),
                                     .reserve = pool.reserve,
                                     .policy = complete.policy});
  }
  for (std::size_t i = 0; i < complete.servers.size(); ++i) {
    PlanComponent component = component_of(complete.servers[i]);
    if (!config.servers[i].memory_declared) {
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
  std::optional<core::Config> complete;
  if (config) complete = host::complete_config(*config);
  const core::Policy policy = complete ? complete->policy : core::Policy{};
  std::vector<PlanPool>& pools = source.question.pools;
  for (const client::PoolInfo& pool : status.pools)
    pools.push_back(pool_of(pool, policy));
  for (const client::ServerInfo& server : status.servers) {
    source.question.components.push_back(
        component_of(server, find_server(complete, server.name), pools));
  }
  for (const client::LeaseInfo& lease : status.leases) {
    if (lease.kind == "lease" && lease.state != "waiting") {
      source.question.components.push_back(component_of(lease, pools));
    }
  }
  return source;
}

}  // namespace berth::cli

// SPDX-License-Identifier: Apache-2.0
#include "berth/host/world.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>
#include <variant>

#include "berth/core/estimate.h"
#include "berth/host/text.h"
#include "berth/models/model.h"

namespace berth::host {
namespace {

struct SeedEstimate {
  Bytes capacity;

  static std::optional<Bytes> size_of(const std::string& path) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error) return std::nullopt;
    return Bytes{static_cast<std::int64_t>(size)};
  }

  /// As the configuration says, else the model's header; a header that cannot be read says nothing,
  /// and then all layers count as on the GPU.
  static std::optional<std::int64_t> layers_of(const config::LlamaOptions& options) {
    if (options.layers) return options.layers;
    const Result<models::Model> model = models::read_model(options.model);
    return model ? model->layers : std::nullopt;
  }

  Bytes operator()(const config::LlamaOptions& options) const {
    const auto size = size_of(options.model);
    if (!size) return capacity;
    const bool on_gpu = options.gpu_layers.value_or(0) != 0;
    const core::LayerSplit layers{.on_gpu = options.gpu_layers.value_or(0),
                                  .total = on_gpu ? layers_of(options) : std::nullopt};
    const Bytes model =
        on_gpu ? core::seed_gpu_footprint(*size, layers) : core::seed_footprint(*size);
    return model + options.cache_ram;
  }

  Bytes operator()(const config::SdOptions& options) const {
    const auto size = size_of(options.model);
    return size ? core::seed_footprint(*size) : capacity;
  }
};

/// The seed counts one pool: the GPU's memory where there is one and the server uses it, else the
/// machine's.
PoolId pool_of(const config::ServerOptions& server, const std::vector<core::PoolConfig>& pools) {
  const auto* llama = std::get_if<config::LlamaOptions>(&server.kind);
  const bool on_cpu = llama != nullptr && llama->gpu_layers == 0;
  const auto first = [&](bool device) {
    return std::find_if(pools.begin(), pools.end(), [&](const core::PoolConfig& pool) {
      return (pool.kind == core::PoolKind::device) == device;
    });
  };
  auto found = first(!on_cpu);
  if (found == pools.end()) found = first(on_cpu);
  return PoolId{static_cast<std::uint32_t>(found - pools.begin())};
}

}  // namespace

core::Config complete_config(const config::Config& config) {
  core::Config complete = config.core;
  for (std::size_t i = 0; i < complete.servers.size(); ++i) {
    if (config.servers[i].memory_declared) continue;
    const PoolId pool = pool_of(config.servers[i], complete.pools);
    const Bytes capacity = complete.pools[pool.value].capacity;
    const Bytes bytes = std::visit(SeedEstimate{capacity}, config.servers[i].kind);
    complete.servers[i].footprint.shares = {{pool, bytes}};
    complete.servers[i].source = core::FootprintSource::formula;
  }
  return complete;
}

Journal::Stamp stamp_now() {
  const auto monotonic = std::chrono::steady_clock::now().time_since_epoch();
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  return {Instant{std::chrono::duration_cast<Duration>(monotonic)},
          WallTime{std::chrono::duration_cast<std::chrono::milliseconds>(wall).count()}};
}

core::Row to_core(const store::ServerRow& row, const core::Config& config, Journal::Stamp now) {
  const ServerId id = find_server(config, row.name).value_or(ServerId{0});
  core::Row out{.server = id,
                .wanted = row.wanted,
                .generation = Generation{row.generation},
                .displaced = std::nullopt,
                .skip_next_restore = row.skip_next_restore};
  if (row.displaced) {
    const auto ago = std::chrono::milliseconds(now.wall.unix_ms - row.displaced->since_unix_ms);
    const bool by_place = row.displaced->by == kPlaceName;
    const ServerId by = find_server(config, row.displaced->by).value_or(id);
    out.displaced = core::Displacement{.since = now.at - ago,
                                       .by = by_place ? core::kNoServer : by,
                                       .after = row.displaced->after};
  }
  return out;
}

store::ServerRow to_store(const core::Row& row, const core::Config& config, std::string launch_spec,
                          Journal::Stamp now) {
  store::ServerRow out;
  out.name = config.servers.at(row.server.value).name;
  out.wanted = row.wanted;
  out.generation = row.generation.value;
  out.skip_next_restore = row.skip_next_restore;
  out.launch_spec = std::move(launch_spec);
  if (row.displaced) {
    const std::uint32_t by = row.displaced->by.value;
    out.displaced = store::ServerRow::Displaced{
        .since_unix_ms = now.wall.unix_ms - milliseconds(now.at - row.displaced->since),
        .by = by < config.servers.size() ? config.servers[by].name : std::string(kPlaceName),
        .after = row.displaced->after};
  }
  return out;
}

std::optional<ServerId> find_server(const core::Config& config, std::string_view name) {
  for (std::uint32_t i = 0; i < config.servers.size(); ++i) {
    if (config.servers[i].name == name) return ServerId{i};
  }
  return std::nullopt;
}

}  // namespace berth::host

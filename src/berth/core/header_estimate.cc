// SPDX-License-Identifier: Apache-2.0
#include "berth/core/header_estimate.h"

#include <algorithm>
#include <array>

#include "berth/base/assert.h"

namespace berth::core {
namespace {

__extension__ using Wide = __int128;

struct Cell {
  std::string_view name;
  CellType type;
  std::int64_t bytes;     ///< of a block
  std::int64_t elements;  ///< of a block
};

// Source: the blocks of ggml/src/ggml-common.h.
constexpr auto kCells = std::to_array<Cell>({{"f32", CellType::f32, 4, 1},
                                             {"f16", CellType::f16, 2, 1},
                                             {"bf16", CellType::bf16, 2, 1},
                                             {"q8_0", CellType::q8_0, 34, 32},
                                             {"q5_1", CellType::q5_1, 24, 32},
                                             {"q5_0", CellType::q5_0, 22, 32},
                                             {"q4_1", CellType::q4_1, 20, 32},
                                             {"q4_0", CellType::q4_0, 18, 32},
                                             {"iq4_nl", CellType::iq4_nl, 18, 32}});

/// llama.cpp's default micro-batch (-ub): tokens that go through the graph together.
constexpr std::int64_t kMicroBatch = 512;
/// Caches are as long as the next multiple of this.
constexpr std::int64_t kCellStep = 256;
/// Numbers of a header that are larger than this are damage; below it no sum here overflows.
constexpr std::int64_t kNumberMax = std::int64_t{1} << 32;
constexpr std::size_t kLayersMax = 10'000;
constexpr std::int64_t kFloat = 4;

/// What one llama-server takes beyond weights, cache and graph: 32 MiB of its own, whatever the
/// model, and libraries. Of those 12 MiB were in memory where this was measured (llama.cpp b10434,
/// x86-64, 2026-11), and up to 60 where all of its Vulkan library was: then this is 44 MiB short.
constexpr Bytes kProcess = 48_MiB;
/// What a driver's context takes on a device: 120 to 550 MB are reported for CUDA; the middle.
constexpr Bytes kDeviceContext = 300_MiB;

const Cell& cell(CellType type) {
  const auto found = std::find_if(kCells.begin(), kCells.end(),
                                  [&](const Cell& known) { return known.type == type; });
  BERTH_ASSERT(found != kCells.end());
  return *found;
}

/// Bytes of one row: a block that is begun counts in full.
Wide row_bytes(CellType type, std::int64_t elements) {
  const Cell& known = cell(type);
  return Wide{(elements + known.elements - 1) / known.elements} * known.bytes;
}

/// Far more than any memory, and small enough to be added up.
Bytes bounded(Wide bytes) {
  return {static_cast<std::int64_t>(std::min<Wide>(bytes, std::int64_t{1} << 48))};
}

std::int64_t stepped(std::int64_t cells) {
  return (cells + kCellStep - 1) / kCellStep * kCellStep;
}

/// Cells of one layer over all slots. Each slot has its own part of the context.
std::int64_t cells(const LayerFacts& layer, const ModelFacts& model, const LaunchFacts& launch) {
  std::int64_t of_slot = (launch.context + launch.parallel - 1) / launch.parallel;
  if (layer.is_windowed && model.window) {
    of_slot = std::min(of_slot, *model.window + kMicroBatch);
  }
  return stepped(of_slot) * launch.parallel;
}

Bytes cache_bytes(const LayerFacts& layer, const ModelFacts& model, const LaunchFacts& launch) {
  const Wide row = row_bytes(launch.key_type, layer.key_elements) +
                   row_bytes(launch.value_type, layer.value_elements);
  return bounded(row * cells(layer, model, launch));
}

/// Bytes of a graph's buffers on one side: activations of a whole micro-batch, the mask of one
/// slot's cells, and without flash attention the scores of every head.
///
/// 3 x feed_forward + 4 x embedding floats a token are what llama.cpp b10434 reserves for models of
/// the llama kind, to 0.1 MiB; other architectures have wider graphs and take less than twice that.
Bytes compute_bytes(const ModelFacts& model, const LaunchFacts& launch) {
  const std::int64_t slot = stepped((launch.context + launch.parallel - 1) / launch.parallel);
  const std::int64_t batch = std::min(kMicroBatch, slot);
  const Wide activations =
      Wide{batch} * kFloat * (3 * Wide{model.feed_forward} + 4 * Wide{model.embedding});
  const Wide mask = Wide{batch} * slot * (launch.has_flash_attention ? 2 : kFloat);
  const Wide scores =
      launch.has_flash_attention ? Wide{0} : Wide{batch} * slot * model.heads * kFloat;
  return bounded(activations + mask + scores);
}

/// Logits of `rows` tokens.
Bytes logit_bytes(const ModelFacts& model, std::int64_t rows) {
  return bounded(Wide{rows} * model.vocabulary * kFloat);
}

bool is_sane(std::int64_t number) {
  return number > 0 && number <= kNumberMax;
}

std::optional<Unknowable> obstacle(const ModelFacts& model, const LaunchFacts& launch) {
  if (model.is_latent) return Unknowable::latent;
  if (model.is_recurrent) return Unknowable::recurrent;
  if (launch.has_unknown_argument) return Unknowable::argument;
  const bool has_shape = !model.layers.empty() && model.layers.size() <= kLayersMax &&
                         is_sane(model.embedding) && is_sane(model.feed_forward) &&
                         is_sane(model.heads) && is_sane(model.vocabulary);
  if (!has_shape) return Unknowable::shape;
  std::int64_t cached = 0;  // a layer may have no cache at all; a model without any is none of ours
  for (const LayerFacts& layer : model.layers) {
    if (layer.key_elements < 0 || layer.key_elements > kNumberMax || layer.value_elements < 0 ||
        layer.value_elements > kNumberMax) {
      return Unknowable::shape;
    }
    cached = std::max(cached, layer.key_elements);
  }
  if (cached == 0) return Unknowable::shape;
  return std::nullopt;
}

/// Puts layers, output and embeddings on their sides.
void place(const ModelFacts& model, const LaunchFacts& launch, HeaderEstimate& out) {
  const auto layers = static_cast<std::int64_t>(model.layers.size());
  const std::int64_t all = layers + 1;  // the output is the last
  const std::int64_t on_device = launch.gpu_layers < 0 ? all : std::min(launch.gpu_layers, all);
  for (std::int64_t i = 0; i < layers; ++i) {
    const LayerFacts& layer = model.layers[static_cast<std::size_t>(i)];
    SideEstimate& side = i >= all - on_device ? out.device : out.host;
    side.weights += layer.weights;
    side.cache += cache_bytes(layer, model, launch);
  }
  out.host.weights += model.input_weights + model.other_weights;
  const bool is_tied = model.output_weights < model.input_weights;
  if (on_device > 0) {
    out.device.weights += model.output_weights + (is_tied ? model.input_weights : Bytes{0});
  } else {
    out.host.weights += model.output_weights;
  }
}

}  // namespace

std::optional<CellType> cell_type(std::string_view name) {
  const auto found = std::find_if(kCells.begin(), kCells.end(),
                                  [&](const Cell& known) { return known.name == name; });
  if (found == kCells.end()) return std::nullopt;
  return found->type;
}

std::string_view reason(Unknowable why) {
  switch (why) {
    case Unknowable::shape:
      return "its header lacks layers, heads or their sizes";
    case Unknowable::latent:
      return "its attention is compressed (MLA)";
    case Unknowable::recurrent:
      return "some of its layers keep a state instead of a cache";
    case Unknowable::argument:
      return "an extra argument changes what it takes";
  }
  return "";
}

std::variant<HeaderEstimate, Unknowable> header_estimate(const ModelFacts& model,
                                                         const LaunchFacts& launch) {
  BERTH_ASSERT(launch.context > 0 && launch.context <= kNumberMax && launch.parallel > 0);
  if (const auto why = obstacle(model, launch)) return *why;
  HeaderEstimate out;
  place(model, launch, out);
  const Bytes compute = compute_bytes(model, launch);
  // Every slot keeps the logits of the token it writes on the host.
  out.host.process = kProcess + logit_bytes(model, launch.parallel);
  if (launch.gpu_layers != 0) {
    // Builds differ in how many tokens' logits a device's graph holds: all of them is the bound.
    out.device.compute = compute + logit_bytes(model, kMicroBatch);
    out.device.process = kDeviceContext;
  }
  const bool has_host_layers =
      launch.gpu_layers >= 0 && launch.gpu_layers <= static_cast<std::int64_t>(model.layers.size());
  if (has_host_layers) out.host.compute = compute;
  return out;
}

HeaderEstimate with_dry_run(const std::variant<HeaderEstimate, Unknowable>& told,
                            const DryRun& dry_run) {
  if (const auto* known = std::get_if<HeaderEstimate>(&told)) {
    HeaderEstimate out = *known;
    const bool has_both = out.device.compute.count > 0 && dry_run.device.compute.count > 0;
    if (has_both) out.device.compute = dry_run.device.compute;
    return out;
  }
  HeaderEstimate out{.host = dry_run.host, .device = dry_run.device};
  out.host.process = kProcess;
  if (out.device.total().count > 0) out.device.process = kDeviceContext;
  return out;
}

}  // namespace berth::core

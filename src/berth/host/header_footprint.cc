// SPDX-License-Identifier: Apache-2.0
#include "berth/host/header_footprint.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace berth::host {
namespace {

/// Arguments of llama-server that change what it takes beyond what its keys say: further models,
/// other caches, tensors somewhere else.
constexpr auto kUnknown = std::to_array<std::string_view>({"-ot",
                                                           "--override-tensor",
                                                           "-cmoe",
                                                           "--cpu-moe",
                                                           "-ncmoe",
                                                           "--n-cpu-moe",
                                                           "-mm",
                                                           "--mmproj",
                                                           "-mmu",
                                                           "--mmproj-url",
                                                           "-md",
                                                           "--model-draft",
                                                           "-hfd",
                                                           "--hf-repo-draft",
                                                           "--lora",
                                                           "--lora-scaled",
                                                           "--control-vector",
                                                           "--swa-full",
                                                           "-ub",
                                                           "--ubatch-size",
                                                           "-kvu",
                                                           "--kv-unified",
                                                           "-nkvo",
                                                           "--no-kv-offload",
                                                           "--embedding",
                                                           "--embeddings",
                                                           "--rerank",
                                                           "--reranking",
                                                           "--mtp",
                                                           "-mv"});

bool has_unknown(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](std::string_view argument) {
    const std::string_view option = argument.substr(0, argument.find('='));
    return std::find(kUnknown.begin(), kUnknown.end(), option) != kUnknown.end();
  });
}

/// Which layers look back a window only: as the header lists them, else all but every n-th; a
/// header that gives a window and no layers means that none is believed to have one.
bool is_windowed(const models::Attention& attention, std::size_t layer) {
  if (!attention.window) return false;
  if (layer < attention.windowed.size()) return attention.windowed[layer] != 0;
  const auto period = static_cast<std::size_t>(attention.window_period.value_or(0));
  return period > 0 && layer % period < period - 1;
}

}  // namespace

core::ModelFacts model_facts(const models::Model& model) {
  const models::Attention& attention = model.attention;
  core::ModelFacts facts;
  const auto layers = static_cast<std::size_t>(model.layers.value_or(0));
  const bool has_heads =
      attention.kv_heads.size() == layers && attention.key_length && attention.value_length;
  for (std::size_t i = 0; i < layers && has_heads; ++i) {
    core::LayerFacts layer;
    if (i < model.weights.layers.size()) layer.weights = model.weights.layers[i];
    // A product of larger ones is damage; a negative number is refused by the estimate.
    constexpr std::int64_t kMost = std::int64_t{1} << 24;
    const auto elements = [&](std::int64_t length) {
      const std::int64_t heads = attention.kv_heads[i];
      return heads <= kMost && length <= kMost ? heads * length : -1;
    };
    layer.key_elements = elements(*attention.key_length);
    layer.value_elements = elements(*attention.value_length);
    layer.is_windowed = is_windowed(attention, i);
    facts.layers.push_back(layer);
  }
  facts.input_weights = model.weights.input;
  facts.output_weights = model.weights.output;
  facts.other_weights = model.weights.rest;
  // Tensors of layers that the header does not count are loaded all the same.
  for (std::size_t i = layers; i < model.weights.layers.size(); ++i)
    facts.other_weights += model.weights.layers[i];
  facts.embedding = model.embedding.value_or(0);
  facts.feed_forward = model.feed_forward.value_or(0);
  facts.heads = attention.heads.value_or(0);
  facts.vocabulary = model.vocabulary.value_or(0);
  facts.window = attention.window;
  facts.is_latent = attention.is_latent;
  facts.is_recurrent = attention.is_recurrent;
  return facts;
}

core::LaunchFacts launch_facts(const config::LlamaOptions& options) {
  // The configuration allows only names that cell_type() knows; llama-server's default is f16.
  const auto type = [](const std::optional<std::string>& name) {
    return core::cell_type(name.value_or("f16")).value_or(core::CellType::f16);
  };
  return {.context = options.context,
          .parallel = options.parallel,
          .gpu_layers = options.gpu_layers.value_or(0),
          .key_type = type(options.cache_type_k),
          .value_type = type(options.cache_type_v),
          .has_flash_attention = options.flash_attention != "off",
          .has_unknown_argument = has_unknown(options.extra_args)};
}

std::variant<core::HeaderEstimate, core::Unknowable> header_estimate(
    const models::Model& model, const config::LlamaOptions& options) {
  auto told = core::header_estimate(model_facts(model), launch_facts(options));
  if (auto* estimate = std::get_if<core::HeaderEstimate>(&told)) {
    estimate->host.process += options.cache_ram;
  }
  return told;
}

std::optional<core::HeaderEstimate> header_estimate(const config::ServerOptions& server,
                                                    bool has_device) {
  const auto* llama = std::get_if<config::LlamaOptions>(&server.kind);
  if (llama == nullptr || server.memory_declared) return std::nullopt;
  const Result<models::Model> model = models::read_model(llama->model);
  if (!model) return std::nullopt;
  config::LlamaOptions options = *llama;
  if (!has_device) options.gpu_layers.reset();
  const auto told = header_estimate(*model, options);
  const auto* estimate = std::get_if<core::HeaderEstimate>(&told);
  return estimate == nullptr ? std::nullopt : std::optional(*estimate);
}

Bytes share_of(const core::HeaderEstimate& estimate, core::PoolKind pool) {
  return pool == core::PoolKind::device ? estimate.device.total() : estimate.host.total();
}

}  // namespace berth::host

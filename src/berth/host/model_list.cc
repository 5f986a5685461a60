// SPDX-License-Identifier: Apache-2.0
#include "berth/host/model_list.h"

#include <algorithm>
#include <filesystem>

#include <boost/json.hpp>

#include "berth/host/header_footprint.h"

namespace berth::host {
namespace {

namespace json = boost::json;

std::string path_of(const config::ServerOptions& server) {
  return std::visit([](const auto& options) { return options.model; }, server.kind);
}

bool has_device(const config::Config& config) {
  return std::any_of(
      config.core.pools.begin(), config.core.pools.end(),
      [](const core::PoolConfig& pool) { return pool.kind == core::PoolKind::device; });
}

json::value json_of(const std::optional<std::int64_t>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

json::object json_of(const models::Entry& entry) {
  json::object out{{"id", entry.id}, {"path", entry.path}, {"kind", kind_of(entry)}};
  if (!entry.model) {
    out["error"] = {{"code", name(entry.model.error().code)},
                    {"message", entry.model.error().message}};
    return out;
  }
  const models::Model& model = *entry.model;
  out["name"] = model.name;
  out["architecture"] = model.architecture;
  out["quantisation"] = model.quantisation;
  out["layers"] = json_of(model.layers);
  out["context_length"] = json_of(model.context);
  out["parameters"] = model.parameters;
  out["file_bytes"] = model.file_bytes.count;
  return out;
}

json::object json_of(const core::SideEstimate& side) {
  return {{"weights_bytes", side.weights.count},
          {"cache_bytes", side.cache.count},
          {"compute_bytes", side.compute.count},
          {"process_bytes", side.process.count},
          {"bytes", side.total().count}};
}

json::object json_of(const Served& served) {
  json::object out{{"name", served.server}, {"source", "header"}};
  if (const auto* estimate = std::get_if<core::HeaderEstimate>(&served.estimate)) {
    out["host"] = json_of(estimate->host);
    out["device"] = json_of(estimate->device);
    out["bytes"] = estimate->total().count;
  } else {
    out["bytes"] = nullptr;
    out["reason"] = core::reason(std::get<core::Unknowable>(served.estimate));
  }
  return out;
}

json::object details_of(const models::Entry& entry, const std::vector<Served>& servers) {
  json::object out = json_of(entry);
  const models::Model& model = *entry.model;
  const models::Attention& attention = model.attention;
  out["files"] = json::value_from(model.files);
  out["tensors"] = model.tensors;
  out["main_type"] = model.main_type;
  out["embedding_length"] = json_of(model.embedding);
  out["feed_forward_length"] = json_of(model.feed_forward);
  out["vocabulary"] = json_of(model.vocabulary);
  out["experts"] = json_of(model.experts);
  out["heads"] = json_of(attention.heads);
  out["kv_heads"] = json::value_from(attention.kv_heads);
  out["key_length"] = json_of(attention.key_length);
  out["value_length"] = json_of(attention.value_length);
  out["sliding_window"] = json_of(attention.window);
  json::array layers;
  for (const Bytes layer : model.weights.layers)
    layers.emplace_back(layer.count);
  out["weights"] = {{"layer_bytes", std::move(layers)},
                    {"input_bytes", model.weights.input.count},
                    {"output_bytes", model.weights.output.count},
                    {"other_bytes", model.weights.rest.count}};
  json::array of_servers;
  for (const Served& each : servers)
    of_servers.emplace_back(json_of(each));
  out["servers"] = std::move(of_servers);
  return out;
}

}  // namespace

models::Places model_places(const config::Config& config) {
  models::Places places;
  for (const config::NamedModel& entry : config.models.entries)
    places.named.push_back({entry.id, entry.path});
  places.directories = config.models.directories;
  for (const config::ServerOptions& server : config.servers)
    places.files.push_back(path_of(server));
  return places;
}

std::vector<Served> served_by(const config::Config& config, const models::Entry& entry) {
  std::vector<Served> out;
  for (const config::ServerOptions& server : config.servers) {
    const auto* options = std::get_if<config::LlamaOptions>(&server.kind);
    if (options == nullptr || options->model != entry.path) continue;
    config::LlamaOptions here = *options;
    if (!has_device(config)) here.gpu_layers.reset();  // llama-server then does without, too
    out.push_back({server.name, *options, header_estimate(*entry.model, here)});
  }
  return out;
}

std::string kind_of(const models::Entry& entry) {
  if (!entry.model) return std::filesystem::path(entry.path).extension().string().substr(1);
  return entry.model->format == models::Format::gguf ? "gguf" : "safetensors";
}

std::string models_json(const config::Config& config) {
  const models::Listing listing = models::list_models(model_places(config));
  json::array entries;
  for (const models::Entry& entry : listing.entries)
    entries.emplace_back(json_of(entry));
  return json::serialize(json::object{{"models", std::move(entries)},
                                      {"problems", json::value_from(listing.problems)}});
}

Result<std::string> model_json(const config::Config& config, const std::string& id) {
  const auto entry = models::find_model(model_places(config), id);
  if (!entry) return fail(entry.error());
  if (!entry->model) return fail(entry->model.error());
  return json::serialize(details_of(*entry, served_by(config, *entry)));
}

}  // namespace berth::host

// SPDX-License-Identifier: Apache-2.0
// models and models show: what the headers of model files say. No running Berth is needed.
#include <algorithm>
#include <filesystem>
#include <variant>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/config/config.h"
#include "berth/host/header_footprint.h"
#include "berth/models/registry.h"
#include "commands.h"
#include "table.h"

namespace berth::cli {
namespace {

namespace json = boost::json;
using models::quotable;
using Estimate = std::variant<core::HeaderEstimate, core::Unknowable>;

/// A server that serves the model, with what it will take.
struct Served {
  std::string server;
  const config::LlamaOptions& options;
  Estimate estimate;
};

std::string path_of(const config::ServerOptions& server) {
  return std::visit([](const auto& options) { return options.model; }, server.kind);
}

models::Places places_of(const config::Config& config) {
  models::Places places;
  for (const config::NamedModel& entry : config.models.entries)
    places.named.push_back({entry.id, entry.path});
  places.directories = config.models.directories;
  for (const config::ServerOptions& server : config.servers)
    places.files.push_back(path_of(server));
  return places;
}

bool has_device(const config::Config& config) {
  return std::any_of(
      config.core.pools.begin(), config.core.pools.end(),
      [](const core::PoolConfig& pool) { return pool.kind == core::PoolKind::device; });
}

std::vector<Served> served(const config::Config& config, const models::Entry& entry) {
  std::vector<Served> out;
  for (const config::ServerOptions& server : config.servers) {
    const auto* options = std::get_if<config::LlamaOptions>(&server.kind);
    if (options == nullptr || options->model != entry.path) continue;
    config::LlamaOptions here = *options;
    if (!has_device(config)) here.gpu_layers.reset();  // llama-server then does without, too
    out.push_back({server.name, *options, host::header_estimate(*entry.model, here)});
  }
  return out;
}

std::string kind_of(const models::Entry& entry) {
  if (!entry.model) return std::filesystem::path(entry.path).extension().string().substr(1);
  return entry.model->format == models::Format::gguf ? "gguf" : "safetensors";
}

std::string shown(const std::optional<std::int64_t>& number) {
  return number ? std::to_string(*number) : "-";
}

std::string shown(const std::string& text) {
  return text.empty() ? "-" : quotable(text);
}

std::string table_of(const models::Listing& listing) {
  std::vector<Row> rows;
  for (const models::Entry& entry : listing.entries) {
    Row row{{{quotable(entry.id)}, {kind_of(entry)}}, ""};
    if (entry.model) {
      const models::Model& model = *entry.model;
      for (const std::string& text :
           {shown(model.architecture), shown(model.quantisation), shown(model.layers),
            shown(model.context), to_text(model.file_bytes)})
        row.cells.push_back({text});
    } else {
      row.cells.push_back({"unusable", Colour::red});
      row.note = entry.model.error().message;
    }
    rows.push_back(std::move(row));
  }
  std::string text = rows.empty() ? "there are no models; name folders with models.directories\n"
                                  : render_table({{"ID"},
                                                  {"KIND"},
                                                  {"ARCH"},
                                                  {"QUANT"},
                                                  {"LAYERS", true},
                                                  {"CONTEXT", true},
                                                  {"SIZE", true}},
                                                 rows);
  for (const std::string& problem : listing.problems)
    text += wrapped(problem, "");
  return text;
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

std::string side_line(const char* where, const core::SideEstimate& side) {
  return wrapped(fmt::format("{}: weights {} + cache {} + graph {} + process {} = {}", where,
                             to_text(side.weights), to_text(side.cache), to_text(side.compute),
                             to_text(side.process), to_text(side.total())),
                 "    ");
}

std::string text_of(const Served& served) {
  const config::LlamaOptions& options = served.options;
  std::string text =
      wrapped(fmt::format("{}: {} tokens over {} slots, keys {}, values {}", served.server,
                          options.context, options.parallel, options.cache_type_k.value_or("f16"),
                          options.cache_type_v.value_or("f16")),
              "  ");
  const auto* estimate = std::get_if<core::HeaderEstimate>(&served.estimate);
  if (estimate == nullptr) {
    return text + wrapped(fmt::format("unknown before its first run: {}",
                                      core::reason(std::get<core::Unknowable>(served.estimate))),
                          "    ");
  }
  text += side_line("host", estimate->host);
  if (estimate->device.total() > Bytes{0}) text += side_line("device", estimate->device);
  return text;
}

std::string text_of(const models::Entry& entry, const std::vector<Served>& servers) {
  const models::Model& model = *entry.model;
  const models::Attention& attention = model.attention;
  std::string text;
  const auto line = [&text](const char* label, const std::string& value) {
    if (value != "-") text += fmt::format("{:<14} {}\n", label, value);
  };
  line("id", quotable(entry.id));
  line("file", entry.path);
  if (model.files.size() > 1) line("files", std::to_string(model.files.size()));
  line("size", to_text(model.file_bytes));
  line("kind", kind_of(entry));
  line("architecture", shown(model.architecture));
  line("name", shown(model.name));
  line("quantisation", shown(model.quantisation));
  line("parameters", fmt::format("{:.1f} million", static_cast<double>(model.parameters) / 1e6));
  line("layers", shown(model.layers));
  line("context", shown(model.context));
  line("heads", shown(attention.heads));
  line("KV heads", attention.kv_heads.empty() ? "-" : shown(attention.kv_heads.front()));
  line("window", shown(attention.window));
  if (!servers.empty()) text += "\nwhat its servers take, by its header\n";
  for (const Served& each : servers)
    text += text_of(each);
  return text;
}

Result<config::Config> read_config(const Common& common) {
  const Result<std::string> path = find_config(common);
  if (!path) return fail(path.error());
  return config::load(*path);
}

}  // namespace

int models_list(const Common& common) {
  const auto config = read_config(common);
  if (!config) return report(config.error(), common.json);
  const models::Listing listing = models::list_models(places_of(*config));
  if (!common.json) {
    say(table_of(listing));
    return 0;
  }
  json::array entries;
  for (const models::Entry& entry : listing.entries)
    entries.emplace_back(json_of(entry));
  say(json::serialize(json::object{{"models", std::move(entries)},
                                   {"problems", json::value_from(listing.problems)}}) +
      "\n");
  return 0;
}

int models_show(const Common& common, const std::string& id) {
  const auto config = read_config(common);
  if (!config) return report(config.error(), common.json);
  const auto entry = models::find_model(places_of(*config), id);
  if (!entry) return report(entry.error(), common.json);
  if (!entry->model) return report(entry->model.error(), common.json);
  const std::vector<Served> servers = served(*config, *entry);
  say(common.json ? json::serialize(details_of(*entry, servers)) + "\n" : text_of(*entry, servers));
  return 0;
}

}  // namespace berth::cli

// SPDX-License-Identifier: Apache-2.0
// models and models show: what the headers of model files say. No running Berth is needed.
#include <variant>

#include <fmt/format.h>

#include "berth/config/config.h"
#include "berth/host/model_list.h"
#include "berth/models/registry.h"
#include "commands.h"
#include "table.h"

namespace berth::cli {
namespace {

using host::kind_of;
using host::Served;
using models::quotable;

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
      const bool is_read = kind_of(entry) == "gguf" || kind_of(entry) == "safetensors";
      row.cells.push_back(is_read ? Cell{"unusable", Colour::red} : Cell{"unread"});
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
  line("file", printable_line(entry.path));
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
  say(common.json ? host::models_json(*config) + "\n"
                  : table_of(models::list_models(host::model_places(*config))));
  return 0;
}

int models_show(const Common& common, const std::string& id) {
  const auto config = read_config(common);
  if (!config) return report(config.error(), common.json);
  if (common.json) {
    const Result<std::string> text = host::model_json(*config, id);
    if (!text) return report(text.error(), common.json);
    say(*text + "\n");
    return 0;
  }
  const auto entry = models::find_model(host::model_places(*config), id);
  if (!entry) return report(entry.error(), common.json);
  if (!entry->model) return report(entry->model.error(), common.json);
  say(text_of(*entry, host::served_by(*config, *entry)));
  return 0;
}

}  // namespace berth::cli

// SPDX-License-Identifier: Apache-2.0
#include "berth/config/sections.h"

namespace berth::config {
namespace {

/// `entries`: `{story = "models/story.gguf"}`.
Reader entries(std::vector<NamedModel>& out, const Paths& paths) {
  auto fill = [&out, &paths](const Entry& entry, Problems& problems) {
    const auto* table = entry.node.as<Node::Table>();
    if (table == nullptr) {
      return add_mismatch(entry, R"(names with paths, for example {story = "story.gguf"})",
                          problems);
    }
    for (const Entry& model : *table) {
      if (!is_name(model.key, "_-.")) {
        problems.add(model.at, fmt::format("\"{}\" cannot be the name of a model; write 1 to {} of "
                                           "a-z, 0-9, \"_\", \"-\" and \".\"",
                                           model.key, kNameMax));
        continue;
      }
      std::string file;
      path(file, paths)(model, problems);
      out.push_back({model.key, std::move(file)});
    }
  };
  return {std::move(fill), "table"};
}

}  // namespace

std::vector<Key> models_keys(ModelPlaces& places, const Paths& paths_from) {
  return {
      {"directories", paths(places.directories, paths_from),
       "folders; every `.gguf` and `.safetensors` file in them and below them is a model. Its id "
       "is its path in the folder without the extension"},
      {"entries", entries(places.entries, paths_from),
       R"(models with a name of their own: `{story = "models/story.gguf"}`)"},
  };
}

void read_models(const Entry& models, Reading& reading) {
  const auto* table = models.node.as<Node::Table>();
  if (table == nullptr) return add_mismatch(models, "a section, [models]", reading.problems);
  read_section({"[models]", models.at, *table}, models_keys(reading.config.models, reading.paths),
               reading.problems);
}

}  // namespace berth::config

// SPDX-License-Identifier: Apache-2.0
#include "berth/config/sections.h"

namespace berth::config {
namespace {

/// `entries`: `{story = "models/story.gguf"}`.
Reader entries(std::vector<NamedModel>& out, const Paths& paths) {
  return [&out, &paths](const Entry& entry, Problems& problems) {
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
}

}  // namespace

void read_models(const Entry& models, Reading& reading) {
  const auto* table = models.node.as<Node::Table>();
  if (table == nullptr) return add_mismatch(models, "a section, [models]", reading.problems);
  ModelPlaces& places = reading.config.models;
  read_section({"[models]", models.at, *table},
               {{"directories", paths(places.directories, reading.paths)},
                {"entries", entries(places.entries, reading.paths)}},
               reading.problems);
}

}  // namespace berth::config
